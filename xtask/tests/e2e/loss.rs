//! Others are lost in the middle of a play.

use crate::support::listener::ended;
use crate::support::{Service, music, wait_for};

/// Bytes of a second of the sink's samples.
const PCM_SECOND: u64 = 44_100 * 4;

/// At eight times the speed, music takes 1,280 kilobits a second: a peer gives a
/// little more.
#[cfg(target_os = "linux")]
const GIVING: u32 = 1_920;

#[cfg(target_os = "linux")]
#[test]
fn killing_the_only_other_peer_is_not_heard() {
    let (service, track) = (Service::start(), &music().middle);
    let a = service.listener("a").giving(GIVING);
    let holder = a.hold(track, &[]);
    let b = service.listener("b");
    let mut play = b.click(track, 8, &[]);
    b.wait_for_event("peer_up");
    b.wait_for_bytes(b.received() + 150_000);
    holder.kill();
    b.wait_for_event("peer_down");
    assert!(b.plays().is_empty(), "it was over before the peer was killed");

    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    let (peers, server) = (play.bytes("peers"), play.bytes("server"));
    assert!(peers > 0 && server > peers, "the peer gave {peers}, the server {server}");
    assert_eq!(b.events_of("server_down").len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn without_the_server_a_peer_carries_the_play_to_its_end() {
    let (mut service, track) = (Service::start(), &music().middle);
    let a = service.listener("a").giving(GIVING);
    let _holder = a.hold(track, &[]);
    let b = service.listener("b");
    let mut play = b.click(track, 8, &[]);
    b.wait_for_event("peer_up");
    b.wait_for_bytes(b.received() + 100_000);
    service.kill();
    b.wait_for_event("server_down");
    let at_the_kill = b.received();
    assert!(b.plays().is_empty(), "it was over before the server was killed");

    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    let (peers, server) = (play.bytes("peers"), play.bytes("server"));
    assert!(peers > 200_000, "{peers} bytes of the peer");
    assert!(server <= at_the_kill, "{server} bytes of a server that was gone");
}

#[test]
fn when_the_server_is_gone_the_buffer_plays_on_and_the_play_resumes_when_it_is_back() {
    let (mut service, track) = (Service::start(), &music().long);
    let b = service.listener("b");
    let file = service.folder().join("heard.pcm");
    let sink = format!("pcm:{}", file.display());
    let mut play = b.click(track, 16, &["--sink", &sink]);
    let heard = || std::fs::metadata(&file).map_or(0, |file| file.len()) / PCM_SECOND;
    wait_for("20 s of music", || (heard() >= 20).then_some(()));
    service.kill();
    let at_the_kill = heard();

    play.wait_for_words("waiting for the server");
    let at_the_stall = heard();
    // The server is asked 30 s ahead.
    assert!(at_the_stall >= at_the_kill + 20, "from {at_the_kill} s to {at_the_stall} s");
    assert!(at_the_stall < 95, "all of it was there");

    service.come_back();
    let play = ended(&b, &mut play);
    play.assert_heard(track);
    assert!(play.stalls() > 0 && play.millis("stalled_ms") > 10.0, "it is recorded: {play:?}");
    assert_eq!(b.events_of("server_up").len(), 2);
}

#[test]
fn a_click_without_a_server_is_heard_when_it_is_back() {
    let (mut service, track) = (Service::start(), &music().short[0]);
    let b = service.listener("b");
    service.kill();
    let mut play = b.click(track, 40, &[]);
    play.wait_for_words("waiting for the server");
    service.come_back();
    ended(&b, &mut play).assert_heard(track);
}
