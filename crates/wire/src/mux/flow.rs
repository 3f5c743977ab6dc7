//! Credit: how much may come, and how it is paid back.

use std::collections::VecDeque;

use crate::frame::FRAME_CREDIT_BYTES;

/// What a data frame of that many bytes costs. An empty one costs nothing: it
/// ends a stream, which happens once, or is counted as empty.
pub(super) fn frame_cost(payload_bytes: usize) -> u64 {
    if payload_bytes == 0 { 0 } else { payload_bytes as u64 + FRAME_CREDIT_BYTES }
}

/// The credit that this side gave, of a stream or of the connection.
///
/// `allowed` + `owed` + what is unconsumed is always `size`.
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    /// What the other side may still send.
    allowed: u64,
    /// What it will be allowed with the next credit frame.
    owed: u64,
}

impl Window {
    /// A window of `size`, of which the other side knows `initial`.
    pub(super) fn new(size: u32, initial: u32) -> Self {
        let (size, initial) = (u64::from(size), u64::from(initial.min(size)));
        Self { size, allowed: initial, owed: size - initial }
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
    pub(super) fn grant(&mut self) -> Option<u32> {
        let bytes = u32::try_from(self.owed).ok().filter(|&bytes| bytes > 0)?;
        self.allowed += self.owed;
        self.owed = 0;
        Some(bytes)
    }
}

/// Frames of a stream that came and are not consumed, by their lengths.
///
/// The surcharge of a frame comes back with its last byte, so that what the
/// application keeps per frame is paid for as long as it keeps it.
#[derive(Debug, Default)]
pub(super) struct Unconsumed {
    lengths: VecDeque<usize>,
    consumed_of_first: usize,
    cost: u64,
}

impl Unconsumed {
    pub(super) fn push(&mut self, payload_bytes: usize) {
        if payload_bytes > 0 {
            self.lengths.push_back(payload_bytes);
            self.cost += frame_cost(payload_bytes);
        }
    }

    /// The credit that these frames hold.
    pub(super) fn cost(&self) -> u64 {
        self.cost
    }

    /// Consumes `bytes`, or all if that is less; says the credit freed.
    pub(super) fn consume(&mut self, bytes: usize) -> u64 {
        let mut left = bytes;
        let mut freed = 0;
        while left > 0
            && let Some(&length) = self.lengths.front()
        {
            let of_first = length - self.consumed_of_first;
            if left < of_first {
                self.consumed_of_first += left;
                freed += left as u64;
                break;
            }
            self.lengths.pop_front();
            self.consumed_of_first = 0;
            freed += of_first as u64 + FRAME_CREDIT_BYTES;
            left -= of_first;
        }
        self.cost -= freed;
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consuming_in_any_pieces_frees_what_the_frames_cost() {
        for piece in 1..=25 {
            let mut unconsumed = Unconsumed::default();
            for length in [10, 1, 0, 13] {
                unconsumed.push(length);
            }
            let cost = unconsumed.cost();
            assert_eq!(cost, 24 + 3 * FRAME_CREDIT_BYTES);
            let freed: u64 = (0..30).map(|_| unconsumed.consume(piece)).sum();
            assert_eq!((freed, unconsumed.cost()), (cost, 0), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_window_never_grows_beyond_its_size() {
        let mut window = Window::new(1_000, 400);
        assert!(window.is_due(), "600 bytes are still to be announced");
        assert_eq!(window.grant(), Some(600));
        assert!(!window.spend(1_001));
        assert!(window.spend(1_000));
        window.give_back(5_000);
        assert_eq!(window.grant(), Some(1_000));
        assert_eq!(window.grant(), None);
        assert_eq!(window.allowed(), 1_000);
    }
}
