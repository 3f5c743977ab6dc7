//! A sound device that makes no sound: it consumes samples in real time, or
//! some times faster, and knows when it ran dry.

use std::time::{Duration, Instant};

use antiphon_types::SAMPLE_RATE;

/// How much a device holds before it makes the writer wait, in wall time:
/// what sound servers commonly hold.
const BUFFER: Duration = Duration::from_millis(200);

/// How long after the first samples a device begins to consume them: the first
/// period of a sound server. The writer has that long to write on.
const START_LATENCY: Duration = Duration::from_millis(20);

/// A virtual device. Time is an argument.
#[derive(Debug)]
pub(crate) struct VirtualDevice {
    samples_per_second: f64,
    /// When it would have begun, had it never run dry.
    origin: Option<Instant>,
    written: u64,
    base: u64,
    paused_at: Option<Instant>,
    stalls: u32,
    stalled: Duration,
}

impl VirtualDevice {
    /// Consumes `speed` times as fast as music is heard.
    pub(crate) fn new(speed: f64) -> Self {
        Self {
            samples_per_second: f64::from(SAMPLE_RATE) * speed,
            origin: None,
            written: 0,
            base: 0,
            paused_at: None,
            stalls: 0,
            stalled: Duration::ZERO,
        }
    }

    /// Takes samples (of each channel). What comes after the device ran dry
    /// counts as a stall and moves everything after it.
    pub(crate) fn write(&mut self, samples: u64, now: Instant) {
        match self.dry_at() {
            None => self.origin = Some(now + START_LATENCY),
            Some(dry) => {
                let late = now.saturating_duration_since(dry);
                if !late.is_zero() {
                    self.stalls += 1;
                    self.stalled += late;
                    self.origin = self.origin.map(|origin| origin + late);
                }
            }
        }
        self.written += samples;
    }

    /// When it has room again; the writer waits until then.
    pub(crate) fn writable_at(&self) -> Option<Instant> {
        self.dry_at().and_then(|dry| dry.checked_sub(BUFFER))
    }

    /// When it will have played all that was written; `None` before the first.
    pub(crate) fn dry_at(&self) -> Option<Instant> {
        self.origin.map(|origin| origin + self.time_for(self.written - self.base))
    }

    /// Samples (of each channel) heard so far.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds times a rate, never negative, capped by what was written"
    )]
    pub(crate) fn heard(&self, now: Instant) -> u64 {
        let Some(origin) = self.origin else { return self.written };
        let now = self.paused_at.map_or(now, |paused| paused.min(now));
        let elapsed = now.saturating_duration_since(origin).as_secs_f64();
        (self.base + (elapsed * self.samples_per_second) as u64).min(self.written)
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
    }

    pub(crate) fn resume(&mut self, now: Instant) {
        let Some(paused) = self.paused_at.take() else { return };
        if let (Some(dry), Some(origin)) = (self.dry_at(), self.origin) {
            // dry before the pause began or while in it: begins anew
            let away = now.saturating_duration_since(paused.min(dry));
            self.origin = Some(origin + away);
        }
    }

    pub(crate) fn discard(&mut self, now: Instant) -> u64 {
        self.written = self.heard(now);
        if let Some(dry) = self.dry_at() {
            let _ = dry;
        }
        self.origin = None;
        self.base = self.written;
        self.written
    }

    /// How often it ran dry, and for how long in all.
    pub(crate) fn stalls(&self) -> (u32, Duration) {
        (self.stalls, self.stalled)
    }

    fn time_for(&self, samples: u64) -> Duration {
        Duration::from_secs_f64(samples as f64 / self.samples_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = SAMPLE_RATE as u64;

    #[test]
    fn it_consumes_as_fast_as_told() {
        let start = Instant::now();
        let mut device = VirtualDevice::new(4.0);
        device.write(8 * SECOND, start);
        let begun = start + START_LATENCY;
        assert_eq!(device.heard(start), 0);
        assert_eq!(device.heard(begun + Duration::from_secs(1)), 4 * SECOND);
        assert_eq!(device.heard(begun + Duration::from_secs(9)), 8 * SECOND);
        assert_eq!(device.dry_at(), Some(begun + Duration::from_secs(2)));
        assert_eq!(device.writable_at(), Some(begun + Duration::from_millis(1_800)));
    }

    #[test]
    fn running_dry_is_a_stall_and_delays_the_rest() {
        let start = Instant::now();
        let mut device = VirtualDevice::new(1.0);
        device.write(SECOND, start);
        let begun = start + START_LATENCY;
        device.write(SECOND, begun + Duration::from_millis(900));
        assert_eq!(device.stalls(), (0, Duration::ZERO));
        device.write(SECOND, begun + Duration::from_millis(2_500));
        assert_eq!(device.stalls(), (1, Duration::from_millis(500)));
        assert_eq!(device.heard(begun + Duration::from_millis(2_500)), 2 * SECOND);
        assert_eq!(device.dry_at(), Some(begun + Duration::from_millis(3_500)));
    }
}
