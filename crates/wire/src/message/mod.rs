//! Messages: what the bytes of a stream are made of.
//!
//! ```text
//! +---------+----------------+------------------------------------------+
//! | kind u8 | length u32     | body, `length` bytes                     |
//! +---------+----------------+------------------------------------------+
//! kind 0, a message:  protobuf
//! kind 1, a block:    index u32 | proof length u16 | proof | data
//! ```
//!
//! All numbers are big-endian; other kinds are reserved and refused. Block
//! data stands outside protobuf and at the end, so that a sender appends it
//! without a copy and a receiver sees its first byte before its last.

mod chunks;
mod reader;

use bytes::{BufMut, Bytes, BytesMut};

pub use reader::{MessageError, MessageReader};

/// The largest message that a reader takes unless told otherwise.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The longest data of a block.
pub const MAX_BLOCK_DATA_BYTES: usize = antiphon_types::BLOCK_BYTES as usize;
/// The longest proof: 64 bytes for each of the 22 levels over the 2^22 blocks
/// of the largest blob, and some room.
pub const MAX_PROOF_BYTES: usize = 2048;

/// Length of kind and length.
const ENVELOPE_HEADER_BYTES: usize = 5;
/// Length of index and proof length.
const BLOCK_HEADER_BYTES: usize = 6;

const KIND_MESSAGE: u8 = 0;
const KIND_BLOCK: u8 = 1;

/// One thing said on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope {
    /// A protobuf message, not decoded.
    Message(Bytes),
    /// A block of a blob, not verified.
    Block {
        /// Which block of the blob the other side says it is.
        index: u32,
        /// What proves it against the blob's name.
        proof: Bytes,
        /// Its 1 to 16384 bytes.
        data: Bytes,
    },
}

/// A message with its envelope; `body` is encoded protobuf.
///
/// # Panics
///
/// On a body of 4 GiB. (Receivers take [`MAX_MESSAGE_BYTES`].)
pub fn encode_message(body: &[u8]) -> Bytes {
    let mut out = envelope(KIND_MESSAGE, body.len(), body.len());
    out.put_slice(body);
    out.freeze()
}

/// The same for a protobuf message that is not encoded yet.
///
/// # Panics
///
/// As [`encode_message`].
pub fn encode_protobuf(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = envelope(KIND_MESSAGE, length, length);
    message.encode_raw(&mut out);
    out.freeze()
}

/// Begins a message at the end of `out`, whose body is to be appended;
/// [`end_message`] ends it. So it is written once, where it is sent from, and
/// several make one buffer.
pub fn begin_message(out: &mut Vec<u8>) -> MessageBegin {
    let begin = MessageBegin(out.len());
    out.extend_from_slice(&[KIND_MESSAGE, 0, 0, 0, 0]);
    begin
}

/// Where a message began.
#[derive(Debug)]
#[must_use = "its length is not written yet"]
pub struct MessageBegin(usize);

/// Ends a message: all that was appended since [`begin_message`] is its body.
///
/// # Panics
///
/// As [`encode_message`]; or if `out` has become shorter than it was.
pub fn end_message(out: &mut [u8], MessageBegin(begin): MessageBegin) {
    let body = begin + ENVELOPE_HEADER_BYTES;
    let length = u32::try_from(out.len() - body).expect("no message of ours has 4 GiB");
    out[body - size_of::<u32>()..body].copy_from_slice(&length.to_be_bytes());
}

/// What stands before the data of a block; the `data_bytes` bytes of data
/// follow as a write of their own, so that they are not copied.
///
/// # Panics
///
/// If this is no block: no data or more than [`MAX_BLOCK_DATA_BYTES`], or a
/// proof longer than [`MAX_PROOF_BYTES`]. Every receiver would refuse it.
pub fn encode_block_header(index: u32, proof: &[u8], data_bytes: usize) -> Bytes {
    assert!((1..=MAX_BLOCK_DATA_BYTES).contains(&data_bytes), "{data_bytes} bytes are no block");
    assert!(proof.len() <= MAX_PROOF_BYTES, "{} bytes are no proof", proof.len());
    let header_bytes = BLOCK_HEADER_BYTES + proof.len();
    let mut out = envelope(KIND_BLOCK, header_bytes + data_bytes, header_bytes);
    out.put_u32(index);
    out.put_u16(u16::try_from(proof.len()).expect("a proof has at most 2048 bytes"));
    out.put_slice(proof);
    out.freeze()
}

/// The begin of an envelope whose body has `length` bytes, with room for
/// `here` of them.
fn envelope(kind: u8, length: usize, here: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(ENVELOPE_HEADER_BYTES + here);
    out.put_u8(kind);
    out.put_u32(u32::try_from(length).expect("no message of ours has 4 GiB"));
    out
}
