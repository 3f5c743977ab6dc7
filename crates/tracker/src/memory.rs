//! The tracker that needs nothing but memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_types::{BlobId, NodeId, Timestamp};
use rand_core::Rng;

use crate::hash::HashKey;
use crate::peer::{Card, Peer};
use crate::place::{Digest, Nearness, Whereabouts};
use crate::ranking::Ranking;
use crate::regions::Regions;
use crate::shards::{Name, Shard, Shards};
use crate::swarm::{Entry, Swarm};
use crate::{AnnounceError, Announced, ConnectError, Health, Limits, Named, Place, Tracker};

/// An index in memory, for one server and all its cores.
///
/// Ids of 32 bytes are kept once; everything else names peers and blobs by
/// numbers of four bytes. Both are found in hash tables under a secret key: a
/// stranger who chooses names cannot choose where they go. (An ordered tree
/// would need no key, but takes seven to ten fetches of memory to find one of a
/// million, where a table takes two. What makes hash tables unwelcome in a core
/// like this is their order, and that is never seen: nothing walks a table.)
///
/// # Locks
///
/// Peers are in 256 shards by the hash of their names, and blobs likewise, each
/// shard behind a lock of its own; there is none above them, and the two counts
/// that all share are atomic. Any thread holds at most one lock of a blob's
/// shard, and while it does, at most one of a peer's; never two of a kind, and
/// none of a blob while it holds one of a peer. So no two wait for each other.
///
/// A peer is in a swarm exactly if the swarm is in its list: both are changed
/// under both locks. The exception is a peer that leaves. It gives up its list at
/// once, is named to nobody from then on, and keeps its number until the last
/// swarm has forgotten it, so that no number in a swarm is another peer's. What
/// decides when a peer is named is copied into each of its swarms, and what is told
/// of it is shared with them, so that a search looks at those peers alone that it
/// names, and takes no lock but its swarm's; when either changes, which is seldom,
/// the peer's swarms are told one by one.
pub struct MemoryTracker {
    limits: Limits,
    regions: Regions,
    key: HashKey,
    peers: Shards<Peer>,
    peer_count: AtomicUsize,
    swarms: Shards<Swarm>,
    entries: AtomicUsize,
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

impl MemoryTracker {
    /// An empty index. `key` is drawn at random at each start and told to
    /// nobody; whoever knows it can choose names that make searches slow.
    pub fn new(limits: Limits, key: [u8; 16]) -> Self {
        Self {
            limits,
            regions: Regions::default(),
            key: HashKey::new(key),
            peers: Shards::new(),
            peer_count: AtomicUsize::new(0),
            swarms: Shards::new(),
            entries: AtomicUsize::new(0),
        }
    }

    /// The same with the operator's regions, for those who connect from now on.
    #[must_use]
    pub fn with_regions(self, regions: Regions) -> Self {
        Self { regions, ..self }
    }

    /// How much is in it. While others change it, the figures may be of
    /// different moments.
    pub fn totals(&self) -> Totals {
        Totals {
            peers: self.peer_count.load(Ordering::Relaxed),
            blobs: self.swarms.count(),
            entries: self.entries.load(Ordering::Relaxed),
        }
    }

    /// How many holders of `blob` are known, at most
    /// [`Limits::holders_per_blob`].
    pub fn holders(&self, blob: BlobId) -> usize {
        let hash = self.key.blob(&blob);
        let shard = self.swarms.of_hash(hash);
        let swarm = shard.find(hash, |swarm| swarm.blob == blob).and_then(|name| shard.get(name));
        swarm.map_or(0, |swarm| swarm.holders().len())
    }

    /// Since when `peer` is connected without a break.
    pub fn connected_since(&self, peer: NodeId) -> Option<Timestamp> {
        self.peer(peer, |_, peer| peer.since)
    }

    /// Does something with a peer, if it is connected.
    fn peer<T>(&self, node: NodeId, work: impl FnOnce(Name, &mut Peer) -> T) -> Option<T> {
        let hash = self.key.node(&node);
        let mut shard = self.peers.of_hash(hash);
        let name = shard.find(hash, |peer| peer.is(node))?;
        shard.get_mut(name).map(|peer| work(name, peer))
    }

    /// Enters one announcement; false if a limit forbids it.
    fn enter(&self, node: NodeId, peer: Name, blob: BlobId) -> bool {
        let hash = self.key.blob(&blob);
        let mut shard = self.swarms.of_hash(hash);
        let known = shard.find(hash, |swarm| swarm.blob == blob);
        if let Some(swarm) = known.and_then(|name| shard.get_mut(name))
            && swarm.refresh(peer)
        {
            return true;
        }
        if self.limits.holders_per_blob == 0 {
            return false;
        }
        let replaces = known
            .and_then(|name| shard.get(name))
            .is_some_and(|swarm| swarm.holders().len() >= self.limits.holders_per_blob);
        if !replaces && !count_up(&self.entries, self.limits.entries) {
            return false;
        }
        let name = known.or_else(|| shard.insert(hash, Swarm::new(blob)));
        let entered = name.and_then(|name| Some((name, self.enter_swarm(node, peer, name)?)));
        let Some((name, entry)) = entered else {
            if !replaces {
                self.entries.fetch_sub(1, Ordering::Relaxed);
            }
            if let (None, Some(name)) = (known, name) {
                shard.hide(hash, name);
                shard.free(name);
            }
            return false;
        };
        let Some(swarm) = shard.get_mut(name) else { return false };
        if replaces && let Some(leaves) = swarm.make_room_for(&entry) {
            self.leave_swarm(leaves, name);
        }
        swarm.push(entry, self.limits.holders_per_blob);
        true
    }

    /// Notes a swarm with the peer, and gives what the swarm is to note; `None` if
    /// the peer has no room, or left meanwhile.
    fn enter_swarm(&self, node: NodeId, name: Name, swarm: Name) -> Option<Entry> {
        let mut shard = self.peers.of_name(name);
        let peer = shard.get_mut(name).filter(|peer| peer.is(node))?;
        peer.enter(swarm, self.limits.blobs_per_peer).then(|| peer.entry(name))
    }

    /// Has the swarms of a peer take a new copy of what decides when it is named.
    /// Each takes what holds when it does, so that the last change stays.
    fn update_swarms(&self, (peer, swarms): (Name, Vec<Name>)) {
        for name in swarms {
            let mut shard = self.swarms.of_name(name);
            let entry = self.peers.of_name(peer).get(peer).map(|known| known.entry(peer));
            if let (Some(swarm), Some(entry)) = (shard.get_mut(name), entry) {
                swarm.update(entry);
            }
        }
    }

    /// Strikes a swarm from the peer's list.
    fn leave_swarm(&self, peer: Name, swarm: Name) -> bool {
        let mut shard = self.peers.of_name(peer);
        shard.get_mut(peer).is_some_and(|peer| peer.leave(swarm))
    }

    /// Takes a peer out of a swarm, and the swarm out of the index if it was
    /// the last one. The peer's own list is the caller's to mend.
    fn drop_holder(&self, shard: &mut Shard<Swarm>, peer: Name, name: Name) {
        let Some(swarm) = shard.get_mut(name) else { return };
        if swarm.remove(peer) {
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        if swarm.holders().is_empty() {
            let hash = self.key.blob(&swarm.blob);
            shard.hide(hash, name);
            shard.free(name);
        }
    }
}

impl Tracker for MemoryTracker {
    fn connect(&self, now: Timestamp, node: NodeId, place: Place) -> Result<(), ConnectError> {
        let (length, limit) = (place.contact.len(), self.limits.contact_bytes);
        if length > limit {
            return Err(ConnectError::LongContact { length, limit });
        }
        let whereabouts = Whereabouts::new(&place, self.limits.local_addresses, &self.regions);
        let hash = self.key.node(&node);
        let mut shard = self.peers.of_hash(hash);
        let card = Card::new(node, whereabouts, place.contact);
        if let Some(name) = shard.find(hash, |peer| peer.is(node))
            && let Some(peer) = shard.get_mut(name)
        {
            let named_in = peer.replace(card).then(|| (name, peer.holdings().to_vec()));
            drop(shard);
            if let Some(named_in) = named_in {
                self.update_swarms(named_in);
            }
            return Ok(());
        }
        let full = ConnectError::Full(self.limits.peers);
        if !count_up(&self.peer_count, self.limits.peers) {
            return Err(full);
        }
        let inserted = shard.insert(hash, Peer::new(card, now));
        if inserted.is_none() {
            self.peer_count.fetch_sub(1, Ordering::Relaxed);
        }
        inserted.map(|_| ()).ok_or(full)
    }

    fn announce(&self, node: NodeId, blobs: &[BlobId]) -> Result<Announced, AnnounceError> {
        let name = self
            .peer(node, |name, peer| {
                peer.expect(blobs.len(), self.limits.blobs_per_peer);
                name
            })
            .ok_or(AnnounceError::NotConnected(node))?;
        let taken = blobs.iter().filter(|blob| self.enter(node, name, **blob)).count();
        Ok(Announced { taken, refused: blobs.len() - taken })
    }

    fn withdraw(&self, node: NodeId, blobs: &[BlobId]) {
        let Some(peer) = self.peer(node, |name, _| name) else { return };
        for blob in blobs {
            let hash = self.key.blob(blob);
            let mut shard = self.swarms.of_hash(hash);
            // A peer has a swarm in its list only if its name in it is its own.
            if let Some(swarm) = shard.find(hash, |swarm| swarm.blob == *blob)
                && self.leave_swarm(peer, swarm)
            {
                self.drop_holder(&mut shard, peer, swarm);
            }
        }
    }

    fn disconnect(&self, node: NodeId) {
        let hash = self.key.node(&node);
        let departed = {
            let mut shard = self.peers.of_hash(hash);
            let Some(name) = shard.find(hash, |peer| peer.is(node)) else { return };
            shard.hide(hash, name);
            shard.get_mut(name).map(|peer| (name, peer.depart()))
        };
        let Some((name, holdings)) = departed else { return };
        self.peer_count.fetch_sub(1, Ordering::Relaxed);
        for swarm in holdings {
            self.drop_holder(&mut self.swarms.of_name(swarm), name, swarm);
        }
        self.peers.of_name(name).free(name);
    }

    fn handle_health(&self, peer: NodeId, health: Health) {
        let changed = self.peer(peer, |name, peer| {
            let before = std::mem::replace(&mut peer.rank, health.rank());
            (before != peer.rank).then(|| (name, peer.holdings().to_vec()))
        });
        if let Some(named_in) = changed.flatten() {
            self.update_swarms(named_in);
        }
    }

    fn find_each(
        &self,
        blob: BlobId,
        asker: NodeId,
        limit: usize,
        rng: &mut dyn Rng,
        tell: &mut dyn FnMut(Named<'_>),
    ) {
        let here = self.peer(asker, |name, peer| (name, Arc::clone(peer.card())));
        let hash = self.key.blob(&blob);
        // Held to the end: as long as a swarm names a peer, its number is not
        // given to another.
        let shard = self.swarms.of_hash(hash);
        let swarm = shard.find(hash, |swarm| swarm.blob == blob).and_then(|name| shard.get(name));
        let Some(holders) = swarm.map(Swarm::holders) else { return };
        if holders.len() < self.limits.smallest_swarm {
            return;
        }
        let mut ranking = Ranking::with_capacity(holders.len());
        let (asker, here) = here.map_or((None, None), |(name, card)| (Some(name), Some(card)));
        let digest = here.as_ref().map(|card| Digest::new(&card.whereabouts, 0));
        for (index, holder) in holders.iter().enumerate() {
            if asker == Some(holder.peer) {
                continue;
            }
            let nearness = digest.map_or(Some(Nearness::Any), |it| it.nearness(holder.digest));
            // Under one roof, perhaps: those few are looked at.
            let nearness = nearness.unwrap_or_else(|| nearness_of(here.as_deref(), &holder.card));
            ranking.push(index, nearness, holder.digest.rank);
        }
        for index in ranking.best(limit.min(self.limits.answer), rng) {
            let card = &holders[index].card;
            // One who is leaving just now is left out.
            if !card.is_gone() {
                let nearness = nearness_of(here.as_deref(), card);
                tell(Named { node: &card.node, nearness, contact: &card.contact });
            }
        }
    }
}

/// How near a peer is to the asker, if it is known where that one is.
fn nearness_of(here: Option<&Card>, peer: &Card) -> Nearness {
    here.map_or(Nearness::Any, |here| here.whereabouts.nearness(&peer.whereabouts))
}

impl fmt::Debug for MemoryTracker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the key nor the names of millions.
        let mut shown = formatter.debug_struct("MemoryTracker");
        shown.field("limits", &self.limits).field("totals", &self.totals()).finish_non_exhaustive()
    }
}

/// Counts one more unless there are `limit` already.
fn count_up(count: &AtomicUsize, limit: usize) -> bool {
    let more = |count| (count < limit).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}
