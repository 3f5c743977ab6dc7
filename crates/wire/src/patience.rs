//! How slowly something may come in.

use std::time::Duration;

use antiphon_types::Timestamp;

/// How slowly the other side may send something that it has begun, a record or
/// a message.
///
/// Who begins and does not go on costs a buffer and a place for as long as we
/// wait (slow-loris). So what has begun must be complete after `grace` and the
/// time that its announced length takes at `bytes_per_second`; until the length
/// is known, after `grace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Time for anything. Default 10 s: a radio link that loses its cell, or a
    /// few losses in a row on TCP, take a few seconds.
    pub grace: Duration,
    /// Rate beyond that, 0 for no bound. Default 2 KiB/s, a fifth of what the
    /// smallest rendition needs to play: the largest record takes 42 s at most,
    /// less than the idle time-out.
    pub bytes_per_second: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), bytes_per_second: 2 * 1024 }
    }
}

impl Patience {
    /// The longest time for something of `bytes` bytes.
    pub fn longest(&self, bytes: usize) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::MAX;
        }
        let micros = (bytes as u64).saturating_mul(1_000_000) / u64::from(self.bytes_per_second);
        self.grace + Duration::from_micros(micros)
    }

    pub(crate) fn deadline(&self, begun: Timestamp, bytes: usize) -> Timestamp {
        begun + self.longest(bytes)
    }
}
