//! Many threads at once.

use std::thread;

use antiphon_tracker::{Limits, MemoryTracker, Place, Totals, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{KEY, blob, node};

const THREADS: u64 = 4;
const CALLS: usize = 4_000;

/// One thread's random calls; peers and blobs are those of all threads.
fn call_at_random(tracker: &MemoryTracker, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..CALLS {
        let draw = rng.next_u32();
        let [kind, peer, first, count] = draw.to_le_bytes();
        let peer = node(peer % 16);
        let blobs: Vec<BlobId> =
            (0..count % 6).map(|more| blob(first.wrapping_add(more) % 24)).collect();
        match kind % 8 {
            0 => drop(tracker.connect(Timestamp::ZERO, peer, Place::new([10, 0, 0, 1].into(), []))),
            1 => tracker.disconnect(peer),
            2 => tracker.withdraw(peer, &blobs),
            3 | 4 => {
                let found = tracker.find(blob(first % 24), peer, 10, &mut rng);
                let mut names: Vec<NodeId> = found.iter().map(|holder| holder.node).collect();
                assert!(!names.contains(&peer), "the asker is named");
                names.sort();
                names.dedup();
                assert_eq!(names.len(), found.len(), "somebody is named twice");
            }
            _ => drop(tracker.announce(peer, &blobs)),
        }
    }
}

/// Whatever order the calls take, what is left agrees with itself.
#[test]
fn nothing_is_lost_or_left_behind() {
    let limits = Limits { holders_per_blob: 3, blobs_per_peer: 8, peers: 12, ..Limits::default() };
    let tracker = MemoryTracker::new(limits.clone(), KEY);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let tracker = &tracker;
            scope.spawn(move || call_at_random(tracker, seed));
        }
    });
    let totals = tracker.totals();
    let online = (0..16).filter(|peer| tracker.connected_since(node(*peer)).is_some());
    assert_eq!(totals.peers, online.count());
    let holders: Vec<usize> = (0..24).map(|of| tracker.holders(blob(of))).collect();
    assert_eq!(totals.entries, holders.iter().sum::<usize>());
    assert_eq!(totals.blobs, holders.iter().filter(|count| **count > 0).count());
    assert!(holders.iter().all(|count| *count <= limits.holders_per_blob));
    for of in 0..24 {
        let named = tracker.find(blob(of), node(99), 10, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(named.len(), holders[usize::from(of)], "a swarm names one who is gone");
    }
    (0..16).for_each(|peer| tracker.disconnect(node(peer)));
    assert_eq!(tracker.totals(), Totals::default());
}
