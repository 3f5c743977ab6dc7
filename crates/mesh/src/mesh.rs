use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use antiphon_types::{Class, NodeId, Timestamp};

use crate::bans::Bans;
use crate::neighbour::WindowSum;
use crate::uploads::Uploads;
use crate::{Grant, Limits, Neighbour, RateMeter};

/// Why a neighbour has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It sent a block that did not verify (B37); or it is banned, for whatever
    /// reason, and came back.
    BadBlock,
    /// It sent blocks that nobody had asked it for, time and again.
    UnaskedBlocks,
    /// There are more neighbours than we want, and it was of the least use.
    LeastUseful,
    /// There are as many neighbours as we bear, all of more use than a newcomer.
    Full,
}

/// What the owner of a [`Mesh`] has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Close the link to `peer`; it is no neighbour any more.
    Drop {
        /// Who.
        peer: NodeId,
        /// Why.
        reason: DropReason,
    },
    /// Break off what is being sent to `peer`: its slot went to a more urgent
    /// request. It may ask again.
    CutUpload {
        /// Who.
        peer: NodeId,
        /// After how long it may ask again.
        retry_after: Duration,
    },
}

/// The neighbours of a node, who is banned, and who is being served.
///
/// ```text
///             handle_peer_up              grace over, too many, least useful
///  stranger ────────────────▶ newcomer ──────▶ neighbour ───────────▶ dropped
///      ▲ banned, or full: Drop    │  ban: Drop     │
///      └──────────────────────────┴────────────────┘
/// ```
#[derive(Debug)]
pub struct Mesh {
    limits: Limits,
    neighbours: BTreeMap<NodeId, Neighbour>,
    bans: Bans,
    uploads: Uploads,
    outputs: VecDeque<Output>,
    now: Timestamp,
}

impl Mesh {
    /// A mesh without neighbours.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            neighbours: BTreeMap::new(),
            bans: Bans::default(),
            uploads: Uploads::default(),
            outputs: VecDeque::new(),
            now: Timestamp::ZERO,
        }
    }

    /// A link to `peer` stands; for a known peer: its round-trip time changed.
    ///
    /// A banned peer and one too many are answered by [`Output::Drop`].
    pub fn handle_peer_up(&mut self, now: Timestamp, peer: NodeId, rtt: Duration) {
        let now = self.advance(now);
        if self.bans.until(now, peer).is_some() {
            self.outputs.push_back(Output::Drop { peer, reason: DropReason::BadBlock });
            return;
        }
        if let Some(known) = self.neighbours.get_mut(&peer) {
            known.rtt = rtt;
            return;
        }
        if self.neighbours.len() >= self.limits.hard_neighbours && !self.drop_least_useful() {
            self.outputs.push_back(Output::Drop { peer, reason: DropReason::Full });
            return;
        }
        let neighbour = Neighbour {
            rtt,
            since: now,
            meter: RateMeter::new(self.limits.prior_rate),
            choked_until: Timestamp::ZERO,
            usefulness: WindowSum::new(now),
        };
        self.neighbours.insert(peer, neighbour);
        self.shrink();
    }

    /// The link to `peer` is gone.
    pub fn handle_peer_down(&mut self, now: Timestamp, peer: NodeId) {
        self.advance(now);
        self.neighbours.remove(&peer);
        self.uploads.remove(peer);
    }

    /// Blocks were asked of `peer`.
    pub fn handle_asked(&mut self, now: Timestamp, peer: NodeId) {
        let now = self.advance(now);
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.meter.handle_asked(now, neighbour.rtt);
        }
    }

    /// `peer` delivered so many good bytes. Zero says that it was waited for in
    /// vain up to now, which lowers its rate.
    pub fn handle_delivered(&mut self, now: Timestamp, peer: NodeId, bytes: u32) {
        let now = self.advance(now);
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.meter.handle_delivered(now, bytes);
            neighbour.usefulness.add(now, self.limits.usefulness_window, u64::from(bytes));
        }
    }

    /// Nothing is outstanding from `peer` any more.
    pub fn handle_idle(&mut self, peer: NodeId) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.meter.handle_idle();
        }
    }

    /// `peer` serves others and wants to be asked again after `retry_after`.
    pub fn handle_choked(&mut self, now: Timestamp, peer: NodeId, retry_after: Duration) {
        let now = self.advance(now);
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.choked_until = now + retry_after;
        }
    }

    /// `peer` did what nobody does by accident, which is the `reason`: it goes,
    /// and stays out.
    pub fn ban(&mut self, now: Timestamp, peer: NodeId, reason: DropReason) {
        let now = self.advance(now);
        self.bans.insert(peer, now + self.limits.ban_duration, self.limits.bans);
        self.uploads.remove(peer);
        if self.neighbours.remove(&peer).is_some() {
            self.outputs.push_back(Output::Drop { peer, reason });
        }
    }

    /// `peer` asks for blocks, one request. Only neighbours are served.
    pub fn request_upload(&mut self, now: Timestamp, peer: NodeId, class: Class) -> Grant {
        let now = self.advance(now);
        let Some(neighbour) = self.neighbours.get(&peer) else {
            return Grant::Busy { retry_after: self.limits.busy_retry };
        };
        let rate = if neighbour.delivered() > 0 { neighbour.rate() } else { 0 };
        let decision = self.uploads.request(now, &self.limits, peer, class, rate);
        if let Some(peer) = decision.cut {
            let retry_after = self.limits.busy_retry;
            self.outputs.push_back(Output::CutUpload { peer, retry_after });
        }
        decision.grant
    }

    /// A request of `peer` that was [`Grant::Served`] is over.
    pub fn handle_upload_ended(&mut self, now: Timestamp, peer: NodeId) {
        let now = self.advance(now);
        self.uploads.ended(now, peer);
    }

    /// Own playback comes first (B07): while paused, nobody is granted a slot.
    pub fn pause_uploads(&mut self, paused: bool) {
        self.uploads.paused = paused;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        self.shrink();
    }

    /// What has to be done; `None` once all has been said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Mesh::handle_timeout`] at the latest: when there are too
    /// many neighbours and the next of them loses its grace.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.neighbours.len() <= self.limits.soft_neighbours {
            return None;
        }
        let ends = self.neighbours.values().map(|neighbour| neighbour.since + self.limits.grace);
        ends.filter(|end| *end > self.now).min()
    }

    /// A peer that we have a link to.
    pub fn neighbour(&self, peer: NodeId) -> Option<&Neighbour> {
        self.neighbours.get(&peer)
    }

    /// All of them, in order of their ids.
    pub fn neighbours(&self) -> impl ExactSizeIterator<Item = (NodeId, &Neighbour)> {
        self.neighbours.iter().map(|(peer, neighbour)| (*peer, neighbour))
    }

    /// Until when `peer` is banned, if it is. Ask before connecting to it.
    pub fn banned_until(&self, now: Timestamp, peer: NodeId) -> Option<Timestamp> {
        self.bans.until(now.max(self.now), peer)
    }

    /// The peers that are being served now.
    pub fn served(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.uploads.served()
    }

    fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }

    /// Drops the least useful until there are no more than we want, as far as
    /// there are some past their grace.
    fn shrink(&mut self) {
        while self.neighbours.len() > self.limits.soft_neighbours && self.drop_least_useful() {}
    }

    /// Drops the neighbour past its grace that gave least lately; among equals
    /// the farthest. False if nobody should go.
    ///
    /// While there are newcomers, only who gave nothing goes: strangers in
    /// numbers must not push out those who give (eclipse).
    fn drop_least_useful(&mut self) -> bool {
        let (now, limits) = (self.now, &self.limits);
        let judged = |neighbour: &Neighbour| now.saturating_since(neighbour.since) >= limits.grace;
        let newcomers = !self.neighbours.values().all(judged);
        let least = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| judged(neighbour))
            .map(|(peer, neighbour)| {
                let gave = neighbour.usefulness.sum(now, limits.usefulness_window);
                (gave, Reverse(neighbour.rtt), *peer)
            })
            .min()
            .filter(|(gave, ..)| *gave == 0 || !newcomers);
        let Some((.., peer)) = least else { return false };
        self.neighbours.remove(&peer);
        self.uploads.remove(peer);
        self.outputs.push_back(Output::Drop { peer, reason: DropReason::LeastUseful });
        true
    }
}
