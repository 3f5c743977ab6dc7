//! Programs that are told to stop.

use crate::support::listener::ended;
use crate::support::{Service, music, wait_for};

#[test]
fn sigterm_ends_a_daemon_with_0() {
    let service = Service::start();
    let mut daemon = service.listener("a").start(&["daemon"]);
    daemon.wait_for_words("online");
    daemon.terminate();
    assert!(daemon.wait().success());
}

#[test]
fn sigterm_ends_a_play_that_stays_with_0_and_the_cache_is_whole() {
    let (service, track) = (Service::start(), &music().short[0]);
    let a = service.listener("a");
    let mut holder = a.hold(track, &[]);
    holder.terminate();
    assert!(holder.wait().success());
    let verified = a.run(&["cache", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let play = ended(&a, &mut a.click(track, 100, &[]));
    play.assert_heard(track);
    assert_eq!(play.bytes("server"), 0);
}

#[test]
fn sigterm_in_the_middle_of_a_play_records_what_was_heard() {
    let (service, track) = (Service::start(), &music().long);
    let a = service.listener("a");
    let file = service.folder().join("heard.pcm");
    let mut play = a.click(track, 8, &["--sink", &format!("pcm:{}", file.display())]);
    wait_for("5 s of music", || (std::fs::metadata(&file).ok()?.len() > 900_000).then_some(()));
    play.terminate();
    assert!(play.wait().success(), "{}", play.stderr());
    let played = a.plays().pop().unwrap();
    assert!(played.millis("listened_ms") > 3_000.0, "{played:?}");
}

#[test]
fn sigterm_drains_a_server_and_ends_it_with_0() {
    let (mut service, track) = (Service::start(), &music().short[0]);
    let (a, b) = (service.listener("a"), service.listener("b"));
    let mut daemon = a.start(&["daemon"]);
    a.wait_for_event("server_up");
    let mut play = b.click(track, 8, &[]);
    b.wait_for_event("server_up");
    service.process().terminate();
    assert!(service.process().wait().success());
    a.wait_for_event("server_down");

    // Those who were listening go on when there is a server again.
    service.come_back();
    ended(&b, &mut play).assert_heard(track);
    daemon.terminate();
    assert!(daemon.wait().success());
}
