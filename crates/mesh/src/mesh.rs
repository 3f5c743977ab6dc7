use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use antiphon_types::{BlobId, Class, NodeId, Timestamp};

use crate::bans::Bans;
use crate::offers::Interest;
use crate::search::{QueryId, Search};
use crate::uploads::{Claim, Uploads};
use crate::{Grant, Limits, Met, Neighbour};

/// Why a neighbour has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It sent a block that did not verify (B37); or it is banned, for whatever
    /// reason, and came back.
    BadBlock,
    /// It sent blocks that nobody had asked it for, time and again.
    UnaskedBlocks,
    /// It sent more notices or queries than anybody has a use for.
    Flood,
    /// It went on asking for blocks when told to wait.
    AsksInVain,
    /// There are more neighbours than we want, and it was of the least use.
    LeastUseful,
    /// There are as many neighbours as we bear, all of more use than a newcomer;
    /// or it went to make room a little while ago.
    Full,
    /// As many as may come from one network are there.
    Crowded,
}

/// What a neighbour is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// What we want: [`Mesh::wanted`].
    Want,
    /// Which blocks of `blob` we hold, if any. It wants it, and may ask for them now.
    Have {
        /// Of what.
        blob: BlobId,
    },
    /// That we would know who holds `blob`.
    Query {
        /// Names the query.
        id: QueryId,
        /// What is sought.
        blob: BlobId,
        /// How far it may go.
        hops: u32,
    },
    /// The answer to a query of it.
    Hit {
        /// Which query.
        id: QueryId,
        /// Who holds the blob: `None` if it is ourselves.
        holder: Option<NodeId>,
    },
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
    /// Tell `peer` something.
    Tell {
        /// Whom to tell.
        peer: NodeId,
        /// What.
        notice: Notice,
    },
    /// A search of ours ([`Mesh::search`]) found somebody.
    Found {
        /// What was sought.
        blob: BlobId,
        /// Who is said to hold it.
        holder: NodeId,
    },
}

/// The neighbours of a node, who is banned, who is being served, what is wanted
/// and who has it.
///
/// ```text
///             handle_peer_up              grace over, too many, least useful
///  stranger ────────────────▶ newcomer ──────▶ neighbour ───────────▶ dropped
///      ▲ banned, rests, full,     │  ban: Drop     │              rests a while
///      │ or crowded: Drop         │                │
///      └──────────────────────────┴────────────────┘
/// ```
#[derive(Debug)]
pub struct Mesh {
    pub(crate) limits: Limits,
    pub(crate) neighbours: BTreeMap<NodeId, Neighbour>,
    pub(crate) bans: Bans,
    /// Who made room for others a little while ago.
    pub(crate) resting: Bans,
    pub(crate) uploads: Uploads,
    pub(crate) search: Search,
    pub(crate) wanted: Vec<Interest>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) now: Timestamp,
}

impl Mesh {
    /// A mesh without neighbours.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            neighbours: BTreeMap::new(),
            bans: Bans::default(),
            resting: Bans::default(),
            uploads: Uploads::default(),
            search: Search::default(),
            wanted: Vec::new(),
            outputs: VecDeque::new(),
            now: Timestamp::ZERO,
        }
    }

    /// A link to `peer` stands; for a known peer: its round-trip time changed.
    ///
    /// A banned peer and one too many are answered by [`Output::Drop`].
    pub fn handle_peer_up(&mut self, now: Timestamp, peer: NodeId, met: impl Into<Met>) {
        let (now, met) = (self.advance(now), met.into());
        if let Some(known) = self.neighbours.get_mut(&peer) {
            known.met.rtt = met.rtt;
            return;
        }
        if let Err(reason) = self.admit(peer, met) {
            self.outputs.push_back(Output::Drop { peer, reason });
            return;
        }
        self.neighbours.insert(peer, Neighbour::new(now, met, &self.limits));
        if !self.wanted.is_empty() {
            self.outputs.push_back(Output::Tell { peer, notice: Notice::Want });
        }
        self.shrink();
    }

    /// The link to `peer` is gone.
    pub fn handle_peer_down(&mut self, now: Timestamp, peer: NodeId) {
        self.advance(now);
        self.remove(peer);
    }

    /// Blocks were asked of `peer`.
    pub fn handle_asked(&mut self, now: Timestamp, peer: NodeId) {
        let now = self.advance(now);
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            let rtt = neighbour.rtt();
            neighbour.meter.handle_asked(now, rtt);
        }
    }

    /// `peer` delivered so many good bytes. Zero says that it was waited for in
    /// vain up to now, which lowers its rate and its worth.
    pub fn handle_delivered(&mut self, now: Timestamp, peer: NodeId, bytes: u32) {
        let now = self.advance(now);
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if bytes == 0 {
            neighbour.breaks(now);
        }
        let first = neighbour.delivered() == 0 && bytes > 0;
        neighbour.delivers(now, bytes);
        // A hit counts when it has proven true.
        if let Some(finder) = first.then(|| self.search.finder(peer)).flatten()
            && let Some(finder) = self.neighbours.get_mut(&finder)
        {
            finder.finds(now);
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
        if self.remove(peer) {
            self.outputs.push_back(Output::Drop { peer, reason });
        }
    }

    /// `peer` asks for blocks, one request. Only neighbours are served.
    ///
    /// Who goes on asking while told to wait is banned.
    pub fn request_upload(&mut self, now: Timestamp, peer: NodeId, class: Class) -> Grant {
        let now = self.advance(now);
        let busy = Grant::Busy { retry_after: self.limits.busy_retry };
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return busy };
        let rate = if neighbour.delivered() > 0 { neighbour.rate() } else { 0 };
        let claim = Claim { class, rate, served_at: neighbour.served_at };
        let decision = self.uploads.request(now, &self.limits, peer, claim);
        if let Some(peer) = decision.cut {
            let retry_after = self.limits.busy_retry;
            self.outputs.push_back(Output::CutUpload { peer, retry_after });
        }
        let (burst, rate) = (self.limits.vain_burst, self.limits.vain_per_second);
        if decision.grant != Grant::Served && !neighbour.vain.take(now, burst, rate) {
            self.ban(now, peer, DropReason::AsksInVain);
        }
        decision.grant
    }

    /// A request of `peer` that was [`Grant::Served`] is over.
    pub fn handle_upload_ended(&mut self, now: Timestamp, peer: NodeId) {
        let now = self.advance(now);
        self.uploads.ended(now, peer);
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.served_at = Some(now);
        }
    }

    /// Own playback comes first (B07): while paused, nobody is granted a slot.
    pub fn pause_uploads(&mut self, paused: bool) {
        self.uploads.paused = paused;
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.shrink();
        self.tell_news(now);
        for peer in self.uploads.invited(now, &self.limits) {
            let wants = self.neighbours.get(&peer).into_iter().flat_map(Neighbour::wants);
            let invite =
                wants.map(|(blob, _)| Output::Tell { peer, notice: Notice::Have { blob } });
            self.outputs.extend(invite);
        }
    }

    /// What has to be done; `None` once all has been said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Mesh::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let free = self.uploads.next_free(&self.limits);
        [self.next_judgement(), self.next_news(), free].into_iter().flatten().min()
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

    /// Its bounds and weights.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }

    /// Whether a notice of a neighbour is to be looked at.
    pub(crate) fn may_notify(&mut self, now: Timestamp, from: NodeId) -> bool {
        let (burst, rate) = (self.limits.notice_burst, self.limits.notices_per_second);
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return false };
        let may = neighbour.notices.take(now, burst, rate);
        if !may {
            self.note_excess(now, from);
        }
        may
    }

    /// A notice too many is dropped, and its sender with one of many of them.
    pub(crate) fn note_excess(&mut self, now: Timestamp, from: NodeId) {
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        neighbour.excess = neighbour.excess.saturating_add(1);
        if neighbour.excess > self.limits.notice_burst {
            self.ban(now, from, DropReason::Flood);
        }
    }

    /// Forgets a neighbour; false if it was none.
    pub(crate) fn remove(&mut self, peer: NodeId) -> bool {
        self.uploads.remove(peer);
        self.search.forget_peer(peer);
        self.neighbours.remove(&peer).is_some()
    }
}
