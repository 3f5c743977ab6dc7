//! The two ends of what leads to a real device: the player fills a lock-free
//! ring, the thread of the device empties it.
//!
//! Frames are counted from the opening on and never renumbered: what is dropped
//! by a seek has numbers too, so that one number says what to drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use antiphon_types::{CHANNELS, SAMPLE_RATE};

use super::clock::Clock;
use super::{Condition, Output, SoundError};

/// A sample of each channel.
pub(super) type Frame = [i16; CHANNELS as usize];

/// What the ring holds, beside what the device itself does.
const RING: Duration = Duration::from_millis(80);

/// When a full ring is looked at again: about what a device takes at once.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What both ends see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// The device is to stand still.
    pub(super) paused: AtomicBool,
    /// Frames before this one are not to be heard.
    pub(super) drop_until: AtomicU64,
    /// The player's end is gone.
    pub(super) closed: AtomicBool,
}

/// The device's end.
pub(super) struct DeviceEnd {
    pub(super) frames: rtrb::Consumer<Frame>,
    pub(super) shared: Arc<Shared>,
    /// Told outside the path of the samples.
    pub(super) conditions: mpsc::Sender<Condition>,
}

/// The player's end.
pub(super) struct PlayerEnd<W: FnMut() + Send> {
    frames: rtrb::Producer<Frame>,
    shared: Arc<Shared>,
    conditions: mpsc::Receiver<Condition>,
    /// Makes the device look at what changed.
    wake: W,
    /// Frames put into the ring.
    pushed: u64,
    /// Frames that were dropped unheard.
    dropped: u64,
    /// The position never goes back.
    heard: u64,
    /// Nothing was put into the ring since the opening or the last drop.
    empty: bool,
    paused: bool,
    stalls: u32,
    stalled: Duration,
}

/// Makes both ends.
pub(super) fn queue<W: FnMut() + Send>(wake: W) -> (PlayerEnd<W>, DeviceEnd) {
    let length = RING.as_millis() * u128::from(SAMPLE_RATE) / 1_000;
    let (producer, consumer) = rtrb::RingBuffer::new(usize::try_from(length).unwrap_or(4_096));
    let (tell, conditions) = mpsc::channel();
    let shared = Arc::new(Shared {
        clock: Clock::new(Instant::now()),
        paused: AtomicBool::new(false),
        drop_until: AtomicU64::new(0),
        closed: AtomicBool::new(false),
    });
    let device = DeviceEnd { frames: consumer, shared: Arc::clone(&shared), conditions: tell };
    let player = PlayerEnd {
        frames: producer,
        shared,
        conditions,
        wake,
        pushed: 0,
        dropped: 0,
        heard: 0,
        empty: true,
        paused: false,
        stalls: 0,
        stalled: Duration::ZERO,
    };
    (player, device)
}

impl<W: FnMut() + Send> PlayerEnd<W> {
    /// The frame that is heard, of those that were put into the ring.
    fn place(&mut self, now: Instant) -> u64 {
        let frame = self.shared.clock.frame(now).min(self.pushed);
        self.heard = self.heard.max(frame);
        self.heard
    }
}

impl<W: FnMut() + Send> Output for PlayerEnd<W> {
    fn room(&mut self, _now: Instant) -> usize {
        self.frames.slots()
    }

    fn writable_at(&self, now: Instant) -> Option<Instant> {
        (self.frames.slots() == 0).then(|| now + LOOK_AGAIN)
    }

    fn write(&mut self, samples: &[i16], now: Instant) -> Result<(), SoundError> {
        if let Some(dry) = self.dry_at().filter(|dry| *dry < now) {
            self.stalls += 1;
            self.stalled += now - dry;
            // Runs again once the device says so.
            self.shared.clock.stop(self.pushed);
        }
        let frames = samples.chunks_exact(2).map(|frame| [frame[0], frame[1]]);
        let count = frames.len();
        let Ok(chunk) = self.frames.write_chunk_uninit(count) else {
            return Err(SoundError::TooMuch { frames: count, room: self.frames.slots() });
        };
        chunk.fill_from_iter(frames);
        self.pushed += count as u64;
        self.empty &= count == 0;
        (self.wake)();
        Ok(())
    }

    fn heard(&mut self, now: Instant) -> u64 {
        self.place(now) - self.dropped
    }

    fn dry_at(&self) -> Option<Instant> {
        if self.paused || self.empty {
            return None;
        }
        self.shared.clock.when(self.pushed)
    }

    fn discard(&mut self, now: Instant) -> u64 {
        let heard = self.place(now);
        self.dropped += self.pushed - heard;
        self.heard = self.pushed;
        self.empty = true;
        self.shared.clock.stop(self.pushed);
        self.shared.drop_until.store(self.pushed, Ordering::Release);
        (self.wake)();
        self.heard - self.dropped
    }

    fn stalls(&self) -> (u32, Duration) {
        (self.stalls, self.stalled)
    }

    fn pause(&mut self, now: Instant) -> Result<(), SoundError> {
        if !std::mem::replace(&mut self.paused, true) {
            let heard = self.place(now);
            self.shared.paused.store(true, Ordering::Release);
            self.shared.clock.stop(heard);
            (self.wake)();
        }
        Ok(())
    }

    fn resume(&mut self, _now: Instant) -> Result<(), SoundError> {
        if std::mem::replace(&mut self.paused, false) {
            self.shared.paused.store(false, Ordering::Release);
            (self.wake)();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SoundError> {
        // What is in the ring is heard without more ado.
        Ok(())
    }

    fn conditions(&mut self) -> Vec<Condition> {
        self.conditions.try_iter().collect()
    }
}

impl<W: FnMut() + Send> Drop for PlayerEnd<W> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        (self.wake)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        // One instant for all of a test, later than every clock's epoch.
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(|| Instant::now() + Duration::from_secs(3_600))
            + Duration::from_millis(millis)
    }

    fn frames(range: std::ops::Range<i16>) -> Vec<i16> {
        range.flat_map(|frame| [frame, -frame]).collect()
    }

    #[test]
    fn frames_come_out_as_they_went_in_and_no_more_than_there_is_room_for() {
        let (mut player, mut device) = queue(|| {});
        let room = player.room(at(0));
        assert_eq!((room, player.writable_at(at(0))), (3_528, None));
        player.write(&frames(0..3_528), at(0)).unwrap();
        assert_eq!(player.room(at(0)), 0);
        assert!(player.writable_at(at(0)).is_some_and(|again| again > at(0)));
        let refused = player.write(&frames(0..1), at(0));
        assert!(matches!(refused, Err(SoundError::TooMuch { frames: 1, room: 0 })));
        for frame in 0..3_528 {
            assert_eq!(device.frames.pop(), Ok([frame, -frame]));
        }
        assert_eq!(player.room(at(0)), room);
    }

    #[test]
    fn the_position_is_what_the_device_says_of_what_it_got_and_never_goes_back() {
        let (mut player, device) = queue(|| {});
        player.write(&frames(0..2_000), at(0)).unwrap();
        assert_eq!((player.heard(at(0)), player.dry_at()), (0, None));
        device.shared.clock.run(-441, at(100));
        assert_eq!(player.heard(at(100)), 0);
        assert_eq!(player.heard(at(120)), 441);
        device.shared.clock.run(200, at(120));
        assert_eq!(player.heard(at(120)), 441);
        assert_eq!(player.heard(at(9_000)), 2_000);
    }

    #[test]
    fn what_was_discarded_is_named_to_the_device_and_was_not_heard() {
        let (mut player, device) = queue(|| {});
        player.write(&frames(0..2_000), at(0)).unwrap();
        device.shared.clock.run(0, at(0));
        assert_eq!(player.discard(at(10)), 441);
        assert_eq!(device.shared.drop_until.load(Ordering::Relaxed), 2_000);
        assert_eq!((player.heard(at(500)), player.dry_at()), (441, None));
        player.write(&frames(0..1_000), at(500)).unwrap();
        assert_eq!(player.stalls().0, 0);
        device.shared.clock.run(2_000, at(500));
        let heard = player.heard(at(510));
        assert!((881..=882).contains(&heard), "{heard}");
        assert_eq!(player.discard(at(900)), 441 + 1_000);
    }

    #[test]
    fn writing_on_after_a_dry_spell_is_a_stall_unless_there_was_a_pause() {
        let (mut player, device) = queue(|| {});
        player.write(&frames(0..441), at(0)).unwrap();
        device.shared.clock.run(0, at(0));
        let dry = player.dry_at().unwrap();
        assert!(dry >= at(10) && dry < at(11));
        player.write(&frames(0..441), at(9)).unwrap();
        assert_eq!(player.stalls().0, 0);
        player.write(&frames(0..441), at(50)).unwrap();
        let (stalls, stalled) = player.stalls();
        assert_eq!((stalls, stalled.as_millis()), (1, 29));
        // Where it is now it says itself.
        assert_eq!((player.heard(at(60)), player.dry_at()), (882, None));
        device.shared.clock.run(882, at(60));

        player.pause(at(500)).unwrap();
        assert!(device.shared.paused.load(Ordering::Relaxed));
        assert_eq!((player.heard(at(800)), player.dry_at()), (1_323, None));
        player.resume(at(900)).unwrap();
        assert!(!device.shared.paused.load(Ordering::Relaxed));
        player.write(&frames(0..441), at(950)).unwrap();
        assert_eq!(player.stalls(), (stalls, stalled));
    }

    #[test]
    fn a_pause_keeps_what_is_queued() {
        let (mut player, mut device) = queue(|| {});
        player.write(&frames(0..882), at(0)).unwrap();
        device.shared.clock.run(0, at(0));
        player.pause(at(10)).unwrap();
        player.pause(at(15)).unwrap();
        assert_eq!(player.heard(at(1_000)), 441);
        player.resume(at(1_000)).unwrap();
        assert_eq!(player.heard(at(1_000)), 441);
        assert_eq!(std::iter::from_fn(|| device.frames.pop().ok()).count(), 882);
    }

    #[test]
    fn the_device_hears_of_the_end_and_of_every_change() {
        let woken = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&woken);
        let (mut player, device) = queue(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        device.conditions.send(Condition::RanDry).unwrap();
        assert_eq!(player.conditions(), [Condition::RanDry]);
        player.write(&[1, 2], at(0)).unwrap();
        player.pause(at(0)).unwrap();
        player.resume(at(0)).unwrap();
        player.discard(at(0));
        drop(player);
        assert!(device.shared.closed.load(Ordering::Relaxed));
        assert_eq!(woken.load(Ordering::Relaxed), 5);
    }
}
