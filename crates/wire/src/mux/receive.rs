//! What comes from the other side.

use antiphon_types::{Class, Timestamp};
use bytes::Bytes;

use super::flow::frame_cost;
use super::stream::{Direction, Opener, Stream};
use super::{ConnectionError, Event, Mux};
use crate::code::{CloseCode, reset_code};
use crate::frame::{Frame, INITIAL_STREAM_CREDIT_BYTES, MAX_CREDIT_BYTES, StreamId};
use crate::record::MAX_PLAINTEXT_BYTES;
use crate::text::printable;

/// Payloads below this are copied: a slice would keep up to 64 KiB alive, and
/// the credit of a few bytes does not pay for that.
const MIN_SHARED_BYTES: usize = 8 * 1024;

impl Mux {
    /// Takes the plaintext of one record.
    ///
    /// # Errors
    ///
    /// The connection must be closed: after sending what
    /// [`poll_record`](Self::poll_record) still has (it says why), if one is
    /// polite. Later calls give the same error, as does
    /// [`closed`](Self::closed).
    pub fn handle_record(
        &mut self,
        now: Timestamp,
        plaintext: Bytes,
    ) -> Result<(), ConnectionError> {
        self.advance(now);
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.receive_record(plaintext);
        result.map_err(|error| self.fail(error))
    }

    fn receive_record(&mut self, mut plaintext: Bytes) -> Result<(), ConnectionError> {
        if plaintext.len() > MAX_PLAINTEXT_BYTES {
            return Err(ConnectionError::RecordTooLong(plaintext.len()));
        }
        self.keep_alive.heard(self.now);
        self.pins.begin_record();
        if plaintext.is_empty() {
            self.guard.empty_frame(self.now)?;
        }
        while !plaintext.is_empty() {
            let frame = Frame::decode(&mut plaintext)?;
            self.receive_frame(frame)?;
        }
        Ok(())
    }

    fn receive_frame(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        match frame {
            Frame::Open { stream, class } => self.receive_open(stream, class),
            Frame::Data { stream, finish, payload } => self.receive_data(stream, payload, finish),
            Frame::Reset { stream, code } => self.receive_reset(stream, code),
            Frame::Credit { stream, bytes } => self.receive_credit(stream, bytes),
            Frame::Class { stream, class } => self.receive_class(stream, class),
            Frame::Ping { token } => {
                self.guard.ping(self.now)?;
                self.keep_alive.ping_received(token);
                Ok(())
            }
            Frame::Pong { token } => {
                let answer = self.keep_alive.pong_received(self.now, token)?;
                self.background.arrived(self.now, answer.mark, answer.sample);
                let event = answer.asked.map(|round_trip| Event::Pong { round_trip });
                self.events.extend(event);
                Ok(())
            }
            Frame::GoAway { code, reason } => self.receive_go_away(CloseCode(code), &reason),
            Frame::Ignored => self.guard.empty_frame(self.now),
        }
    }

    fn receive_open(&mut self, id: StreamId, class: Class) -> Result<(), ConnectionError> {
        if self.is_local(id) {
            return Err(ConnectionError::WrongParity(id));
        }
        if id.get() <= self.highest_remote {
            return Err(ConnectionError::StreamReused(id));
        }
        self.guard.open(self.now)?;
        self.highest_remote = id.get();
        if self.open_remote >= self.limits.max_remote_streams {
            return Err(ConnectionError::TooManyStreams(self.limits.max_remote_streams));
        }
        // Every stream may end in a reset of ours, whoever is to blame.
        if self.pending_resets >= self.limits.max_pending_resets {
            return Err(ConnectionError::TooManyPendingResets);
        }
        if self.draining || self.holds_too_many() {
            self.refuse(id);
            return Ok(());
        }
        self.open_remote += 1;
        let stream = Stream::new(class, Opener::Remote, &self.limits, self.now);
        self.streams.insert(id, Box::new(stream));
        self.events.push_back(Event::Opened { id, class });
        self.queue_stream_credit(id);
        Ok(())
    }

    /// Whether so many streams ended without their data being consumed that
    /// new ones must wait. The other side cannot know, so it is not its fault.
    fn holds_too_many(&self) -> bool {
        let most = self.limits.max_local_streams.saturating_add(self.limits.max_remote_streams);
        self.streams.len() as u64 >= 2 * u64::from(most)
    }

    /// Turns a stream away that this side never looked at.
    fn refuse(&mut self, id: StreamId) {
        self.guard.expect_late(u64::from(INITIAL_STREAM_CREDIT_BYTES));
        self.queue_reset(id, reset_code::REFUSED);
    }

    fn receive_data(
        &mut self,
        id: StreamId,
        payload: Bytes,
        finish: bool,
    ) -> Result<(), ConnectionError> {
        if payload.is_empty() && !finish {
            self.guard.empty_frame(self.now)?;
        }
        let cost = frame_cost(payload.len());
        if !self.window.spend(cost) {
            return Err(ConnectionError::ConnectionCreditExceeded);
        }
        self.guard.data(payload.len());
        let known = self.streams.get_mut(&id).filter(|stream| stream.announced);
        let Some(stream) = known else {
            self.is_gone(id)?;
            return self.receive_late_data(id, cost);
        };
        if stream.receive.state == Direction::Ended {
            return Err(ConnectionError::DataAfterEnd(id));
        }
        if !stream.receive.window.spend(cost) {
            return Err(ConnectionError::StreamCreditExceeded(id));
        }
        if !payload.is_empty() {
            let shared = payload.len() >= MIN_SHARED_BYTES;
            let pin = if shared { self.pins.pin() } else { None };
            stream.receive.unconsumed.push(payload.len(), pin);
            let data = if pin.is_some() { payload } else { Bytes::copy_from_slice(&payload) };
            self.events.push_back(Event::Data { id, data });
        }
        if finish {
            stream.receive.state = Direction::Ended;
            self.events.push_back(Event::Finished { id });
            self.settle(id);
        }
        Ok(())
    }

    /// Data that was under way when this side reset the stream: dropped, its
    /// credit returned. More than could be under way is an attack.
    fn receive_late_data(&mut self, id: StreamId, cost: u64) -> Result<(), ConnectionError> {
        if cost == 0 {
            self.guard.empty_frame(self.now)?;
        } else if !self.guard.late(cost) {
            return Err(ConnectionError::DataAfterEnd(id));
        }
        self.window.give_back(cost);
        self.queue_connection_credit();
        Ok(())
    }

    fn receive_reset(&mut self, id: StreamId, code: u32) -> Result<(), ConnectionError> {
        self.guard.reset(self.now)?;
        // A stream that ended both ways may be held for its data still.
        if self.is_gone(id)? || self.streams.get(&id).is_some_and(|it| it.is_closed()) {
            return self.guard.empty_frame(self.now);
        }
        self.remove_stream(id);
        self.forget_control(id);
        self.forget_data(id);
        self.events.push_back(Event::Reset { id, code });
        Ok(())
    }

    fn receive_credit(&mut self, id: StreamId, bytes: u32) -> Result<(), ConnectionError> {
        self.guard.credit_frame()?;
        let bad = ConnectionError::BadCredit { stream: id, bytes };
        let add = |credit: u64| {
            let sum = credit.checked_add(u64::from(bytes))?;
            (bytes > 0 && sum <= MAX_CREDIT_BYTES).then_some(sum)
        };
        if id.get() == 0 {
            self.credit = add(self.credit).ok_or(bad)?;
            return Ok(());
        }
        if self.is_gone(id)? {
            return Ok(());
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.credit = add(stream.send.credit).ok_or(bad)?;
            self.schedule_stream(id);
        }
        Ok(())
    }

    fn receive_class(&mut self, id: StreamId, class: Class) -> Result<(), ConnectionError> {
        self.guard.class_change(self.now)?;
        if self.is_local(id) {
            return Err(ConnectionError::NotItsOpener(id));
        }
        let gone = self.is_gone(id)?;
        if !gone && self.streams.get(&id).is_some_and(|stream| stream.class != class) {
            self.events.push_back(Event::ClassChanged { id, class });
            self.change_class(id, class);
        }
        Ok(())
    }

    fn receive_go_away(&mut self, code: CloseCode, reason: &[u8]) -> Result<(), ConnectionError> {
        // Once to drain, once to close; more is a flood.
        self.guard.empty_frame(self.now)?;
        self.draining = true;
        let reason = printable(&String::from_utf8_lossy(reason));
        self.events.push_back(Event::GoAway { code, reason });
        if code == CloseCode::SHUTDOWN { Ok(()) } else { Err(ConnectionError::ClosedByPeer(code)) }
    }

    /// Whether a stream was known once, and is not now.
    ///
    /// # Errors
    ///
    /// If the other side cannot ever have known it.
    fn is_gone(&self, id: StreamId) -> Result<bool, ConnectionError> {
        if let Some(stream) = self.streams.get(&id) {
            return if stream.announced {
                Ok(false)
            } else {
                Err(ConnectionError::UnknownStream(id))
            };
        }
        let was_open = if self.is_local(id) {
            self.next_local.is_none_or(|next| id.get() < next)
        } else {
            id.get() <= self.highest_remote
        };
        if was_open { Ok(true) } else { Err(ConnectionError::UnknownStream(id)) }
    }
}
