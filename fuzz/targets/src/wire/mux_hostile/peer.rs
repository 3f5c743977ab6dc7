//! The records of someone who knows the format and nothing of manners.

use std::collections::BTreeMap;

use antiphon_types::Class;
use antiphon_wire::frame::Frame;
use antiphon_wire::mux::{Role, StreamId};
use bytes::{Bytes, BytesMut};

use crate::script::Script;

/// Up to 255 frames, written by the script: the same frame over and over, or
/// each one anew.
pub(super) fn record(script: &mut Script<'_>, victim: Role, known: &[StreamId]) -> Bytes {
    let mut out = BytesMut::new();
    let count = script.byte() % 16;
    for _ in 0..=count {
        let times = script.byte();
        let frame = frame(script, victim, known);
        // Most frames come once; a flood is one byte away.
        for _ in 0..=times.saturating_sub(240) {
            frame.encode(&mut out);
        }
    }
    out.truncate(antiphon_wire::record::MAX_PLAINTEXT_BYTES);
    out.freeze()
}

fn frame(script: &mut Script<'_>, victim: Role, known: &[StreamId]) -> Frame {
    let kind = script.byte() % 10;
    let stream = stream(script, victim, known);
    match kind {
        0 | 1 => Frame::Open { stream, class: class(script) },
        2..=4 => {
            let finish = script.flag();
            let length =
                usize::from(script.u16()) % (antiphon_wire::frame::MAX_FRAME_PAYLOAD_BYTES + 1);
            Frame::Data { stream, finish, payload: Bytes::from(vec![0xa5; length]) }
        }
        5 => Frame::Reset { stream, code: script.u32() },
        6 => {
            let stream = if script.flag() { StreamId::new(0) } else { stream };
            Frame::Credit { stream, bytes: script.u32() >> (script.byte() % 32) }
        }
        7 => Frame::Class { stream, class: class(script) },
        8 if script.flag() => Frame::Ping { token: script.u64() },
        8 => Frame::Pong { token: script.byte().into() },
        _ if script.flag() => Frame::Ignored,
        _ => Frame::GoAway {
            code: script.byte().into(),
            reason: Bytes::copy_from_slice(script.piece()),
        },
    }
}

fn class(script: &mut Script<'_>) -> Class {
    Class::from_index(script.byte() % 4).expect("there are four")
}

/// A stream that is known, or a new one of the other side's parity, or any.
fn stream(script: &mut Script<'_>, victim: Role, known: &[StreamId]) -> StreamId {
    let choice = usize::from(script.byte());
    let theirs = u32::from(victim == Role::Responder);
    match choice {
        0..96 if !known.is_empty() => known[choice % known.len()],
        0..240 => StreamId::new(2 * u32::from(script.byte()) + theirs),
        _ => StreamId::new(script.u32()),
    }
}

/// The credit that a record gives: to streams, and to the connection as 0.
pub(super) fn credit_in(mut plaintext: Bytes) -> BTreeMap<StreamId, u64> {
    let mut credit = BTreeMap::new();
    while !plaintext.is_empty() {
        let Ok(frame) = Frame::decode(&mut plaintext) else { break };
        if let Frame::Credit { stream, bytes } = frame {
            *credit.entry(stream).or_default() += u64::from(bytes);
        }
    }
    credit
}
