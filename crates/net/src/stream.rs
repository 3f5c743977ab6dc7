//! A stream of messages and blocks within a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_types::Class;
use antiphon_wire::StreamId;
use antiphon_wire::message::{self, Envelope, MessageReader};
use antiphon_wire::mux::WriteError;
use antiphon_wire::proto::Message;
use antiphon_wire::reset_code;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::{Closed, Connection, StreamEnd};

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
    sender: StreamSender,
    receiver: StreamReceiver,
}

/// The direction away from us.
#[derive(Debug)]
pub struct StreamSender {
    handle: Arc<Handle>,
    writable: Arc<Notify>,
}

/// The direction towards us.
#[derive(Debug)]
pub struct StreamReceiver {
    handle: Arc<Handle>,
    readable: Arc<Notify>,
    reader: MessageReader,
    first_block_byte: Option<Instant>,
}

/// Cancels the stream when the last half is gone before its time.
#[derive(Debug)]
struct Handle {
    connection: Connection,
    id: StreamId,
    class: Class,
    /// Whoever opened a stream wants what comes on it; who answers does not
    /// need to see the end of the question.
    awaits_end: bool,
    finished: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.connection.shared.lock();
        let mut ended = false;
        if let Some(stream) = state.streams.remove(&self.id) {
            ended = stream.end.is_some();
            let unread: usize = stream.inbox.iter().map(Bytes::len).sum();
            state.mux.consume(self.id, unread);
        }
        if !self.finished.load(Ordering::Relaxed) || (self.awaits_end && !ended) {
            state.mux.reset(self.id, reset_code::CANCELLED);
        }
        drop(state);
        self.connection.shared.work.notify_one();
    }
}

impl Stream {
    /// `opened` tells whether this side opened it.
    pub(crate) fn new(connection: Connection, id: StreamId, class: Class, opened: bool) -> Self {
        let (readable, writable) = {
            let mut state = connection.shared.lock();
            let stream = state.streams.entry(id).or_default();
            (Arc::clone(&stream.readable), Arc::clone(&stream.writable))
        };
        let handle = Arc::new(Handle {
            connection,
            id,
            class,
            awaits_end: opened,
            finished: AtomicBool::new(false),
        });
        Self {
            sender: StreamSender { handle: Arc::clone(&handle), writable },
            receiver: StreamReceiver {
                handle,
                readable,
                reader: MessageReader::default(),
                first_block_byte: None,
            },
        }
    }

    /// The class it was opened with.
    pub fn class(&self) -> Class {
        self.sender.handle.class
    }

    /// The two directions, to be used by two tasks.
    pub fn split(self) -> (StreamSender, StreamReceiver) {
        (self.sender, self.receiver)
    }

    /// Whether the connection below has not ended.
    pub fn is_open(&self) -> bool {
        self.sender.handle.connection.is_open()
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
            match self.reader.next() {
                Ok(Some(Envelope::Message(body))) => return Ok(Some(StreamItem::Message(body))),
                Ok(Some(Envelope::Block { index, proof, data })) => {
                    return Ok(Some(StreamItem::Block { index, proof, data }));
                }
                Ok(None) => {}
                Err(error) => return Err(StreamError::Malformed(error.to_string())),
            }
            match self.take_one()? {
                Taken::Fed => {}
                Taken::Ended => return Ok(None),
                Taken::Nothing => self.readable.notified().await,
            }
        }
    }

    /// The next item, which must be a message of this kind; a block is an
    /// error.
    pub async fn receive_message<M: Message + Default>(
        &mut self,
    ) -> Result<Option<M>, StreamError> {
        match self.receive().await? {
            None => Ok(None),
            Some(StreamItem::Message(body)) => {
                M::decode(body).map(Some).map_err(|error| StreamError::Malformed(error.to_string()))
            }
            Some(StreamItem::Block { .. }) => {
                Err(StreamError::Malformed("a block where a message belongs".to_owned()))
            }
        }
    }

    /// When the first byte of a block's data came, if one has.
    pub fn first_block_byte(&self) -> Option<Instant> {
        self.first_block_byte
    }

    /// Moves one piece of what has come to the reader.
    fn take_one(&mut self) -> Result<Taken, StreamError> {
        let shared = &self.handle.connection.shared;
        let mut state = shared.lock();
        let closed = state.closed();
        let Some(stream) = state.streams.get_mut(&self.handle.id) else {
            return Ok(Taken::Ended);
        };
        if let Some(chunk) = stream.inbox.pop_front() {
            state.mux.consume(self.handle.id, chunk.len());
            drop(state);
            // Credit may have to be told to the other side.
            shared.work.notify_one();
            self.reader.push(chunk);
            if self.first_block_byte.is_none() && self.reader.block_bytes_begun() {
                self.first_block_byte = Some(Instant::now());
            }
            return Ok(Taken::Fed);
        }
        match (stream.end, closed) {
            (Some(StreamEnd::Finished), _) => {
                self.reader.finish().map_err(|error| StreamError::Malformed(error.to_string()))?;
                Ok(Taken::Ended)
            }
            (Some(StreamEnd::Reset(code)), _) => Err(StreamError::Reset(code)),
            (None, Some(reason)) => Err(reason.into()),
            (None, None) => Ok(Taken::Nothing),
        }
    }
}

/// What there was for the reader.
enum Taken {
    Fed,
    Ended,
    Nothing,
}

impl StreamSender {
    /// Sends an encoded message, as soon as there is room for it.
    pub async fn send_message(&mut self, body: Bytes) -> Result<(), StreamError> {
        self.write(message::encode_message(&body)).await
    }

    /// Encodes and sends a message, as soon as there is room for it.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), StreamError> {
        self.write(message::encode_protobuf(message)).await
    }

    /// Sends a block. Its data is not copied before it is encrypted.
    pub async fn send_block(
        &mut self,
        index: u32,
        proof: &[u8],
        data: Bytes,
    ) -> Result<(), StreamError> {
        self.write(message::encode_block_header(index, proof, data.len())).await?;
        self.write(data).await
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self) {
        self.handle.finished.store(true, Ordering::Relaxed);
        self.handle.connection.shared.lock().mux.finish(self.handle.id);
        self.handle.connection.shared.work.notify_one();
    }

    /// Queues all of it, as soon as there is room.
    async fn write(&mut self, data: Bytes) -> Result<(), StreamError> {
        let shared = &self.handle.connection.shared;
        let id = self.handle.id;
        loop {
            {
                let mut state = shared.lock();
                if let Some(reason) = state.closed() {
                    return Err(reason.into());
                }
                match state.mux.write(id, data.clone()) {
                    Ok(()) => break,
                    Err(WriteError::Full { .. }) => {}
                    Err(error) => {
                        let end = state.streams.get(&id).and_then(|stream| stream.end);
                        return Err(match end {
                            Some(StreamEnd::Reset(code)) => StreamError::Reset(code),
                            _ => StreamError::Unwritable(error.to_string()),
                        });
                    }
                }
            }
            self.writable.notified().await;
        }
        shared.work.notify_one();
        Ok(())
    }
}
