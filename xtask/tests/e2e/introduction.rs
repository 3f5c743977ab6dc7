//! A listener whom nobody can reach reaches out herself.

use crate::support::listener::ended;
use crate::support::{Service, music};

#[test]
fn a_listener_that_cannot_be_reached_is_introduced() {
    let (service, track) = (Service::start(), &music().middle);
    // The server sees her at 127.0.0.1, where nobody listens.
    let a = service.listener("a").at(([127, 0, 0, 2], 0).into());
    let _holder = a.hold(track, &[]);
    let b = service.listener("b");
    let mut play = b.click(track, 8, &[]);
    // Both were told to connect at once, so whose call was first is chance.
    b.wait_for_event("peer_up");
    a.wait_for_event("peer_up");
    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    assert!(play.bytes("peers") > 0, "{play:?}");
}
