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

/// The upload slots (B35).
///
/// A peer holds a slot while a request of it is being served, and a little
/// longer, so that the next of a pipeline finds it. Who found none is
/// remembered until it should have asked again: a free slot goes to the best
/// of those, by class and then by the rate at which they serve us.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    slots: BTreeMap<NodeId, Slot>,
    waiting: BTreeMap<NodeId, Waiting>,
    pub(crate) paused: bool,
}

#[derive(Debug)]
struct Slot {
    class: Class,
    requests: u32,
    idle_since: Timestamp,
}

#[derive(Debug)]
struct Waiting {
    class: Class,
    rate: u64,
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
        class: Class,
        rate: u64,
    ) -> Decision {
        let busy = Decision { grant: Grant::Busy { retry_after: limits.busy_retry }, cut: None };
        if self.paused {
            return busy;
        }
        self.forget_old(now, limits);
        if let Some(slot) = self.slots.get_mut(&peer) {
            slot.requests = slot.requests.saturating_add(1);
            slot.class = class;
            return Decision { grant: Grant::Served, cut: None };
        }
        let cut = match self.slots.len() < limits.upload_slots {
            true => None,
            false => self.worse_than(class),
        };
        let free = limits.upload_slots.saturating_sub(self.slots.len());
        let ahead = self.waiting.iter().filter(|(other, waiting)| {
            **other != peer && (waiting.class, u64::MAX - waiting.rate) < (class, u64::MAX - rate)
        });
        if cut.is_none() && ahead.count() >= free {
            // Grace beyond the retry: the answer and the new request travel.
            let until = now + limits.busy_retry + limits.slot_linger;
            self.waiting.insert(peer, Waiting { class, rate, until });
            return busy;
        }
        if let Some(cut) = cut {
            self.slots.remove(&cut);
        }
        self.waiting.remove(&peer);
        self.slots.insert(peer, Slot { class, requests: 1, idle_since: now });
        Decision { grant: Grant::Served, cut }
    }

    pub(crate) fn ended(&mut self, now: Timestamp, peer: NodeId) {
        if let Some(slot) = self.slots.get_mut(&peer) {
            slot.requests = slot.requests.saturating_sub(1);
            slot.idle_since = now;
        }
    }

    pub(crate) fn remove(&mut self, peer: NodeId) {
        self.slots.remove(&peer);
        self.waiting.remove(&peer);
    }

    pub(crate) fn served(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.slots.iter().filter(|(_, slot)| slot.requests > 0).map(|(peer, _)| *peer)
    }

    fn forget_old(&mut self, now: Timestamp, limits: &Limits) {
        self.waiting.retain(|_, waiting| waiting.until > now);
        self.slots.retain(|_, slot| {
            slot.requests > 0 || now.saturating_since(slot.idle_since) < limits.slot_linger
        });
    }

    /// The peer in the slot of the least urgent class, if that is less urgent
    /// than `class`; idle ones first.
    fn worse_than(&self, class: Class) -> Option<NodeId> {
        let worst = self.slots.iter().max_by_key(|(_, slot)| (slot.class, slot.requests == 0))?;
        (worst.1.class > class).then_some(*worst.0)
    }
}
