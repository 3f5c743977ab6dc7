//! Two multiplexers on a virtual clock, joined by bytes that are cut anywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_types::Timestamp;
use antiphon_wire::frame::Frame;
use antiphon_wire::mux::{Event, Limits, Mux, Role, StreamId};
use antiphon_wire::record::{MAX_PLAINTEXT_BYTES, RecordDecoder, TAG_BYTES, record_header};
use bytes::{BufMut, Bytes, BytesMut};

/// What one end has seen, sorted by stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) opened: Vec<StreamId>,
    pub(crate) data: BTreeMap<StreamId, Vec<u8>>,
    pub(crate) finished: Vec<StreamId>,
    pub(crate) reset: BTreeMap<StreamId, u32>,
    pub(crate) others: Vec<Event>,
}

pub(crate) struct End {
    pub(crate) mux: Mux,
    pub(crate) seen: Seen,
    /// Whether data is consumed as it comes.
    pub(crate) consumes: bool,
    /// Bytes that travel to this end.
    incoming: BytesMut,
    records: RecordDecoder,
}

impl End {
    fn new(role: Role, limits: Limits) -> Self {
        Self {
            mux: Mux::new(role, limits, Timestamp::ZERO),
            seen: Seen::default(),
            consumes: true,
            incoming: BytesMut::new(),
            records: RecordDecoder::new(),
        }
    }

    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened { id, .. } => self.seen.opened.push(id),
                Event::Data { id, data } => {
                    self.seen.data.entry(id).or_default().extend_from_slice(&data);
                    if self.consumes {
                        self.mux.consume(id, data.len());
                    }
                }
                Event::Finished { id } => self.seen.finished.push(id),
                Event::Reset { id, code } => {
                    self.seen.reset.insert(id, code);
                }
                other => self.seen.others.push(other),
            }
        }
    }

    /// Takes up to `bytes` bytes off the wire.
    fn deliver(&mut self, now: Timestamp, bytes: usize) {
        let piece = self.incoming.split_to(bytes.min(self.incoming.len()));
        // In two ways, which must not differ.
        if bytes.is_multiple_of(2) {
            self.records.push(&piece);
        } else {
            self.records.buffer().put_slice(&piece);
        }
        while let Some(mut record) = self.records.next_record().unwrap() {
            record.truncate(record.len() - TAG_BYTES);
            self.mux.handle_record(now, record.freeze()).unwrap();
            self.drain_events();
        }
    }
}

/// The initiator and the responder.
pub(crate) struct Pair {
    pub(crate) now: Timestamp,
    pub(crate) initiator: End,
    pub(crate) responder: End,
}

impl Pair {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            now: Timestamp::ZERO,
            initiator: End::new(Role::Initiator, limits.clone()),
            responder: End::new(Role::Responder, limits),
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Polls one record of each side, and delivers up to `bytes` bytes each
    /// way; false if nothing happened.
    pub(crate) fn step(&mut self, bytes: usize) -> bool {
        let sent = send(self.now, &mut self.initiator, &mut self.responder)
            | send(self.now, &mut self.responder, &mut self.initiator);
        let busy = !self.initiator.incoming.is_empty() || !self.responder.incoming.is_empty();
        self.responder.deliver(self.now, bytes);
        self.initiator.deliver(self.now, bytes);
        sent || busy
    }

    /// Runs until nothing more happens.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.step(usize::MAX) {
                return;
            }
        }
        panic!("the two never come to rest");
    }
}

fn send(now: Timestamp, from: &mut End, to: &mut End) -> bool {
    let mut plaintext = BytesMut::new();
    let length = from.mux.poll_record(now, &mut plaintext, MAX_PLAINTEXT_BYTES);
    from.drain_events();
    assert_eq!(length, plaintext.len());
    if length == 0 {
        return false;
    }
    to.incoming.put_slice(&record_header(length + TAG_BYTES).unwrap());
    to.incoming.put_slice(&plaintext);
    to.incoming.put_bytes(0xaa, TAG_BYTES);
    true
}

/// The plaintext of a record with these frames.
pub(crate) fn record(frames: &[Frame]) -> Bytes {
    let mut out = BytesMut::new();
    for frame in frames {
        frame.encode(&mut out);
    }
    out.freeze()
}

/// The frames of the next record.
pub(crate) fn next_frames(mux: &mut Mux, now: Timestamp) -> Vec<Frame> {
    let mut out = BytesMut::new();
    mux.poll_record(now, &mut out, MAX_PLAINTEXT_BYTES);
    let mut plaintext = out.freeze();
    let mut frames = Vec::new();
    while !plaintext.is_empty() {
        frames.push(Frame::decode(&mut plaintext).unwrap());
    }
    frames
}

/// All frames that a side sends until it has nothing more.
pub(crate) fn all_frames(mux: &mut Mux, now: Timestamp) -> Vec<Frame> {
    let mut all = Vec::new();
    loop {
        let frames = next_frames(mux, now);
        if frames.is_empty() {
            return all;
        }
        all.extend(frames);
    }
}
