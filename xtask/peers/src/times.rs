//! How long each of many like things took.

use std::time::Duration;

/// Durations of single operations.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The times, in microseconds, that half of them and 99 of 100 of them do
    /// not exceed.
    pub(crate) fn median_and_p99_us(&mut self) -> (f64, f64) {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |hundredths: usize| {
            self.0.get(last * hundredths / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        (at(50), at(99))
    }
}
