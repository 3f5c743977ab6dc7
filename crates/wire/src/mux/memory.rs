//! What a connection costs in memory, and how queues give it back.

use std::collections::VecDeque;

use super::stream::Stream;
use super::{Control, Event, Mux};
use crate::frame::StreamId;

/// Places that an empty queue keeps: what an ordinary exchange needs, so that
/// only a burst has to give some back.
const KEPT_PLACES: usize = 32;

/// Gives the memory of a burst back, once it is over.
pub(super) fn trim<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > 2 * KEPT_PLACES {
        queue.shrink_to(KEPT_PLACES);
    }
}

impl Mux {
    /// Memory that the multiplexer and its owner hold for this connection, in
    /// bytes, from above: itself, its queues at their capacity, what is written
    /// and not sent, and what came and was not consumed, in its queue or the
    /// application's. A record of which a slice is kept counts whole.
    ///
    /// Costs time in proportion to the streams: for reports and tests.
    pub fn memory_bytes(&self) -> usize {
        let of_streams: usize = self.streams.values().map(|stream| stream.memory_bytes()).sum();
        // A tree's nodes are at least half full.
        let tree = 2 * self.streams.len() * (size_of::<StreamId>() + size_of::<Stream>());
        let control = self.control.capacity() * size_of::<Control>();
        let events = self.events.capacity() * size_of::<Event>();
        size_of::<Self>()
            + of_streams
            + tree
            + self.pins.bytes()
            + control
            + events
            + self.schedule.memory_bytes()
            + self.keep_alive.memory_bytes()
    }
}
