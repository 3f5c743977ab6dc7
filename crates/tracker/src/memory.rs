//! The tracker that needs nothing but memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use antiphon_types::{BlobId, NodeId, Timestamp};
use rand_core::Rng;

use crate::place::{Nearness, Whereabouts};
use crate::slab::Slab;
use crate::swarm::Swarm;
use crate::{AnnounceError, Announced, ConnectError, Health, Holder, Limits, Place, Tracker};

/// An index in memory, for one server.
///
/// Ids of 32 bytes are kept once; everything else names peers and blobs by
/// numbers of four bytes. Maps are ordered ones: strangers choose the keys,
/// and no choice makes a search in them slow.
#[derive(Debug)]
pub struct MemoryTracker {
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    limits: Limits,
    peers: Slab<Peer>,
    peer_slots: BTreeMap<NodeId, u32>,
    swarms: Slab<Swarm>,
    swarm_slots: BTreeMap<BlobId, u32>,
    entries: usize,
}

/// How much is in a tracker.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Peers connected.
    pub peers: usize,
    /// Blobs with at least one holder.
    pub blobs: usize,
    /// Pairs of a blob and a holder.
    pub entries: usize,
}

#[derive(Debug)]
struct Peer {
    node: NodeId,
    whereabouts: Whereabouts,
    contact: Arc<[u8]>,
    health: Health,
    since: Timestamp,
    /// Slots of the swarms it is in: what must be undone when it leaves.
    holdings: BTreeSet<u32>,
}

impl MemoryTracker {
    /// An empty index.
    pub fn new(limits: Limits) -> Self {
        let index = Index {
            limits,
            peers: Slab::new(),
            peer_slots: BTreeMap::new(),
            swarms: Slab::new(),
            swarm_slots: BTreeMap::new(),
            entries: 0,
        };
        Self { index: Mutex::new(index) }
    }

    /// How much is in it.
    pub fn totals(&self) -> Totals {
        let index = self.index();
        Totals { peers: index.peers.len(), blobs: index.swarms.len(), entries: index.entries }
    }

    /// How many holders of `blob` are known, at most
    /// [`Limits::holders_per_blob`].
    pub fn holders(&self, blob: BlobId) -> usize {
        self.index().swarm(blob).map_or(0, |swarm| swarm.holders().len())
    }

    /// Since when `peer` is connected without a break.
    pub fn connected_since(&self, peer: NodeId) -> Option<Timestamp> {
        self.index().peer(peer).map(|peer| peer.since)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing in here panics half way.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn peer(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(*self.peer_slots.get(&node)?)
    }

    fn swarm(&self, blob: BlobId) -> Option<&Swarm> {
        self.swarms.get(*self.swarm_slots.get(&blob)?)
    }

    /// Enters one announcement; false if a limit forbids it.
    fn enter(&mut self, peer_slot: u32, blob: BlobId) -> bool {
        let known = self.swarm_slots.get(&blob).copied();
        if let Some(slot) = known
            && self.swarms.get_mut(slot).is_some_and(|swarm| swarm.refresh(peer_slot))
        {
            return true;
        }
        let held = self.peers.get(peer_slot).map_or(0, |peer| peer.holdings.len());
        if held >= self.limits.blobs_per_peer || self.limits.holders_per_blob == 0 {
            return false;
        }
        let Some(swarm_slot) = self.make_room(known, blob) else { return false };
        if let Some(swarm) = self.swarms.get_mut(swarm_slot)
            && let Some(peer) = self.peers.get_mut(peer_slot)
        {
            swarm.push(peer_slot, self.limits.holders_per_blob);
            peer.holdings.insert(swarm_slot);
            self.entries += 1;
        }
        true
    }

    /// A swarm for `blob` with room for one more holder: in a full one the
    /// oldest holder makes room, elsewhere the whole index must have some.
    fn make_room(&mut self, known: Option<u32>, blob: BlobId) -> Option<u32> {
        if let Some(slot) = known
            && let Some(swarm) = self.swarms.get_mut(slot)
            && swarm.holders().len() >= self.limits.holders_per_blob
        {
            let oldest = swarm.remove_oldest()?;
            self.entries -= 1;
            if let Some(peer) = self.peers.get_mut(oldest) {
                peer.holdings.remove(&slot);
            }
            return Some(slot);
        }
        if self.entries >= self.limits.entries {
            return None;
        }
        if known.is_some() {
            return known;
        }
        let slot = self.swarms.insert(Swarm::new(blob))?;
        self.swarm_slots.insert(blob, slot);
        Some(slot)
    }

    /// Takes a peer out of a swarm, and the swarm out of the index if it was
    /// the last one. The peer's own list is the caller's to mend.
    fn leave(&mut self, peer_slot: u32, swarm_slot: u32) {
        let Some(swarm) = self.swarms.get_mut(swarm_slot) else { return };
        if swarm.remove(peer_slot) {
            self.entries -= 1;
        }
        if swarm.holders().is_empty() {
            self.swarm_slots.remove(&swarm.blob);
            self.swarms.remove(swarm_slot);
        }
    }
}

impl Tracker for MemoryTracker {
    fn connect(&self, now: Timestamp, node: NodeId, place: Place) -> Result<(), ConnectError> {
        let index = &mut *self.index();
        let (length, limit) = (place.contact.len(), index.limits.contact_bytes);
        if length > limit {
            return Err(ConnectError::LongContact { length, limit });
        }
        let whereabouts = Whereabouts::new(&place, index.limits.local_addresses);
        if let Some(&slot) = index.peer_slots.get(&node)
            && let Some(peer) = index.peers.get_mut(slot)
        {
            peer.whereabouts = whereabouts;
            peer.contact = place.contact;
            return Ok(());
        }
        let full = ConnectError::Full(index.peers.len());
        if index.peers.len() >= index.limits.peers {
            return Err(full);
        }
        let peer = Peer {
            node,
            whereabouts,
            contact: place.contact,
            health: Health::default(),
            since: now,
            holdings: BTreeSet::new(),
        };
        let slot = index.peers.insert(peer).ok_or(full)?;
        index.peer_slots.insert(node, slot);
        Ok(())
    }

    fn announce(&self, peer: NodeId, blobs: &[BlobId]) -> Result<Announced, AnnounceError> {
        let mut index = self.index();
        let slot = *index.peer_slots.get(&peer).ok_or(AnnounceError::NotConnected(peer))?;
        let taken = blobs.iter().filter(|blob| index.enter(slot, **blob)).count();
        Ok(Announced { taken, refused: blobs.len() - taken })
    }

    fn withdraw(&self, peer: NodeId, blobs: &[BlobId]) {
        let mut index = self.index();
        let Some(&peer_slot) = index.peer_slots.get(&peer) else { return };
        for blob in blobs {
            if let Some(&swarm_slot) = index.swarm_slots.get(blob)
                && let Some(peer) = index.peers.get_mut(peer_slot)
                && peer.holdings.remove(&swarm_slot)
            {
                index.leave(peer_slot, swarm_slot);
            }
        }
    }

    fn disconnect(&self, peer: NodeId) {
        let mut index = self.index();
        let Some(slot) = index.peer_slots.remove(&peer) else { return };
        let Some(peer) = index.peers.remove(slot) else { return };
        for swarm_slot in peer.holdings {
            index.leave(slot, swarm_slot);
        }
    }

    fn handle_health(&self, peer: NodeId, health: Health) {
        let index = &mut *self.index();
        if let Some(&slot) = index.peer_slots.get(&peer)
            && let Some(peer) = index.peers.get_mut(slot)
        {
            peer.health = health;
        }
    }

    fn find(&self, blob: BlobId, asker: NodeId, limit: usize, rng: &mut dyn Rng) -> Vec<Holder> {
        let index = self.index();
        let Some(swarm) = index.swarm(blob) else { return Vec::new() };
        if swarm.holders().len() < index.limits.smallest_swarm {
            return Vec::new();
        }
        let here = index.peer(asker).map(|peer| &peer.whereabouts);
        let mut found: Vec<(Nearness, &Peer)> = swarm
            .holders()
            .iter()
            .filter_map(|&slot| index.peers.get(slot))
            .filter(|peer| peer.node != asker)
            .map(|peer| {
                let nearness = here.map_or(Nearness::Any, |here| here.nearness(&peer.whereabouts));
                (nearness, peer)
            })
            .collect();
        shuffle(&mut found, rng);
        found.sort_by_key(|&(nearness, peer)| (nearness, peer.health.rank()));
        found.truncate(limit.min(index.limits.answer));
        let holder = |(nearness, peer): (_, &Peer)| Holder {
            node: peer.node,
            nearness,
            contact: Arc::clone(&peer.contact),
        };
        found.into_iter().map(holder).collect()
    }
}

/// Puts `items` into random order (Fisher and Yates).
fn shuffle<T>(items: &mut [T], rng: &mut dyn Rng) {
    for last in (1..items.len()).rev() {
        // The upper half of the product is below `last + 1`; for rows this
        // short the bias is below one part in 10^8.
        let scaled = u64::from(rng.next_u32()).saturating_mul(last as u64 + 1) >> 32;
        items.swap(last, usize::try_from(scaled).unwrap_or(last).min(last));
    }
}
