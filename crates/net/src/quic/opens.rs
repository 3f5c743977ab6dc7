//! How often the other side may open a stream.

use antiphon_types::Timestamp;
use antiphon_wire::{Limits, Rate};

/// Millionths of a stream, so that microseconds count without rounding.
const STREAM: u64 = 1_000_000;

/// A token bucket with the rate of the multiplexer. A place that is free again
/// costs the other side one packet and us a task: the number of places alone
/// does not bound that (rapid reset, CVE-2023-44487).
#[derive(Debug)]
pub(super) struct Opens {
    rate: Rate,
    level: u64,
    at: Timestamp,
}

impl Opens {
    pub(super) fn new(now: Timestamp) -> Self {
        let rate = Limits::default().opens;
        Self { rate, level: u64::from(rate.burst) * STREAM, at: now }
    }

    /// Counts a stream; false if that is one too many.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let elapsed = now.as_micros().saturating_sub(self.at.as_micros());
        let refill = elapsed.saturating_mul(u64::from(self.rate.per_second));
        let full = u64::from(self.rate.burst) * STREAM;
        self.level = self.level.saturating_add(refill).min(full);
        self.at = self.at.max(now);
        match self.level.checked_sub(STREAM) {
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
        let mut opens = Opens::new(now);
        assert!((0..4_000).all(|_| opens.take(now)));
        assert!(!opens.take(now));
        now = now + Duration::from_secs(1);
        assert_eq!((0..5_000).filter(|_| opens.take(now)).count(), 2_000);
        now = now + Duration::from_secs(60);
        assert_eq!((0..5_000).filter(|_| opens.take(now)).count(), 4_000, "no more than a burst");
    }
}
