//! What the application wants.

use antiphon_types::{Class, Timestamp};
use bytes::Bytes;

use super::schedule::Waiting;
use super::stream::{Direction, Opener, Stream};
use super::{Control, Event, Mux, OpenError, Role, WriteError};
use crate::code::CloseCode;
use crate::frame::{MAX_REASON_BYTES, StreamId};

impl Mux {
    /// Opens a stream for both directions. The other side hears of it with the
    /// next record.
    ///
    /// # Errors
    ///
    /// Any [`OpenError`]; nothing has changed then.
    pub fn open(&mut self, class: Class) -> Result<StreamId, OpenError> {
        if self.failed.is_some() {
            return Err(OpenError::Failed);
        }
        if self.draining {
            return Err(OpenError::GoingAway);
        }
        if self.open_local >= self.limits.max_local_streams {
            return Err(OpenError::TooMany(self.limits.max_local_streams));
        }
        let number = self.next_local.ok_or(OpenError::IdsExhausted)?;
        self.next_local = number.checked_add(2);
        let id = StreamId::new(number);
        self.open_local += 1;
        self.guard.opened();
        let stream = Stream::new(class, Opener::Local, &self.limits, self.now);
        self.streams.insert(id, Box::new(stream));
        self.control.push_back(Control::Open(id));
        self.queue_stream_credit(id);
        Ok(id)
    }

    /// How many bytes [`write`](Self::write) would take now; 0 for a stream
    /// that takes none any more.
    pub fn writable_bytes(&self, id: StreamId) -> usize {
        let Some(stream) = self.streams.get(&id) else { return 0 };
        if stream.send.state != Direction::Open {
            return 0;
        }
        let of_stream =
            self.limits.stream_write_buffer_bytes.saturating_sub(stream.send.queued_bytes());
        let of_class = self
            .limits
            .class_write_buffer_bytes
            .saturating_sub(self.schedule.queued_bytes(stream.account));
        of_stream.min(of_class)
    }

    /// Queues data, all of it or nothing. Pieces of 16 KiB or less (blocks)
    /// stay whole on their way where they can; write in as few pieces as you
    /// have.
    ///
    /// # Errors
    ///
    /// [`WriteError::Full`] is back-pressure: wait for [`Event::Writable`],
    /// which also comes after [`writable_bytes`](Self::writable_bytes) was 0.
    pub fn write(&mut self, id: StreamId, data: Bytes) -> Result<(), WriteError> {
        self.write_all(id, &[data])
    }

    /// Queues several pieces, all of them or nothing: what stands before a block
    /// and its data, so that a full queue never cuts a message.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_all(&mut self, id: StreamId, pieces: &[Bytes]) -> Result<(), WriteError> {
        let writable_bytes = self.writable_bytes(id);
        let stream = self.streams.get_mut(&id).ok_or(WriteError::NotOpen(id))?;
        if stream.send.state != Direction::Open {
            return Err(WriteError::Finished(id));
        }
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let max_bytes =
            self.limits.stream_write_buffer_bytes.min(self.limits.class_write_buffer_bytes);
        if bytes > max_bytes {
            return Err(WriteError::TooLarge { max_bytes });
        }
        if bytes > writable_bytes {
            stream.send.writer_waits = true;
            self.schedule.wait(stream.account, Waiting::Marked);
            return Err(WriteError::Full { writable_bytes });
        }
        if bytes > 0 {
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                stream.send.push(piece.clone());
            }
            self.schedule.add_queued(stream.account, bytes);
            self.note_full(id);
            self.schedule_stream(id);
        }
        Ok(())
    }

    /// This side will write no more. What is queued is still sent.
    pub fn finish(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send.state != Direction::Open {
            return;
        }
        stream.send.state = Direction::Finishing;
        stream.send.writer_waits = false;
        if stream.send.queued_bytes() == 0 {
            self.control.push_back(Control::Finish(id));
        }
    }

    /// Gives the stream up, in both directions: what is queued is freed at
    /// once, what came and was not consumed returns its credit, and the other
    /// side is told `code`.
    pub fn reset(&mut self, id: StreamId, code: u32) {
        let Some(stream) = self.remove_stream(id) else { return };
        self.forget_control(id);
        self.forget_data(id);
        if stream.is_closed() || !stream.announced {
            return;
        }
        if stream.receive.state != Direction::Ended {
            self.guard.expect_late(stream.receive.window.allowed());
        }
        self.queue_reset(id, code);
    }

    /// Makes a stream more or less urgent. For a stream that this side opened
    /// the other side does the same with what it sends; on another stream only
    /// this side's sending changes.
    pub fn set_class(&mut self, id: StreamId, class: Class) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.class == class {
            return;
        }
        if stream.opener == Opener::Local && !stream.send.class_queued && !stream.is_closed() {
            stream.send.class_queued = true;
            self.control.push_back(Control::Class(id));
        }
        self.change_class(id, class);
    }

    /// The application has used `bytes` bytes of what came on a stream: their
    /// credit returns. More than what came counts as what came.
    pub fn consume(&mut self, id: StreamId, bytes: usize) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let freed = stream.receive.unconsumed.consume(bytes, &mut self.pins);
        stream.receive.window.give_back(freed);
        if stream.receive.queue_credit() {
            self.control.push_back(Control::StreamCredit(id));
        }
        let closed = stream.is_closed();
        self.window.give_back(freed);
        self.queue_connection_credit();
        if closed {
            self.settle(id);
        }
    }

    /// Says that this side takes no new streams, and opens none: open ones go
    /// on until they end, see [`is_drained`](Self::is_drained). Of `reason`
    /// the first 128 bytes travel.
    pub fn go_away(&mut self, code: CloseCode, reason: &str) {
        if self.failed.is_some() {
            return;
        }
        self.draining = true;
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        self.go_away = Some((code, Bytes::copy_from_slice(&reason.as_bytes()[..end])));
    }

    /// Measures the round-trip time now, unless a ping is under way.
    pub fn ping(&mut self, now: Timestamp) {
        self.advance(now);
        if self.failed.is_none() {
            self.keep_alive.want_ping();
        }
    }

    /// Moves a stream and what it has queued to another class.
    pub(super) fn change_class(&mut self, id: StreamId, class: Class) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let old = std::mem::replace(&mut stream.class, class);
        if stream.send.scheduled {
            self.schedule.remove(old, id);
            self.schedule.push(class, id);
        }
        self.move_account(id);
        self.note_full(id);
    }

    /// Counts what a stream has queued in its own class, if there is room: else
    /// the other side could, by changing classes to and fro, have us queue more
    /// than all classes may.
    pub(super) fn move_account(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (account, class) = (stream.account, stream.class);
        let queued_bytes = stream.send.queued_bytes();
        let room = self.limits.class_write_buffer_bytes;
        if account == class || self.schedule.queued_bytes(class) + queued_bytes > room {
            return;
        }
        stream.account = class;
        let waited = stream.send.writer_waits || self.schedule.waiting(account) == Waiting::All;
        let before = self.schedule.queued_bytes(account);
        self.schedule.remove_queued(account, queued_bytes);
        self.schedule.add_queued(class, queued_bytes);
        self.wake_writers(account, before);
        // Its writer may have waited for room in the old class, which nobody
        // would tell it of any more.
        if waited && self.writable_bytes(id) > 0 {
            self.events.push_back(Event::Writable { id });
        }
    }

    /// Remembers that a writer will find no room, so that it is told when
    /// there is some.
    fn note_full(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if self.schedule.queued_bytes(stream.account) >= self.limits.class_write_buffer_bytes {
            self.schedule.wait(stream.account, Waiting::All);
        }
        if stream.send.queued_bytes() >= self.limits.stream_write_buffer_bytes {
            stream.send.writer_waits = true;
            self.schedule.wait(stream.account, Waiting::Marked);
        }
    }

    /// Puts a stream into the queue of its class, if it can send.
    pub(super) fn schedule_stream(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send.is_ready() && !stream.send.scheduled {
            stream.send.scheduled = true;
            self.schedule.push(stream.class, id);
        }
    }

    pub(super) fn queue_reset(&mut self, id: StreamId, code: u32) {
        self.pending_resets += 1;
        self.control.push_back(Control::Reset(id, code));
    }

    /// Queues a credit frame for a stream on which more may come.
    pub(super) fn queue_stream_credit(&mut self, id: StreamId) {
        let stream = self.streams.get_mut(&id);
        if stream.is_some_and(|stream| stream.receive.queue_credit()) {
            self.control.push_back(Control::StreamCredit(id));
        }
    }

    /// Whether this side would give its streams such an id.
    pub(super) fn is_local(&self, id: StreamId) -> bool {
        (id.get() % 2 == 1) == (self.role == Role::Initiator)
    }
}
