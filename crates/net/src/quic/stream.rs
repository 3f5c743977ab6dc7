//! One QUIC stream: bytes in both directions, and how it ends.

use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use antiphon_types::Class;
use antiphon_wire::message::MessageReader;
use antiphon_wire::{CloseCode, printable, reset_code};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};

use super::courtesy::Urgent;
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
    /// Where urgent bytes are counted, if these are.
    urgent: Option<Urgent>,
    /// The class, until it has left: the first byte of a stream that we opened.
    header: Option<Bytes>,
    finished: bool,
}

impl QuicSender {
    /// Of a stream that this side opened.
    pub(super) fn opened(stream: SendStream, class: Class, urgent: &Urgent) -> Self {
        let mut sender = Self::answering(stream, class, urgent);
        sender.header = Some(Bytes::copy_from_slice(&[class.index()]));
        // Alone, so that the other side may hear of the stream before anything
        // is asked on it. There is nearly always room for a byte.
        sender.send_now(Bytes::new());
        sender
    }

    /// Of a stream that the other side opened.
    pub(super) fn answering(stream: SendStream, class: Class, urgent: &Urgent) -> Self {
        // Fails only on a stream that is gone, which the first write will tell.
        let _ = stream.set_priority(-i32::from(class.index()));
        let urgent = (class <= Class::Now).then(|| urgent.clone());
        Self { stream, urgent, header: None, finished: false }
    }

    /// Sends all of it, waiting for room. It must not be dropped half-way but
    /// with the stream.
    pub(crate) async fn write(&mut self, data: Bytes) -> Result<(), WriteError> {
        if let Some(header) = self.header.take() {
            self.stream.write_chunk(header).await?;
        }
        if let Some(urgent) = &self.urgent {
            urgent.wrote(data.len() as u64);
        }
        if data.is_empty() { Ok(()) } else { self.stream.write_chunk(data).await }
    }

    /// Sends what there is room for now; the rest is lost, and the stream with
    /// it. For what was written before the connection stood: that is less than
    /// any window.
    pub(super) fn send_now(&mut self, data: Bytes) {
        let all = pin!(self.write(data)).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if !all {
            let _ = self.stream.reset(VarInt::from_u32(reset_code::CANCELLED));
        }
    }

    pub(crate) fn finish(&mut self) {
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
}

impl QuicReceiver {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream }
    }

    /// Waits for more and moves it to `reader`; false at the end. Safe to drop
    /// while it waits: nothing is lost.
    pub(crate) async fn feed(
        &mut self,
        reader: &mut MessageReader,
        clock: &Clock,
    ) -> Result<bool, ReadError> {
        let mut pieces = [const { Bytes::new() }; PIECES];
        match self.stream.read_chunks(&mut pieces).await? {
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
