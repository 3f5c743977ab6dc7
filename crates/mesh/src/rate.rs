use std::time::Duration;

use antiphon_types::Timestamp;

/// After this much busy time what was seen so far loses half its weight.
const HALVE_AFTER_MICROS: u64 = 1_000_000;
/// Weight of the prior, as busy time.
const PRIOR_MICROS: u64 = 125_000;
/// No delivery counts as faster than this: a burst out of a full socket buffer
/// says nothing about a link. 20 µs for each KiB is 50 MB/s.
const MIN_MICROS_PER_KIB: u64 = 20;
/// Slower than this counts as this, so that expectations stay finite.
const MIN_RATE: u64 = 1_000;

/// How fast a source delivers, from what it delivered.
///
/// Only the time in which something was outstanding counts, and of that not
/// the first round trip. Recent deliveries weigh more: an exponentially
/// weighted mean over busy time, in integers, so that it is the same on every
/// machine.
#[derive(Debug, Clone)]
pub struct RateMeter {
    bytes: u64,
    busy_micros: u64,
    busy_since: Option<Timestamp>,
    delivered: u64,
}

impl RateMeter {
    /// A meter that believes in `prior` bytes per second until it sees better.
    pub fn new(prior: u64) -> Self {
        Self {
            bytes: prior.min(1 << 40) * PRIOR_MICROS / 1_000_000,
            busy_micros: PRIOR_MICROS,
            busy_since: None,
            delivered: 0,
        }
    }

    /// Something was asked for. If nothing was outstanding, the source counts
    /// as busy from the moment at which the first byte can be here.
    pub fn handle_asked(&mut self, now: Timestamp, rtt: Duration) {
        self.busy_since.get_or_insert(now + rtt);
    }

    /// So many bytes came; zero says that the time passed without any.
    pub fn handle_delivered(&mut self, now: Timestamp, bytes: u32) {
        let bytes = u64::from(bytes);
        self.delivered = self.delivered.saturating_add(bytes);
        let Some(since) = self.busy_since else { return };
        self.busy_since = Some(since.max(now));
        let busy = now.as_micros().saturating_sub(since.as_micros());
        self.bytes = self.bytes.saturating_add(bytes);
        let least = bytes * MIN_MICROS_PER_KIB / 1_024;
        self.busy_micros = self.busy_micros.saturating_add(busy.max(least));
        while self.busy_micros > HALVE_AFTER_MICROS {
            self.bytes /= 2;
            self.busy_micros /= 2;
        }
    }

    /// Nothing is outstanding any more.
    pub fn handle_idle(&mut self) {
        self.busy_since = None;
    }

    /// Bytes per second, at least 1,000.
    pub fn rate(&self) -> u64 {
        let per_second = u128::from(self.bytes) * 1_000_000 / u128::from(self.busy_micros.max(1));
        u64::try_from(per_second).unwrap_or(u64::MAX).max(MIN_RATE)
    }

    /// All bytes that it ever delivered.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }
}
