use std::time::Duration;

use antiphon_types::Timestamp;

use crate::RateMeter;

/// A peer that we have a link to, and what it has been worth.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub(crate) rtt: Duration,
    pub(crate) since: Timestamp,
    pub(crate) meter: RateMeter,
    pub(crate) choked_until: Timestamp,
    pub(crate) usefulness: WindowSum,
}

impl Neighbour {
    /// Round-trip time of the link.
    pub fn rtt(&self) -> Duration {
        self.rtt
    }

    /// How fast it delivers, bytes per second.
    pub fn rate(&self) -> u64 {
        self.meter.rate()
    }

    /// All bytes that it gave us on this link.
    pub fn delivered(&self) -> u64 {
        self.meter.delivered()
    }

    /// Until when it asked us not to ask again.
    pub fn choked_until(&self) -> Timestamp {
        self.choked_until
    }
}

/// A sum over the last one to two windows: cheap, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct WindowSum {
    started: Timestamp,
    current: u64,
    previous: u64,
}

impl WindowSum {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { started: now, current: 0, previous: 0 }
    }

    pub(crate) fn add(&mut self, now: Timestamp, window: Duration, amount: u64) {
        (self.previous, self.current) = self.at(now, window);
        if now.saturating_since(self.started) >= window {
            self.started = now;
        }
        self.current = self.current.saturating_add(amount);
    }

    pub(crate) fn sum(&self, now: Timestamp, window: Duration) -> u64 {
        let (previous, current) = self.at(now, window);
        previous.saturating_add(current)
    }

    /// What the two windows hold at `now`.
    fn at(&self, now: Timestamp, window: Duration) -> (u64, u64) {
        let age = now.saturating_since(self.started);
        if age < window {
            (self.previous, self.current)
        } else if age < window.saturating_mul(2) {
            (self.current, 0)
        } else {
            (0, 0)
        }
    }
}
