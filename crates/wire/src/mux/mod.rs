//! Many streams on one connection.

mod background;
mod commands;
mod error;
mod flow;
mod guard;
mod keep_alive;
mod memory;
mod pace;
mod pins;
mod receive;
mod schedule;
mod send;
mod stream;
mod wake;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use bytes::Bytes;

use crate::code::CloseCode;
use crate::frame::INITIAL_CONNECTION_CREDIT_BYTES;
use background::Background;
use flow::Window;
use guard::Guard;
use keep_alive::KeepAlive;
use memory::trim;
use pace::Pace;
use pins::Pins;
use schedule::Schedule;
use stream::{Opener, Stream};

pub use crate::frame::StreamId;
pub use crate::limits::{Limits, Rate};
pub use error::{ConnectionError, OpenError, WriteError};

/// Which side of a connection this is: who connected is the initiator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its streams have odd ids.
    Initiator,
    /// Its streams have even ids.
    Responder,
}

/// What happened, for the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The other side opened a stream.
    Opened {
        /// The stream.
        id: StreamId,
        /// How urgent it is. What this side sends on it has the same class.
        class: Class,
    },
    /// Data came. Say with [`Mux::consume`] when it was used; until then it
    /// holds credit.
    Data {
        /// The stream.
        id: StreamId,
        /// The bytes, in the order in which they were written.
        data: Bytes,
    },
    /// The other side will send no more on this stream; this side may.
    Finished {
        /// The stream.
        id: StreamId,
    },
    /// The other side gave the stream up, in both directions. Its data that
    /// was not polled is gone.
    Reset {
        /// The stream.
        id: StreamId,
        /// Why, see [`reset_code`](crate::reset_code).
        code: u32,
    },
    /// A stream that took no more, or was [`Full`](WriteError::Full), has
    /// room again. May come when there is none: look at
    /// [`Mux::writable_bytes`].
    Writable {
        /// The stream.
        id: StreamId,
    },
    /// The other side changed the class of a stream that it had opened.
    ClassChanged {
        /// The stream.
        id: StreamId,
        /// The new class.
        class: Class,
    },
    /// The other side takes no new streams. With
    /// [`SHUTDOWN`](CloseCode::SHUTDOWN), streams that are open go on; with
    /// another code all is over, see [`ConnectionError::ClosedByPeer`].
    GoAway {
        /// Why.
        code: CloseCode,
        /// Why, in the other side's words: made fit to be shown, see
        /// [`printable`](crate::printable).
        reason: String,
    },
    /// A ping of the keep-alive, or of [`Mux::ping`], was answered.
    Pong {
        /// How long that took.
        round_trip: Duration,
    },
}

/// The multiplexer of one connection: a state machine without I/O.
///
/// See the [crate page](crate) for how to drive it. Time is what the latest
/// call said; an earlier time counts as the latest seen.
///
/// # Order
///
/// Control frames go before data. Data goes by class, the most urgent first,
/// one frame of each stream of the class in turn; a class that waits while
/// more urgent ones send [`starvation_bytes`](Limits::starvation_bytes) may
/// then send 16 KiB. Prefetch and offline copies also wait when they would
/// make a queue on the way that delays what is more urgent, see
/// [`background_delay`](Limits::background_delay). A record is at most 4 KiB at
/// the start of a burst, so that its first bytes are of use early (a block where
/// the round trip is short, see
/// [`small_record_min_rtt`](Limits::small_record_min_rtt)), and up to 64 KiB later.
///
/// # Copies
///
/// Data that is written is copied once, into the record that is encrypted in
/// place. Data that comes is handed on as a slice of its record, if that is
/// 8 KiB or more; less is copied, since a kept slice keeps the whole record.
/// For the same reason at most 8 records are kept so; while they are, whatever
/// else comes is copied.
///
/// # Streams that are gone
///
/// Commands on a stream that is unknown or gone do nothing, but for
/// [`write`](Self::write), which says so: the other side may have reset it a
/// moment ago, so that is no fault of the caller.
#[derive(Debug)]
pub struct Mux {
    role: Role,
    limits: Limits,
    now: Timestamp,

    /// In boxes: a node of the map has room for eleven, and a connection at rest
    /// has one stream.
    streams: BTreeMap<StreamId, Box<Stream>>,
    /// Streams that count against `max_local_streams`, `max_remote_streams`.
    open_local: u32,
    open_remote: u32,
    /// The id that this side's next stream gets; `None` after the last.
    next_local: Option<u32>,
    highest_remote: u32,

    /// What this side may send.
    credit: u64,
    /// What the other side may send.
    window: Window,
    connection_credit_queued: bool,
    pins: Pins,

    schedule: Schedule,
    pace: Pace,
    background: Background,
    control: VecDeque<Control>,
    pending_resets: usize,
    go_away: Option<(CloseCode, Bytes)>,
    guard: Guard,
    keep_alive: KeepAlive,

    events: VecDeque<Event>,
    /// Whether go-away was said, by either side.
    draining: bool,
    failed: Option<ConnectionError>,
}

/// A frame without data that waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Open(StreamId),
    Class(StreamId),
    /// The end of a stream that has no data left to carry it.
    Finish(StreamId),
    Reset(StreamId, u32),
    StreamCredit(StreamId),
    ConnectionCredit,
}

impl Control {
    fn stream(self) -> Option<StreamId> {
        match self {
            Self::Open(id)
            | Self::Class(id)
            | Self::Finish(id)
            | Self::Reset(id, _)
            | Self::StreamCredit(id) => Some(id),
            Self::ConnectionCredit => None,
        }
    }
}

impl Mux {
    /// A connection that has just been made. Limits beyond what the protocol
    /// can bear are moved to the nearest that it can.
    pub fn new(role: Role, limits: Limits, now: Timestamp) -> Self {
        let limits = limits.clamped();
        let mut mux = Self {
            role,
            now,
            streams: BTreeMap::new(),
            open_local: 0,
            open_remote: 0,
            next_local: Some(if role == Role::Initiator { 1 } else { 2 }),
            highest_remote: 0,
            credit: u64::from(INITIAL_CONNECTION_CREDIT_BYTES),
            window: Window::new(
                limits.connection_window_bytes,
                limits.max_connection_window_bytes,
                INITIAL_CONNECTION_CREDIT_BYTES,
                now,
            ),
            connection_credit_queued: false,
            pins: Pins::default(),
            schedule: Schedule::new(limits.starvation_bytes),
            pace: Pace::default(),
            background: Background::new(&limits),
            control: VecDeque::new(),
            pending_resets: 0,
            go_away: None,
            guard: Guard::new(&limits, now),
            keep_alive: KeepAlive::new(&limits, now),
            events: VecDeque::new(),
            draining: false,
            failed: None,
            limits,
        };
        mux.queue_connection_credit();
        mux
    }

    /// What happened, in order; `None` when there is nothing more.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() {
            trim(&mut self.events);
        }
        event
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the
    /// latest; `None` once the connection has failed.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.failed.is_none().then(|| self.keep_alive.next_deadline())
    }

    /// Sends the ping of the keep-alive, or finds the connection dead: then
    /// [`closed`](Self::closed) says so. May be called at any time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        if self.failed.is_none()
            && let Err(error) = self.keep_alive.handle_timeout(self.now)
        {
            self.fail(error);
        }
    }

    /// Smoothed round-trip time, once a ping was answered.
    pub fn rtt(&self) -> Option<Duration> {
        self.keep_alive.round_trip()
    }

    /// Streams held: open, or ended with data that was not consumed.
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Bytes written and not sent, of all streams.
    pub fn queued_bytes(&self) -> usize {
        Class::ALL.into_iter().map(|class| self.schedule.queued_bytes(class)).sum()
    }

    /// Credit held by data that came and was not consumed: its bytes, and 128
    /// for each frame.
    pub fn unconsumed_bytes(&self) -> u64 {
        self.streams.values().map(|stream| stream.receive.unconsumed.cost()).sum()
    }

    /// Whether go-away was said, all streams have ended, and all is sent: the
    /// connection may be closed.
    pub fn is_drained(&self) -> bool {
        self.draining
            && self.streams.is_empty()
            && self.control.is_empty()
            && self.go_away.is_none()
    }

    /// Why the connection is over, if it is. What
    /// [`poll_record`](Self::poll_record) still has is a last word to the
    /// other side.
    pub fn closed(&self) -> Option<ConnectionError> {
        self.failed
    }

    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Ends the connection: frees all, and leaves one last record.
    fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        let told = matches!(error, ConnectionError::ClosedByPeer(_));
        self.failed = Some(error);
        self.draining = true;
        self.streams.clear();
        self.pins = Pins::default();
        self.control.clear();
        // What was not polled is of no use; why it is over is.
        self.events.retain(|event| told && matches!(event, Event::GoAway { .. }));
        (self.open_local, self.open_remote, self.pending_resets) = (0, 0, 0);
        self.schedule = Schedule::new(self.limits.starvation_bytes);
        self.go_away = (!told).then(|| (error.code(), Bytes::new()));
        error
    }

    /// Forgets a stream and all it holds, and pays its credit back.
    fn remove_stream(&mut self, id: StreamId) -> Option<Stream> {
        let mut stream = self.streams.remove(&id)?;
        if stream.counted {
            self.release_place(stream.opener);
        }
        if stream.send.scheduled {
            self.schedule.remove(stream.class, id);
        }
        let queued_bytes = stream.send.queued_bytes();
        if queued_bytes > 0 {
            let before = self.schedule.queued_bytes(stream.account);
            self.schedule.remove_queued(stream.account, queued_bytes);
            self.wake_writers(stream.account, before);
        }
        let unconsumed = stream.receive.unconsumed.consume(usize::MAX, &mut self.pins);
        self.window.give_back(unconsumed);
        self.queue_connection_credit();
        Some(*stream)
    }

    /// A stream that was open no longer counts.
    fn release_place(&mut self, opener: Opener) {
        match opener {
            Opener::Local => self.open_local -= 1,
            Opener::Remote => self.open_remote -= 1,
        }
    }

    /// After a direction ended or data was consumed: a stream that is closed
    /// no longer counts, and is forgotten once nothing of it is unconsumed.
    fn settle(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_closed()) else {
            return;
        };
        if stream.receive.unconsumed.cost() == 0 {
            self.remove_stream(id);
        } else if std::mem::take(&mut stream.counted) {
            let opener = stream.opener;
            self.release_place(opener);
        }
    }

    /// Drops what waits to be told to the other side about a stream.
    fn forget_control(&mut self, id: StreamId) {
        self.control.retain(|control| control.stream() != Some(id));
    }

    /// Drops data of a stream that the application has not polled.
    fn forget_data(&mut self, id: StreamId) {
        self.events.retain(|event| {
            !matches!(
                event,
                Event::Data { id: of, .. } | Event::Finished { id: of } | Event::Writable { id: of }
                if *of == id
            )
        });
    }

    fn queue_connection_credit(&mut self) {
        if self.window.is_due() && !self.connection_credit_queued {
            self.connection_credit_queued = true;
            self.control.push_back(Control::ConnectionCredit);
        }
    }
}
