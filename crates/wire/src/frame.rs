//! Frames: what the plaintext of a record is made of.
//!
//! Whole frames only, one after another, in network byte order:
//!
//! ```text
//! +---------+---------+-----------------+-----------------------------------+
//! | type u8 | flags u8| length u16      | stream u32                        |
//! +---------+---------+-----------------+-----------------------------------+
//! | payload, `length` bytes                                                 |
//! ```
//!
//! | type | name     | stream  | flags    | payload                                |
//! | ---- | -------- | ------- | -------- | -------------------------------------- |
//! | 0x01 | open     | new     | -        | class u8                               |
//! | 0x02 | data     | open    | 1 finish | 0 to 17408 bytes                       |
//! | 0x03 | reset    | open    | -        | code u32                               |
//! | 0x04 | credit   | open, 0 | -        | bytes u32, 1 or more; stream 0: of all |
//! | 0x05 | class    | open    | -        | class u8; only from who opened it      |
//! | 0x06 | ping     | 0       | 1 answer | token, 8 bytes                         |
//! | 0x07 | go away  | 0       | -        | code u32, reason in UTF-8, 0 to 128    |
//!
//! A type with the bit 0x80 that a receiver does not know is skipped; another
//! unknown type, and any flag not listed, ends the connection. Streams opened
//! by the initiator have odd ids, by the responder even ones, each greater than
//! the last.
//!
//! **Credit.** A data frame with bytes costs its length plus
//! [`FRAME_CREDIT_BYTES`], of the stream's and of the connection's credit. The
//! surcharge pays for what the receiver keeps beside the bytes; without it a
//! megabyte of credit would buy a million frames of one byte. Each side starts
//! with [`INITIAL_STREAM_CREDIT_BYTES`] per stream and
//! [`INITIAL_CONNECTION_CREDIT_BYTES`] in all.

use std::fmt;

use antiphon_types::Class;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length of what stands before each payload.
pub const FRAME_HEADER_BYTES: usize = 8;
/// The largest payload: a block of 16 KiB with its envelope and proof, so that
/// a block lies in one frame and need not be put together.
pub const MAX_FRAME_PAYLOAD_BYTES: usize = 17 * 1024;
/// What a data frame costs beyond its payload.
pub const FRAME_CREDIT_BYTES: u64 = 128;
/// Credit of a stream when it opens.
pub const INITIAL_STREAM_CREDIT_BYTES: u32 = 256 * 1024;
/// Credit of a connection when it begins.
pub const INITIAL_CONNECTION_CREDIT_BYTES: u32 = 1024 * 1024;
/// The largest credit that may stand open.
pub const MAX_CREDIT_BYTES: u64 = (1 << 31) - 1;
/// The longest reason of a go-away.
pub const MAX_REASON_BYTES: usize = 128;
/// The largest frame that carries no data.
pub(crate) const MAX_CONTROL_FRAME_BYTES: usize = FRAME_HEADER_BYTES + 4 + MAX_REASON_BYTES;

const OPEN: u8 = 0x01;
const DATA: u8 = 0x02;
const RESET: u8 = 0x03;
const CREDIT: u8 = 0x04;
const CLASS: u8 = 0x05;
const PING: u8 = 0x06;
const GO_AWAY: u8 = 0x07;
/// A receiver that does not know a type with this bit skips the frame.
const MAY_BE_IGNORED: u8 = 0x80;

/// The only flag: the last data of a stream, or the answer to a ping.
const FLAG: u8 = 0x01;

/// Which stream of a connection. Ids are not used twice.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    /// The stream with this number; 0 is the connection itself.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The record ends within a frame.
    #[error("a record ends within a frame")]
    Truncated,
    /// The length is not one that this type can have.
    #[error("a frame of type {kind:#04x} cannot have {length} bytes")]
    Length {
        /// The type.
        kind: u8,
        /// The length announced.
        length: usize,
    },
    /// A type that must be known, and is not.
    #[error("frame type {0:#04x} is not known and may not be ignored")]
    Type(u8),
    /// Flags that the type does not have.
    #[error("a frame of type {kind:#04x} cannot have flags {flags:#04x}")]
    Flags {
        /// The type.
        kind: u8,
        /// The flags.
        flags: u8,
    },
    /// A stream where there must be none, or none where there must be one.
    #[error("a frame of type {kind:#04x} cannot belong to stream {stream}")]
    Stream {
        /// The type.
        kind: u8,
        /// The stream.
        stream: StreamId,
    },
    /// A class that does not exist.
    #[error("there is no class {0}")]
    Class(u8),
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A stream begins.
    Open {
        /// The new stream.
        stream: StreamId,
        /// How urgent it is.
        class: Class,
    },
    /// Bytes of a stream.
    Data {
        /// The stream.
        stream: StreamId,
        /// Whether these are the last.
        finish: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// A stream ends at once, in both directions.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: u32,
    },
    /// More may be sent.
    Credit {
        /// The stream, or 0 for the connection.
        stream: StreamId,
        /// How many bytes more.
        bytes: u32,
    },
    /// A stream has become more or less urgent.
    Class {
        /// The stream.
        stream: StreamId,
        /// The new class.
        class: Class,
    },
    /// Asks for an answer.
    Ping {
        /// What the answer repeats.
        token: u64,
    },
    /// Answers a ping.
    Pong {
        /// The token of the ping.
        token: u64,
    },
    /// The sender takes no new streams, or closes at once.
    GoAway {
        /// Why.
        code: u32,
        /// Why, in words; not trusted.
        reason: Bytes,
    },
    /// A frame of a newer version that may be ignored.
    Ignored,
}

impl Frame {
    /// Takes the first frame off `record`; a payload is a slice of it.
    ///
    /// # Errors
    ///
    /// Any [`FrameError`]; `record` is then in no defined state.
    pub fn decode(record: &mut Bytes) -> Result<Self, FrameError> {
        if record.len() < FRAME_HEADER_BYTES {
            return Err(FrameError::Truncated);
        }
        let kind = record.get_u8();
        let flags = record.get_u8();
        let length = usize::from(record.get_u16());
        let stream = StreamId(record.get_u32());
        if record.len() < length {
            return Err(FrameError::Truncated);
        }
        check_header(kind, flags, length, stream)?;
        Ok(match kind {
            OPEN => Self::Open { stream, class: class(record.get_u8())? },
            DATA => {
                Self::Data { stream, finish: flags & FLAG != 0, payload: record.split_to(length) }
            }
            RESET => Self::Reset { stream, code: record.get_u32() },
            CREDIT => Self::Credit { stream, bytes: record.get_u32() },
            CLASS => Self::Class { stream, class: class(record.get_u8())? },
            PING if flags & FLAG != 0 => Self::Pong { token: record.get_u64() },
            PING => Self::Ping { token: record.get_u64() },
            GO_AWAY => Self::GoAway {
                code: record.get_u32(),
                reason: record.split_to(length.saturating_sub(4)),
            },
            _ => {
                record.advance(length);
                Self::Ignored
            }
        })
    }

    /// Appends the frame to `out`.
    ///
    /// The multiplexer never makes a payload or reason beyond its bound; what
    /// is too long for this call is cut off.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Open { stream, class } => put(out, OPEN, 0, *stream, &[class.index()]),
            Self::Data { stream, finish, payload } => {
                let payload = &payload[..payload.len().min(MAX_FRAME_PAYLOAD_BYTES)];
                put(out, DATA, u8::from(*finish), *stream, payload);
            }
            Self::Reset { stream, code } => put(out, RESET, 0, *stream, &code.to_be_bytes()),
            Self::Credit { stream, bytes } => put(out, CREDIT, 0, *stream, &bytes.to_be_bytes()),
            Self::Class { stream, class } => put(out, CLASS, 0, *stream, &[class.index()]),
            Self::Ping { token } => put(out, PING, 0, StreamId(0), &token.to_be_bytes()),
            Self::Pong { token } => put(out, PING, FLAG, StreamId(0), &token.to_be_bytes()),
            Self::GoAway { code, reason } => {
                let reason = &reason[..reason.len().min(MAX_REASON_BYTES)];
                put_header(out, GO_AWAY, 0, StreamId(0), 4 + reason.len());
                out.put_u32(*code);
                out.put_slice(reason);
            }
            Self::Ignored => put(out, MAY_BE_IGNORED, 0, StreamId(0), &[]),
        }
    }
}

/// Appends the header of a data frame whose payload the caller appends.
pub(crate) fn put_data_header(out: &mut BytesMut, stream: StreamId, finish: bool, length: usize) {
    put_header(out, DATA, u8::from(finish), stream, length);
}

fn put(out: &mut BytesMut, kind: u8, flags: u8, stream: StreamId, payload: &[u8]) {
    put_header(out, kind, flags, stream, payload.len());
    out.put_slice(payload);
}

fn put_header(out: &mut BytesMut, kind: u8, flags: u8, stream: StreamId, length: usize) {
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u16(u16::try_from(length).expect("no payload is longer than 17 KiB"));
    out.put_u32(stream.0);
}

fn class(index: u8) -> Result<Class, FrameError> {
    Class::from_index(index).ok_or(FrameError::Class(index))
}

/// Whether a type can have these flags, this length and this stream.
fn check_header(kind: u8, flags: u8, length: usize, stream: StreamId) -> Result<(), FrameError> {
    let (flags_known, lengths, streams) = match kind {
        OPEN | CLASS => (0, 1..=1, Streams::One),
        DATA => (FLAG, 0..=MAX_FRAME_PAYLOAD_BYTES, Streams::One),
        RESET => (0, 4..=4, Streams::One),
        CREDIT => (0, 4..=4, Streams::Any),
        PING => (FLAG, 8..=8, Streams::None),
        GO_AWAY => (0, 4..=4 + MAX_REASON_BYTES, Streams::None),
        _ if kind & MAY_BE_IGNORED != 0 => return Ok(()),
        _ => return Err(FrameError::Type(kind)),
    };
    if flags & !flags_known != 0 {
        return Err(FrameError::Flags { kind, flags });
    }
    if !lengths.contains(&length) {
        return Err(FrameError::Length { kind, length });
    }
    let fits = match streams {
        Streams::One => stream.0 != 0,
        Streams::None => stream.0 == 0,
        Streams::Any => true,
    };
    if fits { Ok(()) } else { Err(FrameError::Stream { kind, stream }) }
}

/// What a type says about its stream field.
enum Streams {
    One,
    None,
    Any,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of each type, as `docs/protocol.md` has them.
    fn vectors() -> Vec<(Frame, &'static [u8])> {
        let stream = StreamId(0x0102_0304);
        vec![
            (Frame::Open { stream, class: Class::Now }, &[1, 0, 0, 1, 1, 2, 3, 4, 1]),
            (
                Frame::Data { stream, finish: true, payload: Bytes::from_static(b"ab") },
                &[2, 1, 0, 2, 1, 2, 3, 4, b'a', b'b'],
            ),
            (Frame::Reset { stream, code: 5 }, &[3, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 5]),
            (Frame::Credit { stream, bytes: 256 }, &[4, 0, 0, 4, 1, 2, 3, 4, 0, 0, 1, 0]),
            (Frame::Class { stream, class: Class::Offline }, &[5, 0, 0, 1, 1, 2, 3, 4, 3]),
            (Frame::Ping { token: 7 }, &[6, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
            (Frame::Pong { token: 7 }, &[6, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
            (
                Frame::GoAway { code: 3, reason: Bytes::from_static(b"no") },
                &[7, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 3, b'n', b'o'],
            ),
            (Frame::Ignored, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        ]
    }

    #[test]
    fn each_frame_has_the_bytes_of_the_protocol_page() {
        for (frame, expected) in vectors() {
            let mut out = BytesMut::new();
            frame.encode(&mut out);
            assert_eq!(out.as_ref(), expected, "{frame:?}");
            let mut record = out.freeze();
            assert_eq!(Frame::decode(&mut record), Ok(frame));
            assert!(record.is_empty());
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_truncated() {
        for (frame, bytes) in vectors() {
            for cut in 0..bytes.len() {
                let mut record = Bytes::copy_from_slice(&bytes[..cut]);
                assert_eq!(
                    Frame::decode(&mut record),
                    Err(FrameError::Truncated),
                    "{frame:?} {cut}"
                );
            }
        }
    }

    #[test]
    fn no_control_frame_is_larger_than_its_bound() {
        let reason = Bytes::from(vec![b'x'; 2 * MAX_REASON_BYTES]);
        let mut out = BytesMut::new();
        Frame::GoAway { code: 0, reason }.encode(&mut out);
        assert_eq!(out.len(), MAX_CONTROL_FRAME_BYTES);
    }
}
