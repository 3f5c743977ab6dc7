//! How often something may happen.

use std::time::Duration;

use antiphon_types::Timestamp;

/// A rate with a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// How often at once.
    pub(crate) burst: u32,
    /// Then once in this time.
    pub(crate) interval: Duration,
}

/// A token bucket in one number: the instant at which it is full again (the
/// generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Timestamp, rate: Rate) -> bool {
        let full_at = self.full_at.max(now) + rate.interval;
        let allowed = full_at <= now + rate.interval * rate.burst;
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }

    /// Takes so many tokens, also such as are not there yet; how long to wait
    /// until they would be.
    pub(crate) fn owe(&mut self, now: Timestamp, rate: Rate, tokens: u32) -> Duration {
        self.full_at = self.full_at.max(now) + rate.interval.saturating_mul(tokens);
        self.full_at.saturating_since(now).saturating_sub(rate.interval.saturating_mul(rate.burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_rate_and_never_more_than_the_burst() {
        let rate = Rate { burst: 3, interval: Duration::from_secs(2) };
        let mut bucket = Bucket::default();
        let mut taken = |seconds| {
            let now = Timestamp::ZERO + Duration::from_secs(seconds);
            (0..100).filter(|_| bucket.take(now, rate)).count()
        };
        assert_eq!([0, 1, 2, 3, 8, 1_000].map(&mut taken), [3, 0, 1, 0, 3, 3]);
    }

    #[test]
    fn who_takes_too_much_waits_for_what_is_too_much() {
        let rate = Rate { burst: 20, interval: Duration::from_secs(2) };
        let mut bucket = Bucket::default();
        let start = Timestamp::from_millis(100_000);
        assert_eq!(bucket.owe(start, rate, 20), Duration::ZERO, "a burst");
        assert_eq!(bucket.owe(start, rate, 5), Duration::from_secs(10));
        let later = start + Duration::from_secs(50);
        assert_eq!(bucket.owe(later, rate, 20), Duration::ZERO, "all has come back");
        let much_later = later + Duration::from_secs(3600);
        assert_eq!(
            bucket.owe(much_later, rate, 21),
            rate.interval,
            "no more is saved than a burst"
        );
    }
}
