//! The loop that moves bytes between a socket and a multiplexer.
//!
//! One task for each connection. It sends when the socket takes bytes and the
//! multiplexer has some, so that what waits is sorted by priority and not
//! queued in the socket.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use antiphon_handshake::{Receiver, Sender, Transport};
use antiphon_wire::StreamId;
use antiphon_wire::record::{MAX_PLAINTEXT_BYTES, RecordDecoder};
use antiphon_wire::{ConnectionError, Event};
use bytes::{Buf, Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::connection::{Closed, Dial, Phase, Shared, State, StreamEnd, StreamState};
use crate::greeting::{self, Greeted, MAX_EARLY_BYTES};
use crate::{sleep_until, socket};

/// Length of the tag that encryption adds to a record.
const TAG_BYTES: usize = 16;
/// Length of the number before a record.
const LENGTH_BYTES: usize = 2;
/// Ciphertext gathered for one system call.
const GATHER_BYTES: usize = 64 * 1024;

/// Connects, shakes hands and runs the connection to its end.
pub(crate) async fn dial(shared: Arc<Shared>, dial: Dial) {
    let outcome = async {
        let mut stream = socket::connect(&dial.addresses).await.map_err(|error| {
            Closed::Unreachable { address: dial.addresses.join(", "), reason: error.to_string() }
        })?;
        let mut early = BytesMut::new();
        {
            let mut state = shared.lock();
            state.mux.poll_record(shared.clock.now(), &mut early, MAX_EARLY_BYTES);
        }
        let greeted =
            greeting::initiate(&mut stream, &dial.secret, &dial.node, &dial.service, &early)
                .await
                .map_err(|error| Closed::Handshake(error.to_string()))?;
        Ok((stream, greeted))
    };
    let closed = async {
        loop {
            shared.work.notified().await;
            if let Some(reason) = &shared.lock().closing {
                return Closed::ByUs(reason.clone());
            }
        }
    };
    let (stream, greeted) = tokio::select! {
        outcome = outcome => match outcome {
            Ok(connected) => connected,
            Err(reason) => return shared.close(reason),
        },
        reason = closed => return shared.close(reason),
    };
    {
        let mut state = shared.lock();
        state.phase = Phase::Established { confirmed: true };
        state.addresses = stream.local_addr().ok().zip(stream.peer_addr().ok());
        // The first record from us proves to the other side that we are no
        // recording; the answer tells the round-trip time.
        state.mux.ping(shared.clock.now());
    }
    shared.news.notify_waiters();
    run(&shared, stream, greeted.transport).await;
}

/// Runs an accepted connection to its end.
pub(crate) async fn accepted(shared: Arc<Shared>, stream: TcpStream, greeted: Greeted) {
    if !greeted.early.is_empty() {
        let mut state = shared.lock();
        if let Err(error) = state.mux.handle_record(shared.clock.now(), greeted.early) {
            drop(state);
            return shared.close(Closed::Protocol(error.to_string()));
        }
        dispatch(&mut state);
    }
    shared.lock().mux.ping(shared.clock.now());
    shared.news.notify_waiters();
    run(&shared, stream, greeted.transport).await;
}

async fn run(shared: &Shared, stream: TcpStream, transport: Transport) {
    let mut driver = Driver {
        shared,
        stream,
        sender: transport.sender,
        receiver: transport.receiver,
        records: RecordDecoder::default(),
        out: BytesMut::new(),
    };
    let reason = loop {
        if let ControlFlow::Break(reason) = driver.turn().await {
            break reason;
        }
    };
    tracing::debug!(remote = ?shared.remote, "connection ended: {reason}");
    shared.close(reason);
}

struct Driver<'a> {
    shared: &'a Shared,
    stream: TcpStream,
    sender: Sender,
    receiver: Receiver,
    records: RecordDecoder,
    /// Ciphertext that the socket has not taken yet.
    out: BytesMut,
}

impl Driver<'_> {
    /// Sends what can be sent, then waits for something to do and does it.
    async fn turn(&mut self) -> ControlFlow<Closed> {
        let (timeout, closing) = {
            let mut state = self.shared.lock();
            if self.out.is_empty() {
                self.gather(&mut state)?;
            }
            // What was sent, or given up, has made room for writers.
            if dispatch(&mut state) {
                self.shared.news.notify_waiters();
            }
            (state.mux.poll_timeout(), state.closing.clone())
        };
        if self.out.is_empty()
            && let Some(reason) = closing
        {
            return ControlFlow::Break(Closed::ByUs(reason));
        }
        tokio::select! {
            ready = self.stream.writable(), if !self.out.is_empty() => {
                self.broken(ready)?;
                self.write()
            }
            ready = self.stream.readable() => {
                self.broken(ready)?;
                self.read()
            }
            () = self.shared.work.notified() => ControlFlow::Continue(()),
            () = sleep_until(&self.shared.clock, timeout) => {
                let mut state = self.shared.lock();
                state.mux.handle_timeout(self.shared.clock.now());
                match state.mux.closed() {
                    None => ControlFlow::Continue(()),
                    Some(ConnectionError::IdleTimeout) => ControlFlow::Break(Closed::Idle),
                    Some(error) => ControlFlow::Break(Closed::Protocol(error.to_string())),
                }
            }
        }
    }

    /// Encrypts what the multiplexer wants sent next, into few records.
    fn gather(&mut self, state: &mut State) -> ControlFlow<Closed> {
        let now = self.shared.clock.now();
        while self.out.len() < GATHER_BYTES {
            let start = self.out.len();
            self.out.extend_from_slice(&[0; LENGTH_BYTES]);
            let plaintext_bytes = state.mux.poll_record(now, &mut self.out, MAX_PLAINTEXT_BYTES);
            if plaintext_bytes == 0 {
                self.out.truncate(start);
                break;
            }
            self.out.extend_from_slice(&[0; TAG_BYTES]);
            let record = &mut self.out[start + LENGTH_BYTES..];
            let Ok(length) = u16::try_from(record.len()) else {
                return ControlFlow::Break(Closed::ByUs("a record grew too long".to_owned()));
            };
            if let Err(error) = self.sender.encrypt_in_place(record) {
                return ControlFlow::Break(Closed::ByUs(error.to_string()));
            }
            self.out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        }
        ControlFlow::Continue(())
    }

    fn write(&mut self) -> ControlFlow<Closed> {
        match self.stream.try_write(&self.out) {
            Ok(written) => {
                self.out.advance(written);
                ControlFlow::Continue(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Closed::Broken(error.to_string())),
        }
    }

    fn read(&mut self) -> ControlFlow<Closed> {
        match self.stream.try_read_buf(self.records.buffer()) {
            Ok(0) => {
                let farewell = self.shared.lock().farewell.clone();
                return ControlFlow::Break(match farewell {
                    Some(reason) => Closed::ByPeer(reason),
                    None => Closed::Broken("it ended".to_owned()),
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return ControlFlow::Continue(());
            }
            Err(error) => return ControlFlow::Break(Closed::Broken(error.to_string())),
        }
        loop {
            match self.records.next_record() {
                Ok(Some(record)) => self.open_record(record)?,
                Ok(None) => return ControlFlow::Continue(()),
                Err(error) => return ControlFlow::Break(Closed::Protocol(error.to_string())),
            }
        }
    }

    fn open_record(&mut self, mut record: BytesMut) -> ControlFlow<Closed> {
        match self.receiver.decrypt_in_place(&mut record) {
            Ok(length) => record.truncate(length),
            Err(error) => return ControlFlow::Break(Closed::Protocol(error.to_string())),
        }
        let mut state = self.shared.lock();
        if state.phase == (Phase::Established { confirmed: false }) {
            state.phase = Phase::Established { confirmed: true };
            self.shared.news.notify_waiters();
        }
        let outcome = state.mux.handle_record(self.shared.clock.now(), record.freeze());
        if dispatch(&mut state) {
            self.shared.news.notify_waiters();
        }
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                // What went wrong is told to the other side as far as it goes.
                drop(state);
                self.last_words();
                ControlFlow::Break(Closed::Protocol(error.to_string()))
            }
        }
    }

    /// Sends what the multiplexer still has to say, without waiting.
    fn last_words(&mut self) {
        let shared = self.shared;
        let _ = self.gather(&mut shared.lock());
        let _ = self.stream.try_write(&self.out);
    }

    fn broken(&self, ready: io::Result<()>) -> ControlFlow<Closed> {
        match ready {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(Closed::Broken(error.to_string())),
        }
    }
}

/// Hands what has come to those who wait for it; true if there is a new
/// stream, or the other side goes away.
fn dispatch(state: &mut State) -> bool {
    let mut news = false;
    while let Some(event) = state.mux.poll_event() {
        match event {
            Event::Opened { id, class } => {
                state.streams.insert(id, StreamState::default());
                state.incoming.push_back((id, class));
                news = true;
            }
            Event::Data { id, data } => receive(state, id, data),
            Event::Finished { id } => end(state, id, StreamEnd::Finished),
            Event::Reset { id, code } => end(state, id, StreamEnd::Reset(code)),
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
        None => state.mux.consume(id, data.len()),
    }
}

fn end(state: &mut State, id: StreamId, end: StreamEnd) {
    if let Some(stream) = state.streams.get_mut(&id) {
        stream.end.get_or_insert(end);
        stream.readable.notify_one();
        stream.writable.notify_one();
    }
}
