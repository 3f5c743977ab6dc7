//! A listener who alters what she passes on.

use antiphon_catalog::Catalog;
use antiphon_types::NodeId;

use crate::support::listener::ended;
use crate::support::{Service, faulty_client, music, wait_for};

#[test]
fn a_peer_that_alters_blocks_is_dropped_reported_and_not_heard() {
    let (service, track) = (Service::start(), &music().middle);
    let mallory = service.listener("mallory").with_program(faulty_client());
    let _holder = mallory.hold(track, &["--alter-uploads"]);
    let b = service.listener("b");
    let mut play = b.click(track, 8, &[]);
    let bad = b.wait_for_event("bad_block");
    b.wait_for_event("peer_down");
    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    assert_eq!(play.bytes("peers"), 0, "nothing of what she sent was used");
    // Requests that were under way when the first one came.
    assert!((1..=4).contains(&play.bad_blocks()), "{play:?}");
    assert_eq!(play.bad_blocks(), b.events_of("bad_block").len() as u64);
    assert_eq!(b.events_of("peer_up").len(), 1, "she is not let in again");

    let peer: NodeId = bad["peer"].as_str().unwrap().parse().unwrap();
    let catalog = Catalog::open(service.data().join("catalog.sqlite")).unwrap();
    wait_for("the report", || (catalog.bad_peer_reporters(peer).unwrap() == 1).then_some(()));
}
