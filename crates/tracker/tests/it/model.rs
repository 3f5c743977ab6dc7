//! Any order of calls, compared with the simplest thing that could be right.

use antiphon_tracker::{Health, Limits, MemoryTracker, Place, Tracker};
use antiphon_types::Timestamp;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::{KEY, blob, node};

const LIMITS: Limits = Limits {
    peers: 6,
    holders_per_blob: 4,
    blobs_per_peer: 4,
    entries: 12,
    answer: 2,
    local_addresses: 1,
    contact_bytes: 4,
    smallest_swarm: 2,
};

#[derive(Debug, Clone)]
enum Call {
    Connect { peer: u8, home: u8 },
    Announce { peer: u8, blobs: Vec<u8> },
    Withdraw { peer: u8, blobs: Vec<u8> },
    Disconnect { peer: u8 },
    Health { peer: u8, health: Health },
}

fn call() -> impl Strategy<Value = Call> {
    let peer = 0..8_u8;
    let blobs = proptest::collection::vec(0..6_u8, 0..5);
    prop_oneof![
        3 => (peer.clone(), 0..4_u8).prop_map(|(peer, home)| Call::Connect { peer, home }),
        6 => (peer.clone(), blobs.clone())
            .prop_map(|(peer, blobs)| Call::Announce { peer, blobs }),
        2 => (peer.clone(), blobs).prop_map(|(peer, blobs)| Call::Withdraw { peer, blobs }),
        1 => peer.clone().prop_map(|peer| Call::Disconnect { peer }),
        2 => (peer, 0..5_u16, 0..5_u16).prop_map(|(peer, faults, load)| {
            Call::Health { peer, health: Health { faults, load } }
        }),
    ]
}

/// Four homes: two in one building, one more in the town, one far away.
fn place(home: u8) -> Place {
    let (public, local) = match home {
        0 => ([203, 0, 113, 5], [192, 168, 1, 2]),
        1 => ([203, 0, 113, 5], [192, 168, 2, 2]),
        2 => ([203, 0, 9, 9], [192, 168, 1, 2]),
        _ => ([198, 51, 100, 1], [192, 168, 1, 2]),
    };
    Place::new(public.into(), [local.into()]).with_contact([home])
}

fn distance(home: Option<u8>, other: u8) -> u8 {
    match (home, other) {
        (None, _) => 3,
        (Some(home), other) if home == other => 0,
        (Some(0), 1) | (Some(1), 0) => 1,
        (Some(3), _) | (_, 3) => 3,
        _ => 2,
    }
}

/// Faults and load by the number of their binary digits.
fn magnitudes(health: Health) -> (u32, u32) {
    let digits = |count: u16| 16 - count.leading_zeros();
    (digits(health.faults), digits(health.load))
}

/// Peer, home and health, and pairs of blob and peer, the most recent last.
#[derive(Default)]
struct Model {
    online: Vec<(u8, u8, Health)>,
    held: Vec<(u8, u8)>,
}

impl Model {
    fn home(&self, peer: u8) -> Option<u8> {
        self.online.iter().find(|(online, ..)| *online == peer).map(|(_, home, _)| *home)
    }

    /// What is seen at one public address.
    fn building(&self, peer: u8) -> Option<u8> {
        self.home(peer).map(|home| home.max(1))
    }

    /// What decides when the peer is named; the least comes first.
    fn order(&self, asker: u8, peer: u8) -> (u8, (u32, u32)) {
        let found = self.online.iter().find(|(online, ..)| *online == peer);
        let (_, home, health) = found.expect("only who is online is named");
        (distance(self.home(asker), *home), magnitudes(*health))
    }

    fn connect(&mut self, peer: u8, home: u8) -> bool {
        if let Some(known) = self.online.iter_mut().find(|(online, ..)| *online == peer) {
            known.1 = home;
        } else if self.online.len() < LIMITS.peers {
            self.online.push((peer, home, Health::default()));
        } else {
            return false;
        }
        true
    }

    fn announce(&mut self, peer: u8, blob: u8) -> bool {
        let of_blob = self.held.iter().filter(|(held, _)| *held == blob).count();
        let of_peer = self.held.iter().filter(|(_, holder)| *holder == peer).count();
        if let Some(index) = self.held.iter().position(|pair| *pair == (blob, peer)) {
            self.held.remove(index);
        } else if of_peer == LIMITS.blobs_per_peer {
            return false;
        } else if of_blob == LIMITS.holders_per_blob {
            let alike = |other: u8| self.building(other) == self.building(peer);
            let of_building =
                self.held.iter().filter(|(held, holder)| *held == blob && alike(*holder)).count();
            let crowded = of_building >= LIMITS.holders_per_blob / 2;
            let leaves = self
                .held
                .iter()
                .position(|(held, holder)| *held == blob && (!crowded || alike(*holder)));
            self.held.remove(leaves.expect("a full swarm has one who leaves"));
        } else if self.held.len() == LIMITS.entries {
            return false;
        }
        self.held.push((blob, peer));
        true
    }
}

fn ids<T>(numbers: &[u8], id: impl Fn(u8) -> T) -> Vec<T> {
    numbers.iter().map(|number| id(*number)).collect()
}

fn apply(call: &Call, tracker: &MemoryTracker, model: &mut Model) {
    match call {
        Call::Connect { peer, home } => {
            let connected = tracker.connect(Timestamp::ZERO, node(*peer), place(*home));
            assert_eq!(connected.is_ok(), model.connect(*peer, *home));
        }
        Call::Announce { peer, blobs } => {
            let announced = tracker.announce(node(*peer), &ids(blobs, blob));
            assert_eq!(announced.is_ok(), model.home(*peer).is_some());
            if let Ok(announced) = announced {
                let taken = blobs.iter().filter(|blob| model.announce(*peer, **blob)).count();
                assert_eq!((announced.taken, announced.refused), (taken, blobs.len() - taken));
            }
        }
        Call::Withdraw { peer, blobs } => {
            tracker.withdraw(node(*peer), &ids(blobs, blob));
            model.held.retain(|(held, holder)| holder != peer || !blobs.contains(held));
        }
        Call::Disconnect { peer } => {
            tracker.disconnect(node(*peer));
            model.online.retain(|(online, ..)| online != peer);
            model.held.retain(|(_, holder)| holder != peer);
        }
        Call::Health { peer, health } => {
            tracker.handle_health(node(*peer), *health);
            if let Some(known) = model.online.iter_mut().find(|(online, ..)| online == peer) {
                known.2 = *health;
            }
        }
    }
}

fn check_answer(tracker: &MemoryTracker, model: &Model, asker: u8, wanted: u8, seed: u64) {
    let holders = model.held.iter().filter(|(held, _)| *held == wanted);
    let mut expected = Vec::new();
    if holders.clone().count() >= LIMITS.smallest_swarm {
        let others = holders.filter(|(_, holder)| *holder != asker);
        expected.extend(others.map(|(_, holder)| model.order(asker, *holder)));
    }
    expected.sort_unstable();
    expected.truncate(LIMITS.answer);

    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let found = tracker.find(blob(wanted), node(asker), usize::MAX, &mut rng);
    let named: Vec<u8> = found.iter().map(|holder| holder.node.as_bytes()[0]).collect();
    assert!(named.iter().all(|peer| *peer != asker && model.held.contains(&(wanted, *peer))));
    assert!(named.len() < 2 || named[0] != named[1], "nobody is named twice");
    let order: Vec<_> = named.iter().map(|peer| model.order(asker, *peer)).collect();
    assert_eq!(order, expected, "the nearest and healthiest are named, in that order");
    for (holder, peer) in found.iter().zip(named) {
        assert_eq!(Some(holder.contact[0]), model.home(peer), "it is reached where it is now");
        assert_eq!(holder.nearness as u8, model.order(asker, peer).0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_of_calls_agrees_with_the_model(
        calls in proptest::collection::vec(call(), 1..60),
        seed in any::<u64>(),
    ) {
        let tracker = MemoryTracker::new(LIMITS, KEY);
        let mut model = Model::default();
        for call in &calls {
            apply(call, &tracker, &mut model);
            let totals = tracker.totals();
            prop_assert_eq!(totals.peers, model.online.len());
            prop_assert_eq!(totals.entries, model.held.len());
            let mut blobs: Vec<u8> = model.held.iter().map(|(held, _)| *held).collect();
            blobs.sort_unstable();
            blobs.dedup();
            prop_assert_eq!(totals.blobs, blobs.len());
        }
        for asker in 0..8 {
            for wanted in 0..6 {
                check_answer(&tracker, &model, asker, wanted, seed);
            }
        }
    }
}
