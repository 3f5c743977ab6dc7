//! One stream.

use std::collections::VecDeque;

use antiphon_types::{Class, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};

use super::flow::{Unconsumed, Window};
use super::memory::trim;
use crate::frame::{
    FRAME_CREDIT_BYTES, FRAME_HEADER_BYTES, INITIAL_STREAM_CREDIT_BYTES, MAX_FRAME_PAYLOAD_BYTES,
};
use crate::limits::Limits;

/// Who opened a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    Local,
    Remote,
}

/// The life of one direction.
///
/// ```text
///            finish()            last data frame sent
/// sending:  Open ------> Finishing -------------------> Ended
///
///                 data frame with finish flag
/// receiving: Open ---------------------------> Ended
/// ```
///
/// A reset by either side removes the stream from any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Open,
    Finishing,
    Ended,
}

/// One stream, with what it holds in both directions.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) class: Class,
    /// The class in whose queue its bytes are counted: its own, or the one it
    /// had when its own had no room for what it brought along.
    pub(super) account: Class,
    pub(super) opener: Opener,
    /// Whether the other side can know of it.
    pub(super) announced: bool,
    /// Whether it counts as open still.
    pub(super) counted: bool,
    pub(super) send: Sending,
    pub(super) receive: Receiving,
}

impl Stream {
    pub(super) fn new(class: Class, opener: Opener, limits: &Limits, now: Timestamp) -> Self {
        Self {
            class,
            account: class,
            opener,
            announced: opener == Opener::Remote,
            counted: true,
            send: Sending::default(),
            receive: Receiving {
                window: Window::new(
                    limits.stream_window_bytes,
                    limits.max_stream_window_bytes,
                    INITIAL_STREAM_CREDIT_BYTES,
                    now,
                ),
                unconsumed: Unconsumed::default(),
                state: Direction::Open,
                credit_queued: false,
            },
        }
    }

    /// Memory that it holds beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        let queue = self.send.queue.capacity() * size_of::<Bytes>();
        queue + self.send.queued_bytes + self.receive.unconsumed.memory_bytes()
    }

    /// Whether nothing more travels in either direction.
    pub(super) fn is_closed(&self) -> bool {
        self.send.state == Direction::Ended && self.receive.state == Direction::Ended
    }
}

/// What comes.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) window: Window,
    pub(super) unconsumed: Unconsumed,
    pub(super) state: Direction,
    /// Whether a credit frame waits to be sent.
    pub(super) credit_queued: bool,
}

impl Receiving {
    /// Whether a credit frame must be queued now; it then counts as queued.
    pub(super) fn queue_credit(&mut self) -> bool {
        let due = self.state == Direction::Open && !self.credit_queued && self.window.is_due();
        self.credit_queued |= due;
        due
    }
}

/// What goes.
#[derive(Debug)]
pub(super) struct Sending {
    queue: VecDeque<Bytes>,
    /// Whether part of the first piece has left.
    divided: bool,
    queued_bytes: usize,
    /// Bytes that have left.
    pub(super) sent_bytes: u64,
    pub(super) credit: u64,
    pub(super) state: Direction,
    /// Whether it stands in the queue of its class.
    pub(super) scheduled: bool,
    /// Whether a writer was told that it is full.
    pub(super) writer_waits: bool,
    /// Whether a class frame waits to be sent.
    pub(super) class_queued: bool,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            divided: false,
            queued_bytes: 0,
            sent_bytes: 0,
            credit: u64::from(INITIAL_STREAM_CREDIT_BYTES),
            state: Direction::Open,
            scheduled: false,
            writer_waits: false,
            class_queued: false,
        }
    }
}

impl Sending {
    pub(super) fn push(&mut self, data: Bytes) {
        self.queued_bytes += data.len();
        self.queue.push_back(data);
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether it has data and credit for at least one byte of it.
    pub(super) fn is_ready(&self) -> bool {
        self.queued_bytes > 0 && self.credit > FRAME_CREDIT_BYTES
    }

    /// The payload of the next frame in a record that has `space` bytes left
    /// of `record`, with `credit` of the connection; 0 if the record should
    /// rather end here.
    ///
    /// A piece that was written as a whole (a block) is not divided if the
    /// next frame or record can hold it whole: so the receiver need not put it
    /// together. The frame that completes one that was divided ends with it.
    pub(super) fn next_payload(&self, space: usize, record: usize, credit: u64) -> usize {
        let credit = self.credit.min(credit).saturating_sub(FRAME_CREDIT_BYTES);
        let largest = usize::try_from(credit).unwrap_or(usize::MAX).min(MAX_FRAME_PAYLOAD_BYTES);
        let here = largest.min(space.saturating_sub(FRAME_HEADER_BYTES));
        let later = largest.min(record.saturating_sub(FRAME_HEADER_BYTES));
        let mut payload = 0;
        for piece in &self.queue {
            if payload + piece.len() <= here {
                payload += piece.len();
                if self.divided {
                    break;
                }
                continue;
            }
            let whole_later = piece.len() <= later;
            let worth_it = space == record || here >= Self::MIN_PART_BYTES;
            if !whole_later && worth_it {
                payload = here;
            }
            break;
        }
        payload
    }

    /// Whether part of a piece has left, and the rest has not.
    pub(super) const fn is_divided(&self) -> bool {
        self.divided
    }

    /// The least part of a piece that is put at the end of a record.
    const MIN_PART_BYTES: usize = 512;

    /// Moves `payload_bytes` bytes to `out`: the copy that encryption in place
    /// needs.
    pub(super) fn take_payload(&mut self, payload_bytes: usize, out: &mut BytesMut) {
        let mut left = payload_bytes;
        while left > 0
            && let Some(piece) = self.queue.front_mut()
        {
            if piece.len() > left {
                out.put_slice(&piece.split_to(left));
                self.divided = true;
                break;
            }
            out.put_slice(piece);
            left -= piece.len();
            self.divided = false;
            self.queue.pop_front();
        }
        trim(&mut self.queue);
        self.queued_bytes -= payload_bytes;
        self.sent_bytes += payload_bytes as u64;
        self.credit -= payload_bytes as u64 + FRAME_CREDIT_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MAX_PLAINTEXT_BYTES;

    fn sending(pieces: &[usize]) -> Sending {
        let mut sending = Sending::default();
        for &length in pieces {
            sending.push(Bytes::from(vec![0; length]));
        }
        sending
    }

    #[test]
    fn a_block_is_not_divided_where_it_fits_whole_later() {
        let (block, record) = (16 * 1024, MAX_PLAINTEXT_BYTES);
        let queue = sending(&[500, block, 500, block]);
        assert_eq!(queue.next_payload(record, record, u64::MAX), 500 + block + 500);
        let queue = sending(&[block]);
        assert_eq!(queue.next_payload(block, record, u64::MAX), 0, "the record ends");
        assert_eq!(queue.next_payload(4_096, 4_096, u64::MAX), 4_096 - FRAME_HEADER_BYTES);
        assert_eq!(
            queue.next_payload(record, record, 1_000 + FRAME_CREDIT_BYTES),
            1_000,
            "as far as credit goes"
        );
    }

    #[test]
    fn the_frame_that_completes_a_divided_block_ends_with_it() {
        let mut queue = sending(&[10_000, 500, 10_000]);
        let mut out = bytes::BytesMut::new();
        for expected in [4_088, 4_088, 1_824, 500 + 3_588] {
            let payload = queue.next_payload(4_096, 4_096, u64::MAX);
            assert_eq!(payload, expected);
            queue.take_payload(payload, &mut out);
            assert_eq!(queue.is_divided(), expected != 1_824);
        }
        assert_eq!(out.len(), 20_500 - queue.queued_bytes());
    }

    #[test]
    fn what_fits_no_frame_is_divided_anywhere_but_not_into_crumbs() {
        let record = MAX_PLAINTEXT_BYTES;
        let queue = sending(&[100_000]);
        assert_eq!(queue.next_payload(record, record, u64::MAX), MAX_FRAME_PAYLOAD_BYTES);
        assert_eq!(queue.next_payload(8_008, record, u64::MAX), 8_000);
        assert_eq!(queue.next_payload(108, record, u64::MAX), 0);
    }
}
