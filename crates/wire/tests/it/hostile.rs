//! Frames that a correct other side never sends: each ends with its name.
//! (Cases F1, F3, F6, M4, M6, M7 and M8 of the threat list stand in the names.)

use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::frame::{Frame, FrameError};
use antiphon_wire::mux::{ConnectionError, Event, Limits, Mux, Rate, Role, StreamId};
use antiphon_wire::record::MAX_PLAINTEXT_BYTES;
use bytes::Bytes;

use crate::pair::{Pair, next_frames, record};

fn responder() -> Mux {
    Mux::new(Role::Responder, Limits::default(), Timestamp::ZERO)
}

fn id(number: u32) -> StreamId {
    StreamId::new(number)
}

fn open(number: u32) -> Frame {
    Frame::Open { stream: id(number), class: Class::Now }
}

fn data(number: u32, bytes: usize) -> Frame {
    Frame::Data { stream: id(number), finish: false, payload: Bytes::from(vec![0; bytes]) }
}

fn finish(number: u32) -> Frame {
    Frame::Data { stream: id(number), finish: true, payload: Bytes::new() }
}

/// What a responder says to these frames in one record.
fn verdict(frames: &[Frame]) -> Result<(), ConnectionError> {
    raw_verdict(record(frames))
}

fn raw_verdict(plaintext: Bytes) -> Result<(), ConnectionError> {
    let mut mux = responder();
    let outcome = mux.handle_record(Timestamp::ZERO, plaintext);
    assert_eq!(mux.closed(), outcome.err());
    if outcome.is_err() {
        assert_eq!((mux.stream_count(), mux.unconsumed_bytes()), (0, 0), "all is freed");
    }
    outcome
}

#[test]
fn f1_a_length_beyond_the_record_is_refused() {
    // The header announces 65535 bytes, and nothing follows.
    let plaintext = Bytes::from_static(&[2, 0, 0xff, 0xff, 0, 0, 0, 1]);
    assert_eq!(raw_verdict(plaintext), Err(FrameError::Truncated.into()));
    let plaintext = Bytes::from(vec![0; MAX_PLAINTEXT_BYTES + 1]);
    let error = ConnectionError::RecordTooLong(MAX_PLAINTEXT_BYTES + 1);
    assert_eq!(raw_verdict(plaintext), Err(error));
}

#[test]
fn f6_lengths_at_their_edges_are_refused() {
    for (kind, length) in
        [(1, 0), (1, 2), (2, 17_409), (3, 3), (3, 5), (4, 0), (5, 2), (6, 7), (7, 3), (7, 133)]
    {
        let stream = u8::from(kind < 6);
        let mut plaintext = vec![kind, 0];
        plaintext.extend((length as u16).to_be_bytes());
        plaintext.extend([0, 0, 0, stream]);
        plaintext.resize(8 + length, 0);
        let error = FrameError::Length { kind, length };
        assert_eq!(raw_verdict(plaintext.into()), Err(error.into()));
    }
}

#[test]
fn f6_numbers_at_their_edges_are_errors_or_borne() {
    let edges = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    for kind in 0..=u8::MAX {
        for (flags, stream) in [(0, 0), (0, 1), (1, 0), (1, 1), (0, u32::MAX), (0xff, u32::MAX)] {
            for length in [0, 1, 4, 8, 132, 133, 17_408, u16::MAX - 1, u16::MAX] {
                for number in edges {
                    let mut plaintext = vec![kind, flags];
                    plaintext.extend(length.to_be_bytes());
                    plaintext.extend(stream.to_be_bytes());
                    plaintext.extend(number.to_be_bytes());
                    plaintext.extend(number.to_be_bytes());
                    let mut frames = record(&[open(1)]).to_vec();
                    frames.extend(plaintext);
                    let outcome = raw_verdict(frames.into());
                    assert!(outcome.is_ok() || outcome.unwrap_err().is_peer_fault() || kind == 7);
                }
            }
        }
    }
}

#[test]
fn f6_limits_at_their_edges_never_panic_or_hang() {
    let rate = |edge: u32| Rate { per_second: edge, burst: edge.max(4) };
    for (small, edge, time) in [(0, 0, Duration::ZERO), (usize::MAX, u32::MAX, Duration::MAX)] {
        let limits = Limits {
            max_remote_streams: edge.max(1),
            max_local_streams: edge.max(1),
            opens: rate(edge),
            resets: rate(edge),
            max_pending_resets: small.max(1),
            empty_frames: rate(edge),
            pings: rate(edge),
            class_changes: rate(edge),
            spare_credit_frames: edge,
            stream_window_bytes: edge,
            max_stream_window_bytes: edge,
            connection_window_bytes: edge,
            max_connection_window_bytes: edge,
            stream_write_buffer_bytes: small,
            class_write_buffer_bytes: small,
            starvation_bytes: small as u64,
            background_delay: Some(time),
            initial_background_bytes: small as u64,
            min_background_bytes: small as u64,
            keep_alive: time,
            idle_timeout: time,
            idle_before_small: time,
            small_record_bytes: small,
            small_record_burst_bytes: small as u64,
            small_record_stream_bytes: small as u64,
            small_record_min_rtt: time,
        };
        let mut pair = Pair::new(limits);
        let id = pair.initiator.mux.open(Class::Offline).unwrap();
        for _ in 0..10 {
            pair.initiator.mux.write(id, Bytes::from_static(b"x")).unwrap();
            pair.settle();
        }
        pair.initiator.mux.finish(id);
        pair.settle();
        assert_eq!(pair.responder.seen.data[&id].len(), 10);
        pair.initiator.mux.handle_timeout(Timestamp::MAX);
        assert!(pair.initiator.mux.closed().is_some());
    }
}

#[test]
fn f3_unknown_types_are_skipped_only_if_they_say_so() {
    let unknown = |kind: u8| vec![kind, 0xff, 0, 3, 0, 0, 0, 9, 1, 2, 3];
    assert_eq!(raw_verdict(unknown(0x08).into()), Err(FrameError::Type(0x08).into()));
    assert_eq!(raw_verdict(unknown(0x00).into()), Err(FrameError::Type(0x00).into()));

    let mut plaintext = unknown(0xff);
    plaintext.extend_from_slice(&record(&[open(1)]));
    let mut mux = responder();
    mux.handle_record(Timestamp::ZERO, plaintext.into()).unwrap();
    assert!(matches!(mux.poll_event(), Some(Event::Opened { .. })), "what follows is read");
}

#[test]
fn f3_reserved_flags_are_refused() {
    for (kind, flags) in [(1u8, 1u8), (2, 2), (3, 1), (4, 0x80), (6, 3), (7, 1)] {
        let plaintext = vec![kind, flags, 0, 0, 0, 0, 0, 1];
        assert_eq!(raw_verdict(plaintext.into()), Err(FrameError::Flags { kind, flags }.into()));
    }
}

#[test]
fn m7_stream_zero_is_the_connection_and_nothing_else() {
    for frame in [open(0), data(0, 1), Frame::Reset { stream: id(0), code: 0 }] {
        let outcome = verdict(&[frame]);
        assert!(matches!(outcome, Err(ConnectionError::Frame(FrameError::Stream { .. }))));
    }
    let ping_on_a_stream = vec![6, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let outcome = raw_verdict(ping_on_a_stream.into());
    assert_eq!(outcome, Err(FrameError::Stream { kind: 6, stream: id(1) }.into()));
}

#[test]
fn f3_a_class_that_does_not_exist_is_refused() {
    let plaintext = Bytes::from_static(&[1, 0, 0, 1, 0, 0, 0, 1, 4]);
    assert_eq!(raw_verdict(plaintext), Err(FrameError::Class(4).into()));
}

#[test]
fn m7_misused_stream_ids_are_refused() {
    assert_eq!(verdict(&[open(2)]), Err(ConnectionError::WrongParity(id(2))));
    assert_eq!(verdict(&[open(1), open(1)]), Err(ConnectionError::StreamReused(id(1))));
    assert_eq!(verdict(&[open(5), open(3)]), Err(ConnectionError::StreamReused(id(3))));
    assert_eq!(verdict(&[open(u32::MAX), open(1)]), Err(ConnectionError::StreamReused(id(1))));
    assert_eq!(verdict(&[data(1, 1)]), Err(ConnectionError::UnknownStream(id(1))));
    assert_eq!(verdict(&[open(1), data(3, 1)]), Err(ConnectionError::UnknownStream(id(3))));
    let reset = Frame::Reset { stream: id(2), code: 0 };
    assert_eq!(verdict(&[reset]), Err(ConnectionError::UnknownStream(id(2))));
    let credit = Frame::Credit { stream: id(9), bytes: 1 };
    assert_eq!(verdict(&[credit]), Err(ConnectionError::UnknownStream(id(9))));
}

#[test]
fn m7_a_stream_that_was_not_announced_cannot_be_guessed() {
    let mut mux = responder();
    let hidden = mux.open(Class::Now).unwrap();
    let frame = Frame::Data { stream: hidden, finish: false, payload: Bytes::from_static(b"x") };
    let outcome = mux.handle_record(Timestamp::ZERO, record(&[frame]));
    assert_eq!(outcome, Err(ConnectionError::UnknownStream(hidden)));
}

#[test]
fn m7_the_last_id_ends_the_ids_and_nothing_wraps() {
    let mut mux = responder();
    mux.handle_record(Timestamp::ZERO, record(&[open(u32::MAX)])).unwrap();
    mux.handle_record(Timestamp::ZERO, record(&[data(u32::MAX, 10)])).unwrap();
    let outcome = mux.handle_record(Timestamp::ZERO, record(&[open(u32::MAX)]));
    assert_eq!(outcome, Err(ConnectionError::StreamReused(id(u32::MAX))));
}

#[test]
fn m7_data_after_the_end_of_a_stream_is_refused() {
    let frames = [open(1), finish(1), data(1, 1)];
    assert_eq!(verdict(&frames), Err(ConnectionError::DataAfterEnd(id(1))));
    let reset = Frame::Reset { stream: id(1), code: 0 };
    let frames = [open(1), reset, data(1, 1)];
    assert_eq!(verdict(&frames), Err(ConnectionError::DataAfterEnd(id(1))));
}

#[test]
fn data_on_a_cancelled_stream_is_borne_only_as_far_as_its_credit_went() {
    let mut mux = responder();
    mux.handle_record(Timestamp::ZERO, record(&[open(1)])).unwrap();
    mux.reset(id(1), 0);
    let late = record(&[data(1, 16_000), data(1, 16_000)]);
    for _ in 0..8 {
        mux.handle_record(Timestamp::ZERO, late.clone()).unwrap();
        next_frames(&mut mux, Timestamp::ZERO);
    }
    let outcome = mux.handle_record(Timestamp::ZERO, late);
    assert_eq!(outcome, Err(ConnectionError::DataAfterEnd(id(1))));
}

#[test]
fn m8_data_beyond_the_credit_of_a_stream_is_refused() {
    let frames: Vec<_> = std::iter::once(open(1)).chain((0..3).map(|_| data(1, 17_000))).collect();
    let more = record(&[data(1, 17_000), data(1, 17_000), data(1, 17_000)]);
    let mut mux = responder();
    mux.handle_record(Timestamp::ZERO, record(&frames)).unwrap();
    let error = (0..10).find_map(|_| mux.handle_record(Timestamp::ZERO, more.clone()).err());
    assert_eq!(error, Some(ConnectionError::StreamCreditExceeded(id(1))));
}

#[test]
fn m8_data_beyond_the_credit_of_the_connection_is_refused() {
    let mut mux = responder();
    let mut error = None;
    for number in (1..200).step_by(2) {
        let frames = [open(number), data(number, 17_000), data(number, 17_000)];
        error = error.or(mux.handle_record(Timestamp::ZERO, record(&frames)).err());
        assert!(mux.unconsumed_bytes() <= 1 << 20);
    }
    assert_eq!(error, Some(ConnectionError::ConnectionCreditExceeded));
}

#[test]
fn m6_a_byte_in_a_frame_of_its_own_pays_for_the_frame() {
    let mut mux = responder();
    let mut frames = vec![data(1, 1); 1_000];
    frames.insert(0, open(1));
    let mut taken = 0;
    while mux.handle_record(Timestamp::ZERO, record(&frames)).is_ok() {
        taken += 1_000;
        frames = vec![data(1, 1); 1_000];
    }
    assert_eq!(mux.closed(), Some(ConnectionError::StreamCreditExceeded(id(1))));
    assert!(taken <= 256 * 1024 / 65, "{taken} frames were kept");
}

#[test]
fn m4_credit_that_overflows_or_is_nothing_is_refused() {
    let credit = |stream: u32, bytes: u32| Frame::Credit { stream: id(stream), bytes };
    let bad =
        |stream: u32, bytes: u32| Err(ConnectionError::BadCredit { stream: id(stream), bytes });
    assert_eq!(verdict(&[credit(0, u32::MAX)]), bad(0, u32::MAX));
    assert_eq!(verdict(&[credit(0, 0)]), bad(0, 0));
    assert_eq!(verdict(&[open(1), credit(1, 1 << 31)]), bad(1, 1 << 31));
    let half = (1 << 30) + 1;
    assert_eq!(verdict(&[open(1), credit(1, half), credit(1, half)]), bad(1, half));
    assert_eq!(verdict(&[credit(0, 1 << 30)]), Ok(()));
}

#[test]
fn only_who_opened_a_stream_changes_its_class() {
    let mut mux = responder();
    let own = mux.open(Class::Offline).unwrap();
    next_frames(&mut mux, Timestamp::ZERO);
    let frame = Frame::Class { stream: own, class: Class::Now };
    let outcome = mux.handle_record(Timestamp::ZERO, record(&[frame]));
    assert_eq!(outcome, Err(ConnectionError::NotItsOpener(own)));
}

#[test]
fn an_answer_to_no_ping_is_refused() {
    assert_eq!(verdict(&[Frame::Pong { token: 0 }]), Err(ConnectionError::UnexpectedPong));
}
