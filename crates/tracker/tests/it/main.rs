//! What a tracker promises, seen through its public interface.

mod behaviour;
mod bounds;
mod model;
mod together;

use antiphon_tracker::{Limits, MemoryTracker, Place, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What hashes are keyed with; any will do.
const KEY: [u8; 16] = [7; 16];

fn node(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn blob(number: u8) -> BlobId {
    BlobId::new([number; 32])
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

/// A place with nothing in common with that of another number.
fn lonely(number: u8) -> Place {
    Place::new([number, 1, 1, 1].into(), [])
}

/// A tracker to which the peers 1 to `peers` are connected, each alone.
fn connected(limits: Limits, peers: u8) -> MemoryTracker {
    let tracker = MemoryTracker::new(limits, KEY);
    for number in 1..=peers {
        tracker.connect(Timestamp::ZERO, node(number), lonely(number)).expect("there is room");
    }
    tracker
}

/// Who is named, in that order.
fn named(
    tracker: &MemoryTracker,
    of: BlobId,
    asker: NodeId,
    limit: usize,
    rng: &mut dyn Rng,
) -> Vec<NodeId> {
    tracker.find(of, asker, limit, rng).into_iter().map(|holder| holder.node).collect()
}

/// All holders that an unconnected asker is told of, sorted.
fn told(tracker: &MemoryTracker, of: BlobId) -> Vec<NodeId> {
    let mut found = named(tracker, of, node(0), usize::MAX, &mut rng());
    found.sort();
    found
}
