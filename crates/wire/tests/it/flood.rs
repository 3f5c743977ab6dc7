//! Much of what costs the sender little: each flood ends with its name, and
//! what is within the rate does not.
//! (Cases F4, F5, M1, M2 and M5 of the threat list stand in the names.)

use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::frame::Frame;
use antiphon_wire::mux::{ConnectionError, Limits, Mux, Rate, Role, StreamId};
use antiphon_wire::{CloseCode, reset_code};
use bytes::Bytes;

use crate::pair::{all_frames, record};

fn responder() -> Mux {
    Mux::new(Role::Responder, Limits::default(), Timestamp::ZERO)
}

fn open(number: u32) -> Frame {
    Frame::Open { stream: StreamId::new(number), class: Class::Now }
}

fn reset(number: u32) -> Frame {
    Frame::Reset { stream: StreamId::new(number), code: reset_code::CANCELLED }
}

/// Records until the connection fails, `interval` apart; how many were borne,
/// and why it failed. The owner drains events and the socket takes all.
fn borne(
    interval: Duration,
    most: u32,
    frames: impl Fn(u32) -> Vec<Frame>,
) -> (u32, Option<ConnectionError>) {
    let mut mux = responder();
    let mut now = Timestamp::ZERO;
    for count in 0..most {
        if let Err(error) = mux.handle_record(now, record(&frames(count))) {
            assert!(error.is_peer_fault());
            return (count, Some(error));
        }
        while mux.poll_event().is_some() {}
        all_frames(&mut mux, now);
        now = now + interval;
    }
    (most, None)
}

#[test]
fn m1_rapid_reset_ends_the_connection() {
    let (count, error) =
        borne(Duration::ZERO, 10_000, |count| vec![open(2 * count + 1), reset(2 * count + 1)]);
    assert_eq!((count, error), (400, Some(ConnectionError::ResetsTooFast)));
}

#[test]
fn m1_cancelling_a_track_now_and_then_is_no_attack() {
    let skip = |count: u32| {
        let first = 128 * count;
        (0..64).flat_map(|i| [open(first + 2 * i + 1), reset(first + 2 * i + 1)]).collect()
    };
    assert_eq!(borne(Duration::from_millis(400), 100, skip), (100, None));
}

#[test]
fn m1_opening_too_fast_ends_the_connection() {
    let limits = Limits { opens: Rate { per_second: 10, burst: 20 }, ..Limits::default() };
    let mut mux = Mux::new(Role::Responder, limits, Timestamp::ZERO);
    let opens: Vec<_> = (0..21).map(|i| open(2 * i + 1)).collect();
    assert_eq!(mux.handle_record(Timestamp::ZERO, record(&opens[..20])), Ok(()));
    let outcome = mux.handle_record(Timestamp::ZERO, record(&opens[20..]));
    assert_eq!(outcome, Err(ConnectionError::OpensTooFast));
}

#[test]
fn m5_too_many_streams_at_once_end_the_connection() {
    let mut mux = responder();
    let opens: Vec<_> = (0..129).map(|i| open(2 * i + 1)).collect();
    assert_eq!(mux.handle_record(Timestamp::ZERO, record(&opens[..128])), Ok(()));
    let outcome = mux.handle_record(Timestamp::ZERO, record(&opens[128..]));
    assert_eq!(outcome, Err(ConnectionError::TooManyStreams(128)));
    assert_eq!(outcome.unwrap_err().code(), CloseCode::TOO_MANY_STREAMS);
}

#[test]
fn f4_empty_frames_without_end_end_the_connection() {
    let stream = StreamId::new(1);
    let empty = |count: u32| {
        let frame = Frame::Data { stream, finish: false, payload: Bytes::new() };
        if count == 0 { vec![open(1)] } else { vec![frame] }
    };
    let flood = (501, Some(ConnectionError::EmptyFramesTooFast));
    assert_eq!(borne(Duration::ZERO, 10_000, empty), flood);
    assert_eq!(borne(Duration::from_millis(20), 10_000, empty), (10_000, None));
}

#[test]
fn f4_other_frames_that_carry_nothing_count_alike() {
    let flood = (500, Some(ConnectionError::EmptyFramesTooFast));
    assert_eq!(borne(Duration::ZERO, 10_000, |_| vec![Frame::Ignored]), flood);
    assert_eq!(borne(Duration::ZERO, 10_000, |_| vec![]), flood, "records");
    let go_away = Frame::GoAway { code: 0, reason: Bytes::new() };
    assert_eq!(borne(Duration::ZERO, 10_000, |_| vec![go_away.clone()]), flood);
}

#[test]
fn f5_pings_without_end_end_the_connection() {
    let ping = |count: u32| vec![Frame::Ping { token: u64::from(count) }];
    let flood = (20, Some(ConnectionError::PingsTooFast));
    assert_eq!(borne(Duration::ZERO, 10_000, ping), flood);
    assert_eq!(borne(Duration::from_millis(200), 1_000, ping), (1_000, None));
}

#[test]
fn f5_each_kib_of_data_explains_a_ping_behind_it() {
    let behind = |bytes: usize| {
        move |count: u32| {
            let number = 2 * (count / 100) + 1;
            let stream = StreamId::new(number);
            let payload = Bytes::from(vec![0; bytes]);
            let data = Frame::Data { stream, finish: false, payload };
            let ping = Frame::Ping { token: u64::from(count) };
            let first = count.is_multiple_of(100).then(|| open(number));
            first.into_iter().chain([data, ping]).collect()
        }
    };
    assert_eq!(borne(Duration::ZERO, 900, behind(1_024)), (900, None));
    let (count, error) = borne(Duration::ZERO, 900, behind(512));
    assert_eq!((count, error), (40, Some(ConnectionError::PingsTooFast)));
}

#[test]
fn f5_data_explains_no_more_pings_than_can_be_under_way() {
    let data_then_pings = |count: u32| {
        let stream = StreamId::new(1);
        let payload = Bytes::from(vec![0; 17_000]);
        match count {
            0 => vec![open(1)],
            1..=10 => vec![Frame::Data { stream, finish: false, payload }],
            _ => vec![Frame::Ping { token: u64::from(count) }],
        }
    };
    let (count, error) = borne(Duration::ZERO, 1_000, data_then_pings);
    assert_eq!((count, error), (11 + 64 + 20, Some(ConnectionError::PingsTooFast)));
}

#[test]
fn f5_pings_of_a_side_that_does_not_read_are_answered_once() {
    let mut mux = responder();
    let pings: Vec<_> = (0..20).map(|token| Frame::Ping { token }).collect();
    mux.handle_record(Timestamp::ZERO, record(&pings)).unwrap();
    assert_eq!(all_frames(&mut mux, Timestamp::ZERO), [Frame::Pong { token: 19 }]);
}

#[test]
fn f5_credit_in_crumbs_ends_the_connection() {
    let crumb = |_| vec![Frame::Credit { stream: StreamId::new(0), bytes: 1 }];
    let flood = (256, Some(ConnectionError::CreditTooOften));
    assert_eq!(borne(Duration::from_secs(1), 10_000, crumb), flood);
}

#[test]
fn f5_class_changes_without_end_end_the_connection() {
    let change = |count: u32| {
        let class = if count.is_multiple_of(2) { Class::Now } else { Class::Offline };
        let frame = Frame::Class { stream: StreamId::new(1), class };
        if count == 0 { vec![open(1)] } else { vec![frame] }
    };
    let flood = (301, Some(ConnectionError::ClassChangesTooFast));
    assert_eq!(borne(Duration::ZERO, 10_000, change), flood);
}

#[test]
fn m2_refusals_that_are_provoked_and_not_read_end_the_connection() {
    let mut mux = responder();
    // A side that goes away refuses every new stream.
    mux.go_away(CloseCode::SHUTDOWN, "");
    let mut count = 0;
    let error = loop {
        if let Err(error) = mux.handle_record(Timestamp::ZERO, record(&[open(2 * count + 1)])) {
            break error;
        }
        count += 1;
    };
    assert_eq!((count, error), (512, ConnectionError::TooManyPendingResets));
}

#[test]
fn m2_resets_that_bad_messages_provoke_and_that_are_not_read_end_the_connection() {
    let mut mux = responder();
    let mut now = Timestamp::ZERO;
    let mut count = 0;
    let error = loop {
        let id = StreamId::new(2 * count + 1);
        if let Err(error) = mux.handle_record(now, record(&[open(id.get())])) {
            break error;
        }
        // What came could not be read, says the application.
        mux.reset(id, reset_code::BAD_MESSAGE);
        while mux.poll_event().is_some() {}
        count += 1;
        // However slowly: what counts is what waits.
        now = now + Duration::from_millis(80);
    };
    assert_eq!((count, error), (512, ConnectionError::TooManyPendingResets));
    assert!(mux.memory_bytes() < 16 * 1024, "all is freed");
}

#[test]
fn m5_streams_whose_replies_are_not_read_stop_their_writers() {
    let mut mux = responder();
    let opens: Vec<_> = (0..128).map(|i| open(2 * i + 1)).collect();
    mux.handle_record(Timestamp::ZERO, record(&opens)).unwrap();
    for i in 0..128 {
        let id = StreamId::new(2 * i + 1);
        let room = mux.writable_bytes(id);
        if room > 0 {
            mux.write(id, Bytes::from(vec![0; room])).unwrap();
        }
    }
    assert_eq!(mux.queued_bytes(), Limits::default().class_write_buffer_bytes);
}

#[test]
fn m5_streams_that_ended_unconsumed_are_bounded() {
    let mut mux = responder();
    let mut refused = 0;
    for i in 0..1_000 {
        let id = StreamId::new(2 * i + 1);
        let payload = Bytes::from_static(b"x");
        let data = Frame::Data { stream: id, finish: true, payload };
        mux.handle_record(Timestamp::ZERO, record(&[open(id.get()), data])).unwrap();
        mux.finish(id);
        let frames = all_frames(&mut mux, Timestamp::ZERO);
        let refusal = Frame::Reset { stream: id, code: reset_code::REFUSED };
        refused += usize::from(frames.contains(&refusal));
        assert!(mux.stream_count() <= 512);
    }
    assert_eq!(refused, 1_000 - 512);
    assert_eq!(mux.closed(), None, "the other side could not know");
}
