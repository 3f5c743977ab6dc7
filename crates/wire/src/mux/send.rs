//! What goes to the other side.

use antiphon_types::{Class, Timestamp};
use bytes::BytesMut;

use super::background::{MARKER_BYTES, is_background};
use super::memory::trim;
use super::schedule::Budget;
use super::stream::{Direction, Stream};
use super::{Control, Event, Mux};
use crate::frame::{
    FRAME_HEADER_BYTES, Frame, MAX_CONTROL_FRAME_BYTES, MAX_FRAME_PAYLOAD_BYTES, StreamId,
    put_data_header,
};
use crate::record::MAX_PLAINTEXT_BYTES;

/// Room for a go-away, an answer and a ping, or for any other control frame.
const MIN_RECORD_ROOM_BYTES: usize = 256;
const _: () = assert!(MAX_CONTROL_FRAME_BYTES + 2 * 16 <= MIN_RECORD_ROOM_BYTES);

/// A record with a block and what else may stand before it.
const BLOCK_RECORD_BYTES: usize =
    MIN_RECORD_ROOM_BYTES + FRAME_HEADER_BYTES + MAX_FRAME_PAYLOAD_BYTES;

impl Mux {
    /// Appends the plaintext of one record to `out` and says how many bytes: at
    /// most `max_bytes` and [`MAX_PLAINTEXT_BYTES`], fewer at the start of a
    /// burst; 0 if there is nothing to send. With `max_bytes` below 256 nothing
    /// is sent, since not every frame would fit.
    ///
    /// Call it only when the socket can take a record: what has been polled
    /// can no longer be overtaken.
    pub fn poll_record(&mut self, now: Timestamp, out: &mut BytesMut, max_bytes: usize) -> usize {
        self.advance(now);
        self.weigh_background();
        if max_bytes < MIN_RECORD_ROOM_BYTES || !self.has_output() {
            return 0;
        }
        let record_bytes = self.record_bytes().min(max_bytes);
        let start = out.len();
        let end = start + record_bytes;
        self.put_connection_frames(out);
        self.put_control(out, end);
        // Data of a stream must not overtake its opening.
        if self.control.is_empty() {
            let data_bytes = self.put_data(out, end, record_bytes);
            self.pace.sent(self.now, data_bytes);
        }
        if end.saturating_sub(out.len()) >= MARKER_BYTES && self.wants_marker() {
            self.put_ping(out);
        }
        out.len() - start
    }

    /// The most plaintext of a record that leaves now.
    fn record_bytes(&mut self) -> usize {
        let rtt = self.rtt();
        let near = rtt.is_some_and(|rtt| rtt < self.limits.small_record_min_rtt);
        let urgent_sent = self.urgent_stream_sent();
        let urgent = urgent_sent.is_some_and(|sent| sent < self.limits.small_record_stream_bytes);
        if !urgent && !self.pace.begins(&self.limits, self.now) {
            // Nothing of a record can be read before all of it is there: on a path
            // that takes its time, a block does not wait for the next one.
            if near || rtt.is_none() { MAX_PLAINTEXT_BYTES } else { BLOCK_RECORD_BYTES }
        } else if near && urgent_sent != Some(0) {
            // The first is small even so: the other side wakes up for it while
            // this one encrypts the rest.
            BLOCK_RECORD_BYTES
        } else {
            self.limits.small_record_bytes
        }
    }

    /// What the stream whose turn it is has sent so far, if it has an impatient
    /// reader.
    fn urgent_stream_sent(&self) -> Option<u64> {
        let (_, id) =
            self.schedule.next(self.budget()).filter(|(class, _)| *class <= Class::Now)?;
        self.streams.get(&id).map(|stream| stream.send.sent_bytes)
    }

    fn has_output(&self) -> bool {
        self.go_away.is_some()
            || self.keep_alive.has_output()
            || !self.control.is_empty()
            || self.schedule.next(self.budget()).is_some()
            || self.wants_marker()
    }

    fn budget(&self) -> Budget {
        Budget { credit: self.credit, background: self.background.allowance() }
    }

    /// Tells the window of the yielding classes what it is about to do.
    fn weigh_background(&mut self) {
        self.background.begin_record();
        if self.failed.is_some() || !self.schedule.background_waits(self.credit) {
            return;
        }
        self.background.resume(self.now, self.limits.idle_before_small);
        if self.background.allowance() == 0 && self.background.hold() {
            self.keep_alive.want_ping();
        }
    }

    /// Whether a ping should follow the data that was sent.
    fn wants_marker(&self) -> bool {
        let more = || self.budget().background > 0 && self.schedule.background_waits(self.credit);
        self.failed.is_none() && self.keep_alive.has_room() && self.background.wants_mark(more())
    }

    fn put_ping(&mut self, out: &mut BytesMut) {
        let token = self.keep_alive.ping_sent(self.now, self.background.mark());
        Frame::Ping { token }.encode(out);
    }

    /// Frames of the connection itself; all together fit any record.
    fn put_connection_frames(&mut self, out: &mut BytesMut) {
        if self.failed.is_none() {
            if let Some(token) = self.keep_alive.take_pong() {
                Frame::Pong { token }.encode(out);
            }
            if self.keep_alive.wants_ping() {
                self.put_ping(out);
            }
        }
        if let Some((code, reason)) = self.go_away.take() {
            Frame::GoAway { code: code.0, reason }.encode(out);
        }
    }

    fn put_control(&mut self, out: &mut BytesMut, end: usize) {
        while end.saturating_sub(out.len()) >= MAX_CONTROL_FRAME_BYTES
            && let Some(control) = self.control.pop_front()
        {
            if let Some(frame) = self.control_frame(control) {
                frame.encode(out);
            }
            if let Control::Finish(id) = control {
                self.sending_ended(id);
            }
        }
        trim(&mut self.control);
    }

    /// The frame for what was queued; `None` if it has no meaning any more.
    fn control_frame(&mut self, control: Control) -> Option<Frame> {
        match control {
            Control::Open(stream) => {
                let opened = self.streams.get_mut(&stream)?;
                opened.announced = true;
                Some(Frame::Open { stream, class: opened.class })
            }
            Control::Class(stream) => {
                let changed = self.streams.get_mut(&stream)?;
                changed.send.class_queued = false;
                Some(Frame::Class { stream, class: changed.class })
            }
            Control::Finish(stream) => {
                self.streams.get(&stream)?;
                Some(Frame::Data { stream, finish: true, payload: bytes::Bytes::new() })
            }
            Control::Reset(stream, code) => {
                self.pending_resets = self.pending_resets.saturating_sub(1);
                Some(Frame::Reset { stream, code })
            }
            Control::StreamCredit(stream) => {
                let receive = &mut self.streams.get_mut(&stream)?.receive;
                receive.credit_queued = false;
                if receive.state != Direction::Open {
                    return None;
                }
                receive
                    .window
                    .grant(self.now, self.keep_alive.round_trip())
                    .map(|bytes| Frame::Credit { stream, bytes })
            }
            Control::ConnectionCredit => {
                self.connection_credit_queued = false;
                let bytes = self.window.grant(self.now, self.keep_alive.round_trip())?;
                Some(Frame::Credit { stream: StreamId::new(0), bytes })
            }
        }
    }

    /// Fills the record with data, and says how much.
    fn put_data(&mut self, out: &mut BytesMut, end: usize, record_bytes: usize) -> usize {
        let mut data_bytes = 0;
        loop {
            let budget = self.budget();
            let Some((class, id)) = self.schedule.next(budget) else { break };
            // Behind data that yields stands a marker.
            let reserve = if is_background(class) { MARKER_BYTES } else { 0 };
            let space = end.saturating_sub(out.len() + reserve);
            if space <= FRAME_HEADER_BYTES {
                break;
            }
            let credit = budget.usable(class);
            let record_bytes = record_bytes - reserve;
            let Some(stream) = self.streams.get_mut(&id) else {
                // Removing a stream takes it off its queue, so this is our
                // bug; going on without it beats going round for ever.
                debug_assert!(false, "stream {id} is scheduled and gone");
                self.schedule.remove(class, id);
                continue;
            };
            let payload_bytes = stream.send.next_payload(space, record_bytes, credit);
            if payload_bytes == 0 {
                break;
            }
            let completes = stream.send.is_divided();
            let finish = put_data_frame(stream, id, payload_bytes, out);
            let completes = completes && !stream.send.is_divided();
            stream.send.scheduled = stream.send.is_ready();
            let half = self.limits.stream_write_buffer_bytes / 2;
            let sent = Sent {
                class,
                account: stream.account,
                payload_bytes,
                still_ready: stream.send.scheduled,
                has_room: stream.send.writer_waits && stream.send.queued_bytes() <= half,
            };
            data_bytes += payload_bytes;
            self.data_sent(id, sent);
            if finish {
                self.sending_ended(id);
            }
            if completes {
                // What was divided is whole now, and does not wait for what follows.
                break;
            }
        }
        data_bytes
    }

    /// Accounts for a data frame that was put into a record.
    fn data_sent(&mut self, id: StreamId, sent: Sent) {
        let Sent { class, account, payload_bytes, .. } = sent;
        self.credit -= super::flow::frame_cost(payload_bytes);
        self.guard.sent(payload_bytes);
        self.background.data_sent(self.now, class, payload_bytes as u64);
        let before = self.schedule.queued_bytes(account);
        self.schedule.remove_queued(account, payload_bytes);
        self.schedule.sent(class, payload_bytes, self.budget(), sent.still_ready);
        let class_half = self.limits.class_write_buffer_bytes / 2;
        if sent.has_room
            && self.schedule.queued_bytes(account) <= class_half
            && let Some(stream) = self.streams.get_mut(&id)
        {
            stream.send.writer_waits = false;
            self.events.push_back(Event::Writable { id });
        }
        self.wake_writers(account, before);
        if account != class {
            self.move_account(id);
        }
    }

    /// The last frame of a stream was put into a record.
    fn sending_ended(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send.state = Direction::Ended;
            self.settle(id);
        }
    }
}

/// A data frame that was put into a record, and its stream after it.
#[derive(Clone, Copy)]
struct Sent {
    class: Class,
    /// The class in whose queue it was counted.
    account: Class,
    payload_bytes: usize,
    still_ready: bool,
    /// Whether its writer waits, and the stream has room.
    has_room: bool,
}

/// Appends a data frame; says whether it is the stream's last.
fn put_data_frame(
    stream: &mut Stream,
    id: StreamId,
    payload_bytes: usize,
    out: &mut BytesMut,
) -> bool {
    let last = payload_bytes == stream.send.queued_bytes();
    let finish = last && stream.send.state == Direction::Finishing;
    put_data_header(out, id, finish, payload_bytes);
    stream.send.take_payload(payload_bytes, out);
    finish
}
