//! What can go wrong, and who is at fault.

use crate::code::CloseCode;
use crate::frame::{FrameError, StreamId};
use crate::record::MAX_PLAINTEXT_BYTES;

/// Why a connection is over. Mostly the other side broke the protocol or
/// attacks, see [`is_peer_fault`](Self::is_peer_fault).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A frame is malformed.
    #[error("malformed frame: {0}")]
    Frame(#[from] FrameError),
    /// A plaintext longer than a record can have.
    #[error("a record has at most {MAX_PLAINTEXT_BYTES} bytes of plaintext, not {0}")]
    RecordTooLong(usize),
    /// A frame for a stream that was never opened.
    #[error("stream {0} was never opened")]
    UnknownStream(StreamId),
    /// The other side opened a stream with an id of our parity.
    #[error("stream {0} has an id that only this side may open")]
    WrongParity(StreamId),
    /// The other side opened a stream with an id not above its last.
    #[error("stream {0} was opened again, or out of order")]
    StreamReused(StreamId),
    /// More data on a stream that had ended.
    #[error("data came on stream {0} after its end")]
    DataAfterEnd(StreamId),
    /// A class frame from the side that did not open the stream.
    #[error("the class of stream {0} is not the other side's to change")]
    NotItsOpener(StreamId),
    /// Data beyond the stream's credit.
    #[error("more data than stream {0} had credit for")]
    StreamCreditExceeded(StreamId),
    /// Data beyond the connection's credit.
    #[error("more data than the connection had credit for")]
    ConnectionCreditExceeded,
    /// Credit that adds up to more than its bound, or to nothing.
    #[error("credit of {bytes} bytes for stream {stream} is nothing or too much")]
    BadCredit {
        /// The stream, or 0 for the connection.
        stream: StreamId,
        /// What was to be added.
        bytes: u32,
    },
    /// More streams open at once than allowed.
    #[error("more than {0} streams open at once")]
    TooManyStreams(u32),
    /// Streams opened too fast.
    #[error("streams are opened too fast")]
    OpensTooFast,
    /// Streams reset too fast.
    #[error("streams are reset too fast")]
    ResetsTooFast,
    /// Too many resets wait to be sent: the other side provokes them and does
    /// not read.
    #[error("too many resets wait to be sent")]
    TooManyPendingResets,
    /// Too many frames or records that carry nothing.
    #[error("too many frames that carry nothing")]
    EmptyFramesTooFast,
    /// Pings too often.
    #[error("pings come too fast")]
    PingsTooFast,
    /// Classes changed too often.
    #[error("classes are changed too fast")]
    ClassChangesTooFast,
    /// More credit frames than what was sent explains.
    #[error("credit comes in too small pieces")]
    CreditTooOften,
    /// An answer to no ping.
    #[error("a ping was answered that was not sent")]
    UnexpectedPong,
    /// The other side closed, with an error. What it said is in
    /// [`Event::GoAway`](super::Event::GoAway).
    #[error("the other side closed: {0}")]
    ClosedByPeer(CloseCode),
    /// Nothing was heard for the idle time-out.
    #[error("nothing was heard for the idle time-out")]
    IdleTimeout,
    /// Other things were heard, but no answer to a ping.
    #[error("a ping was not answered within the idle time-out")]
    PingUnanswered,
}

impl ConnectionError {
    /// What the other side is told, or has told.
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Frame(_)
            | Self::RecordTooLong(_)
            | Self::UnknownStream(_)
            | Self::WrongParity(_)
            | Self::StreamReused(_)
            | Self::DataAfterEnd(_)
            | Self::NotItsOpener(_)
            | Self::UnexpectedPong => CloseCode::PROTOCOL,
            Self::StreamCreditExceeded(_)
            | Self::ConnectionCreditExceeded
            | Self::BadCredit { .. } => CloseCode::FLOW_CONTROL,
            Self::TooManyStreams(_) => CloseCode::TOO_MANY_STREAMS,
            Self::OpensTooFast
            | Self::ResetsTooFast
            | Self::TooManyPendingResets
            | Self::EmptyFramesTooFast
            | Self::PingsTooFast
            | Self::ClassChangesTooFast
            | Self::CreditTooOften => CloseCode::FLOOD,
            Self::IdleTimeout | Self::PingUnanswered => CloseCode::IDLE,
            Self::ClosedByPeer(code) => code,
        }
    }

    /// Whether the other side is to blame.
    pub const fn is_peer_fault(self) -> bool {
        !matches!(self, Self::IdleTimeout | Self::PingUnanswered | Self::ClosedByPeer(_))
    }
}

/// Why a stream cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many streams of this side are open as may be: finish or reset one.
    #[error("{0} streams are open, which is the most; finish or reset one first")]
    TooMany(u32),
    /// One of the sides has said go-away: open it on another connection.
    #[error("the connection is going away; open the stream on another one")]
    GoingAway,
    /// The connection has failed.
    #[error("the connection has failed; open the stream on another one")]
    Failed,
    /// All 2^31 ids are used.
    #[error("all stream ids of the connection are used; open the stream on another one")]
    IdsExhausted,
}

/// Why data cannot be queued. Nothing of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The stream is not open, or no more.
    #[error("stream {0} is not open")]
    NotOpen(StreamId),
    /// The stream was finished by this side.
    #[error("stream {0} was finished")]
    Finished(StreamId),
    /// The queue has less room than that:
    /// [`Event::Writable`](super::Event::Writable) will come.
    #[error("the queue takes {writable_bytes} bytes more; wait until it is writable")]
    Full {
        /// What it would take now.
        writable_bytes: usize,
    },
    /// The data would not even fit into an empty queue: write it in pieces.
    #[error("a queue takes at most {max_bytes} bytes; write smaller pieces")]
    TooLarge {
        /// What fits into an empty queue.
        max_bytes: usize,
    },
}
