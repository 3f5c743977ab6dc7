//! A track heard before.

use crate::support::listener::ended;
use crate::support::{Service, music};

#[test]
fn a_replay_needs_no_network() {
    let (mut service, track) = (Service::start(), &music().short[0]);
    let a = service.listener("a");
    ended(&a, &mut a.click(track, 40, &[])).assert_heard(track);
    service.kill();

    let mut again = a.click(track, 8, &[]);
    let play = ended(&a, &mut again);
    play.assert_heard_without_a_stall(track);
    let fetched = play.bytes("peers") + play.bytes("server") + play.bytes("edge");
    assert!(fetched == 0 && play.bytes("cache") > 0, "{play:?}");
    assert!(play.millis("first_sound_ms") < 500.0, "it waited for somebody: {play:?}");
    assert_eq!(again.stderr(), "", "nothing is amiss for a listener");
}
