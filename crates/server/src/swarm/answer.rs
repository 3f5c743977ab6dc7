//! Answers to swarm queries, written as bytes.
//!
//! Each is written once, where it is sent from, and answers to queries that came
//! together make one buffer; by way of the generated types it would be forty small
//! allocations for each blob.

use antiphon_tracker::{Named, Nearness};
use antiphon_wire::message::{MessageBegin, begin_message, end_message};
use bytes::Bytes;

use crate::contact::told;

/// From here on nobody more is named: a receiver takes 64 KiB.
pub(super) const MAX_ANSWER_BYTES: usize = 48 * 1024;
/// From here on answers are sent before more are written.
const ENOUGH_BYTES: usize = 16 * 1024;
/// What the holders of a blob mostly take, if there are ten.
const USUAL_BYTES: usize = 640;
/// Room that is not worth giving back.
const SPARE_BYTES: usize = 128;

/// Field numbers with the wire type "length-delimited" (2), as in
/// `session.proto`; of `id` "varint" (0).
mod tag {
    pub(super) const SERVER_NOTICE_SWARM_ANSWER: u8 = 5 << 3 | 2;
    pub(super) const SWARM_ANSWER_ID: u8 = 1 << 3;
    pub(super) const SWARM_ANSWER_FOUND: u8 = 2 << 3 | 2;
    pub(super) const HOLDERS_PEERS: u8 = 1 << 3 | 2;
    pub(super) const PEER_KEY: u8 = 1 << 3 | 2;
}

/// Answers that wait to be sent, each in its envelope.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    out: Vec<u8>,
    /// For what has to be written of a peer before its length is known.
    room: Vec<u8>,
}

impl Answers {
    /// Whether they should be sent before there are more.
    pub(crate) fn are_enough(&self) -> bool {
        self.out.len() >= ENOUGH_BYTES
    }

    /// All there are, which are none then.
    pub(crate) fn take(&mut self) -> Bytes {
        let mut out = std::mem::take(&mut self.out);
        if out.capacity() > 2 * out.len() + SPARE_BYTES {
            // They may have to wait for a slow reader.
            out.shrink_to_fit();
        }
        out.into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Begins the answer to a query for `blobs` blobs; to be ended by [`Answer::end`].
    pub(super) fn begin(&mut self, id: u64, blobs: usize) -> Answer<'_> {
        self.out.reserve(SPARE_BYTES + blobs * USUAL_BYTES);
        let message = begin_message(&mut self.out);
        self.out.push(tag::SERVER_NOTICE_SWARM_ANSWER);
        let body = begin_nested(&mut self.out);
        if id != 0 {
            self.out.push(tag::SWARM_ANSWER_ID);
            put_varint(&mut self.out, id);
        }
        Answer { message, body, out: &mut self.out, room: &mut self.room }
    }
}

/// An answer that grows by one blob at a time.
pub(super) struct Answer<'a> {
    out: &'a mut Vec<u8>,
    room: &'a mut Vec<u8>,
    message: MessageBegin,
    body: usize,
}

/// The holders of one blob, while they are told.
pub(super) struct Holders<'a> {
    out: &'a mut Vec<u8>,
    room: &'a mut Vec<u8>,
    begin: usize,
    count: usize,
}

impl Answer<'_> {
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.body
    }

    /// Begins the holders of the next blob; to be ended by [`Holders::end`].
    pub(super) fn holders(&mut self) -> Holders<'_> {
        self.out.push(tag::SWARM_ANSWER_FOUND);
        let begin = begin_nested(self.out);
        Holders { out: self.out, room: self.room, begin, count: 0 }
    }

    pub(super) fn end(self) {
        end_nested(self.out, self.body);
        end_message(self.out, self.message);
    }
}

impl Holders<'_> {
    pub(super) fn push(&mut self, named: Named<'_>) {
        let key = named.node.as_bytes();
        let household = named.nearness <= Nearness::PublicAddress;
        let addresses = told(named.contact, household, self.room);
        self.out.push(tag::HOLDERS_PEERS);
        put_varint(self.out, (2 + key.len() + addresses.len()) as u64);
        self.out.push(tag::PEER_KEY);
        put_varint(self.out, key.len() as u64);
        self.out.extend_from_slice(key);
        self.out.extend_from_slice(addresses);
        self.count += 1;
    }

    /// Nobody is named if there are fewer than that.
    pub(super) fn end(self, fewest: usize) {
        if self.count < fewest {
            self.out.truncate(self.begin + USUAL_LENGTH_BYTES);
        }
        end_nested(self.out, self.begin);
    }
}

/// What the length of a part has that is not very short or very long.
const USUAL_LENGTH_BYTES: usize = 2;

/// Leaves room for the length of what follows; gives where.
fn begin_nested(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; USUAL_LENGTH_BYTES]);
    out.len() - USUAL_LENGTH_BYTES
}

/// Writes a length where room was left, and moves what follows if it needs more or less.
fn end_nested(out: &mut Vec<u8>, begin: usize) {
    let body = begin + USUAL_LENGTH_BYTES;
    let length = out.len() - body;
    if let 0x80..0x4000 = length {
        let [low, high] =
            [length & 0x7f | 0x80, length >> 7].map(|it| u8::try_from(it).unwrap_or(0));
        out[begin..body].copy_from_slice(&[low, high]);
        return;
    }
    let mut bytes = Vec::with_capacity(4);
    put_varint(&mut bytes, length as u64);
    out.splice(begin..body, bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
