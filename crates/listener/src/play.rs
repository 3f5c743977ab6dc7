use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_playback::{Playout, State, UserPolicy};
use antiphon_types::{
    BLOCK_BYTES, BlobId, BlockRange, BlockSet, Class, NodeId, Rendition, SAMPLE_RATE, Timestamp,
};

use crate::event::{PlayId, Reason, Rung, Source, TransferId};

/// How far ahead of the sound a boundary must lie for another rendition to take
/// over there, in samples: 2 s, more than decoder and sink hold.
const DECODED_AHEAD: u64 = 2 * SAMPLE_RATE as u64;

/// The current play: what is there, what is on its way, and who has it.
#[derive(Debug)]
pub(crate) struct CurrentPlay {
    pub(crate) id: PlayId,
    pub(crate) playout: Playout,
    pub(crate) turn: Turn,
    /// What it may be continued with.
    pub(crate) ladder: Arc<[Rung]>,
    pub(crate) user: UserPolicy,
    /// Held or on its way: what is not in here is to be asked.
    pub(crate) taken: BlockSet,
    /// For each block on its way, from where. At most
    /// [`Config::copies_per_block`](crate::Config::copies_per_block) each.
    pub(crate) flights: BTreeMap<u32, Vec<Flight>>,
    pub(crate) transfers: BTreeMap<TransferId, Transfer>,
    pub(crate) holders: BTreeMap<NodeId, Holder>,
    /// Peers that did not bring a block, for blocks that had trouble.
    pub(crate) tried: BTreeMap<u32, Vec<NodeId>>,
    pub(crate) server_bytes: u64,
    pub(crate) find_peers_at: Timestamp,
    /// Until when peers that were named may come up.
    pub(crate) peers_expected_until: Timestamp,
}

/// When a play is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now, or as a continuation of the track that is heard now.
    Now,
    /// When the track before it has ended.
    Next,
}

/// One copy of a block on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) transfer: TransferId,
    pub(crate) source: Source,
    /// When it was expected when it was asked.
    pub(crate) expected: Timestamp,
}

/// A request, or the server's push.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) source: Source,
    pub(crate) blocks: BlockRange,
    pub(crate) missing: u32,
    pub(crate) asked_at: Timestamp,
    pub(crate) reason: Reason,
    /// Asked of the server with less urgency than what is heard now.
    pub(crate) patient: bool,
    /// When we said that no more of it is wanted (a push has some of it on the
    /// wire by then, and that much is still expected).
    pub(crate) stopped_at: Option<Timestamp>,
}

/// A peer that is said to hold the blob, whole unless it said which blocks.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Holder {
    /// It said that it does not, until this may be tried again.
    pub(crate) refused_until: Timestamp,
    /// Blocks of this play that it delivered.
    pub(crate) blocks: u32,
    /// Bytes of this play that it gave first.
    pub(crate) bytes: u64,
}

impl CurrentPlay {
    pub(crate) fn new(
        id: PlayId,
        playout: Playout,
        turn: Turn,
        (ladder, user): (Arc<[Rung]>, UserPolicy),
        find_peers_at: Timestamp,
    ) -> Self {
        Self {
            id,
            turn,
            ladder,
            user,
            taken: playout.held().clone(),
            playout,
            flights: BTreeMap::new(),
            transfers: BTreeMap::new(),
            holders: BTreeMap::new(),
            tried: BTreeMap::new(),
            server_bytes: 0,
            find_peers_at,
            peers_expected_until: Timestamp::ZERO,
        }
    }

    pub(crate) fn blob(&self) -> BlobId {
        self.playout.rendition().blob()
    }

    /// Whether the play is over and only the cached copy is being completed.
    pub(crate) fn at_leisure(&self) -> bool {
        self.playout.state() == State::Ended
    }

    pub(crate) fn class(&self) -> Class {
        if self.at_leisure() || self.turn == Turn::Next { Class::Prefetch } else { Class::Now }
    }

    /// Whether nothing is to be fetched for it any more. At leisure what a seek
    /// left out is fetched too.
    pub(crate) fn is_complete(&self) -> bool {
        self.playout.held().is_full() || (!self.at_leisure() && self.playout.missing() == 0)
    }

    /// Whether a block that it needs is neither there nor on its way.
    pub(crate) fn wants_more(&self) -> bool {
        let end = self.playout.end_block();
        let headers = self.playout.header_blocks();
        let needed = self.playout.first_needed().max(headers);
        let wanted = |from, end| self.taken.first_missing(from).is_some_and(|block| block < end);
        wanted(0, headers) || wanted(needed, end)
    }

    /// The first segment's boundary from which on another rendition can take
    /// over: nothing beyond it has been asked for, and the sound is not there yet.
    pub(crate) fn switch_point(&self, now: Timestamp) -> Option<u64> {
        let asked = self.taken.first_missing(self.playout.first_needed())?;
        let asked = u64::from(asked) * u64::from(BLOCK_BYTES);
        let soonest = self.playout.position(now) + DECODED_AHEAD;
        let rendition = self.playout.rendition();
        let boundaries = (1..).map(|n| n * Rendition::SEGMENT_SAMPLES);
        let mut within = boundaries.take_while(|at| *at < self.playout.until());
        within.find(|at| *at > soonest && rendition.splice_end(*at) >= asked)
    }

    /// Blocks from `from` on, in a row, that nobody has been asked for; at
    /// most `most`.
    pub(crate) fn wanted_run(&self, from: u32, most: u32) -> u32 {
        let free = |ahead: &u32| {
            from.checked_add(*ahead).is_some_and(|block| {
                block < self.taken.block_count() && !self.taken.contains(block)
            })
        };
        let run = (0..most).take_while(free).count();
        u32::try_from(run).unwrap_or(most)
    }

    /// Enters a request that was just made; `expected` says when its *n*-th
    /// block should be here.
    pub(crate) fn enter(
        &mut self,
        id: TransferId,
        transfer: Transfer,
        expected: impl Fn(u32) -> Timestamp,
    ) {
        let held = self.playout.held();
        let missing = transfer.blocks.iter().filter(|block| !held.contains(*block));
        for (nth, block) in (1..).zip(missing) {
            self.taken.insert(block);
            let flight = Flight { transfer: id, source: transfer.source, expected: expected(nth) };
            self.flights.entry(block).or_default().push(flight);
        }
        self.transfers.insert(id, transfer);
    }

    /// Takes out a transfer; what only it was bringing is wanted again.
    /// Returns it and the blocks that it still owed.
    pub(crate) fn withdraw(&mut self, id: TransferId) -> Option<(Transfer, Vec<u32>)> {
        let transfer = self.transfers.remove(&id)?;
        let owed = self.flights.range(transfer.blocks.start..transfer.blocks.end);
        let owed = owed
            .filter(|(_, flights)| flights.iter().any(|flight| flight.transfer == id))
            .map(|(block, _)| *block)
            .collect::<Vec<_>>();
        for block in &owed {
            self.ground(*block, id);
        }
        Some((transfer, owed))
    }

    /// One copy of `block` does not come; without another it is wanted again.
    pub(crate) fn ground(&mut self, block: u32, id: TransferId) {
        let Some(flights) = self.flights.get_mut(&block) else { return };
        flights.retain(|flight| flight.transfer != id);
        if flights.is_empty() {
            self.flights.remove(&block);
            if !self.playout.held().contains(block) {
                self.taken.remove(block);
            }
        }
    }

    /// Remembers that `peer` did not bring `block`.
    pub(crate) fn note_tried(&mut self, block: u32, peer: NodeId, most: usize) {
        let tried = self.tried.entry(block).or_default();
        if !tried.contains(&peer) && tried.len() < most {
            tried.push(peer);
        }
    }

    pub(crate) fn was_tried(&self, block: u32, peer: NodeId) -> bool {
        self.tried.get(&block).is_some_and(|tried| tried.contains(&peer))
    }

    /// Whether no further peer may be asked for `block`.
    pub(crate) fn peers_exhausted(&self, block: u32, most: usize) -> bool {
        self.tried.get(&block).is_some_and(|tried| tried.len() >= most)
    }

    /// The ids of the transfers from `source`.
    pub(crate) fn transfers_from(&self, source: Source) -> Vec<TransferId> {
        let of_source = self.transfers.iter().filter(|(_, transfer)| transfer.source == source);
        of_source.map(|(id, _)| *id).collect()
    }
}
