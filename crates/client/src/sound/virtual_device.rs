//! A sound device that makes no sound: it consumes frames in real time, or
//! some times faster, and knows when it ran dry.

use std::time::{Duration, Instant};

use antiphon_types::SAMPLE_RATE;

/// How much a device holds before it makes the writer wait, in wall time:
/// what sound servers commonly hold.
const BUFFER: Duration = Duration::from_millis(200);

/// How long after the first samples a device begins to consume them: the first
/// period of a sound server. The writer has that long to write on.
const START_LATENCY: Duration = Duration::from_millis(20);

/// How much of its buffer is free before it asks for more, in wall time: the
/// period of a sound server.
const PERIOD: Duration = Duration::from_millis(10);

/// A virtual device. Time is an argument.
#[derive(Debug)]
pub(super) struct VirtualDevice {
    frames_per_second: f64,
    /// When it would have begun, had it never run dry; `None` if it waits for
    /// something to begin with.
    origin: Option<Instant>,
    /// Frames taken in all, without those discarded.
    written: u64,
    /// Frames that were heard before the origin.
    base: u64,
    paused_at: Option<Instant>,
    stalls: u32,
    stalled: Duration,
}

impl VirtualDevice {
    /// Consumes `speed` times as fast as music is heard.
    pub(super) fn new(speed: f64) -> Self {
        Self {
            frames_per_second: f64::from(SAMPLE_RATE) * speed,
            origin: None,
            written: 0,
            base: 0,
            paused_at: None,
            stalls: 0,
            stalled: Duration::ZERO,
        }
    }

    /// Takes frames. What comes after the device ran dry counts as a stall and
    /// moves everything after it.
    pub(super) fn write(&mut self, frames: u64, now: Instant) {
        if self.origin.is_none() {
            self.origin = Some(self.paused_at.unwrap_or(now) + START_LATENCY);
        }
        if let Some(dry) = self.dry_at().filter(|dry| *dry < now && self.written > self.base) {
            let late = now - dry;
            self.stalls += 1;
            self.stalled += late;
            self.origin = self.origin.map(|origin| origin + late);
        }
        self.written += frames;
    }

    /// How many frames it takes now: none, or at least those of a period.
    pub(super) fn room(&self, now: Instant) -> usize {
        let queued = usize::try_from(self.written - self.heard(now)).unwrap_or(usize::MAX);
        let room = self.frames_in(BUFFER).saturating_sub(queued);
        if room < self.frames_in(PERIOD) { 0 } else { room }
    }

    /// When it has room again; the writer waits until then.
    pub(super) fn writable_at(&self) -> Option<Instant> {
        // A frame more than the period, so that rounding leaves no gap.
        let free = PERIOD + self.time_for(1);
        self.dry_at().and_then(|dry| dry.checked_sub(BUFFER)).map(|full| full + free)
    }

    /// When it will have played all that was written; `None` before the first,
    /// after a discard and in a pause.
    pub(super) fn dry_at(&self) -> Option<Instant> {
        self.end().filter(|_| self.paused_at.is_none())
    }

    /// Frames heard so far.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds times a rate, never negative, capped by what was written"
    )]
    pub(super) fn heard(&self, now: Instant) -> u64 {
        let Some(origin) = self.origin else { return self.base };
        let now = self.paused_at.map_or(now, |paused| paused.min(now));
        let elapsed = now.saturating_duration_since(origin).as_secs_f64();
        (self.base + (elapsed * self.frames_per_second) as u64).min(self.written)
    }

    /// Stops. If all was heard by then, what comes next is a new beginning.
    pub(super) fn pause(&mut self, now: Instant) {
        if self.paused_at.is_some() {
            return;
        }
        if self.end().is_some_and(|end| end <= now) {
            self.begin_anew();
        }
        self.paused_at = Some(now);
    }

    /// Goes on where it stopped.
    pub(super) fn resume(&mut self, now: Instant) {
        let Some(paused) = self.paused_at.take() else { return };
        let away = now.saturating_duration_since(paused);
        self.origin = self.origin.map(|origin| origin + away);
    }

    /// Forgets what was not heard; how much was.
    pub(super) fn discard(&mut self, now: Instant) -> u64 {
        self.written = self.heard(now);
        self.begin_anew();
        self.written
    }

    /// How often it ran dry, and for how long in all.
    pub(super) fn stalls(&self) -> (u32, Duration) {
        (self.stalls, self.stalled)
    }

    fn begin_anew(&mut self) {
        self.base = self.written;
        self.origin = None;
    }

    /// When all is heard if nothing stops it.
    fn end(&self) -> Option<Instant> {
        self.origin.map(|origin| origin + self.time_for(self.written - self.base))
    }

    fn time_for(&self, frames: u64) -> Duration {
        Duration::from_secs_f64(frames as f64 / self.frames_per_second)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction of a second times a rate"
    )]
    fn frames_in(&self, time: Duration) -> usize {
        ((time.as_secs_f64() * self.frames_per_second) as usize).max(1)
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
        assert_eq!(device.room(begun + Duration::from_millis(1_800)), 0);
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

    fn at(start: Instant, millis: u64) -> Instant {
        start + START_LATENCY + Duration::from_millis(millis)
    }

    #[test]
    fn it_has_room_for_what_it_holds_and_says_when_again() {
        let start = Instant::now();
        for (speed, room) in [(0.5, 4_410), (1.0, 8_820), (7.0, 61_740), (1_000.0, 8_820_000)] {
            let mut device = VirtualDevice::new(speed);
            let held = device.room(start);
            assert_eq!(held, room);
            device.write(held as u64, start);
            assert_eq!(device.room(start), 0);
            let again = device.writable_at().unwrap();
            assert!(device.room(again) > 0 && again <= at(start, 11), "{speed}");
        }
    }

    #[test]
    fn a_pause_is_no_stall_and_keeps_what_is_queued() {
        let start = Instant::now();
        let mut device = VirtualDevice::new(1.0);
        device.write(SECOND, start);
        device.pause(at(start, 500));
        device.pause(at(start, 700));
        assert_eq!(device.dry_at(), None);
        assert_eq!(device.heard(at(start, 9_000)), SECOND / 2);
        device.resume(at(start, 9_000));
        device.resume(at(start, 9_100));
        assert_eq!(device.dry_at(), Some(at(start, 9_500)));
        device.write(SECOND, at(start, 9_200));
        assert_eq!(device.stalls(), (0, Duration::ZERO));
        assert_eq!(device.heard(at(start, 9_750)), SECOND / 2 + 3 * SECOND / 4);
        device.write(SECOND, at(start, 10_600));
        assert_eq!(device.stalls(), (1, Duration::from_millis(100)));
    }

    #[test]
    fn a_pause_in_a_dry_spell_makes_a_new_beginning() {
        let start = Instant::now();
        let mut device = VirtualDevice::new(1.0);
        device.write(SECOND, start);
        device.pause(at(start, 3_000));
        assert_eq!(device.heard(at(start, 3_000)), SECOND);
        device.resume(at(start, 8_000));
        assert_eq!(device.dry_at(), None);
        device.write(SECOND, at(start, 8_500));
        assert_eq!(device.stalls(), (0, Duration::ZERO));
        assert_eq!(device.heard(at(start, 9_020)), SECOND + SECOND / 2);
    }

    #[test]
    fn what_is_discarded_was_not_heard() {
        let start = Instant::now();
        let mut device = VirtualDevice::new(1.0);
        device.write(SECOND, start);
        assert_eq!(device.discard(at(start, 250)), SECOND / 4);
        assert_eq!(device.dry_at(), None);
        assert!(device.room(at(start, 250)) > 0);
        device.write(SECOND, at(start, 4_000));
        assert_eq!(device.stalls(), (0, Duration::ZERO));
        assert_eq!(device.heard(at(start, 4_520)), SECOND / 4 + SECOND / 2);
        device.pause(at(start, 4_520));
        assert_eq!(device.discard(at(start, 5_000)), SECOND / 4 + SECOND / 2);
        device.write(SECOND, at(start, 5_100));
        device.resume(at(start, 6_000));
        assert_eq!(device.heard(at(start, 6_020 + 1_000)), SECOND / 4 + SECOND / 2 + SECOND);
    }
}
