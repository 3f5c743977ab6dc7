//! One who is online.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_types::{NodeId, Timestamp};

use crate::place::{Digest, Whereabouts};
use crate::shards::Name;
use crate::swarm::Entry;

/// Holdings that are compared at once.
const PIECE: usize = 64;

/// What is told of a peer. Its swarms share it, and a new one takes its place when
/// the peer moves.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) node: NodeId,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) contact: Arc<[u8]>,
    /// Whether the peer has left. Nothing else goes by the order in which others
    /// see this: who leaves is out of all swarms when its call returns.
    gone: AtomicBool,
}

impl Card {
    pub(crate) fn new(node: NodeId, whereabouts: Whereabouts, contact: Arc<[u8]>) -> Self {
        Self { node, whereabouts, contact, gone: AtomicBool::new(false) }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// A peer, and what must be undone when it leaves.
#[derive(Debug)]
pub(crate) struct Peer {
    card: Arc<Card>,
    /// See [`Health::rank`](crate::Health::rank).
    pub(crate) rank: u8,
    pub(crate) since: Timestamp,
    /// The swarms it is in, in no order. At most as many as
    /// [`Limits::blobs_per_peer`](crate::Limits::blobs_per_peer), of four bytes
    /// each: to look through all takes no longer than to fetch two of them in a
    /// tree, and takes a third of its memory.
    holdings: Vec<Name>,
}

impl Peer {
    pub(crate) fn new(card: Card, since: Timestamp) -> Self {
        Self { card: Arc::new(card), rank: 0, since, holdings: Vec::new() }
    }

    /// What is told of it.
    pub(crate) fn card(&self) -> &Arc<Card> {
        &self.card
    }

    /// Takes another card of the same peer; false if it says the same.
    pub(crate) fn replace(&mut self, card: Card) -> bool {
        let before = &self.card;
        let same = before.whereabouts == card.whereabouts && before.contact == card.contact;
        if !same {
            self.card = Arc::new(card);
        }
        !same
    }

    /// What a swarm keeps of it, under its name.
    pub(crate) fn entry(&self, name: Name) -> Entry {
        let digest = Digest::new(&self.card.whereabouts, self.rank);
        Entry { card: Arc::clone(&self.card), peer: name, digest }
    }

    /// The swarms it is in.
    pub(crate) fn holdings(&self) -> &[Name] {
        &self.holdings
    }

    /// Whether it is the peer `node`, and has not left.
    pub(crate) fn is(&self, node: NodeId) -> bool {
        self.card.node == node && !self.card.is_gone()
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
        // In pieces, each of which is looked through at once, several at a time.
        let pieces = self.holdings.chunks(PIECE).position(|piece| piece.contains(&swarm));
        let Some(first) = pieces.map(|piece| piece * PIECE) else { return false };
        let within = self.holdings[first..].iter().position(|holding| *holding == swarm);
        within.map(|index| self.holdings.swap_remove(first + index)).is_some()
    }

    /// Lets it go; the swarms that still name it.
    pub(crate) fn depart(&mut self) -> Vec<Name> {
        self.card.gone.store(true, Ordering::Relaxed);
        std::mem::take(&mut self.holdings)
    }
}
