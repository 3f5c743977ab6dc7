//! Credit: how much may come, and how it is paid back.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_types::Timestamp;

use super::memory::trim;
use super::pins::{Pin, Pins};
use crate::frame::FRAME_CREDIT_BYTES;

/// Round trips in which a window must be used up to grow. A sender that it
/// holds up uses it once in each; where credit comes back in quarters and some
/// of it is kept for more urgent streams, once in two and a little.
const TURN_ROUND_TRIPS: u32 = 3;

/// The round trip that counts at least: tasks that wait for each other take
/// that long on any link.
const MIN_ROUND_TRIP: Duration = Duration::from_millis(1);

/// What a data frame of that many bytes costs. An empty one costs nothing: it
/// ends a stream, which happens once, or is counted as empty.
pub(super) fn frame_cost(payload_bytes: usize) -> u64 {
    if payload_bytes == 0 { 0 } else { payload_bytes as u64 + FRAME_CREDIT_BYTES }
}

/// The credit that this side gave, of a stream or of the connection.
///
/// `allowed` + `owed` + what is unconsumed is always `size`. The size doubles,
/// up to `largest`, when a window's worth comes and is consumed within three
/// round trips: then it is the window that holds the sender up (the rule of
/// dynamic right-sizing, Fisk and Feng 2001).
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    largest: u64,
    /// What the other side may still send.
    allowed: u64,
    /// What it will be allowed with the next credit frame.
    owed: u64,
    /// Credit paid back since `turn_began`.
    paid_back: u64,
    turn_began: Timestamp,
}

impl Window {
    /// A window of `size`, of which the other side knows `initial`.
    pub(super) fn new(size: u32, largest: u32, initial: u32, now: Timestamp) -> Self {
        let (size, initial) = (u64::from(size), u64::from(initial.min(size)));
        Self {
            size,
            largest: size.max(u64::from(largest)),
            allowed: initial,
            owed: size - initial,
            paid_back: 0,
            turn_began: now,
        }
    }

    pub(super) fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Data came; false if it was not allowed.
    #[must_use]
    pub(super) fn spend(&mut self, cost: u64) -> bool {
        match self.allowed.checked_sub(cost) {
            Some(left) => {
                self.allowed = left;
                true
            }
            None => false,
        }
    }

    /// Data was consumed.
    pub(super) fn give_back(&mut self, cost: u64) {
        self.owed = self.owed.saturating_add(cost).min(self.size - self.allowed.min(self.size));
    }

    /// Whether a credit frame is worth its bytes: a quarter of the window is
    /// owed. The sender, which leaves a part unused, never waits for less.
    pub(super) fn is_due(&self) -> bool {
        self.owed >= self.size / 4
    }

    /// Takes what is owed, for a credit frame; `None` if it is nothing.
    pub(super) fn grant(&mut self, now: Timestamp, round_trip: Option<Duration>) -> Option<u32> {
        self.paid_back += self.owed;
        if self.paid_back >= self.size {
            self.end_turn(now, round_trip);
        }
        let bytes = u32::try_from(self.owed).ok().filter(|&bytes| bytes > 0)?;
        self.allowed += self.owed;
        self.owed = 0;
        Some(bytes)
    }

    fn end_turn(&mut self, now: Timestamp, round_trip: Option<Duration>) {
        let fast = round_trip.is_some_and(|round_trip| {
            let turn = round_trip.max(MIN_ROUND_TRIP) * TURN_ROUND_TRIPS;
            now.saturating_since(self.turn_began) < turn
        });
        if fast {
            let size = self.largest.min(self.size * 2);
            self.owed += size - self.size;
            self.size = size;
        }
        self.paid_back = 0;
        self.turn_began = now;
    }
}

/// A frame that came and is not consumed.
#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u32,
    /// Its record, if it is a slice of it.
    pin: Option<Pin>,
}

/// Frames of a stream that came and are not consumed.
///
/// The surcharge of a frame comes back with its last byte, so that what the
/// application keeps per frame is paid for as long as it keeps it.
#[derive(Debug, Default)]
pub(super) struct Unconsumed {
    frames: VecDeque<Held>,
    consumed_of_first: usize,
    cost: u64,
}

impl Unconsumed {
    pub(super) fn push(&mut self, payload_bytes: usize, pin: Option<Pin>) {
        if let Ok(bytes @ 1..) = u32::try_from(payload_bytes) {
            self.frames.push_back(Held { bytes, pin });
            self.cost += frame_cost(payload_bytes);
        }
    }

    /// The credit that these frames hold.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// Consumes `bytes`, or all if that is less; says the credit freed.
    pub(super) fn consume(&mut self, bytes: usize, pins: &mut Pins) -> u64 {
        let mut left = bytes;
        let mut freed = 0;
        while left > 0
            && let Some(first) = self.frames.front()
        {
            let of_first = first.bytes as usize - self.consumed_of_first;
            if left < of_first {
                self.consumed_of_first += left;
                freed += left as u64;
                break;
            }
            if let Some(pin) = first.pin {
                pins.unpin(pin);
            }
            self.frames.pop_front();
            trim(&mut self.frames);
            self.consumed_of_first = 0;
            freed += of_first as u64 + FRAME_CREDIT_BYTES;
            left -= of_first;
        }
        self.cost -= freed;
        freed
    }

    /// Memory held beside the stream itself: the bytes of the frames, whether
    /// copied or not, and the list of them.
    pub(super) fn memory_bytes(&self) -> usize {
        // Allocators round up, and keep something beside each piece.
        const PER_FRAME_BYTES: usize = 32;
        let payloads = self.frames.iter().map(|frame| PER_FRAME_BYTES + frame.bytes as usize);
        payloads.sum::<usize>() + self.frames.capacity() * size_of::<Held>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::ZERO;

    #[test]
    fn consuming_in_any_pieces_frees_what_the_frames_cost() {
        for piece in 1..=25 {
            let mut unconsumed = Unconsumed::default();
            for length in [10, 1, 0, 13] {
                unconsumed.push(length, None);
            }
            let cost = unconsumed.cost();
            assert_eq!(cost, 24 + 3 * FRAME_CREDIT_BYTES);
            let mut pins = Pins::default();
            let freed: u64 = (0..30).map(|_| unconsumed.consume(piece, &mut pins)).sum();
            assert_eq!((freed, unconsumed.cost()), (cost, 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_window_never_grows_beyond_its_size() {
        let mut window = Window::new(1_000, 1_000, 400, NOW);
        assert!(window.is_due(), "600 bytes are still to be announced");
        assert_eq!(window.grant(NOW, None), Some(600));
        assert!(!window.spend(1_001));
        assert!(window.spend(1_000));
        window.give_back(5_000);
        assert_eq!(window.grant(NOW, None), Some(1_000));
        assert_eq!(window.grant(NOW, None), None);
        assert_eq!(window.allowed(), 1_000);
    }

    /// The credit that four quarters of a window get back, `apart` from each
    /// other.
    fn turn(window: &mut Window, now: &mut Timestamp, apart: Duration) -> u64 {
        let quarter = window.size / 4;
        let mut granted = 0;
        for _ in 0..4 {
            *now = *now + apart;
            assert!(window.spend(quarter));
            window.give_back(quarter);
            granted += u64::from(window.grant(*now, Some(Duration::from_millis(40))).unwrap());
        }
        granted
    }

    #[test]
    fn a_window_that_is_used_up_in_three_round_trips_doubles_up_to_its_bound() {
        let mut window = Window::new(1_000, 3_000, 1_000, NOW);
        let mut now = NOW;
        let slow = Duration::from_millis(30);
        assert_eq!(turn(&mut window, &mut now, slow), 1_000, "120 ms are three round trips");
        let fast = Duration::from_millis(29);
        assert_eq!(turn(&mut window, &mut now, fast), 2_000, "one window back, one more");
        assert_eq!(turn(&mut window, &mut now, fast), 3_000, "as far as the bound");
        assert_eq!(turn(&mut window, &mut now, fast), 3_000);
        assert_eq!(window.allowed(), 3_000);
    }
}
