//! The position of a device as one number that two threads share.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use antiphon_types::SAMPLE_RATE;

/// Which frame is heard when: either the device runs, and frame 0 would have
/// been heard at some instant, or it stands still at a frame. Both fit into one
/// atomic, so that neither thread ever sees half of a change.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    /// Twice the frame, or twice the microseconds from the epoch to the instant
    /// of frame 0, plus one.
    state: AtomicI64,
}

impl Clock {
    /// A clock that stands at frame 0.
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, state: AtomicI64::new(0) }
    }

    /// The device stands still.
    pub(super) fn stop(&self, frame: u64) {
        self.state.store(signed(frame) << 1, Ordering::Release);
    }

    /// The device runs, and `frame` is heard at `now`; below 0 for one that
    /// takes that many frames to begin.
    pub(super) fn run(&self, frame: i64, now: Instant) {
        let origin = self.micros(now) - frame * 1_000_000 / i64::from(SAMPLE_RATE);
        self.state.store((origin << 1) | 1, Ordering::Release);
    }

    /// The frame that is heard.
    pub(super) fn frame(&self, now: Instant) -> u64 {
        let state = self.state.load(Ordering::Acquire);
        let frame = match state & 1 {
            0 => state >> 1,
            _ => (self.micros(now) - (state >> 1)) * i64::from(SAMPLE_RATE) / 1_000_000,
        };
        u64::try_from(frame).unwrap_or(0)
    }

    /// When `frame` is heard; `None` while the device stands still.
    pub(super) fn when(&self, frame: u64) -> Option<Instant> {
        let state = self.state.load(Ordering::Acquire);
        // Up to the next microsecond, so that the frame is heard by then.
        let after = (signed(frame) * 1_000_000).div_euclid(i64::from(SAMPLE_RATE)) + 1;
        let micros = u64::try_from((state >> 1) + after).unwrap_or(0);
        (state & 1 == 1).then(|| self.epoch + Duration::from_micros(micros))
    }

    fn micros(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.epoch).as_micros();
        i64::try_from(since).unwrap_or(i64::MAX >> 1)
    }
}

/// Frames are counted from zero at 44.1 kHz: no play lasts that long.
fn signed(frame: u64) -> i64 {
    i64::try_from(frame).unwrap_or(i64::MAX >> 21)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_from_where_it_is_told_and_stands_still_else() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let clock = Clock::new(start);
        assert_eq!((clock.frame(at(500)), clock.when(1)), (0, None));
        clock.run(-4_410, at(1_000));
        assert_eq!(clock.frame(at(1_050)), 0);
        assert_eq!(clock.frame(at(2_100)), 44_100);
        let due = clock.when(44_100).unwrap();
        assert!(clock.frame(due) >= 44_100 && due < at(2_101));
        clock.stop(44_100);
        assert_eq!(clock.frame(at(9_000)), 44_100);
        assert_eq!(clock.when(1), None);
    }
}
