use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_types::{Class, NodeId, Timestamp};

use crate::Limits;

/// The answer to a peer that asks for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Serve it; say [`Mesh::handle_upload_ended`](crate::Mesh::handle_upload_ended)
    /// when this request is answered, cancelled or broken off.
    Served,
    /// No slot is free for it now.
    Busy {
        /// After how long asking again makes sense.
        retry_after: Duration,
    },
}

/// What a peer can say for itself when it asks for blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) class: Class,
    /// How fast it serves us, bytes per second; 0 if it never did.
    pub(crate) rate: u64,
    /// When it was last served.
    pub(crate) served_at: Option<Timestamp>,
}

impl Claim {
    /// Orders claims to most slots, the best first: by class, then by rate (B35).
    fn by_rate(&self) -> (Class, Reverse<u64>) {
        (self.class, Reverse(self.rate))
    }

    /// Orders claims to the newcomers' slot, the best first: by class, then by who
    /// has gone without for longest.
    fn by_turn(&self) -> (Class, Option<Timestamp>) {
        (self.class, self.served_at)
    }
}

/// The upload slots (B35).
///
/// A peer holds a slot while a request of it is being served, and a little
/// longer, so that the next of a pipeline finds it. Who found none is
/// remembered until it should have asked again: a free slot goes to the best
/// of those. One slot goes round among those who have not been served for
/// longest, so that newcomers can show what they give in return. Who reads so
/// slowly that no request of it ends loses its slot when somebody else asks.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    slots: BTreeMap<NodeId, Slot>,
    waiting: BTreeMap<NodeId, Waiting>,
    pub(crate) paused: bool,
}

#[derive(Debug)]
struct Slot {
    claim: Claim,
    kind: Kind,
    since: Timestamp,
    requests: u32,
    idle_since: Timestamp,
    /// When a request last ended, or the first of those under way began.
    progress_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Best,
    Newcomer,
}

#[derive(Debug)]
struct Waiting {
    claim: Claim,
    until: Timestamp,
}

/// What became of a request, and who lost its slot by it.
pub(crate) struct Decision {
    pub(crate) grant: Grant,
    pub(crate) cut: Option<NodeId>,
}

impl Uploads {
    pub(crate) fn request(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        peer: NodeId,
        claim: Claim,
    ) -> Decision {
        let busy = Decision { grant: Grant::Busy { retry_after: limits.busy_retry }, cut: None };
        if self.paused {
            return busy;
        }
        self.forget_old(now, limits);
        // Grace beyond the retry: the answer and the new request travel.
        let waiting = Waiting { claim, until: now + limits.busy_retry + limits.slot_linger };
        if self.goes_on(now, limits, peer, claim) {
            return Decision { grant: Grant::Served, cut: None };
        }
        if self.slots.contains_key(&peer) {
            self.waiting.insert(peer, waiting);
            return busy;
        }
        let stuck = self.cut_stuck(now, limits, claim.class);
        let (kind, cut) = match (self.free_slot(limits, peer, claim), self.worse_than(claim.class))
        {
            (Some(kind), _) => (kind, stuck),
            (None, Some((worse, kind))) if self.slots.len() >= limits.upload_slots => {
                (kind, Some(worse))
            }
            _ => {
                self.waiting.insert(peer, waiting);
                return Decision { cut: stuck, ..busy };
            }
        };
        if let Some(cut) = cut {
            self.slots.remove(&cut);
        }
        self.waiting.remove(&peer);
        let (since, idle_since, progress_at) = (now, now, now);
        self.slots.insert(peer, Slot { claim, kind, since, requests: 1, idle_since, progress_at });
        Decision { grant: Grant::Served, cut }
    }

    /// Whether a peer in a slot keeps it for one more request: until its turn is
    /// over and somebody with a better claim waits.
    fn goes_on(&mut self, now: Timestamp, limits: &Limits, peer: NodeId, claim: Claim) -> bool {
        let Some(slot) = self.slots.get_mut(&peer) else { return false };
        slot.claim = claim;
        let over = now.saturating_since(slot.since) >= limits.slot_turn;
        let mut others = self.waiting.iter().filter(|(other, _)| **other != peer);
        let outdone = others.any(|(_, waiting)| match slot.kind {
            Kind::Best => waiting.claim.by_rate() < claim.by_rate(),
            Kind::Newcomer => waiting.claim.by_turn() < claim.by_turn(),
        });
        let goes_on = !(over && outdone);
        if goes_on {
            if slot.requests == 0 {
                slot.progress_at = now;
            }
            slot.requests = slot.requests.saturating_add(1);
        }
        goes_on
    }

    /// The kind of slot that is free for this claim, those who wait with a better
    /// one considered.
    fn free_slot(&self, limits: &Limits, peer: NodeId, claim: Claim) -> Option<Kind> {
        let others = || self.waiting.iter().filter(|(other, _)| **other != peer);
        let used = |kind| self.slots.values().filter(|slot| slot.kind == kind).count();
        let best = limits.upload_slots.saturating_sub(1).saturating_sub(used(Kind::Best));
        let ahead = others().filter(|(_, other)| other.claim.by_rate() < claim.by_rate()).count();
        if ahead < best {
            return Some(Kind::Best);
        }
        let newcomers = usize::from(limits.upload_slots > 0 && used(Kind::Newcomer) == 0);
        let ahead = others().filter(|(_, other)| other.claim.by_turn() < claim.by_turn()).count();
        (ahead < newcomers).then_some(Kind::Newcomer)
    }

    pub(crate) fn ended(&mut self, now: Timestamp, peer: NodeId) {
        if let Some(slot) = self.slots.get_mut(&peer) {
            slot.requests = slot.requests.saturating_sub(1);
            slot.idle_since = now;
            slot.progress_at = now;
        }
    }

    pub(crate) fn remove(&mut self, peer: NodeId) {
        self.slots.remove(&peer);
        self.waiting.remove(&peer);
    }

    pub(crate) fn served(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.slots.iter().filter(|(_, slot)| slot.requests > 0).map(|(peer, _)| *peer)
    }

    /// Those to be told that a slot is free, now that some are: the best claims.
    pub(crate) fn invited(&mut self, now: Timestamp, limits: &Limits) -> Vec<NodeId> {
        self.forget_old(now, limits);
        let free = limits.upload_slots.saturating_sub(self.slots.len());
        if free == 0 || self.paused {
            return Vec::new();
        }
        let mut waiting: Vec<(Claim, NodeId)> =
            self.waiting.iter().map(|(peer, waiting)| (waiting.claim, *peer)).collect();
        waiting.sort_by_key(|(claim, peer)| (claim.by_rate(), *peer));
        let invited: Vec<NodeId> = waiting.into_iter().map(|(_, peer)| peer).take(free).collect();
        // Told once; who comes finds a slot or waits again.
        self.waiting.retain(|peer, _| !invited.contains(peer));
        invited
    }

    /// When a slot falls free for want of requests, if somebody waits for it.
    pub(crate) fn next_free(&self, limits: &Limits) -> Option<Timestamp> {
        if self.waiting.is_empty() || self.paused {
            return None;
        }
        let idle = self.slots.values().filter(|slot| slot.requests == 0);
        idle.map(|slot| slot.idle_since + limits.slot_linger).min()
    }

    fn forget_old(&mut self, now: Timestamp, limits: &Limits) {
        self.waiting.retain(|_, waiting| waiting.until > now);
        self.slots.retain(|_, slot| {
            slot.requests > 0 || now.saturating_since(slot.idle_since) < limits.slot_linger
        });
    }

    /// Takes the slot of the peer that has taken the longest over one request, if that
    /// is too long, nobody has a free one, and what it asked is no more urgent.
    fn cut_stuck(&mut self, now: Timestamp, limits: &Limits, class: Class) -> Option<NodeId> {
        if self.slots.len() < limits.upload_slots {
            return None;
        }
        let is_stuck = |slot: &Slot| {
            let took = now.saturating_since(slot.progress_at);
            slot.requests > 0 && slot.claim.class >= class && took >= limits.slot_longest
        };
        let stuck = self.slots.iter().filter(|(_, slot)| is_stuck(slot));
        let (peer, _) = stuck.min_by_key(|(_, slot)| slot.progress_at)?;
        let peer = *peer;
        self.slots.remove(&peer);
        Some(peer)
    }

    /// The peer in the slot of the least urgent class, if that is less urgent
    /// than `class`; idle ones first.
    fn worse_than(&self, class: Class) -> Option<(NodeId, Kind)> {
        let key = |slot: &Slot| (slot.claim.class, slot.requests == 0);
        let (peer, slot) = self.slots.iter().max_by_key(|(_, slot)| key(slot))?;
        (slot.claim.class > class).then_some((*peer, slot.kind))
    }
}
