//! What a connection costs in memory.

use super::stream::Stream;
use super::{Control, Event, Mux};
use crate::frame::StreamId;

impl Mux {
    /// Memory that the multiplexer and its owner hold for this connection, in
    /// bytes, from above: itself, its queues at their capacity, what is written
    /// and not sent, and what came and was not consumed, in its queue or the
    /// application's. A record of which a slice is kept counts whole.
    ///
    /// Costs time in proportion to the streams: for reports and tests.
    pub fn memory_bytes(&self) -> usize {
        let of_streams: usize = self.streams.values().map(Stream::memory_bytes).sum();
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
