//! Silence, pings, and the round trip they measure.

use std::time::Duration;

use antiphon_types::{Class, Timestamp};
use antiphon_wire::CloseCode;
use antiphon_wire::frame::Frame;
use antiphon_wire::mux::{ConnectionError, Event, Limits};

use crate::pair::{Pair, next_frames, record};

#[test]
fn an_idle_connection_pings_and_stays_alive() {
    let mut pair = Pair::new(Limits::default());
    for _ in 0..20 {
        let due = pair.initiator.mux.poll_timeout().unwrap();
        assert_eq!(due.saturating_since(pair.now), Duration::from_secs(15));
        pair.now = due;
        pair.initiator.mux.handle_timeout(due);
        pair.settle();
    }
    assert_eq!(pair.initiator.mux.closed(), None);
    assert_eq!(pair.initiator.mux.rtt(), Some(Duration::ZERO));
}

#[test]
fn the_round_trip_is_what_a_ping_took() {
    let mut pair = Pair::new(Limits::default());
    pair.initiator.mux.ping(pair.now);
    let ping = next_frames(&mut pair.initiator.mux, pair.now);
    pair.wait(Duration::from_millis(50));
    pair.responder.mux.handle_record(pair.now, record(&ping)).unwrap();
    let pong = next_frames(&mut pair.responder.mux, pair.now);
    pair.initiator.mux.handle_record(pair.now, record(&pong)).unwrap();
    let round_trip = Duration::from_millis(50);
    assert_eq!(pair.initiator.mux.poll_event(), Some(Event::Pong { round_trip }));
    assert_eq!(pair.initiator.mux.rtt(), Some(round_trip));

    pair.initiator.mux.ping(pair.now);
    pair.settle();
    assert_eq!(pair.initiator.mux.rtt(), Some(round_trip * 7 / 8), "smoothed");
}

#[test]
fn silence_ends_the_connection() {
    let mut pair = Pair::new(Limits::default());
    pair.initiator.mux.open(Class::Now).unwrap();
    let mut now = Timestamp::ZERO;
    while pair.initiator.mux.closed().is_none() {
        now = pair.initiator.mux.poll_timeout().unwrap();
        pair.initiator.mux.handle_timeout(now);
    }
    assert_eq!(now, Timestamp::from_millis(45_000));
    assert_eq!(pair.initiator.mux.closed(), Some(ConnectionError::IdleTimeout));
    let last = next_frames(&mut pair.initiator.mux, now);
    assert!(matches!(last[..], [Frame::GoAway { code, .. }] if code == CloseCode::IDLE.0));
}

#[test]
fn time_that_runs_back_is_the_latest_time_seen() {
    let mut pair = Pair::new(Limits::default());
    let late = Timestamp::from_millis(30_000);
    let ping = record(&[Frame::Ping { token: 1 }]);
    pair.initiator.mux.handle_record(late, ping.clone()).unwrap();
    pair.initiator.mux.handle_record(Timestamp::ZERO, ping).unwrap();
    assert_eq!(pair.initiator.mux.poll_timeout(), Some(late + Duration::from_secs(15)));
}
