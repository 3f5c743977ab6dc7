//! What is written to a connection before it stands.
//!
//! Until one of the transports stands, nobody knows whose streams these will
//! be. They are kept here, in the order of their opening: an attempt that fails
//! takes nothing with it.

use antiphon_types::Class;
use antiphon_wire::{Mux, StreamId, reset_code};
use bytes::Bytes;

/// How much of an [`Early`] one multiplexer has been given.
#[derive(Debug, Default)]
pub(crate) struct Given {
    streams: Vec<GivenStream>,
}

#[derive(Debug, Default)]
struct GivenStream {
    chunks: usize,
    ended: bool,
}

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
        let id = id_of(self.streams.len());
        let (chunks, finished, given_up) = (Vec::new(), false, false);
        self.streams.push(EarlyStream { class, chunks, finished, given_up });
        Some(id)
    }

    /// Keeps data; false if there is no room before the connection stands.
    pub(crate) fn write(&mut self, id: StreamId, pieces: &[Bytes]) -> bool {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        if self.queued_bytes + bytes > MAX_QUEUED_BYTES {
            return false;
        }
        if let Some(stream) = self.stream(id) {
            stream.chunks.extend_from_slice(pieces);
            self.queued_bytes += bytes;
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

    /// Gives a multiplexer that nobody else uses what it has not got yet. The
    /// streams have the same ids there, being opened in the same order.
    pub(crate) fn give(&self, mux: &mut Mux, given: &mut Given) {
        for (number, stream) in self.streams.iter().enumerate() {
            let id = id_of(number);
            if given.streams.len() == number {
                let opened = mux.open(stream.class);
                debug_assert_eq!(opened, Ok(id));
                given.streams.push(GivenStream::default());
            }
            let Some(done) = given.streams.get_mut(number).filter(|done| !done.ended) else {
                continue;
            };
            done.ended = stream.finished || stream.given_up;
            if stream.given_up {
                mux.reset(id, reset_code::CANCELLED);
                continue;
            }
            for chunk in stream.chunks.iter().skip(done.chunks) {
                // What is kept here is less than a stream may queue there.
                let written = mux.write(id, chunk.clone());
                debug_assert_eq!(written, Ok(()));
            }
            done.chunks = stream.chunks.len();
            if stream.finished {
                mux.finish(id);
            }
        }
    }

    /// All streams with their ids, in the order of their opening.
    pub(crate) fn into_streams(self) -> impl Iterator<Item = (StreamId, EarlyStream)> {
        (0..).map(id_of).zip(self.streams)
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut EarlyStream> {
        let index = usize::try_from(id.get() / 2).ok()?;
        self.streams.get_mut(index)
    }
}

/// The id of the stream that was opened as that number, counted from 0.
fn id_of(number: usize) -> StreamId {
    StreamId::new(u32::try_from(number).map_or(u32::MAX, |number| number.saturating_mul(2) | 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_handed_over_in_the_order_of_their_opening() {
        let mut early = Early::default();
        let first = early.open(Class::Control).unwrap();
        let second = early.open(Class::Now).unwrap();
        assert!(early.write(second, &[Bytes::from_static(b"play")]));
        early.finish(second);
        early.give_up(first);
        let streams: Vec<_> = early.into_streams().collect();
        assert_eq!(streams.iter().map(|(id, _)| id.get()).collect::<Vec<_>>(), [1, 3]);
        assert!(streams[0].1.given_up && !streams[1].1.given_up);
        assert_eq!((streams[1].1.chunks.concat(), streams[1].1.finished), (b"play".to_vec(), true));
    }

    /// What a multiplexer was given in two parts, a second one gets whole.
    #[test]
    fn what_comes_later_is_given_later_and_nothing_twice() {
        use antiphon_types::Timestamp;
        use antiphon_wire::{Limits, Role};

        let mux = || Mux::new(Role::Initiator, Limits::default(), Timestamp::ZERO);
        let mut early = Early::default();
        let first = early.open(Class::Control).unwrap();
        assert!(early.write(first, &[Bytes::from_static(b"hello")]));
        let (mut parts, mut given) = (mux(), Given::default());
        early.give(&mut parts, &mut given);
        assert_eq!(parts.queued_bytes(), 5);

        let second = early.open(Class::Now).unwrap();
        let third = early.open(Class::Now).unwrap();
        assert!(early.write(first, &[Bytes::from_static(b"!")]));
        assert!(early.write(second, &[Bytes::from_static(b"play")]));
        early.finish(second);
        early.give_up(third);
        let mut whole = mux();
        early.give(&mut whole, &mut Given::default());
        for _ in 0..2 {
            early.give(&mut parts, &mut given);
            for mux in [&parts, &whole] {
                assert_eq!((mux.queued_bytes(), mux.stream_count()), (10, 2));
            }
        }
    }

    #[test]
    fn what_waits_is_bounded_and_room_returns() {
        let mut early = Early::default();
        let ids: Vec<StreamId> = (0..MAX_STREAMS).filter_map(|_| early.open(Class::Now)).collect();
        assert_eq!((ids.len(), early.open(Class::Now)), (MAX_STREAMS, None));
        let data = Bytes::from(vec![0; MAX_QUEUED_BYTES]);
        assert!(early.write(ids[0], std::slice::from_ref(&data)));
        assert!(!early.write(ids[1], &[Bytes::from_static(b"x")]));
        early.give_up(ids[0]);
        assert!(early.write(ids[1], &[data]));
    }
}
