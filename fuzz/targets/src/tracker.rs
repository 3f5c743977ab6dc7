//! What peers tell the tracker.

use std::collections::BTreeMap;

use antiphon_tracker::{Announced, Limits, MemoryTracker, Place, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::script::Script;

/// Bounds that a short script can reach.
const LIMITS: Limits = Limits {
    peers: 5,
    holders_per_blob: 3,
    blobs_per_peer: 4,
    entries: 10,
    answer: 2,
    local_addresses: 1,
    contact_bytes: 4,
    smallest_swarm: 1,
};

/// Any order of calls agrees with a list of who announced what, keeps every
/// bound, and names nobody who is gone.
///
/// Input: operations, see `step`.
pub fn tracker(data: &[u8]) {
    let mut script = Script::new(data);
    let mut calls = Calls {
        tracker: MemoryTracker::new(LIMITS, [7; 16]),
        online: BTreeMap::new(),
        held: Vec::new(),
    };
    while !script.is_over() {
        calls.step(&mut script);
        calls.check();
    }
}

struct Calls {
    tracker: MemoryTracker,
    /// Who is online, and where.
    online: BTreeMap<u8, u8>,
    /// Blob and holder, announced longest ago first.
    held: Vec<(u8, u8)>,
}

impl Calls {
    fn step(&mut self, script: &mut Script<'_>) {
        let (operation, peer) = (script.byte(), script.byte() % 8);
        let mut blobs = || -> Vec<u8> {
            let piece = script.take(usize::from(operation / 8 % 8));
            piece.iter().map(|blob| blob % 6).collect()
        };
        match operation % 8 {
            0 | 1 => self.connect(peer, script.byte() % 4),
            2..=4 => self.announce(peer, &blobs()),
            5 => self.withdraw(peer, &blobs()),
            6 => {
                self.tracker.disconnect(node(peer));
                self.online.remove(&peer);
                self.held.retain(|(_, holder)| *holder != peer);
            }
            _ => self.find(peer, script.byte() % 6, script.byte()),
        }
    }

    fn connect(&mut self, peer: u8, home: u8) {
        let known = self.online.contains_key(&peer);
        let connected = self.tracker.connect(Timestamp::ZERO, node(peer), place(home));
        assert_eq!(connected.is_ok(), known || self.online.len() < LIMITS.peers);
        if connected.is_ok() {
            self.online.insert(peer, home);
        }
    }

    fn announce(&mut self, peer: u8, blobs: &[u8]) {
        let ids: Vec<BlobId> = blobs.iter().map(|blob| id(*blob)).collect();
        let announced = self.tracker.announce(node(peer), &ids);
        if !self.online.contains_key(&peer) {
            assert!(announced.is_err());
            return;
        }
        let taken = blobs.iter().filter(|blob| self.take(**blob, peer)).count();
        assert_eq!(announced, Ok(Announced { taken, refused: blobs.len() - taken }));
    }

    /// Whether an announcement is taken; the oldest holder makes room.
    fn take(&mut self, blob: u8, peer: u8) -> bool {
        let of_peer = self.held.iter().filter(|(_, holder)| *holder == peer).count();
        let mut of_blob = self.held.iter().filter(|(held, _)| *held == blob);
        let oldest = of_blob.next().copied();
        let full = of_blob.count() + 1 >= LIMITS.holders_per_blob;
        if self.held.contains(&(blob, peer)) {
            self.held.retain(|pair| *pair != (blob, peer));
        } else if of_peer == LIMITS.blobs_per_peer {
            return false;
        } else if let (Some(oldest), true) = (oldest, full) {
            self.held.retain(|pair| *pair != oldest);
        } else if self.held.len() == LIMITS.entries {
            return false;
        }
        self.held.push((blob, peer));
        true
    }

    fn withdraw(&mut self, peer: u8, blobs: &[u8]) {
        let ids: Vec<BlobId> = blobs.iter().map(|blob| id(*blob)).collect();
        self.tracker.withdraw(node(peer), &ids);
        self.held.retain(|(held, holder)| *holder != peer || !blobs.contains(held));
    }

    fn find(&self, asker: u8, blob: u8, seed: u8) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.into());
        let limit = usize::from(seed % 4);
        let found = self.tracker.find(id(blob), node(asker), limit, &mut rng);
        let mut found: Vec<NodeId> = found.into_iter().map(|holder| holder.node).collect();
        let holders = self.held.iter().filter(|(held, peer)| *held == blob && *peer != asker);
        assert_eq!(found.len(), holders.count().min(limit).min(LIMITS.answer));
        assert!(found.iter().all(|peer| self.held.contains(&(blob, peer.as_bytes()[0]))));
        assert!(!found.contains(&node(asker)), "the asker is named");
        let named = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), named, "somebody is named twice");
    }

    fn check(&self) {
        let totals = self.tracker.totals();
        assert_eq!((totals.peers, totals.entries), (self.online.len(), self.held.len()));
        for blob in 0..6 {
            let holders = self.held.iter().filter(|(held, _)| *held == blob).count();
            assert_eq!(self.tracker.holders(id(blob)), holders);
        }
    }
}

fn node(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn id(number: u8) -> BlobId {
    BlobId::new([number; 32])
}

/// Two homes in one building, one more in the town, one far away.
fn place(home: u8) -> Place {
    let public = [[203, 0, 113, 5], [203, 0, 113, 5], [203, 0, 9, 9], [198, 51, 100, 1]];
    let local = [192, 168, home / 2 + 1, 2];
    Place::new(public[usize::from(home % 4)].into(), [local.into()])
}
