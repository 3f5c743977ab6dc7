//! How often something may happen.

use antiphon_types::Timestamp;

/// Millionths of a token, so that microseconds count without rounding.
const TOKEN: u64 = 1_000_000;

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    burst: u32,
    level: u64,
    at: Timestamp,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32, now: Timestamp) -> Self {
        Self { per_second, burst, level: u64::from(burst) * TOKEN, at: now }
    }

    /// Counts one more; false if that is one too many.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        let refill = elapsed.saturating_mul(u64::from(self.per_second));
        let full = u64::from(self.burst) * TOKEN;
        self.level = self.level.saturating_add(refill).min(full);
        self.at = self.at.max(now);
        match self.level.checked_sub(TOKEN) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut now = Timestamp::ZERO;
        let mut bucket = Bucket::new(2_000, 4_000, now);
        assert!((0..4_000).all(|_| bucket.take(now)));
        assert!(!bucket.take(now));
        now = now + Duration::from_secs(1);
        assert_eq!((0..5_000).filter(|_| bucket.take(now)).count(), 2_000);
        now = now + Duration::from_secs(60);
        assert_eq!((0..5_000).filter(|_| bucket.take(now)).count(), 4_000, "no more than a burst");
    }
}
