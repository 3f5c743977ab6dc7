//! Listeners of one network, with the server gone.

use crate::support::listener::ended;
use crate::support::{Listener, Service, Track, music};

/// Has played a track before: manifest and key are there, the blocks are not.
fn played_before(service: &Service, name: &str, track: &Track) -> Listener {
    let listener = on_the_network(service, name);
    ended(&listener, &mut listener.click(track, 100, &[])).assert_heard(track);
    let cleared = listener.run(&["cache", "clear", "--yes"]);
    assert!(cleared.status.success(), "{cleared:?}");
    listener
}

/// Listens on every network, so that presence is announced there.
fn on_the_network(service: &Service, name: &str) -> Listener {
    service.listener(name).at(([0, 0, 0, 0], 0).into())
}

#[test]
fn what_one_holds_another_plays_with_the_server_gone() {
    let (mut service, track) = (Service::start(), &music().middle);
    let b = played_before(&service, "b", track);
    let a = on_the_network(&service, "a");
    let _holder = a.hold(track, &[]);
    service.kill();

    let play = ended(&b, &mut b.click(track, 8, &[]));
    play.assert_heard(track);
    assert_eq!(play.bytes("server") + play.bytes("cache"), 0, "{play:?}");
    assert!(play.bytes("peers") > 0, "{play:?}");
    let link = b.wait_for_event("peer_up");
    assert_eq!(link["path"], "lan", "{link}");
}

#[test]
fn with_the_local_network_alone_nothing_goes_further() {
    let (service, track) = (Service::start(), &music().short[0]);
    let a = on_the_network(&service, "a");
    let _holder = a.hold(track, &["--peers", "lan"]);
    // Not on the network of the other: she is named to nobody, and told of nobody.
    let b = service.listener("b");
    let play = ended(&b, &mut b.click(track, 8, &["--peers", "on"]));
    play.assert_heard(track);
    assert_eq!(play.bytes("peers"), 0, "{play:?}");
    // On it, without a word of the server's.
    let c = on_the_network(&service, "c");
    let play = ended(&c, &mut c.click(track, 1, &["--peers", "lan"]));
    play.assert_heard(track);
    assert_eq!(c.wait_for_event("peer_up")["path"], "lan");
}
