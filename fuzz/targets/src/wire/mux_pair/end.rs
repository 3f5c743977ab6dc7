//! One end of the pair, with what it wrote and what it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::mux::{Event, Limits, Mux, OpenError, Role, StreamId, WriteError};
use antiphon_wire::record::{MAX_PLAINTEXT_BYTES, RecordDecoder, TAG_BYTES, record_header};
use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::allowance::Allowance;

/// After so many bytes a text begins again: no power of two, and longer than
/// any piece.
const PERIOD: usize = 65_537;

pub(super) struct End {
    pub(super) mux: Mux,
    role: Role,
    /// Whether data is consumed as it comes.
    pub(super) consumes: bool,
    /// Bytes that travel to this end.
    pub(super) incoming: BytesMut,
    records: RecordDecoder,
    allowance: Allowance,
    window_bound: u32,
    streams: Vec<StreamId>,
    pub(super) written: BTreeMap<StreamId, u64>,
    pub(super) received: BTreeMap<StreamId, u64>,
    unconsumed: BTreeMap<StreamId, usize>,
    pub(super) finished: BTreeSet<StreamId>,
    pub(super) saw_finished: BTreeSet<StreamId>,
    /// Writers that were told to wait.
    pub(super) waiting: BTreeSet<StreamId>,
    /// The stream that [`fill`](Self::fill) writes to.
    filled: Option<StreamId>,
}

impl End {
    pub(super) fn new(role: Role, limits: Limits) -> Self {
        let window_bound = limits.max_connection_window_bytes;
        Self {
            mux: Mux::new(role, limits, Timestamp::from_millis(1)),
            role,
            consumes: true,
            incoming: BytesMut::new(),
            records: RecordDecoder::new(),
            allowance: Allowance::default(),
            window_bound,
            streams: Vec::new(),
            written: BTreeMap::new(),
            received: BTreeMap::new(),
            unconsumed: BTreeMap::new(),
            finished: BTreeSet::new(),
            saw_finished: BTreeSet::new(),
            waiting: BTreeSet::new(),
            filled: None,
        }
    }

    pub(super) fn open(&mut self, class: Class) {
        match self.mux.open(class) {
            Ok(id) => self.streams.push(id),
            Err(OpenError::TooMany(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// One of the streams that this end has ever known.
    fn stream(&self, choice: u8) -> Option<StreamId> {
        let index = usize::from(choice).checked_rem(self.streams.len())?;
        // The latest first: they are the ones that are still open.
        self.streams.iter().rev().nth(index).copied()
    }

    pub(super) fn write(&mut self, choice: u8, bytes: usize) {
        let Some(id) = self.stream(choice) else { return };
        let from = self.written.get(&id).copied().unwrap_or(0);
        let data = Bytes::from_static(written(self.role, id, from, bytes));
        match self.mux.write(id, data) {
            Ok(()) => *self.written.entry(id).or_default() += bytes as u64,
            Err(WriteError::Full { writable_bytes }) => {
                assert!(writable_bytes < bytes);
                self.waiting.insert(id);
            }
            Err(_) => {}
        }
    }

    pub(super) fn finish(&mut self, choice: u8) {
        if let Some(id) = self.stream(choice) {
            self.finish_stream(id);
        }
    }

    /// Finishes every stream: there may be more than one byte can name.
    pub(super) fn finish_all(&mut self) {
        for id in self.streams.clone() {
            self.finish_stream(id);
        }
    }

    fn finish_stream(&mut self, id: StreamId) {
        self.mux.finish(id);
        self.finished.insert(id);
        self.waiting.remove(&id);
    }

    /// Says which stream was given up.
    pub(super) fn reset(&mut self, choice: u8) -> Option<StreamId> {
        let id = self.stream(choice)?;
        self.mux.reset(id, 1);
        self.forget(id);
        Some(id)
    }

    fn forget(&mut self, id: StreamId) {
        self.waiting.remove(&id);
        self.unconsumed.remove(&id);
    }

    pub(super) fn set_class(&mut self, choice: u8, class: Class) {
        if let Some(id) = self.stream(choice) {
            self.mux.set_class(id, class);
        }
    }

    pub(super) fn consume(&mut self, choice: u8, bytes: usize) {
        let Some(id) = self.stream(choice) else { return };
        if let Some(held) = self.unconsumed.get_mut(&id) {
            *held = held.saturating_sub(bytes);
        }
        self.mux.consume(id, bytes);
    }

    /// From now on nothing is held back.
    pub(super) fn consume_all(&mut self) {
        self.consumes = true;
        for (id, bytes) in std::mem::take(&mut self.unconsumed) {
            self.mux.consume(id, bytes);
        }
    }

    /// Writes what fits to a stream of its own.
    pub(super) fn fill(&mut self, class: Class) {
        let open = self.filled.or_else(|| self.mux.open(class).ok());
        let id = open.expect("no stream is open any more");
        if self.filled.is_none() {
            self.streams.push(id);
            self.filled = Some(id);
        }
        self.write(0, self.mux.writable_bytes(id).min(16 * 1024));
    }

    /// Polls one record onto the wire; false if there is none.
    pub(super) fn send(&mut self, now: Timestamp, max_bytes: usize, wire: &mut BytesMut) -> bool {
        let mut plaintext = BytesMut::new();
        let length = self.mux.poll_record(now, &mut plaintext, max_bytes.min(MAX_PLAINTEXT_BYTES));
        self.drain_events();
        assert_eq!(length, plaintext.len());
        let plaintext = plaintext.freeze();
        self.allowance.send(plaintext.clone(), self.mux.unconsumed_bytes(), self.window_bound);
        if length > 0 {
            wire.put_slice(&record_header(length + TAG_BYTES).expect("it fits a record"));
            wire.put_slice(&plaintext);
            wire.put_bytes(0xaa, TAG_BYTES);
        }
        length > 0
    }

    /// Takes up to `bytes` bytes off the wire.
    pub(super) fn deliver(&mut self, now: Timestamp, bytes: usize) {
        let piece = self.incoming.split_to(bytes.min(self.incoming.len()));
        self.records.push(&piece);
        while let Some(mut record) = self.records.next_record().expect("lengths are good") {
            record.truncate(record.len() - TAG_BYTES);
            let record = record.freeze();
            self.allowance.receive(record.clone());
            self.mux.handle_record(now, record).expect("the other side is honest");
            self.drain_events();
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened { id, .. } => self.streams.push(id),
                Event::Data { id, data } => self.receive(id, &data),
                Event::Finished { id } => assert!(self.saw_finished.insert(id), "two ends"),
                Event::Reset { id, .. } => self.forget(id),
                Event::Writable { id } => {
                    self.waiting.remove(&id);
                }
                Event::ClassChanged { .. } | Event::GoAway { .. } | Event::Pong { .. } => {}
            }
        }
    }

    fn receive(&mut self, id: StreamId, data: &Bytes) {
        assert!(!self.saw_finished.contains(&id), "data after the end of stream {id}");
        let from = self.received.entry(id).or_default();
        let other = if self.role == Role::Initiator { Role::Responder } else { Role::Initiator };
        assert_eq!(data, written(other, id, *from, data.len()), "stream {id} from {from}");
        *from += data.len() as u64;
        if self.consumes {
            self.mux.consume(id, data.len());
        } else {
            *self.unconsumed.entry(id).or_default() += data.len();
        }
    }
}

/// The `bytes` bytes from `from` on of what one side writes on a stream.
fn written(writer: Role, stream: StreamId, from: u64, bytes: usize) -> &'static [u8] {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        let byte = |at: usize| (at ^ (at >> 8) ^ (at >> 13)).to_le_bytes()[0];
        // Twice, so that a piece never goes round the end.
        (0..2 * PERIOD).map(|at| byte(at % PERIOD)).collect()
    });
    let salt = u64::from(stream.get()) * 2 + u64::from(writer == Role::Initiator);
    let start = (from + salt * 7_919) % PERIOD as u64;
    let start = usize::try_from(start).expect("it is below the period");
    &text[start..start + bytes]
}
