//! A token bucket, exact in integers.

use antiphon_types::Timestamp;

use super::limits::Rate;

/// One token in the unit of [`Bucket`]: a rate of so many tokens a second is so
/// many millionths a microsecond.
const TOKEN: u64 = 1_000_000;

/// What is left of a [`Rate`].
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: Rate,
    /// In millionths of a token.
    level: u64,
    /// When `level` was right.
    at: Timestamp,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Timestamp) -> Self {
        Self { rate, level: u64::from(rate.burst) * TOKEN, at: now }
    }

    /// Whether there is a token now.
    pub(super) fn has_token(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        self.level >= TOKEN
    }

    /// Takes a token, of which the caller has seen that it is there.
    pub(super) fn take(&mut self) {
        self.level = self.level.saturating_sub(TOKEN);
    }

    /// Whether it is as if nothing was ever taken.
    pub(super) fn is_full(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        self.level == u64::from(self.rate.burst) * TOKEN
    }

    fn refill(&mut self, now: Timestamp) {
        let micros = now.as_micros().saturating_sub(self.at.as_micros());
        let gained = micros.saturating_mul(u64::from(self.rate.per_second));
        let most = u64::from(self.rate.burst) * TOKEN;
        self.level = self.level.saturating_add(gained).min(most);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, now: Timestamp) -> u32 {
        let mut count = 0;
        while bucket.has_token(now) {
            bucket.take();
            count += 1;
        }
        count
    }

    #[test]
    fn it_gives_the_burst_at_once_and_then_the_rate() {
        let mut bucket = Bucket::full(Rate { per_second: 3, burst: 5 }, Timestamp::ZERO);
        assert_eq!(taken(&mut bucket, Timestamp::ZERO), 5);
        // A third of a second is no whole number of microseconds.
        let mut count = 0;
        for micros in (0..=10_000_000).step_by(7) {
            count += taken(&mut bucket, Timestamp::from_micros(micros));
        }
        assert_eq!(count, 29, "the thirtieth comes at ten seconds sharp");
        assert_eq!(taken(&mut bucket, Timestamp::from_millis(10_000)), 1);
        assert_eq!(taken(&mut bucket, Timestamp::MAX), 5);
        assert_eq!(taken(&mut bucket, Timestamp::ZERO), 0, "time does not run back");
    }

    #[test]
    fn it_is_full_when_nothing_is_missing() {
        let mut bucket = Bucket::full(Rate { per_second: 2, burst: 1 }, Timestamp::ZERO);
        assert!(bucket.is_full(Timestamp::ZERO));
        assert_eq!(taken(&mut bucket, Timestamp::ZERO), 1);
        assert!(!bucket.is_full(Timestamp::from_micros(499_999)));
        assert!(bucket.is_full(Timestamp::from_millis(500)));
    }

    #[test]
    fn an_empty_burst_gives_nothing_ever() {
        let mut bucket = Bucket::full(Rate { per_second: 1_000, burst: 0 }, Timestamp::ZERO);
        assert_eq!(taken(&mut bucket, Timestamp::MAX), 0);
    }
}
