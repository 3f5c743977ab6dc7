//! Streams and connections from begin to end.

use antiphon_types::{Class, Timestamp};
use antiphon_wire::frame::Frame;
use antiphon_wire::mux::{ConnectionError, Event, Limits, OpenError, WriteError};
use antiphon_wire::{CloseCode, StreamId, reset_code};
use bytes::Bytes;

use crate::pair::{Pair, all_frames, record};

#[test]
fn a_request_and_its_reply_leave_nothing_behind() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    pair.initiator.mux.write(id, Bytes::from_static(b"ask")).unwrap();
    pair.initiator.mux.finish(id);
    pair.settle();
    assert_eq!(pair.responder.seen.data[&id], b"ask");
    assert_eq!(pair.responder.seen.finished, [id]);
    pair.responder.mux.write(id, Bytes::from_static(b"answer")).unwrap();
    pair.responder.mux.finish(id);
    pair.settle();
    assert_eq!(pair.initiator.seen.data[&id], b"answer");
    assert_eq!(pair.initiator.mux.stream_count() + pair.responder.mux.stream_count(), 0);
    assert_eq!(pair.initiator.mux.write(id, Bytes::new()), Err(WriteError::NotOpen(id)));
}

#[test]
fn both_sides_open_streams_of_their_own_parity() {
    let mut pair = Pair::new(Limits::default());
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(pair.initiator.mux.open(Class::Now).unwrap().get());
        ids.push(pair.responder.mux.open(Class::Now).unwrap().get());
    }
    assert_eq!(ids, [1, 2, 3, 4]);
}

#[test]
fn an_empty_stream_finishes() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Control).unwrap();
    pair.initiator.mux.finish(id);
    pair.responder.drain_events();
    pair.settle();
    assert_eq!(pair.responder.seen.finished, [id]);
    let again = pair.initiator.mux.write(id, Bytes::from_static(b"late"));
    assert_eq!(again, Err(WriteError::Finished(id)));
}

#[test]
fn commands_on_streams_that_are_not_there_do_nothing() {
    let mut pair = Pair::new(Limits::default());
    for number in [0, 1, 2, 77, u32::MAX] {
        let id = StreamId::new(number);
        let mux = &mut pair.initiator.mux;
        mux.finish(id);
        mux.reset(id, 1);
        mux.set_class(id, Class::Offline);
        mux.consume(id, usize::MAX);
        assert_eq!(mux.writable_bytes(id), 0);
        assert_eq!(mux.write(id, Bytes::from_static(b"x")), Err(WriteError::NotOpen(id)));
    }
    assert_eq!(all_frames(&mut pair.initiator.mux, Timestamp::ZERO), []);
}

#[test]
fn consuming_more_than_came_is_consuming_all() {
    let mut pair = Pair::new(Limits::default());
    pair.responder.consumes = false;
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    for _ in 0..50 {
        pair.initiator.mux.write(id, Bytes::from(vec![0; 100_000])).unwrap();
        pair.settle();
        pair.responder.mux.consume(id, usize::MAX);
        pair.settle();
    }
    assert_eq!(pair.responder.seen.data[&id].len(), 5_000_000);
}

#[test]
fn go_away_refuses_new_streams_and_lets_old_ones_finish() {
    let mut pair = Pair::new(Limits::default());
    let old = pair.initiator.mux.open(Class::Now).unwrap();
    pair.settle();
    pair.responder.mux.go_away(CloseCode::SHUTDOWN, "update\n");
    let crossing = pair.initiator.mux.open(Class::Now).unwrap();
    pair.settle();

    let reason = "update\u{fffd}".to_owned();
    assert!(
        pair.initiator.seen.others.contains(&Event::GoAway { code: CloseCode::SHUTDOWN, reason })
    );
    assert_eq!(pair.initiator.seen.reset[&crossing], reset_code::REFUSED);
    assert_eq!(pair.responder.seen.opened, [old], "nobody heard of the other");
    assert_eq!(pair.initiator.mux.open(Class::Now), Err(OpenError::GoingAway));
    assert_eq!(pair.responder.mux.open(Class::Now), Err(OpenError::GoingAway));

    pair.initiator.mux.write(old, Bytes::from_static(b"still")).unwrap();
    pair.initiator.mux.finish(old);
    pair.responder.mux.finish(old);
    assert!(!pair.responder.mux.is_drained());
    pair.settle();
    assert_eq!(pair.responder.seen.data[&old], b"still");
    assert!(pair.initiator.mux.is_drained() && pair.responder.mux.is_drained());
}

#[test]
fn a_close_with_an_error_ends_both_sides() {
    let mut pair = Pair::new(Limits::default());
    pair.initiator.mux.open(Class::Now).unwrap();
    let code = CloseCode(CloseCode::APPLICATION.0 + 7);
    let go_away = Frame::GoAway { code: code.0, reason: Bytes::from_static(b"banned") };
    let outcome = pair.initiator.mux.handle_record(pair.now, record(&[go_away]));
    assert_eq!(outcome, Err(ConnectionError::ClosedByPeer(code)));
    assert_eq!(pair.initiator.mux.closed(), outcome.err());
    let event = pair.initiator.mux.poll_event();
    assert_eq!(event, Some(Event::GoAway { code, reason: "banned".to_owned() }));
    assert_eq!(all_frames(&mut pair.initiator.mux, pair.now), [], "no reply to a last word");
}

#[test]
fn f10_the_reason_of_a_stranger_cannot_write_to_a_terminal() {
    let mut pair = Pair::new(Limits::default());
    let reason = Bytes::from_static(b"\x1b[2J\r\n\0\xff\xe2\x80\xaegone");
    let go_away = Frame::GoAway { code: 0, reason };
    pair.initiator.mux.handle_record(pair.now, record(&[go_away])).unwrap();
    let Some(Event::GoAway { reason, .. }) = pair.initiator.mux.poll_event() else { panic!() };
    assert_eq!(reason, "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}gone");
}

#[test]
fn f10_a_long_reason_is_cut_between_characters() {
    let mut pair = Pair::new(Limits::default());
    pair.initiator.mux.go_away(CloseCode::SHUTDOWN, &"ü".repeat(200));
    pair.initiator.mux.go_away(CloseCode::SHUTDOWN, &format!("a{}", "ü".repeat(200)));
    pair.settle();
    let reason = format!("a{}", "ü".repeat(63));
    assert_eq!(pair.responder.seen.others, [Event::GoAway { code: CloseCode::SHUTDOWN, reason }]);
}

#[test]
fn streams_beyond_the_bound_are_not_opened() {
    let mut pair = Pair::new(Limits { max_local_streams: 3, ..Limits::default() });
    let ids: Vec<_> = (0..3).map(|_| pair.initiator.mux.open(Class::Now).unwrap()).collect();
    assert_eq!(pair.initiator.mux.open(Class::Now), Err(OpenError::TooMany(3)));
    pair.initiator.mux.reset(ids[1], 0);
    assert!(pair.initiator.mux.open(Class::Now).is_ok());
}

#[test]
fn a_failed_connection_refuses_everything_and_says_why_once() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.initiator.mux.open(Class::Now).unwrap();
    pair.initiator.mux.write(id, Bytes::from(vec![0; 100_000])).unwrap();
    let error = pair.initiator.mux.handle_record(pair.now, Bytes::from_static(&[9])).unwrap_err();
    assert_eq!(error.code(), CloseCode::PROTOCOL);

    let mux = &mut pair.initiator.mux;
    assert_eq!((mux.queued_bytes(), mux.stream_count()), (0, 0));
    assert_eq!(mux.open(Class::Now), Err(OpenError::Failed));
    assert_eq!(mux.write(id, Bytes::new()), Err(WriteError::NotOpen(id)));
    assert_eq!(mux.handle_record(pair.now, Bytes::new()), Err(error));
    assert_eq!(mux.poll_timeout(), None);
    let last = all_frames(mux, pair.now);
    assert_eq!(last, [Frame::GoAway { code: CloseCode::PROTOCOL.0, reason: Bytes::new() }]);
}
