use std::time::Duration;

use antiphon_mesh::RateMeter;
use antiphon_types::{BLOCK_BYTES, Timestamp};

use crate::Config;

/// What is outstanding at one source, and whether it may be asked.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Blocks asked and not there yet.
    pub(crate) outstanding: u32,
    /// When it last delivered, or was first asked after being idle.
    pub(crate) progress_at: Timestamp,
    /// Not to be asked before this.
    pub(crate) blocked_until: Timestamp,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Requests answered with what was not asked for.
    pub(crate) unasked: u32,
}

impl Pipe {
    pub(crate) fn asked(&mut self, now: Timestamp, blocks: u32) {
        if self.outstanding == 0 {
            self.progress_at = now;
        }
        self.outstanding = self.outstanding.saturating_add(blocks);
    }

    pub(crate) fn delivered(&mut self, now: Timestamp) {
        self.progress_at = now;
        self.failures = 0;
    }

    pub(crate) fn released(&mut self, blocks: usize) {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        self.outstanding = self.outstanding.saturating_sub(blocks);
    }

    /// Pauses it, longer each time.
    pub(crate) fn failed(&mut self, now: Timestamp, config: &Config) {
        let pause = config.backoff_least.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.pause(now, pause.min(config.backoff_most));
    }

    pub(crate) fn pause(&mut self, now: Timestamp, pause: Duration) {
        self.blocked_until = self.blocked_until.max(now + pause);
    }
}

/// The session with the server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) rtt: Duration,
    pub(crate) meter: RateMeter,
    pub(crate) pipe: Pipe,
}

/// What is expected of a source: a snapshot to plan with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook {
    pub(crate) rtt: Duration,
    /// Bytes per second.
    pub(crate) rate: u64,
    pub(crate) outstanding: u32,
    /// How many blocks may be outstanding.
    pub(crate) window: u32,
}

impl Outlook {
    /// When the `extra`-th further block would be here if asked now.
    pub(crate) fn arrival(&self, now: Timestamp, extra: u32) -> Timestamp {
        let blocks = u64::from(self.outstanding.saturating_add(extra));
        now + self.rtt + transfer_time(blocks, self.rate)
    }

    pub(crate) fn spare(&self) -> u32 {
        self.window.saturating_sub(self.outstanding)
    }
}

/// How many blocks a source of that rate should have outstanding: its
/// bandwidth-delay product and a little more, within bounds.
pub(crate) fn window(rate: u64, rtt: Duration, pipeline: Duration, bounds: (u32, u32)) -> u32 {
    let micros = u128::from(rate) * rtt.saturating_add(pipeline).as_micros();
    let blocks = micros / 1_000_000 / u128::from(BLOCK_BYTES);
    u32::try_from(blocks).unwrap_or(u32::MAX).clamp(bounds.0, bounds.1.max(bounds.0))
}

pub(crate) fn transfer_time(blocks: u64, rate: u64) -> Duration {
    let micros = blocks.saturating_mul(u64::from(BLOCK_BYTES)).saturating_mul(1_000_000);
    Duration::from_micros(micros / rate.max(1))
}
