//! One multiplexer against whoever wants to break it.

mod model;
mod peer;

use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::mux::{ConnectionError, Event, Limits, Mux, OpenError, Role, StreamId};
use antiphon_wire::record::MAX_PLAINTEXT_BYTES;
use bytes::{Bytes, BytesMut};

use super::allowance::Allowance;
use crate::script::Script;
use model::Sent;

/// Polls after which one that has little to say must have said it.
const MAX_POLLS: usize = 4_096;

/// Any records and any commands between: no panic, every bound of [`Limits`]
/// kept, credit never overdrawn, and one clear end.
///
/// Input: role and limits (one byte each), then operations, see `step`.
pub fn mux_hostile(data: &[u8]) {
    let mut script = Script::new(data);
    let role = if script.flag() { Role::Initiator } else { Role::Responder };
    let limits = if script.flag() { narrow() } else { Limits::default() };
    let mut victim = Victim::new(role, limits);
    while !script.is_over() && victim.ended.is_none() {
        victim.step(&mut script);
        victim.check();
    }
    victim.drain();
}

/// Bounds that a short script can reach.
fn narrow() -> Limits {
    Limits {
        max_remote_streams: 3,
        max_local_streams: 2,
        max_pending_resets: 4,
        stream_write_buffer_bytes: 4_096,
        class_write_buffer_bytes: 6_000,
        starvation_bytes: 2_000,
        small_record_burst_bytes: 8_192,
        ..Limits::default()
    }
}

struct Victim {
    mux: Mux,
    role: Role,
    limits: Limits,
    now: Timestamp,
    /// Streams that have a meaning for commands: opened by either side.
    known: Vec<StreamId>,
    sent: Sent,
    allowance: Allowance,
    ended: Option<ConnectionError>,
}

impl Victim {
    fn new(role: Role, limits: Limits) -> Self {
        let now = Timestamp::from_millis(1);
        Self {
            mux: Mux::new(role, limits.clone(), now),
            role,
            limits,
            now,
            known: Vec::new(),
            sent: Sent::default(),
            allowance: Allowance::default(),
            ended: None,
        }
    }

    /// One operation: a record, the time, or a command of the application.
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 => self.receive(Bytes::copy_from_slice(script.piece())),
            1..=5 => {
                let record = peer::record(script, self.role, &self.known);
                self.receive(record);
            }
            6 => {
                self.now = self.now + Duration::from_millis(script.u16().into());
                self.mux.handle_timeout(self.now);
                self.ended = self.mux.closed();
            }
            7 | 8 => drop(self.send(script.u16().into())),
            9 => self.open(Class::from_index(script.byte() % 4).expect("there are four")),
            10 => self.write(script),
            11 => {
                let id = self.stream(script);
                self.mux.consume(id, script.u16().into());
            }
            12 => {
                let id = self.stream(script);
                self.mux.finish(id);
            }
            13 => {
                let id = self.stream(script);
                self.mux.reset(id, script.u32());
                if self.known.contains(&id) {
                    self.sent.ended(id);
                }
            }
            14 => {
                let id = self.stream(script);
                let class = Class::from_index(script.byte() % 4).expect("there are four");
                self.mux.set_class(id, class);
            }
            _ if script.flag() => self.mux.ping(self.now),
            _ => self.mux.go_away(antiphon_wire::CloseCode(script.u32()), "enough"),
        }
    }

    /// A stream that is known, or one of the first ids.
    fn stream(&self, script: &mut Script<'_>) -> StreamId {
        let index = script.below(self.known.len() + 4);
        let unknown = u32::try_from(index.saturating_sub(self.known.len())).unwrap_or(0);
        self.known.get(index).copied().unwrap_or(StreamId::new(unknown))
    }

    fn receive(&mut self, plaintext: Bytes) {
        let credit = peer::credit_in(plaintext.clone());
        match self.mux.handle_record(self.now, plaintext.clone()) {
            Ok(()) => {
                self.sent.grant(&credit);
                self.allowance.receive(plaintext);
            }
            Err(error) => self.ended = Some(error),
        }
        while let Some(event) = self.mux.poll_event() {
            self.note(&event);
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Opened { id, .. } => self.known.push(*id),
            Event::Reset { id, .. } => self.sent.ended(*id),
            Event::Data { data, .. } => assert!(!data.is_empty(), "an event without a meaning"),
            Event::GoAway { reason, .. } => {
                assert!(reason.chars().count() <= 128 && !reason.contains(char::is_control));
            }
            _ => {}
        }
        // So many are enough to choose from.
        if self.known.len() > 12 {
            self.known.remove(0);
        }
    }

    fn open(&mut self, class: Class) {
        match self.mux.open(class) {
            Ok(id) => self.known.push(id),
            Err(OpenError::TooMany(most)) => assert_eq!(most, self.limits.max_local_streams),
            Err(OpenError::GoingAway) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn write(&mut self, script: &mut Script<'_>) {
        let id = self.stream(script);
        let bytes = usize::from(script.u16());
        let room = self.mux.writable_bytes(id);
        let written = self.mux.write(id, Bytes::from(vec![0x5a; bytes]));
        assert_eq!(written.is_ok() && bytes > 0, bytes > 0 && bytes <= room, "{written:?} {room}");
    }

    /// Polls one record of at most `max_bytes`.
    fn send(&mut self, max_bytes: usize) -> usize {
        let mut out = BytesMut::new();
        let length = self.mux.poll_record(self.now, &mut out, max_bytes);
        assert_eq!(length, out.len());
        assert!(length <= max_bytes.min(MAX_PLAINTEXT_BYTES), "a record of {length} bytes");
        let record = out.freeze();
        let bound = self.limits.max_connection_window_bytes;
        self.allowance.send(record.clone(), self.mux.unconsumed_bytes(), bound);
        self.sent.record(record);
        while let Some(event) = self.mux.poll_event() {
            self.note(&event);
        }
        length
    }

    fn check(&self) {
        let (mux, limits) = (&self.mux, &self.limits);
        assert!(mux.unconsumed_bytes() <= u64::from(limits.max_connection_window_bytes));
        assert!(mux.queued_bytes() <= 4 * limits.class_write_buffer_bytes);
        // Who is not open holds at least one frame that was not consumed.
        let open = u64::from(limits.max_local_streams) + u64::from(limits.max_remote_streams);
        assert!(mux.stream_count() as u64 <= open + mux.unconsumed_bytes() / 65);
        assert_eq!(mux.closed(), self.ended);
        assert_eq!(mux.poll_timeout().is_none(), self.ended.is_some());
    }

    /// All is said after some polls; who has failed says one last word, holds
    /// nothing, and refuses everything.
    fn drain(mut self) {
        self.check();
        let polls = (0..MAX_POLLS).take_while(|_| self.send(MAX_PLAINTEXT_BYTES) > 0).count();
        assert!(polls < MAX_POLLS, "it never has said all");
        let Some(error) = self.ended else { return };
        assert!(polls <= 1, "{polls} records after the end");
        assert_eq!((self.mux.stream_count(), self.mux.queued_bytes()), (0, 0));
        assert_eq!(self.mux.unconsumed_bytes(), 0);
        assert_eq!(self.mux.open(Class::Now), Err(OpenError::Failed));
        assert_eq!(self.mux.handle_record(self.now, Bytes::new()), Err(error));
        assert_eq!(self.send(MAX_PLAINTEXT_BYTES), 0);
    }
}
