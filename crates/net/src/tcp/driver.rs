//! The loop that moves bytes between a socket and a multiplexer.
//!
//! One task for each connection. It sends when the socket takes bytes and the
//! multiplexer has some, so that what waits is sorted by priority and not
//! queued in the socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use antiphon_handshake::{Receiver, Sender, Transport};
use antiphon_types::Timestamp;
use antiphon_wire::record::{
    MAX_PLAINTEXT_BYTES, MAX_RECORD_BYTES, RECORD_HEADER_BYTES, RecordDecoder, TAG_BYTES,
    record_header,
};
use antiphon_wire::{CloseCode, ConnectionError, Event, Limits, Mux, Role, StreamId};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::greeting::{self, Greeted, GreetingError, MAX_EARLY_BYTES};
use crate::connection::{Closed, Incoming, Link, Phase, Shared, State, StreamEnd};
use crate::dial::Dial;
use crate::early::Given;
use crate::socket::canonical;

/// Ciphertext gathered for one system call.
const GATHER_BYTES: usize = 64 * 1024;
/// What the socket has not taken, at most: a record begins below
/// [`GATHER_BYTES`].
const OUT_BYTES: usize = GATHER_BYTES + RECORD_HEADER_BYTES + MAX_RECORD_BYTES;
/// Plaintext of a small record that is not all there is to send.
const FIRST_BYTES: std::ops::Range<usize> = 2 * 1024..8 * 1024;
/// Record from which on the whole of [`OUT_BYTES`] is reserved.
const WORTH_RESERVING_BYTES: usize = 2 * 1024;
/// A connection on which nothing happened for so long rests.
const REST_AFTER: Duration = Duration::from_millis(100);
/// What the decoder of a connection at rest may hold.
const RESTING_BYTES: usize = 1024;
/// How long a close waits for what is queued to be sent, and then for the other
/// side to have read it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A socket that takes nothing for so long has nobody who reads: the idle
/// time-out of the other direction.
const STALL_TIMEOUT: Duration = Duration::from_secs(45);
/// When to look again if there is no deadline.
const A_LONG_TIME: Duration = Duration::from_secs(3600);

/// What a dialled connection needs to begin.
pub(crate) struct Dialled {
    stream: TcpStream,
    greeted: Greeted,
    mux: Box<Mux>,
    given: Given,
}

/// Shakes hands on a new socket. What was written before travels along, and
/// stays where it is: if this fails, another attempt takes it again.
pub(crate) async fn greet(
    shared: &Shared,
    mut stream: TcpStream,
    dial: &Dial,
) -> Result<Dialled, GreetingError> {
    let now = shared.clock.now();
    let mut mux = Box::new(Mux::new(Role::Initiator, Limits::default(), now));
    let mut given = Given::default();
    if let Link::Pending(early) = &shared.lock().link {
        early.give(&mut mux, &mut given);
    }
    let mut early = BytesMut::new();
    mux.poll_record(now, &mut early, MAX_EARLY_BYTES);
    let greeting = greeting::initiate(&mut stream, &dial.secret, &dial.node, &dial.service, &early);
    match greeting.await {
        Ok(greeted) => Ok(Dialled { stream, greeted, mux, given }),
        Err(error) => {
            if let (GreetingError::Met, Some(from)) = (&error, &dial.from) {
                from.take_in(dial.secret.node_id(), stream);
            }
            Err(error)
        }
    }
}

/// Runs a connection that we have dialled to its end.
pub(crate) async fn dialled(shared: &Shared, dialled: Dialled) {
    let Dialled { stream, greeted, mut mux, mut given } = dialled;
    {
        let mut state = shared.lock();
        if let Link::Pending(early) = &state.link {
            // What was written while hands were shaken.
            early.give(&mut mux, &mut given);
        }
        // The first record from us proves to the other side that we are no
        // recording; the answer tells the round-trip time.
        mux.ping(shared.clock.now());
        if let Some(reason) = &state.going_away {
            mux.go_away(CloseCode::SHUTDOWN, reason);
        }
        state.link = Link::Mux(mux);
        state.phase = Phase::Established { confirmed: true };
        state.number = Some(greeted.number);
        let addresses = stream.local_addr().ok().zip(stream.peer_addr().ok());
        state.addresses = addresses.map(|(ours, theirs)| (canonical(ours), canonical(theirs)));
        // There is more room now than there was.
        state.streams.values().for_each(|stream| stream.writable.notify_one());
    }
    shared.news.notify_waiters();
    run(shared, stream, greeted.transport).await;
}

/// Runs an accepted connection to its end.
pub(crate) async fn accepted(shared: Arc<Shared>, stream: TcpStream, greeted: Greeted) {
    if let Err(error) = begin(&shared, greeted.early) {
        return shared.close(Closed::Protocol(error.to_string()));
    }
    shared.news.notify_waiters();
    run(&shared, stream, greeted.transport).await;
}

/// Takes the early data of an accepted connection.
fn begin(shared: &Shared, early: Bytes) -> Result<(), ConnectionError> {
    let now = shared.clock.now();
    let mut state = shared.lock();
    let Some(mux) = state.mux() else { return Ok(()) };
    if !early.is_empty() {
        mux.handle_record(now, early)?;
    }
    mux.ping(now);
    dispatch(&mut state);
    Ok(())
}

async fn run(shared: &Shared, stream: TcpStream, transport: Transport) {
    let mut driver = Driver {
        shared,
        stream,
        sender: transport.sender,
        receiver: transport.receiver,
        records: RecordDecoder::default(),
        out: BytesMut::new(),
        rests_at: shared.clock.now(),
        took_at: None,
        closes_at: None,
    };
    let alarm = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(alarm);
    let reason = loop {
        if let ControlFlow::Break(reason) = driver.turn(alarm.as_mut()).await {
            break reason;
        }
    };
    tracing::debug!(remote = ?shared.remote, "connection ended: {reason}");
    let by_us = matches!(reason, Closed::ByUs(_) | Closed::Protocol(_));
    shared.close(reason);
    if by_us {
        // A socket that is closed with something unread takes back what the
        // other side has not got yet.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, read_to_end(driver.stream)).await;
    }
}

/// Says that nothing more comes, and waits until the other side says so too.
async fn read_to_end(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    // On the heap: a connection's task has the size of its largest moment.
    let mut unread = vec![0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

struct Driver<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    sender: Sender,
    receiver: Receiver,
    records: RecordDecoder,
    /// Ciphertext that the socket has not taken yet.
    out: BytesMut,
    /// When the buffers are given back, if nothing happens before.
    rests_at: Timestamp,
    /// When the socket last took something of `out`, or was given it.
    took_at: Option<Timestamp>,
    /// When a close no longer waits for what is queued.
    closes_at: Option<Timestamp>,
}

/// What there is to do.
enum Wake {
    /// The socket brought bytes, or none any more.
    Read(io::Result<usize>),
    /// The socket took bytes.
    Written(io::Result<usize>),
    /// Somebody wants something sent, or the connection closed.
    Work,
    /// A deadline has passed.
    Alarm,
}

impl Driver<'_> {
    /// Sends what can be sent, then waits for something to do and does it.
    async fn turn(&mut self, mut alarm: Pin<&mut Sleep>) -> ControlFlow<Closed> {
        if self.out.is_empty() {
            self.gather()?;
        }
        let now = self.shared.clock.now();
        let of_mux = {
            let mut state = self.shared.lock();
            // What was sent, or given up, has made room for writers.
            if dispatch(&mut state) {
                self.shared.news.notify_waiters();
            }
            if let Some(reason) = state.closing.clone() {
                let queued = state.mux().map_or(0, |mux| mux.queued_bytes());
                let closes_at = *self.closes_at.get_or_insert(now + CLOSE_TIMEOUT);
                if self.out.is_empty() && queued == 0 || now >= closes_at {
                    return ControlFlow::Break(Closed::ByUs(reason));
                }
            }
            state.mux().and_then(|mux| mux.poll_timeout())
        };
        let stalls_at = self.took_at.map(|took| took + STALL_TIMEOUT);
        let urgent = [of_mux, self.records.poll_timeout(), stalls_at, self.closes_at];
        let urgent = urgent.into_iter().flatten().min();
        if urgent.is_some_and(|at| at <= now) {
            // Not left to the alarm alone: it is not heard while the socket
            // always has more.
            self.handle_timeout()?;
        }
        let next = urgent.into_iter().chain(self.release()).min();
        self.set(alarm.as_mut(), next);
        match self.wake(alarm).await {
            Wake::Read(read) => {
                if self.read(read)? {
                    // Whoever waits for what has come may use it while it is warm,
                    // and answer before the next look at the socket.
                    after_others().await;
                }
                ControlFlow::Continue(())
            }
            Wake::Written(written) => {
                let written = written.map_err(|error| Closed::Broken(error.to_string()));
                match written {
                    Ok(bytes) => self.out.advance(bytes),
                    Err(reason) => return ControlFlow::Break(reason),
                }
                self.took_at = (!self.out.is_empty()).then(|| self.shared.clock.now());
                ControlFlow::Continue(())
            }
            Wake::Work => ControlFlow::Continue(()),
            Wake::Alarm => self.handle_timeout(),
        }
    }

    /// Waits. Reading takes a buffer only when there is something to read, so
    /// that a connection at rest holds none.
    async fn wake(&mut self, mut alarm: Pin<&mut Sleep>) -> Wake {
        let work = self.shared.work.notified();
        tokio::pin!(work);
        poll_fn(|context| {
            if !self.out.is_empty()
                && let Poll::Ready(written) =
                    Pin::new(&mut self.stream).poll_write(context, &self.out)
            {
                return Poll::Ready(Wake::Written(written));
            }
            if let Poll::Ready(read) = self.poll_read(context) {
                return Poll::Ready(Wake::Read(read));
            }
            if work.as_mut().poll(context).is_ready() {
                return Poll::Ready(Wake::Work);
            }
            alarm.as_mut().poll(context).map(|()| Wake::Alarm)
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        std::task::ready!(self.stream.poll_read_ready(context))?;
        // Through `AsyncRead`, which knows that a short read has emptied the
        // socket, and asks the kernel no second time.
        let buffer = self.records.buffer();
        let reading = self.stream.read_buf(buffer);
        tokio::pin!(reading);
        reading.poll(context)
    }

    /// Gives the buffers back once the connection rests; when to look again.
    /// In the course of a burst they are kept, since the allocator would hand
    /// their pages to the system and back.
    fn release(&mut self) -> Option<Timestamp> {
        let holds = self.out.capacity() > 0 || self.records.memory_bytes() > RESTING_BYTES;
        if !holds || self.shared.clock.now() < self.rests_at {
            return holds.then_some(self.rests_at);
        }
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
        self.records.release_if_empty();
        None
    }

    /// Moves the alarm, unless it goes off early enough: the deadline moves
    /// with every record, and an alarm too many is cheaper than one for each.
    fn set(&self, alarm: Pin<&mut Sleep>, deadline: Option<Timestamp>) {
        let deadline = deadline.and_then(|at| self.shared.clock.instant(at));
        let deadline = deadline.unwrap_or_else(|| Instant::now() + A_LONG_TIME);
        if alarm.is_elapsed() || deadline < alarm.deadline() {
            alarm.reset(deadline);
        }
    }

    fn handle_timeout(&mut self) -> ControlFlow<Closed> {
        let now = self.shared.clock.now();
        if let Err(error) = self.records.handle_timeout(now) {
            return ControlFlow::Break(Closed::Protocol(error.to_string()));
        }
        if self.took_at.is_some_and(|took| now >= took + STALL_TIMEOUT) {
            return ControlFlow::Break(Closed::Broken("it does not read".to_owned()));
        }
        let mut state = self.shared.lock();
        let Some(mux) = state.mux() else { return ControlFlow::Continue(()) };
        mux.handle_timeout(now);
        match mux.closed() {
            None => ControlFlow::Continue(()),
            Some(ConnectionError::IdleTimeout) => ControlFlow::Break(Closed::Idle),
            Some(error) => ControlFlow::Break(Closed::Protocol(error.to_string())),
        }
    }

    /// Encrypts what the multiplexer wants sent next, into few records.
    fn gather(&mut self) -> ControlFlow<Closed> {
        let now = self.shared.clock.now();
        while self.out.len() < GATHER_BYTES {
            let start = self.out.len();
            self.out.extend_from_slice(&[0; RECORD_HEADER_BYTES]);
            let plaintext_bytes = {
                let mut state = self.shared.lock();
                let out = &mut self.out;
                state.mux().map_or(0, |mux| mux.poll_record(now, out, MAX_PLAINTEXT_BYTES))
            };
            if plaintext_bytes == 0 {
                self.out.truncate(start);
                break;
            }
            self.rests_at = now + REST_AFTER;
            self.took_at.get_or_insert(now);
            if plaintext_bytes >= WORTH_RESERVING_BYTES {
                // More is likely to follow: grow once, and not by doubling.
                self.out.reserve(OUT_BYTES.saturating_sub(self.out.len()));
            }
            self.out.extend_from_slice(&[0; TAG_BYTES]);
            let record = &mut self.out[start + RECORD_HEADER_BYTES..];
            let header = match (record_header(record.len()), self.sender.encrypt_in_place(record)) {
                (Ok(header), Ok(())) => header,
                (Err(error), _) => return ControlFlow::Break(Closed::ByUs(error.to_string())),
                (_, Err(error)) => return ControlFlow::Break(Closed::ByUs(error.to_string())),
            };
            self.out[start..start + RECORD_HEADER_BYTES].copy_from_slice(&header);
            // The first of a burst leaves at once: the other side wakes up for
            // it while we encrypt the rest.
            if start == 0 && FIRST_BYTES.contains(&plaintext_bytes) {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes what the socket brought; whether a record is complete with it.
    fn read(&mut self, read: io::Result<usize>) -> ControlFlow<Closed, bool> {
        match read {
            Ok(0) => {
                let farewell = self.shared.lock().farewell.clone();
                return ControlFlow::Break(match farewell {
                    Some(reason) => Closed::ByPeer(reason),
                    None => Closed::Broken("it ended".to_owned()),
                });
            }
            Ok(_) => {
                let now = self.shared.clock.now();
                self.rests_at = now + REST_AFTER;
                self.records.handle_read(now);
            }
            Err(error) => return ControlFlow::Break(Closed::Broken(error.to_string())),
        }
        let mut complete = false;
        loop {
            match self.records.next_record() {
                Ok(Some(record)) => {
                    complete = true;
                    self.open_record(record)?;
                }
                Ok(None) => return ControlFlow::Continue(complete),
                Err(error) => return ControlFlow::Break(Closed::Protocol(error.to_string())),
            }
        }
    }

    fn open_record(&mut self, mut record: BytesMut) -> ControlFlow<Closed> {
        match self.receiver.decrypt_in_place(&mut record) {
            Ok(length) => record.truncate(length),
            Err(error) => return ControlFlow::Break(Closed::Protocol(error.to_string())),
        }
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let mut news = false;
        if state.phase == (Phase::Established { confirmed: false }) {
            state.phase = Phase::Established { confirmed: true };
            news = true;
        }
        let Some(mux) = state.mux() else { return ControlFlow::Continue(()) };
        let outcome = mux.handle_record(now, record.freeze());
        if dispatch(&mut state) || news {
            self.shared.news.notify_waiters();
        }
        drop(state);
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(ConnectionError::ClosedByPeer(code)) => {
                let said = self.shared.lock().farewell.clone().filter(|said| !said.is_empty());
                ControlFlow::Break(Closed::ByPeer(said.unwrap_or_else(|| code.to_string())))
            }
            Err(error) => {
                // What went wrong is told to the other side as far as it goes.
                self.last_words();
                ControlFlow::Break(Closed::Protocol(error.to_string()))
            }
        }
    }

    /// Sends what the multiplexer still has to say, without waiting.
    fn last_words(&mut self) {
        if self.gather().is_continue() {
            let _ = self.stream.try_write(&self.out);
        }
    }
}

/// Lets tasks that were woken before run first. (The runtime's own `yield_now`
/// would ask the kernel for news in between.)
async fn after_others() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Hands what has come to those who wait for it; true if there is a new
/// stream, or the other side goes away.
fn dispatch(state: &mut State) -> bool {
    let mut news = false;
    while let Some(event) = state.mux().and_then(|mux| mux.poll_event()) {
        match event {
            Event::Opened { id, class } => {
                state.streams.insert(id, Box::default());
                state.incoming.push_back(Incoming::Mux(id, class));
                news = true;
            }
            Event::Data { id, data } => receive(state, id, data),
            Event::Finished { id } => end(state, id, StreamEnd::Finished),
            Event::Reset { id, code } => {
                forget(state, id);
                end(state, id, StreamEnd::Reset(code));
            }
            Event::GoAway { reason, .. } => {
                state.farewell = Some(reason);
                news = true;
            }
            Event::Writable { id } => {
                if let Some(stream) = state.streams.get(&id) {
                    stream.writable.notify_one();
                }
            }
            Event::ClassChanged { .. } | Event::Pong { .. } => {}
        }
    }
    news
}

fn receive(state: &mut State, id: StreamId, data: Bytes) {
    match state.streams.get_mut(&id) {
        Some(stream) => {
            stream.inbox.push_back(data);
            stream.readable.notify_one();
        }
        // Given up by us; what was on its way still counts against the credit.
        None => {
            if let Some(mux) = state.mux() {
                mux.consume(id, data.len());
            }
        }
    }
}

/// Drops what came on a stream that the other side has given up: its credit is
/// paid back already, so nothing else bounds it.
fn forget(state: &mut State, id: StreamId) {
    let waiting = state.incoming.len();
    state.incoming.retain(|stream| !matches!(stream, Incoming::Mux(of, _) if *of == id));
    if state.incoming.len() < waiting {
        // Nobody has taken it yet, and nobody will.
        state.streams.remove(&id);
    } else if let Some(stream) = state.streams.get_mut(&id) {
        stream.inbox = VecDeque::new();
    }
}

fn end(state: &mut State, id: StreamId, end: StreamEnd) {
    if let Some(stream) = state.streams.get_mut(&id) {
        stream.end.get_or_insert(end);
        stream.readable.notify_one();
        stream.writable.notify_one();
    }
}
