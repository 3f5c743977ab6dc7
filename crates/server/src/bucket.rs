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
}
