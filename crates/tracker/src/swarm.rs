//! The holders of one blob.

use antiphon_types::BlobId;

use crate::shards::Name;

/// The peers that hold a blob, in the order of their latest announcements.
///
/// A plain row: with 20 of four bytes each, moving them all is cheaper than
/// any structure that would avoid it.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) blob: BlobId,
    holders: Vec<Name>,
}

impl Swarm {
    pub(crate) fn new(blob: BlobId) -> Self {
        Self { blob, holders: Vec::new() }
    }

    /// From the longest ago to the most recent.
    pub(crate) fn holders(&self) -> &[Name] {
        &self.holders
    }

    /// Makes a holder the most recent; false if it is none.
    pub(crate) fn refresh(&mut self, peer: Name) -> bool {
        let position = self.holders.iter().position(|holder| *holder == peer);
        position.map(|index| self.holders[index..].rotate_left(1)).is_some()
    }

    /// Adds one that is no holder yet, as the most recent of at most `limit`.
    pub(crate) fn push(&mut self, peer: Name, limit: usize) {
        if self.holders.len() == self.holders.capacity() {
            // Doubling past the limit would leave a third of the memory unused.
            let room = self.holders.len().clamp(1, limit.saturating_sub(self.holders.len()).max(1));
            self.holders.reserve_exact(room);
        }
        self.holders.push(peer);
    }

    /// Removes a holder; false if it is none.
    pub(crate) fn remove(&mut self, peer: Name) -> bool {
        let position = self.holders.iter().position(|holder| *holder == peer);
        position.map(|index| self.holders.remove(index)).is_some()
    }

    /// Removes the holder that announced longest ago.
    pub(crate) fn remove_oldest(&mut self) -> Option<Name> {
        (!self.holders.is_empty()).then(|| self.holders.remove(0))
    }
}
