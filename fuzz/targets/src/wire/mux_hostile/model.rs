//! What the victim may send, by the rules alone.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_wire::frame::{
    FRAME_CREDIT_BYTES, Frame, INITIAL_CONNECTION_CREDIT_BYTES, INITIAL_STREAM_CREDIT_BYTES,
};
use antiphon_wire::mux::StreamId;
use bytes::Bytes;

/// Keeps the credit that the victim has, and which streams it has ended.
#[derive(Default)]
pub(super) struct Sent {
    spent: u64,
    granted: u64,
    streams: BTreeMap<StreamId, Account>,
    ended: BTreeSet<StreamId>,
}

#[derive(Default)]
struct Account {
    spent: u64,
    granted: u64,
}

impl Sent {
    pub(super) fn grant(&mut self, credit: &BTreeMap<StreamId, u64>) {
        for (stream, bytes) in credit {
            if stream.get() == 0 {
                self.granted += bytes;
            } else {
                self.streams.entry(*stream).or_default().granted += bytes;
            }
        }
    }

    /// One side has given the stream up: no data may follow.
    pub(super) fn ended(&mut self, stream: StreamId) {
        self.ended.insert(stream);
    }

    /// Takes a record apart and checks every frame of it.
    pub(super) fn record(&mut self, mut plaintext: Bytes) {
        while !plaintext.is_empty() {
            let frame = Frame::decode(&mut plaintext).expect("what is sent can be read");
            match frame {
                Frame::Data { stream, finish, payload } => {
                    self.data(stream, payload.len() as u64, finish);
                }
                Frame::Reset { stream, .. } => {
                    self.ended.insert(stream);
                }
                Frame::Credit { bytes, .. } => assert!(bytes > 0, "credit of nothing"),
                _ => {}
            }
        }
        let all = u64::from(INITIAL_CONNECTION_CREDIT_BYTES) + self.granted;
        assert!(self.spent <= all, "more sent than the connection had credit for");
    }

    fn data(&mut self, stream: StreamId, bytes: u64, finish: bool) {
        assert!(!self.ended.contains(&stream), "data after the end of stream {stream}");
        assert!(bytes > 0 || finish, "an empty frame");
        let cost = if bytes == 0 { 0 } else { bytes + FRAME_CREDIT_BYTES };
        let account = self.streams.entry(stream).or_default();
        account.spent += cost;
        self.spent += cost;
        let all = u64::from(INITIAL_STREAM_CREDIT_BYTES) + account.granted;
        assert!(account.spent <= all, "more sent than stream {stream} had credit for");
        if finish {
            self.ended.insert(stream);
        }
    }
}
