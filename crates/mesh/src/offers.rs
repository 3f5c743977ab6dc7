//! What is wanted, by us and by neighbours, and who holds how much of it.

use std::sync::Arc;

use antiphon_types::{BlobId, BlobSize, BlockRange, BlockSet, Class, NodeId, Timestamp};

use crate::mesh::{Mesh, Notice, Output};
use crate::neighbour::Wanted;

/// A blob that we want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Which.
    pub blob: BlobId,
    /// How long it is.
    pub size: BlobSize,
    /// How urgent it is.
    pub class: Class,
}

/// What a neighbour said it holds of a blob that we want.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    blob: BlobId,
    held: Arc<BlockSet>,
}

impl Mesh {
    /// What we want from now on, the most urgent first; of more than
    /// [`Limits::wanted`](crate::Limits::wanted) only the first count. Neighbours
    /// are told if it changed.
    pub fn want(&mut self, now: Timestamp, interests: &[Interest]) {
        self.advance(now);
        let interests = &interests[..interests.len().min(self.limits.wanted)];
        if self.wanted == interests {
            return;
        }
        self.wanted = interests.to_vec();
        let wanted = &self.wanted;
        for (peer, neighbour) in &mut self.neighbours {
            neighbour.offers.retain(|offer| wanted.iter().any(|want| want.blob == offer.blob));
            for want in wanted {
                if neighbour.wants.iter().any(|other| other.blob == want.blob) {
                    neighbour.shares_taste(want.blob);
                }
            }
            self.outputs.push_back(Output::Tell { peer: *peer, notice: Notice::Want });
        }
    }

    /// What we want.
    pub fn wanted(&self) -> &[Interest] {
        &self.wanted
    }

    /// A neighbour wants these blobs, and none of those it named before.
    pub fn handle_want(&mut self, now: Timestamp, from: NodeId, interests: &[(BlobId, Class)]) {
        let now = self.advance(now);
        if !self.may_notify(now, from) {
            return;
        }
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        let mut wants: Vec<Wanted> = Vec::new();
        for (blob, class) in interests.iter().take(self.limits.wanted) {
            if wants.iter().any(|want| want.blob == *blob) {
                continue;
            }
            let known = neighbour.wants.iter().find(|want| want.blob == *blob).cloned();
            if known.is_none() {
                self.outputs
                    .push_back(Output::Tell { peer: from, notice: Notice::Have { blob: *blob } });
            }
            if self.wanted.iter().any(|want| want.blob == *blob) {
                neighbour.shares_taste(*blob);
            }
            let fresh = Wanted { blob: *blob, class: *class, told_at: now, news: false };
            wants.push(Wanted { class: *class, ..known.unwrap_or(fresh) });
        }
        neighbour.wants = wants;
    }

    /// A neighbour holds these blocks of a blob, and may be asked for them now,
    /// whatever it said before. Ranges beyond the blob's end are cut.
    pub fn handle_have(
        &mut self,
        now: Timestamp,
        from: NodeId,
        blob: BlobId,
        ranges: impl IntoIterator<Item = BlockRange>,
    ) {
        let now = self.advance(now);
        if !self.may_notify(now, from) {
            return;
        }
        let Some(size) = self.wanted.iter().find(|want| want.blob == blob).map(|want| want.size)
        else {
            return;
        };
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        let mut held = BlockSet::empty(size);
        for range in ranges {
            let range = BlockRange::new(range.start, range.end.min(held.block_count()));
            for block in range.iter() {
                held.insert(block);
            }
        }
        neighbour.shares_taste(blob);
        neighbour.choked_until = now;
        match neighbour.offers.iter_mut().find(|offer| offer.blob == blob) {
            Some(offer) => offer.held = Arc::new(held),
            None => neighbour.offers.push(Offer { blob, held: Arc::new(held) }),
        }
    }

    /// We hold more of `blob` than before. Neighbours that want it are told, no
    /// more often than [`Limits::have_interval`](crate::Limits::have_interval).
    pub fn handle_gained(&mut self, now: Timestamp, blob: BlobId) {
        let now = self.advance(now);
        for neighbour in self.neighbours.values_mut() {
            let wants = neighbour.wants.iter_mut().filter(|want| want.blob == blob);
            wants.for_each(|want| want.news = true);
        }
        self.tell_news(now);
    }

    /// What `peer` said it holds of `blob`, which we want.
    pub fn offer(&self, peer: NodeId, blob: BlobId) -> Option<&Arc<BlockSet>> {
        let offers = &self.neighbours.get(&peer)?.offers;
        offers.iter().find(|offer| offer.blob == blob).map(|offer| &offer.held)
    }

    /// Neighbours that said they hold some of `blob`, which we want.
    pub fn holders(&self, blob: BlobId) -> impl Iterator<Item = NodeId> + '_ {
        self.neighbours.iter().filter_map(move |(peer, neighbour)| {
            let mut offers = neighbour.offers.iter();
            offers.any(|offer| offer.blob == blob && !offer.held.is_empty()).then_some(*peer)
        })
    }

    /// Whether any neighbour wants `blob`.
    pub fn is_wanted_by_others(&self, blob: BlobId) -> bool {
        self.neighbours.values().any(|neighbour| neighbour.wants().any(|(want, _)| want == blob))
    }

    pub(crate) fn tell_news(&mut self, now: Timestamp) {
        for (peer, neighbour) in &mut self.neighbours {
            for want in neighbour.wants.iter_mut().filter(|want| want.news) {
                if want.told_at + self.limits.have_interval <= now {
                    (want.news, want.told_at) = (false, now);
                    self.outputs.push_back(Output::Tell {
                        peer: *peer,
                        notice: Notice::Have { blob: want.blob },
                    });
                }
            }
        }
    }

    /// When the next neighbour is to be told.
    pub(crate) fn next_news(&self) -> Option<Timestamp> {
        let wants = self.neighbours.values().flat_map(|neighbour| &neighbour.wants);
        let news = wants.filter(|want| want.news);
        news.map(|want| want.told_at + self.limits.have_interval).min()
    }
}
