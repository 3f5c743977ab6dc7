//! The plaintext of a record.

use antiphon_wire::frame::{
    FRAME_HEADER_BYTES, Frame, FrameError, MAX_FRAME_PAYLOAD_BYTES, MAX_REASON_BYTES,
};
use bytes::{Bytes, BytesMut};

/// A frame that decodes has one encoding, the bytes it came from; a frame that
/// is cut is no frame; and nothing is longer than its bound.
///
/// Input: the plaintext of a record.
pub fn frames(data: &[u8]) {
    let mut record = Bytes::copy_from_slice(data);
    while !record.is_empty() {
        let before = record.clone();
        let Ok(frame) = Frame::decode(&mut record) else { return };
        let bytes = before.slice(..before.len() - record.len());
        check_bounds(&frame);
        check_cut(&bytes);
        check_encoding(&frame, &bytes);
    }
}

fn check_bounds(frame: &Frame) {
    match frame {
        Frame::Data { payload, .. } => assert!(payload.len() <= MAX_FRAME_PAYLOAD_BYTES),
        Frame::GoAway { reason, .. } => assert!(reason.len() <= MAX_REASON_BYTES),
        _ => {}
    }
}

fn check_cut(bytes: &Bytes) {
    for length in [bytes.len() - 1, FRAME_HEADER_BYTES - 1, 0] {
        let mut cut = bytes.slice(..length);
        assert_eq!(Frame::decode(&mut cut), Err(FrameError::Truncated));
    }
}

fn check_encoding(frame: &Frame, bytes: &Bytes) {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    if *frame == Frame::Ignored {
        assert!(out.len() <= bytes.len());
    } else {
        assert_eq!(out, bytes, "{frame:?} has two encodings");
    }
    let mut out = out.freeze();
    assert_eq!(Frame::decode(&mut out).as_ref(), Ok(frame));
    assert!(out.is_empty());
}
