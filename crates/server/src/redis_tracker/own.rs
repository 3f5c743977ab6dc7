//! What this server's own listeners hold: the truth that Redis has a copy of.

use std::collections::BTreeMap;
use std::ops::Bound;

use antiphon_tracker::{Health, Place};
use antiphon_types::{BlobId, NodeId};

/// The listeners with a session here. Each blob of each takes about 60 bytes.
#[derive(Debug)]
pub(crate) struct Own {
    peers: BTreeMap<NodeId, OwnPeer>,
    blobs_per_peer: usize,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct OwnPeer {
    pub(crate) place: Place,
    pub(crate) health: Health,
    /// When each blob was announced, in milliseconds since 1970.
    pub(crate) blobs: BTreeMap<BlobId, u64>,
}

impl Own {
    pub(crate) fn new(blobs_per_peer: usize) -> Self {
        Self { peers: BTreeMap::new(), blobs_per_peer }
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn peer(&self, peer: NodeId) -> Option<&OwnPeer> {
        self.peers.get(&peer)
    }

    /// The first ones behind `after`, of as many as hold `blobs` together.
    pub(crate) fn some_after(
        &self,
        after: Option<NodeId>,
        peers: usize,
        blobs: usize,
    ) -> Vec<(NodeId, OwnPeer)> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut counted = 0;
        self.peers
            .range((begin, Bound::Unbounded))
            .take(peers)
            .take_while(|(_, peer)| {
                let more = counted < blobs;
                counted += peer.blobs.len();
                more
            })
            .map(|(node, peer)| (*node, peer.clone()))
            .collect()
    }

    pub(crate) fn connect(&mut self, peer: NodeId, mut place: Place, local_addresses: usize) {
        place.local.truncate(local_addresses);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.place = place;
        } else {
            let health = Health::default();
            self.peers.insert(peer, OwnPeer { place, health, blobs: BTreeMap::new() });
        }
    }

    /// Answers with those that are taken.
    pub(crate) fn announce(&mut self, peer: NodeId, blobs: &[BlobId], now_ms: u64) -> Vec<BlobId> {
        let most = self.blobs_per_peer;
        let Some(peer) = self.peers.get_mut(&peer) else { return Vec::new() };
        let mut taken = Vec::new();
        for blob in blobs {
            if peer.blobs.len() < most || peer.blobs.contains_key(blob) {
                peer.blobs.insert(*blob, now_ms);
                taken.push(*blob);
            }
        }
        taken
    }

    /// Answers with those that had been announced.
    pub(crate) fn withdraw(&mut self, peer: NodeId, blobs: &[BlobId]) -> Vec<BlobId> {
        let Some(peer) = self.peers.get_mut(&peer) else { return Vec::new() };
        blobs.iter().copied().filter(|blob| peer.blobs.remove(blob).is_some()).collect()
    }

    /// Answers with what it held, if it was there.
    pub(crate) fn disconnect(&mut self, peer: NodeId) -> Option<Vec<BlobId>> {
        self.peers.remove(&peer).map(|peer| peer.blobs.into_keys().collect())
    }

    /// Whether that changes anything.
    pub(crate) fn handle_health(&mut self, peer: NodeId, health: Health) -> bool {
        let Some(peer) = self.peers.get_mut(&peer) else { return false };
        std::mem::replace(&mut peer.health, health) != health
    }
}
