//! Who is named, in which order.

use std::collections::BTreeSet;

use antiphon_tracker::{AnnounceError, Health, Limits, MemoryTracker, Nearness, Place, Tracker};
use antiphon_types::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{KEY, blob, connected, lonely, named, node, rng, told};

#[test]
fn holders_are_named_but_never_the_asker() {
    let tracker = connected(Limits::default(), 3);
    for peer in [1, 2] {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    assert_eq!(told(&tracker, blob(1)), [node(1), node(2)]);
    assert_eq!(named(&tracker, blob(1), node(1), 10, &mut rng()), [node(2)]);
    assert_eq!(told(&tracker, blob(2)), []);
}

#[test]
fn the_nearest_come_first() {
    let tracker = MemoryTracker::new(Limits::default(), KEY);
    let place = |public: [u8; 4], local: [u8; 4]| Place::new(public.into(), [local.into()]);
    for (peer, place) in [
        (1, place([198, 51, 100, 9], [192, 168, 1, 1])),
        (2, place([203, 0, 200, 1], [192, 168, 1, 2])),
        (3, place([203, 0, 113, 5], [192, 168, 7, 3])),
        (4, place([203, 0, 113, 5], [192, 168, 1, 4])),
        (5, place([203, 0, 113, 5], [192, 168, 1, 5])),
    ] {
        tracker.connect(Timestamp::ZERO, node(peer), place).unwrap();
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    let found = named(&tracker, blob(1), node(5), 10, &mut rng());
    assert_eq!(found, [node(4), node(3), node(2), node(1)]);
    let nearest = named(&tracker, blob(1), node(5), 1, &mut rng());
    assert_eq!(nearest, [node(4)], "a short answer names the nearest");
}

#[test]
fn load_is_spread_over_those_equally_near() {
    let tracker = connected(Limits::default(), 20);
    for peer in 1..=20 {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    let firsts: BTreeSet<_> = (0..400)
        .map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            named(&tracker, blob(1), node(0), 10, &mut rng)[0]
        })
        .collect();
    assert_eq!(firsts.len(), 20, "in 400 answers each of 20 comes first at least once");
}

#[test]
fn the_same_calls_and_numbers_give_the_same_answer() {
    let answer = || {
        let tracker = connected(Limits::default(), 20);
        for peer in 1..=20 {
            tracker.announce(node(peer), &[blob(1)]).unwrap();
        }
        named(&tracker, blob(1), node(3), 10, &mut rng())
    };
    assert_eq!(answer(), answer());
}

#[test]
fn the_most_recent_holders_are_kept_and_announcing_again_counts() {
    let limits = Limits { holders_per_blob: 3, ..Limits::default() };
    let tracker = connected(limits, 5);
    for peer in [1, 2, 3] {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    tracker.announce(node(1), &[blob(1)]).unwrap();
    tracker.announce(node(4), &[blob(1)]).unwrap();
    assert_eq!(told(&tracker, blob(1)), [node(1), node(3), node(4)], "2 was the oldest");
    tracker.announce(node(5), &[blob(1)]).unwrap();
    assert_eq!(told(&tracker, blob(1)), [node(1), node(4), node(5)]);
}

#[test]
fn withdrawing_takes_back_only_what_is_named() {
    let tracker = connected(Limits::default(), 2);
    tracker.announce(node(1), &[blob(1), blob(2)]).unwrap();
    tracker.announce(node(2), &[blob(1)]).unwrap();
    tracker.withdraw(node(1), &[blob(1), blob(9), blob(1)]);
    assert_eq!(told(&tracker, blob(1)), [node(2)]);
    assert_eq!(told(&tracker, blob(2)), [node(1)]);
}

#[test]
fn a_lost_peer_is_named_no_more() {
    let tracker = connected(Limits::default(), 2);
    tracker.announce(node(1), &[blob(1), blob(2)]).unwrap();
    tracker.announce(node(2), &[blob(2)]).unwrap();
    tracker.disconnect(node(1));
    assert_eq!(told(&tracker, blob(1)), []);
    assert_eq!(told(&tracker, blob(2)), [node(2)]);
    assert_eq!(tracker.connected_since(node(1)), None);
    let totals = tracker.totals();
    assert_eq!((totals.peers, totals.blobs, totals.entries), (1, 1, 1));
}

#[test]
fn nobody_announces_before_being_connected_or_after() {
    let tracker = connected(Limits::default(), 1);
    let refused = Err(AnnounceError::NotConnected(node(7)));
    assert_eq!(tracker.announce(node(7), &[blob(1)]), refused);
    tracker.connect(Timestamp::ZERO, node(7), lonely(7)).unwrap();
    tracker.disconnect(node(7));
    assert_eq!(tracker.announce(node(7), &[blob(1)]), refused);
    tracker.disconnect(node(7));
    assert_eq!(tracker.totals().entries, 0);
}

#[test]
fn nobody_withdraws_for_another() {
    let tracker = connected(Limits::default(), 2);
    tracker.announce(node(1), &[blob(1)]).unwrap();
    tracker.withdraw(node(2), &[blob(1)]);
    tracker.withdraw(node(9), &[blob(1)]);
    assert_eq!(told(&tracker, blob(1)), [node(1)]);
}

#[test]
fn connecting_again_moves_a_peer_and_keeps_what_it_announced() {
    let tracker = connected(Limits::default(), 3);
    for peer in [1, 2] {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    for seed in 0..8 {
        let later = Timestamp::from_millis(1 + seed);
        tracker.connect(later, node(2), lonely(3)).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        assert_eq!(named(&tracker, blob(1), node(3), 10, &mut rng), [node(2), node(1)]);
    }
    assert_eq!(tracker.connected_since(node(2)), Some(Timestamp::ZERO));
}

/// Threat T4: who announces what it does not hold is found out, reported, and
/// sinks, until it is not.
#[test]
fn one_that_fails_others_comes_last_among_those_equally_near() {
    let tracker = connected(Limits::default(), 4);
    for peer in 1..=4 {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    tracker.handle_health(node(1), Health { faults: 9, load: 0 });
    tracker.handle_health(node(2), Health { faults: 0, load: 9 });
    tracker.handle_health(node(9), Health { faults: 9, load: 0 });
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let found = named(&tracker, blob(1), node(0), 10, &mut rng);
        assert_eq!(found[2..], [node(2), node(1)]);
        let two = named(&tracker, blob(1), node(0), 2, &mut rng);
        assert!(!two.contains(&node(1)) && !two.contains(&node(2)));
    }
    tracker.handle_health(node(1), Health::default());
    let firsts: BTreeSet<_> = (0..100)
        .map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            named(&tracker, blob(1), node(0), 10, &mut rng)[0]
        })
        .collect();
    assert_eq!(firsts, BTreeSet::from([node(1), node(3), node(4)]));
}

#[test]
fn health_is_forgotten_with_the_session() {
    let tracker = connected(Limits::default(), 2);
    tracker.handle_health(node(1), Health { faults: 100, load: 0 });
    tracker.disconnect(node(1));
    tracker.connect(Timestamp::ZERO, node(1), lonely(1)).unwrap();
    for peer in [1, 2] {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    let firsts: BTreeSet<_> = (0..40)
        .map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            named(&tracker, blob(1), node(0), 1, &mut rng)[0]
        })
        .collect();
    assert_eq!(firsts.len(), 2);
}

#[test]
fn an_answer_says_where_and_how_near_a_holder_is() {
    let tracker = MemoryTracker::new(Limits::default(), KEY);
    let home = |contact: &[u8]| {
        Place::new([203, 0, 113, 5].into(), [[10, 0, 0, 1].into()]).with_contact(contact)
    };
    tracker.connect(Timestamp::ZERO, node(1), home(b"upstairs")).unwrap();
    tracker.connect(Timestamp::ZERO, node(2), home(b"")).unwrap();
    tracker.announce(node(1), &[blob(1)]).unwrap();
    let found = tracker.find(blob(1), node(2), 10, &mut rng());
    assert_eq!((found[0].nearness, &*found[0].contact), (Nearness::LocalNetwork, &b"upstairs"[..]));
    tracker.connect(Timestamp::ZERO, node(1), home(b"downstairs")).unwrap();
    let found = tracker.find(blob(1), node(9), 10, &mut rng());
    assert_eq!((found[0].nearness, &*found[0].contact), (Nearness::Any, &b"downstairs"[..]));
}

#[test]
fn the_operators_regions_decide_who_is_near() {
    let regions =
        "203.0.0.0/16 north\n198.51.100.0/24 north\n203.0.113.0/24 south".parse().unwrap();
    let tracker = MemoryTracker::new(Limits::default(), KEY).with_regions(regions);
    for (peer, public) in [(1, [198, 51, 100, 1]), (2, [203, 0, 113, 1]), (3, [203, 0, 9, 1])] {
        tracker.connect(Timestamp::ZERO, node(peer), Place::new(public.into(), [])).unwrap();
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        assert_eq!(named(&tracker, blob(1), node(3), 10, &mut rng), [node(1), node(2)]);
    }
}

#[test]
fn few_holders_are_not_named_where_the_operator_says_so() {
    let limits = Limits { smallest_swarm: 3, ..Limits::default() };
    let tracker = connected(limits, 3);
    for peer in [1, 2] {
        tracker.announce(node(peer), &[blob(1)]).unwrap();
    }
    assert_eq!(told(&tracker, blob(1)), []);
    tracker.announce(node(3), &[blob(1)]).unwrap();
    assert_eq!(told(&tracker, blob(1)), [node(1), node(2), node(3)]);
    tracker.disconnect(node(2));
    assert_eq!(told(&tracker, blob(1)), []);
}
