//! A stream of messages and blocks within a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_types::Class;
use antiphon_wire::StreamId;
use antiphon_wire::message::{self, Envelope, MessageError, MessageReader};
use antiphon_wire::mux::WriteError;
use antiphon_wire::proto::Message;
use antiphon_wire::reset_code;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::{Closed, Connection, Link, StreamEnd};
use crate::quic::{QuicReceiver, QuicSender};

/// Who opened a stream, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This side.
    Ours,
    /// The other side, as the first of the connection: its session stream.
    Session,
    /// The other side.
    Request,
}

/// The largest message on a stream that the other side opened, but for the
/// first: a request is small, and what it decodes to may be many times as large.
const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Why a stream cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The connection ended.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The other side gave the stream up, with this code.
    #[error("the other side gave the request up (code {0})")]
    Reset(u32),
    /// What came is no sequence of messages and blocks.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// What was to be sent cannot be.
    #[error("cannot send: {0}")]
    Unwritable(String),
}

/// What comes on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamItem {
    /// An encoded protobuf message.
    Message(Bytes),
    /// A block and its proof, not verified.
    Block {
        /// Which block of the blob it claims to be.
        index: u32,
        /// Parent pairs from the root down.
        proof: Bytes,
        /// Its bytes.
        data: Bytes,
    },
}

/// Both directions of a stream. Dropped before both have ended, it cancels.
#[derive(Debug)]
pub struct Stream {
    class: Class,
    sender: StreamSender,
    receiver: StreamReceiver,
}

/// The direction away from us.
#[derive(Debug)]
pub struct StreamSender {
    connection: Connection,
    io: SenderIo,
    /// Whether a message was begun and not sent to its end.
    torn: bool,
}

/// The direction towards us.
#[derive(Debug)]
pub struct StreamReceiver {
    connection: Connection,
    io: ReceiverIo,
    reader: MessageReader,
    /// Whether the other side opened the stream.
    is_request: bool,
    first_block_byte: Option<Instant>,
}

/// Who moves the bytes. A stream that was opened before its connection stood
/// begins as the multiplexer's and may become QUIC's.
#[derive(Debug)]
enum SenderIo {
    Mux { handle: Arc<Handle>, writable: Arc<Notify> },
    Quic(QuicSender),
}

#[derive(Debug)]
enum ReceiverIo {
    Mux {
        handle: Arc<Handle>,
        readable: Arc<Notify>,
        /// What the reader has and the other side was given no credit for: it
        /// is, when the reader wants more.
        owed: usize,
    },
    Quic(QuicReceiver),
}

/// Cancels a stream of the multiplexer when its last half is gone before its
/// time.
#[derive(Debug)]
struct Handle {
    connection: Connection,
    id: StreamId,
    /// Whoever opened a stream wants what comes on it; who answers does not
    /// need to see the end of the question.
    awaits_end: bool,
    finished: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.connection.shared.lock();
        let stream = state.streams.remove(&self.id);
        let ended = stream.as_ref().is_some_and(|stream| stream.end.is_some());
        if let Some(mux) = state.mux() {
            mux.consume(self.id, usize::MAX);
        }
        if !self.finished.load(Ordering::Relaxed) || (self.awaits_end && !ended) {
            state.reset(self.id, reset_code::CANCELLED);
        }
        drop(state);
        self.connection.shared.work.notify_one();
    }
}

impl Stream {
    pub(crate) fn of_mux(
        connection: Connection,
        id: StreamId,
        class: Class,
        origin: Origin,
    ) -> Self {
        let (readable, writable) = {
            let mut state = connection.shared.lock();
            let stream = state.streams.entry(id).or_default();
            (Arc::clone(&stream.readable), Arc::clone(&stream.writable))
        };
        let handle = Arc::new(Handle {
            connection: connection.clone(),
            id,
            awaits_end: origin == Origin::Ours,
            finished: AtomicBool::new(false),
        });
        let sender = SenderIo::Mux { handle: Arc::clone(&handle), writable };
        Self::new(connection, class, origin, sender, ReceiverIo::Mux { handle, readable, owed: 0 })
    }

    pub(crate) fn of_quic(
        connection: Connection,
        class: Class,
        origin: Origin,
        (sender, receiver): (QuicSender, QuicReceiver),
    ) -> Self {
        Self::new(connection, class, origin, SenderIo::Quic(sender), ReceiverIo::Quic(receiver))
    }

    fn new(
        connection: Connection,
        class: Class,
        origin: Origin,
        sender: SenderIo,
        receiver: ReceiverIo,
    ) -> Self {
        let sender = StreamSender { connection: connection.clone(), io: sender, torn: false };
        let receiver = StreamReceiver {
            connection,
            io: receiver,
            reader: match origin {
                Origin::Request => MessageReader::new(MAX_REQUEST_BYTES),
                Origin::Session | Origin::Ours => MessageReader::default(),
            },
            is_request: origin != Origin::Ours,
            first_block_byte: None,
        };
        Self { class, sender, receiver }
    }

    /// The class it was opened with.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The two directions, to be used by two tasks.
    pub fn split(self) -> (StreamSender, StreamReceiver) {
        (self.sender, self.receiver)
    }

    /// Whether the connection below has not ended.
    pub fn is_open(&self) -> bool {
        self.sender.connection.is_open()
    }

    /// See [`StreamReceiver::receive`].
    pub async fn receive(&mut self) -> Result<Option<StreamItem>, StreamError> {
        self.receiver.receive().await
    }

    /// See [`StreamReceiver::receive_message`].
    pub async fn receive_message<M: Message + Default>(
        &mut self,
    ) -> Result<Option<M>, StreamError> {
        self.receiver.receive_message().await
    }

    /// See [`StreamReceiver::first_block_byte`].
    pub fn first_block_byte(&self) -> Option<Instant> {
        self.receiver.first_block_byte()
    }

    /// See [`StreamSender::send_message`].
    pub async fn send_message(&mut self, body: Bytes) -> Result<(), StreamError> {
        self.sender.send_message(body).await
    }

    /// See [`StreamSender::send`].
    pub async fn send(&mut self, message: &impl Message) -> Result<(), StreamError> {
        self.sender.send(message).await
    }

    /// See [`StreamSender::send_block`].
    pub async fn send_block(
        &mut self,
        index: u32,
        proof: &[u8],
        data: Bytes,
    ) -> Result<(), StreamError> {
        self.sender.send_block(index, proof, data).await
    }

    /// See [`StreamSender::finish`].
    pub fn finish(&mut self) {
        self.sender.finish();
    }
}

impl StreamReceiver {
    /// The next message or block; `None` when the other side has finished.
    ///
    /// Safe to drop while it waits: nothing is lost.
    pub async fn receive(&mut self) -> Result<Option<StreamItem>, StreamError> {
        loop {
            if let Some(item) = self.take_whole()? {
                return Ok(Some(item));
            }
            let fed = match self.deadline() {
                None => self.feed().await?,
                Some(deadline) => tokio::select! {
                    biased;
                    fed = self.feed() => fed?,
                    () = tokio::time::sleep_until(deadline) => {
                        let now = self.connection.shared.clock.now();
                        self.reader.handle_timeout(now).map_err(malformed)?;
                        continue;
                    }
                },
            };
            match fed {
                true => self.note_block_byte(),
                false => {
                    self.reader.finish().map_err(malformed)?;
                    return Ok(None);
                }
            }
        }
    }

    /// The next item, which must be a message of this kind; a block is an
    /// error.
    pub async fn receive_message<M: Message + Default>(
        &mut self,
    ) -> Result<Option<M>, StreamError> {
        let body = self.receive_encoded().await?;
        body.map(decode_message).transpose()
    }

    /// The next item, which must be a message, still encoded: see [`decode_message`].
    pub async fn receive_encoded(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.receive().await?.map(message_body).transpose()
    }

    /// The same if it has come already: what came together can be answered
    /// together.
    pub fn take_encoded(&mut self) -> Result<Option<Bytes>, StreamError> {
        let item = self.take_whole()?;
        item.map(message_body).transpose()
    }

    /// An item that has come as a whole.
    fn take_whole(&mut self) -> Result<Option<StreamItem>, StreamError> {
        Ok(self.reader.next().map_err(malformed)?.map(|envelope| match envelope {
            Envelope::Message(body) => StreamItem::Message(body),
            Envelope::Block { index, proof, data } => StreamItem::Block { index, proof, data },
        }))
    }

    /// When the first byte of a block's data came, if one has.
    pub fn first_block_byte(&self) -> Option<Instant> {
        self.first_block_byte
    }

    /// When a request that has begun must be complete. Answers have no such
    /// time here: whoever asked has deadlines of her own, and what is less
    /// urgent may be held up for long by what is more so.
    fn deadline(&mut self) -> Option<Instant> {
        if !self.is_request {
            return None;
        }
        let clock = self.connection.shared.clock;
        self.reader.wait(clock.now());
        self.reader.poll_timeout().and_then(|at| clock.instant(at))
    }

    fn note_block_byte(&mut self) {
        if self.first_block_byte.is_none() && self.reader.block_bytes_begun() {
            self.first_block_byte = Some(Instant::now());
        }
    }

    /// Waits for more and moves it to the reader; false at the end.
    async fn feed(&mut self) -> Result<bool, StreamError> {
        loop {
            let readable = match &mut self.io {
                ReceiverIo::Quic(receiver) => {
                    let clock = self.connection.shared.clock;
                    let fed = receiver.feed(&mut self.reader, &clock).await;
                    return fed.map_err(|error| read_error(&self.connection, error));
                }
                ReceiverIo::Mux { handle, readable, owed } => {
                    match take(handle, owed, &mut self.reader)? {
                        Taken::Fed => return Ok(true),
                        Taken::Ended => return Ok(false),
                        Taken::Nothing => Arc::clone(readable),
                        Taken::Moved(receiver) => {
                            self.io = ReceiverIo::Quic(receiver);
                            continue;
                        }
                    }
                }
            };
            readable.notified().await;
        }
    }
}

/// What there was for the reader.
enum Taken {
    Fed,
    Ended,
    Nothing,
    /// It has become a QUIC stream.
    Moved(QuicReceiver),
}

/// Moves what has come on a stream of the multiplexer to `reader`.
fn take(
    handle: &Handle,
    owed: &mut usize,
    reader: &mut MessageReader,
) -> Result<Taken, StreamError> {
    let shared = &handle.connection.shared;
    let mut state = shared.lock();
    let closed = state.closed();
    let used = std::mem::take(owed);
    if let Some(mux) = state.mux().filter(|_| used > 0) {
        mux.consume(handle.id, used);
        // Credit may have to be told to the other side.
        shared.work.notify_one();
    }
    let Some(stream) = state.streams.get_mut(&handle.id) else { return Ok(Taken::Ended) };
    if let Some(receiver) = stream.quic_receiver.take() {
        return Ok(Taken::Moved(receiver));
    }
    if let Some(chunk) = stream.inbox.pop_front() {
        *owed = chunk.len();
        drop(state);
        reader.handle_data(shared.clock.now(), chunk);
        return Ok(Taken::Fed);
    }
    match (stream.end, closed) {
        (Some(StreamEnd::Finished), _) => Ok(Taken::Ended),
        (Some(StreamEnd::Reset(code)), _) => Err(StreamError::Reset(code)),
        (None, Some(reason)) => Err(reason.into()),
        (None, None) => Ok(Taken::Nothing),
    }
}

/// The body of an item that must be a message.
fn message_body(item: StreamItem) -> Result<Bytes, StreamError> {
    match item {
        StreamItem::Message(body) => Ok(body),
        StreamItem::Block { .. } => {
            Err(StreamError::Malformed("a block where a message belongs".to_owned()))
        }
    }
}

/// A message that came encoded.
///
/// # Errors
///
/// [`StreamError::Malformed`] if it is none of that kind.
pub fn decode_message<M: Message + Default>(body: Bytes) -> Result<M, StreamError> {
    M::decode(body).map_err(|error| StreamError::Malformed(error.to_string()))
}

fn malformed(error: MessageError) -> StreamError {
    StreamError::Malformed(error.to_string())
}

impl StreamSender {
    /// Sends an encoded message, as soon as there is room for it.
    pub async fn send_message(&mut self, body: Bytes) -> Result<(), StreamError> {
        self.write([message::encode_message(&body)]).await
    }

    /// Sends messages that stand in their envelopes one after the other, see
    /// [`begin_message`](message::begin_message): all at once, as soon as there is
    /// room. Together they have at most 128 KiB.
    pub async fn send_enveloped(&mut self, messages: Bytes) -> Result<(), StreamError> {
        self.write([messages]).await
    }

    /// Encodes and sends a message, as soon as there is room for it.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), StreamError> {
        self.write([message::encode_protobuf(message)]).await
    }

    /// Sends a block. Its data is not copied before it is encrypted.
    pub async fn send_block(
        &mut self,
        index: u32,
        proof: &[u8],
        data: Bytes,
    ) -> Result<(), StreamError> {
        self.write([message::encode_block_header(index, proof, data.len()), data]).await
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self) {
        if self.torn {
            // Its end would make a cut message look whole: it is reset instead.
            return;
        }
        self.take_moved();
        let shared = &self.connection.shared;
        match &mut self.io {
            SenderIo::Quic(sender) => {
                sender.finish();
                shared.lock().note_leaving(sender.delivered());
            }
            SenderIo::Mux { handle, .. } => {
                handle.finished.store(true, Ordering::Relaxed);
                shared.lock().finish(handle.id);
                shared.work.notify_one();
            }
        }
    }

    /// A stream that was opened early may have become a QUIC stream.
    fn take_moved(&mut self) {
        let SenderIo::Mux { handle, .. } = &self.io else { return };
        let mut state = self.connection.shared.lock();
        let moved = state.streams.get_mut(&handle.id).and_then(|it| it.quic_sender.take());
        drop(state);
        if let Some(sender) = moved {
            self.io = SenderIo::Quic(sender);
        }
    }

    /// Queues all of it, as soon as there is room. If the caller gives up while
    /// it waits, nothing is sent over TCP; over QUIC a part may be, so that the
    /// stream is of no more use and will be reset.
    async fn write<const N: usize>(&mut self, pieces: [Bytes; N]) -> Result<(), StreamError> {
        if self.torn {
            return Err(StreamError::Unwritable("an earlier message was cut".to_owned()));
        }
        loop {
            let writable = match &mut self.io {
                SenderIo::Quic(sender) => {
                    self.torn = true;
                    for piece in pieces {
                        let written = sender.write(piece).await;
                        written.map_err(|error| write_error(&self.connection, error))?;
                    }
                    self.torn = false;
                    return Ok(());
                }
                SenderIo::Mux { handle, writable } => match queue(handle, &pieces)? {
                    Queued::All => return Ok(()),
                    Queued::Full => Arc::clone(writable),
                    Queued::Moved(sender) => {
                        self.io = SenderIo::Quic(sender);
                        continue;
                    }
                },
            };
            writable.notified().await;
        }
    }
}

/// What became of data for the multiplexer.
enum Queued {
    All,
    Full,
    /// The stream has become a QUIC stream.
    Moved(QuicSender),
}

/// Queues all pieces, or none.
fn queue(handle: &Handle, pieces: &[Bytes]) -> Result<Queued, StreamError> {
    let shared = &handle.connection.shared;
    let mut guard = shared.lock();
    let state = &mut *guard;
    if let Some(reason) = state.closed() {
        return Err(reason.into());
    }
    let stream = state.streams.get_mut(&handle.id);
    let end = stream.as_ref().and_then(|stream| stream.end);
    let queued = match &mut state.link {
        Link::Pending(early) => match early.write(handle.id, pieces) {
            true => Queued::All,
            false => Queued::Full,
        },
        Link::Mux(mux) => match mux.write_all(handle.id, pieces) {
            Ok(()) => Queued::All,
            Err(WriteError::Full { .. }) => Queued::Full,
            Err(error) => {
                return Err(match end {
                    Some(StreamEnd::Reset(code)) => StreamError::Reset(code),
                    _ => StreamError::Unwritable(error.to_string()),
                });
            }
        },
        Link::Quic(_) => match stream.and_then(|stream| stream.quic_sender.take()) {
            Some(sender) => Queued::Moved(sender),
            None => {
                return Err(match end {
                    Some(StreamEnd::Reset(code)) => StreamError::Reset(code),
                    _ => StreamError::Unwritable("the stream was given up".to_owned()),
                });
            }
        },
    };
    drop(guard);
    if matches!(queued, Queued::All) {
        shared.work.notify_one();
    }
    Ok(queued)
}

fn write_error(connection: &Connection, error: quinn::WriteError) -> StreamError {
    match error {
        quinn::WriteError::Stopped(code) => reset(code),
        quinn::WriteError::ConnectionLost(error) => lost(connection, &error),
        other => StreamError::Unwritable(other.to_string()),
    }
}

fn read_error(connection: &Connection, error: quinn::ReadError) -> StreamError {
    match error {
        quinn::ReadError::Reset(code) => reset(code),
        quinn::ReadError::ConnectionLost(error) => lost(connection, &error),
        other => Closed::Broken(other.to_string()).into(),
    }
}

fn reset(code: quinn::VarInt) -> StreamError {
    StreamError::Reset(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}

/// The connection's own reason, if it has noticed; it knows more.
fn lost(connection: &Connection, error: &quinn::ConnectionError) -> StreamError {
    let reason = connection.shared.lock().closed();
    reason.unwrap_or_else(|| Closed::Broken(error.to_string())).into()
}

#[cfg(test)]
mod tests {
    use antiphon_handshake::identity::NodeSecret;

    use super::*;
    use crate::{Acceptor, AcceptorLimits, Dial, Transport};

    /// F2: a request that has begun and does not come to its end is given up.
    #[tokio::test(start_paused = true)]
    async fn f2_a_request_in_crumbs_is_not_waited_for() {
        let secret = NodeSecret::from_bytes(&[1; 32]);
        let node = secret.node_id();
        let limits = AcceptorLimits::default();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut acceptor = Acceptor::bind(address, secret.clone(), node, limits).await.unwrap();
        for transport in [Transport::Tcp, Transport::Quic] {
            let addresses = vec![acceptor.local_address().to_string()];
            let dial = Dial::new(addresses, node, node, secret.clone());
            let dial = Dial { transport, ..dial };
            let client = Connection::dial(dial);
            let mut opened = client.open(Class::Now).unwrap();
            // An envelope of 100 bytes, of which two come.
            let crumbs = Bytes::from_static(&[0, 0, 0, 0, 100, b'a', b'b']);
            opened.sender.write([crumbs]).await.unwrap();
            let server = acceptor.accept().await;
            let given_up = server.accept().await.unwrap().receive().await.unwrap_err();
            assert!(matches!(given_up, StreamError::Malformed(_)), "{transport}: {given_up}");
            assert!(server.is_open(), "only the stream is given up");
        }
    }
}
