//! What is written to a connection before it stands.
//!
//! Until one of the transports has won, nobody knows whose streams these will
//! be. They are kept here, in the order of their opening, and handed over whole.

use antiphon_types::Class;
use antiphon_wire::StreamId;
use bytes::Bytes;

/// Bytes that may wait in all: less than one stream of a multiplexer may queue.
/// A request is a few hundred.
const MAX_QUEUED_BYTES: usize = 64 * 1024;

/// Streams that may wait: as many as a multiplexer opens.
const MAX_STREAMS: usize = 128;

/// Streams of a connection that does not stand yet.
#[derive(Debug, Default)]
pub(crate) struct Early {
    streams: Vec<EarlyStream>,
    queued_bytes: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct EarlyStream {
    pub(crate) class: Class,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) finished: bool,
    /// Its owner has no more use for it.
    pub(crate) given_up: bool,
}

impl Early {
    /// The id that the stream will have in a multiplexer; `None` if too many
    /// wait already.
    pub(crate) fn open(&mut self, class: Class) -> Option<StreamId> {
        if self.streams.len() >= MAX_STREAMS {
            return None;
        }
        let number = u32::try_from(self.streams.len()).ok()? * 2 + 1;
        let (chunks, finished, given_up) = (Vec::new(), false, false);
        self.streams.push(EarlyStream { class, chunks, finished, given_up });
        Some(StreamId::new(number))
    }

    /// Keeps data; false if there is no room before the connection stands.
    pub(crate) fn write(&mut self, id: StreamId, data: Bytes) -> bool {
        if self.queued_bytes + data.len() > MAX_QUEUED_BYTES {
            return false;
        }
        if let Some(stream) = self.stream(id) {
            let length = data.len();
            stream.chunks.push(data);
            self.queued_bytes += length;
        }
        true
    }

    pub(crate) fn finish(&mut self, id: StreamId) {
        if let Some(stream) = self.stream(id) {
            stream.finished = true;
        }
    }

    pub(crate) fn give_up(&mut self, id: StreamId) {
        let Some(stream) = self.stream(id) else { return };
        stream.given_up = true;
        let freed: usize = stream.chunks.drain(..).map(|chunk| chunk.len()).sum();
        self.queued_bytes -= freed;
    }

    /// All streams with their ids, in the order of their opening.
    pub(crate) fn into_streams(self) -> impl Iterator<Item = (StreamId, EarlyStream)> {
        (1..).step_by(2).map(StreamId::new).zip(self.streams)
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut EarlyStream> {
        let index = usize::try_from(id.get() / 2).ok()?;
        self.streams.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_handed_over_in_the_order_of_their_opening() {
        let mut early = Early::default();
        let first = early.open(Class::Control).unwrap();
        let second = early.open(Class::Now).unwrap();
        assert!(early.write(second, Bytes::from_static(b"play")));
        early.finish(second);
        early.give_up(first);
        let streams: Vec<_> = early.into_streams().collect();
        assert_eq!(streams.iter().map(|(id, _)| id.get()).collect::<Vec<_>>(), [1, 3]);
        assert!(streams[0].1.given_up && !streams[1].1.given_up);
        assert_eq!((streams[1].1.chunks.concat(), streams[1].1.finished), (b"play".to_vec(), true));
    }

    #[test]
    fn what_waits_is_bounded_and_room_returns() {
        let mut early = Early::default();
        let ids: Vec<StreamId> = (0..MAX_STREAMS).filter_map(|_| early.open(Class::Now)).collect();
        assert_eq!((ids.len(), early.open(Class::Now)), (MAX_STREAMS, None));
        let data = Bytes::from(vec![0; MAX_QUEUED_BYTES]);
        assert!(early.write(ids[0], data.clone()));
        assert!(!early.write(ids[1], Bytes::from_static(b"x")));
        early.give_up(ids[0]);
        assert!(early.write(ids[1], data));
    }
}
