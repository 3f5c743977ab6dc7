//! The holders of one blob.

use std::sync::Arc;

use antiphon_types::BlobId;

use crate::peer::Card;
use crate::place::Digest;
use crate::shards::Name;

/// The peers that hold a blob, in the order of their latest announcements.
///
/// A plain row: with 20 of 24 bytes each, moving them all is cheaper than any
/// structure that would avoid it, and to rank them is to read eight cache lines.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) blob: BlobId,
    holders: Vec<Entry>,
}

/// A holder, with a copy of what decides when it is named, and what is told of it
/// then: neither takes a lock of the peer's.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) card: Arc<Card>,
    pub(crate) peer: Name,
    pub(crate) digest: Digest,
}

impl Swarm {
    pub(crate) fn new(blob: BlobId) -> Self {
        Self { blob, holders: Vec::new() }
    }

    /// From the longest ago to the most recent.
    pub(crate) fn holders(&self) -> &[Entry] {
        &self.holders
    }

    /// Makes a holder the most recent; false if it is none.
    pub(crate) fn refresh(&mut self, peer: Name) -> bool {
        self.position(peer).map(|index| self.holders[index..].rotate_left(1)).is_some()
    }

    /// Takes a new copy of what decides; nothing happens if it is no holder.
    pub(crate) fn update(&mut self, entry: Entry) {
        if let Some(index) = self.position(entry.peer) {
            self.holders[index] = entry;
        }
    }

    /// Adds one that is no holder yet, as the most recent of at most `limit`.
    pub(crate) fn push(&mut self, entry: Entry, limit: usize) {
        if self.holders.len() == self.holders.capacity() {
            // Doubling past the limit would leave a third of the memory unused.
            let room = self.holders.len().clamp(1, limit.saturating_sub(self.holders.len()).max(1));
            self.holders.reserve_exact(room);
        }
        self.holders.push(entry);
    }

    /// Removes a holder; false if it is none.
    pub(crate) fn remove(&mut self, peer: Name) -> bool {
        self.position(peer).map(|index| self.holders.remove(index)).is_some()
    }

    /// Removes the one that makes room for a newcomer: the holder that announced longest
    /// ago, and if half of them are of the newcomer's site already, of those. So one
    /// site, under however many names, never pushes out more than half.
    pub(crate) fn make_room_for(&mut self, newcomer: &Entry) -> Option<Name> {
        let is_of_site = |entry: &Entry| entry.digest.is_of_site(newcomer.digest);
        let of_site = self.holders.iter().filter(|entry| is_of_site(entry)).count();
        let crowded = of_site > 0 && of_site >= self.holders.len() / 2;
        let leaves = self.holders.iter().position(|entry| !crowded || is_of_site(entry))?;
        Some(self.holders.remove(leaves).peer)
    }

    fn position(&self, peer: Name) -> Option<usize> {
        self.holders.iter().position(|entry| entry.peer == peer)
    }
}
