//! What neighbours say to each other: what is wanted, who holds it.

use std::time::Duration;

use antiphon_mesh::{Interest, QueryId};
use antiphon_types::{BlobId, BlockRange, Class, NodeId, Timestamp};

use crate::event::Output;
use crate::listener::Listener;
use crate::mix::{STEP, mix};
use crate::play::CurrentPlay;

impl Listener {
    /// A neighbour wants these blobs, and none of those it named before.
    pub fn handle_want(&mut self, now: Timestamp, from: NodeId, interests: &[(BlobId, Class)]) {
        self.advance(now);
        self.mesh.handle_want(self.now, from, interests);
        self.drain_mesh();
    }

    /// A neighbour holds these blocks of a blob, and no others of it.
    pub fn handle_have(
        &mut self,
        now: Timestamp,
        from: NodeId,
        blob: BlobId,
        ranges: impl IntoIterator<Item = BlockRange>,
    ) {
        self.wake(now);
        self.mesh.handle_have(self.now, from, blob, ranges);
        if self.mesh.offer(from, blob).is_some() {
            self.note_holder(from, blob);
        }
        self.drain_mesh();
    }

    /// A neighbour asks who holds a blob; `held` says that we hold some of it.
    pub fn handle_query(
        &mut self,
        now: Timestamp,
        from: NodeId,
        id: QueryId,
        blob: BlobId,
        hops: u32,
        held: bool,
    ) {
        self.advance(now);
        self.mesh.handle_query(self.now, from, id, blob, hops, held);
        self.drain_mesh();
    }

    /// A neighbour answers a query: `holder` holds the blob.
    pub fn handle_hit(&mut self, now: Timestamp, from: NodeId, id: QueryId, holder: NodeId) {
        self.wake(now);
        self.mesh.handle_hit(self.now, from, id, holder);
        self.drain_mesh();
    }

    /// We have come to hold more of a blob: what a play fetched tells itself.
    pub fn handle_gained(&mut self, now: Timestamp, blob: BlobId) {
        self.advance(now);
        self.mesh.handle_gained(self.now, blob);
        self.drain_mesh();
    }

    /// Tells neighbours what is missing of what sounds and of what follows.
    pub(crate) fn say_what_is_wanted(&mut self) {
        let wanted = self.plays().filter(|play| !play.is_complete()).map(CurrentPlay::interest);
        let mut interests: Vec<Interest> = Vec::new();
        for interest in wanted {
            if interests.iter().all(|known| known.blob != interest.blob) {
                interests.push(interest);
            }
        }
        self.mesh.want(self.now, &interests);
        self.drain_mesh();
    }

    /// Without a server nobody names holders. Rather than lose a round trip with a
    /// question, the nearest neighbours are asked for the blocks themselves; one
    /// that does not have them says so.
    pub(crate) fn suspect_neighbours(&mut self) {
        let Some(blob) = self.play.as_ref().map(CurrentPlay::blob) else { return };
        let mut near: Vec<(Duration, NodeId)> =
            self.mesh.neighbours().map(|(peer, neighbour)| (neighbour.rtt(), peer)).collect();
        near.sort_unstable();
        for (_, peer) in near.into_iter().take(self.config.suspects) {
            self.note_holder(peer, blob);
        }
    }

    /// Asks the neighbours who holds a blob.
    pub(crate) fn search(&mut self, blob: BlobId) {
        self.searches += 1;
        let id = QueryId(draw(self.salt, self.searches));
        self.mesh.search(self.now, id, blob);
        self.drain_mesh();
    }

    /// A neighbour found somebody who holds a blob.
    pub(crate) fn found(&mut self, blob: BlobId, holder: NodeId) {
        self.note_holder(holder, blob);
        let wanted = self.plays().any(|play| play.blob() == blob);
        if wanted && self.mesh.neighbour(holder).is_none() {
            self.outputs.push_back(Output::Meet { peer: holder, blob });
        }
    }

    fn note_holder(&mut self, holder: NodeId, blob: BlobId) {
        let most = self.config.holders;
        let plays = self.play.iter_mut().chain(&mut self.ahead);
        for play in plays.filter(|play| play.blob() == blob) {
            if let Some(known) = play.holders.get_mut(&holder) {
                known.refused_until = Timestamp::ZERO;
            } else if play.holders.len() < most {
                play.holders.entry(holder).or_default();
            }
        }
    }
}

impl CurrentPlay {
    fn interest(&self) -> Interest {
        let rendition = self.playout.rendition();
        Interest { blob: rendition.blob(), size: rendition.size(), class: self.class() }
    }
}

/// The *n*-th of a row of ids of a seed, so that no two listeners draw the same.
fn draw(seed: u64, n: u64) -> [u8; 16] {
    let word = |n: u64| mix(seed.wrapping_add(n.wrapping_mul(STEP)));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&word(2 * n).to_le_bytes());
    id[8..].copy_from_slice(&word(2 * n + 1).to_le_bytes());
    id
}
