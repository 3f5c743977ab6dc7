//! One QUIC stream: bytes in both directions, and how it ends.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use antiphon_types::Class;
use antiphon_wire::message::MessageReader;
use antiphon_wire::{CloseCode, printable, reset_code};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};

use super::courtesy::Urgent;
use super::window::SendWindow;
use crate::Clock;

/// Longest reason of a go-away, as on TCP.
const MAX_REASON_BYTES: usize = antiphon_wire::frame::MAX_REASON_BYTES;

/// Longest go-away: a code and a reason.
pub(super) const MAX_NOTICE_BYTES: usize = 4 + MAX_REASON_BYTES;

/// Pieces taken from a stream at once: what has come in one wake-up is mostly
/// fewer, and each look costs a lock.
const PIECES: usize = 32;

/// Ends when all of a stream has arrived, or the other side wants none of it.
pub(crate) type Delivery = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The direction away from us. Dropped before it was finished, it cancels.
#[derive(Debug)]
pub(crate) struct QuicSender {
    stream: SendStream,
    class: Class,
    window: SendWindow,
    /// Where urgent bytes are counted, if these are.
    urgent: Option<Urgent>,
    /// The class, until it has left: the first byte of a stream that we opened.
    header: Option<Bytes>,
    finished: bool,
}

impl QuicSender {
    /// Of a stream that this side opened.
    pub(super) fn opened(
        stream: SendStream,
        class: Class,
        urgent: &Urgent,
        window: &SendWindow,
    ) -> Self {
        let mut sender = Self::answering(stream, class, urgent, window);
        sender.header = Some(Bytes::copy_from_slice(&[class.index()]));
        // Alone, so that the other side may hear of the stream before anything
        // is asked on it. If there is no room, it goes before the first write.
        sender.try_header();
        sender
    }

    /// Of a stream that the other side opened.
    pub(super) fn answering(
        stream: SendStream,
        class: Class,
        urgent: &Urgent,
        window: &SendWindow,
    ) -> Self {
        // Fails only on a stream that is gone, which the first write will tell.
        let _ = stream.set_priority(-i32::from(class.index()));
        let urgent = (class <= Class::Now).then(|| urgent.clone());
        Self { stream, class, window: window.clone(), urgent, header: None, finished: false }
    }

    /// Sends all of it, waiting for room. It must not be dropped half-way but
    /// with the stream.
    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.write_header().await?;
        if data.is_empty() {
            return Ok(());
        }
        if let Some(urgent) = &self.urgent {
            urgent.wrote(data.len() as u64);
        }
        self.write_chunk(data).await
    }

    /// A byte is taken or is not: this may be dropped while it waits.
    async fn write_header(&mut self) -> Result<(), WriteError> {
        if let Some(header) = self.header.clone() {
            self.write_chunk(header).await?;
            self.header = None;
        }
        Ok(())
    }

    fn try_header(&mut self) {
        // An error is told again by the next write.
        let _ = pin!(self.write_header()).poll(&mut Context::from_waker(Waker::noop()));
    }

    async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        let mut writing = pin!(self.stream.write_chunk(chunk));
        poll_fn(|context| self.window.write(self.class, || writing.as_mut().poll(context))).await
    }

    /// Sends all of it, if there is room for it now; otherwise the stream is
    /// lost, and this is false. For what was written before the connection
    /// stood: that is less than any window of ours.
    pub(super) fn send_now(&mut self, data: Bytes) -> bool {
        let written = pin!(self.write(data)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(written, Poll::Ready(Ok(())))
    }

    pub(crate) fn finish(&mut self) {
        self.try_header();
        self.finished = true;
        let _ = self.stream.finish();
    }

    /// Waits until the other side has all of it, or will have none.
    pub(crate) fn delivered(&self) -> Delivery {
        let stopped = self.stream.stopped();
        Box::pin(async move {
            let _ = stopped.await;
        })
    }
}

impl Drop for QuicSender {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(VarInt::from_u32(reset_code::CANCELLED));
        }
    }
}

/// The direction towards us. Dropped before its end, it tells the other side.
#[derive(Debug)]
pub(crate) struct QuicReceiver {
    stream: RecvStream,
    /// How it was given up: quinn says so once, and then that it has ended.
    reset: Option<VarInt>,
}

impl QuicReceiver {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, reset: None }
    }

    /// Waits for more and moves it to `reader`; false at the end. Safe to drop
    /// while it waits: nothing is lost.
    pub(crate) async fn feed(
        &mut self,
        reader: &mut MessageReader,
        clock: &Clock,
    ) -> Result<bool, ReadError> {
        if let Some(code) = self.reset {
            return Err(ReadError::Reset(code));
        }
        let mut pieces = [const { Bytes::new() }; PIECES];
        let read = self.stream.read_chunks(&mut pieces).await;
        if let Err(ReadError::Reset(code)) = read {
            self.reset = Some(code);
        }
        match read? {
            Some(count) => {
                let now = clock.now();
                pieces.into_iter().take(count).for_each(|piece| reader.handle_data(now, piece));
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// Reads the class with which the other side begins a stream; `None` if it
/// ends first, or says one that does not exist.
pub(super) async fn read_class(receiver: &mut RecvStream) -> Option<Class> {
    let mut class = [0];
    receiver.read_exact(&mut class).await.ok()?;
    Class::from_index(class[0])
}

/// A go-away.
pub(super) fn notice(code: CloseCode, reason: &str) -> Bytes {
    let end = reason.floor_char_boundary(MAX_REASON_BYTES);
    let mut notice = BytesMut::with_capacity(MAX_NOTICE_BYTES);
    notice.put_u32(code.0);
    notice.put_slice(&reason.as_bytes()[..end]);
    notice.freeze()
}

/// The reason of a go-away, fit to be printed.
pub(super) fn reason_of(notice: &[u8]) -> Option<String> {
    let reason = notice.get(4..)?;
    Some(printable(&String::from_utf8_lossy(reason)))
}
