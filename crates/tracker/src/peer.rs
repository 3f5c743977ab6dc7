//! One who is online.

use std::sync::Arc;

use antiphon_types::{NodeId, Timestamp};

use crate::place::{Digest, Whereabouts};
use crate::shards::Name;
use crate::swarm::Entry;

/// A peer, and what must be undone when it leaves.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) whereabouts: Whereabouts,
    /// See [`Health::rank`](crate::Health::rank).
    pub(crate) rank: u8,
    /// Whether it has left. It keeps its name until no swarm names it.
    gone: bool,
    pub(crate) contact: Arc<[u8]>,
    pub(crate) since: Timestamp,
    /// The swarms it is in, in no order. At most as many as
    /// [`Limits::blobs_per_peer`](crate::Limits::blobs_per_peer), of four bytes
    /// each: to look through all takes no longer than to fetch two of them in a
    /// tree, and takes a third of its memory.
    holdings: Vec<Name>,
}

impl Peer {
    pub(crate) fn new(
        node: NodeId,
        whereabouts: Whereabouts,
        contact: Arc<[u8]>,
        since: Timestamp,
    ) -> Self {
        Self { node, whereabouts, rank: 0, gone: false, contact, since, holdings: Vec::new() }
    }

    /// What a swarm keeps of it, under its name.
    pub(crate) fn entry(&self, name: Name) -> Entry {
        Entry { peer: name, digest: Digest::new(&self.whereabouts), rank: self.rank }
    }

    /// The swarms it is in.
    pub(crate) fn holdings(&self) -> &[Name] {
        &self.holdings
    }

    /// Whether it is the peer `node`, and has not left.
    pub(crate) fn is(&self, node: NodeId) -> bool {
        !self.gone && self.node == node
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Makes room for holdings to come, no more than is needed.
    pub(crate) fn expect(&mut self, more: usize, limit: usize) {
        let more = more.min(limit.saturating_sub(self.holdings.len()));
        if self.holdings.capacity() - self.holdings.len() < more {
            // By a quarter at least, or many small announcements would each
            // move all.
            self.holdings.reserve_exact(more.max(self.holdings.len() / 4));
        }
    }

    /// Notes a swarm that it is not in yet; false if it is in `limit` already.
    pub(crate) fn enter(&mut self, swarm: Name, limit: usize) -> bool {
        let has_room = self.holdings.len() < limit;
        if has_room {
            self.expect(1, limit);
            self.holdings.push(swarm);
        }
        has_room
    }

    /// Forgets a swarm; false if it is not in it.
    pub(crate) fn leave(&mut self, swarm: Name) -> bool {
        let position = self.holdings.iter().position(|holding| *holding == swarm);
        position.map(|index| self.holdings.swap_remove(index)).is_some()
    }

    /// Lets it go; the swarms that still name it.
    pub(crate) fn depart(&mut self) -> Vec<Name> {
        self.gone = true;
        std::mem::take(&mut self.holdings)
    }
}
