//! The bytes of a stream, cut anywhere.

use antiphon_wire::message::{
    Envelope, MAX_BLOCK_DATA_BYTES, MAX_MESSAGE_BYTES, MAX_PROOF_BYTES, MessageError,
    MessageReader, encode_block_header, encode_message,
};
use bytes::Bytes;

use crate::script::{Script, pieces};

/// What stands before a message, and before the proof of a block.
const HEADERS_BYTES: usize = 5 + 6;

/// Any bytes in any cut give the same messages and the same end, they encode to
/// the bytes they came from, and a reader that is drained holds less than one.
///
/// Input: cuts (length u8 and bytes), the longest message u16, the stream.
pub fn messages(data: &[u8]) {
    let mut script = Script::new(data);
    let cuts = script.piece();
    let max_message_bytes = usize::from(script.u16()).min(MAX_MESSAGE_BYTES);
    let stream = script.rest();

    let whole = read(max_message_bytes, std::iter::once(stream));
    let cut = read(max_message_bytes, pieces(cuts, stream));
    assert_eq!(whole.0, cut.0, "the messages depend on the cut");
    assert_eq!(whole.1, cut.1, "the end depends on the cut");

    let written: Vec<u8> = whole.0.iter().flat_map(encode).collect();
    assert!(stream.starts_with(&written), "the messages are not what came");
    match whole.1 {
        Ok(()) => assert_eq!(written.len(), stream.len(), "bytes are lost"),
        Err(MessageError::Cut(left)) => assert_eq!(written.len() + left, stream.len()),
        Err(_) => {}
    }
}

fn read<'data>(
    max_message_bytes: usize,
    pieces: impl Iterator<Item = &'data [u8]>,
) -> (Vec<Envelope>, Result<(), MessageError>) {
    let largest = max_message_bytes.max(MAX_PROOF_BYTES + MAX_BLOCK_DATA_BYTES) + HEADERS_BYTES;
    let mut reader = MessageReader::new(max_message_bytes);
    let mut envelopes = Vec::new();
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.next() {
                Ok(Some(envelope)) => {
                    check_bounds(&envelope, max_message_bytes);
                    envelopes.push(envelope);
                }
                Ok(None) => break,
                Err(error) => {
                    reader.push(Bytes::from_static(b"more"));
                    assert_eq!(reader.next(), Err(error), "the error is forgotten");
                    assert_eq!((reader.buffered(), reader.finish()), (0, Err(error)));
                    return (envelopes, Err(error));
                }
            }
        }
        assert!(reader.buffered() < largest, "{} bytes are held", reader.buffered());
        assert!(!reader.block_bytes_begun() || reader.buffered() > HEADERS_BYTES);
    }
    (envelopes, reader.finish())
}

fn check_bounds(envelope: &Envelope, max_message_bytes: usize) {
    match envelope {
        Envelope::Message(body) => assert!(body.len() <= max_message_bytes),
        Envelope::Block { proof, data, .. } => {
            assert!((1..=MAX_BLOCK_DATA_BYTES).contains(&data.len()));
            assert!(proof.len() <= MAX_PROOF_BYTES);
        }
    }
}

fn encode(envelope: &Envelope) -> Vec<u8> {
    match envelope {
        Envelope::Message(body) => encode_message(body).to_vec(),
        Envelope::Block { index, proof, data } => {
            [&encode_block_header(*index, proof, data.len()), &data[..]].concat()
        }
    }
}
