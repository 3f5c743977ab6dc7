//! What strangers can make grow, and that it stops.

use antiphon_tracker::{Announced, ConnectError, Limits, MemoryTracker, Place, Tracker};
use antiphon_types::{BlobId, Timestamp};

use crate::{KEY, blob, connected, lonely, named, node, rng, told};

fn invented(count: u32) -> Vec<BlobId> {
    (0..count)
        .map(|number| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            BlobId::new(id)
        })
        .collect()
}

/// Threat T2.
#[test]
fn a_peer_that_announces_ten_thousand_blobs_fills_only_its_share() {
    let tracker = connected(Limits::default(), 2);
    let announced = tracker.announce(node(1), &invented(10_000)).unwrap();
    assert_eq!(announced, Announced { taken: 4_096, refused: 5_904 });
    assert_eq!(tracker.totals().entries, 4_096);
    let other = tracker.announce(node(2), &[blob(1)]).unwrap();
    assert_eq!(other.taken, 1, "others have their own share");
}

/// Threat T2: many names at one address, all as fresh as can be.
#[test]
fn one_address_under_many_names_leaves_half_of_a_swarm_to_others() {
    let tracker = MemoryTracker::new(Limits { answer: 20, ..Limits::default() }, KEY);
    let arrive = |number: u8, place: Place| {
        tracker.connect(Timestamp::ZERO, node(number), place).unwrap();
        tracker.announce(node(number), &[blob(1)]).unwrap();
    };
    let named = || {
        let mut named: Vec<u8> =
            told(&tracker, blob(1)).iter().map(|holder| holder.as_bytes()[0]).collect();
        named.sort_unstable();
        named
    };
    (1..=20).for_each(|number| arrive(number, lonely(number)));
    let attacker = Place::new(lonely(99).public, []);
    for number in (100..=250).chain(100..=250) {
        arrive(number, attacker.clone());
    }
    assert_eq!(named(), Vec::from_iter((11..=20).chain(241..=250)), "the most recent of each");
    // And others are let in as ever.
    (21..=25).for_each(|number| arrive(number, lonely(number)));
    assert_eq!(named(), Vec::from_iter((16..=25).chain(241..=250)));
}

#[test]
fn a_peer_at_its_bound_may_refresh_and_exchange() {
    let limits = Limits { blobs_per_peer: 2, ..Limits::default() };
    let tracker = connected(limits, 1);
    tracker.announce(node(1), &[blob(1), blob(2)]).unwrap();
    let again = tracker.announce(node(1), &[blob(2), blob(3)]).unwrap();
    assert_eq!(again, Announced { taken: 1, refused: 1 });
    tracker.withdraw(node(1), &[blob(1)]);
    assert_eq!(tracker.announce(node(1), &[blob(3)]).unwrap().taken, 1);
    assert_eq!(told(&tracker, blob(1)), []);
    assert_eq!(told(&tracker, blob(3)), [node(1)]);
}

#[test]
fn who_is_pushed_out_of_a_swarm_has_room_again() {
    let limits = Limits { blobs_per_peer: 1, holders_per_blob: 1, ..Limits::default() };
    let tracker = connected(limits, 2);
    tracker.announce(node(1), &[blob(1)]).unwrap();
    tracker.announce(node(2), &[blob(1)]).unwrap();
    assert_eq!(told(&tracker, blob(1)), [node(2)]);
    assert_eq!(tracker.announce(node(1), &[blob(2)]).unwrap().taken, 1);
}

#[test]
fn a_full_index_takes_only_what_replaces_something() {
    let limits = Limits { entries: 3, holders_per_blob: 2, ..Limits::default() };
    let tracker = connected(limits, 3);
    tracker.announce(node(1), &[blob(1), blob(2)]).unwrap();
    tracker.announce(node(2), &[blob(1)]).unwrap();
    let announced = tracker.announce(node(3), &[blob(1), blob(2), blob(3)]).unwrap();
    assert_eq!(announced, Announced { taken: 1, refused: 2 });
    assert_eq!(told(&tracker, blob(1)), [node(2), node(3)]);
    assert_eq!(tracker.totals().entries, 3);
    assert_eq!(tracker.totals().blobs, 2, "a refused blob leaves nothing behind");
    tracker.disconnect(node(1));
    assert_eq!(tracker.announce(node(3), &[blob(3)]).unwrap().taken, 1);
}

#[test]
fn a_tracker_full_of_peers_says_so() {
    let tracker = connected(Limits { peers: 2, ..Limits::default() }, 2);
    let refused = tracker.connect(Timestamp::ZERO, node(3), lonely(3));
    assert_eq!(refused, Err(ConnectError::Full(2)));
    tracker.connect(Timestamp::ZERO, node(2), lonely(9)).expect("one inside may move");
    tracker.disconnect(node(1));
    tracker.connect(Timestamp::ZERO, node(3), lonely(3)).expect("a place is free again");
}

#[test]
fn an_answer_has_a_bound_of_its_own() {
    let tracker = connected(Limits::default(), 30);
    for peer in 1..=30 {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    assert_eq!(tracker.holders(blob(1)), 20);
    assert_eq!(told(&tracker, blob(1)).len(), 10);
    assert_eq!(named(&tracker, blob(1), node(0), 4, &mut rng()).len(), 4);
    assert_eq!(named(&tracker, blob(1), node(0), 0, &mut rng()), []);
}

#[test]
fn local_addresses_beyond_the_bound_make_nobody_near() {
    let tracker = MemoryTracker::new(Limits { local_addresses: 2, ..Limits::default() }, KEY);
    let public = [203, 0, 113, 5].into();
    let local = |third| [10, 0, third, 1].into();
    let many = Place::new(public, (0..200).map(local));
    tracker.connect(Timestamp::ZERO, node(1), many).unwrap();
    tracker.connect(Timestamp::ZERO, node(2), Place::new(public, [local(1)])).unwrap();
    tracker.connect(Timestamp::ZERO, node(3), Place::new(public, [local(99)])).unwrap();
    for peer in [2, 3] {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    for _ in 0..8 {
        assert_eq!(named(&tracker, blob(1), node(1), 10, &mut rng()), [node(2), node(3)]);
    }
}

#[test]
fn limits_of_zero_refuse_everything_and_break_nothing() {
    let limits = Limits { holders_per_blob: 0, answer: 0, ..Limits::default() };
    let tracker = connected(limits, 1);
    assert_eq!(tracker.announce(node(1), &[blob(1)]).unwrap().refused, 1);
    assert_eq!(told(&tracker, blob(1)), []);
    assert_eq!(tracker.totals().blobs, 0);
}

#[test]
fn a_contact_has_a_bound() {
    let tracker = connected(Limits { contact_bytes: 4, ..Limits::default() }, 1);
    let place = |length: usize| lonely(1).with_contact(vec![7; length]);
    let refused = tracker.connect(Timestamp::ZERO, node(1), place(5));
    assert_eq!(refused, Err(ConnectError::LongContact { length: 5, limit: 4 }));
    tracker.connect(Timestamp::ZERO, node(1), place(4)).expect("just as long as may be");
    let stranger = tracker.connect(Timestamp::ZERO, node(2), place(5));
    assert!(stranger.is_err());
    assert_eq!(tracker.totals().peers, 1, "who is refused takes no place");
}
