use std::collections::BTreeMap;

use antiphon_types::{NodeId, Timestamp};

/// Who must stay out, and until when. Bounded.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    until: BTreeMap<NodeId, Timestamp>,
}

impl Bans {
    pub(crate) fn insert(&mut self, peer: NodeId, until: Timestamp, most: usize) {
        self.until.insert(peer, until);
        while self.until.len() > most {
            let soonest = self.until.iter().min_by_key(|(_, until)| **until);
            let Some(peer) = soonest.map(|(peer, _)| *peer) else { return };
            self.until.remove(&peer);
        }
    }

    pub(crate) fn until(&self, now: Timestamp, peer: NodeId) -> Option<Timestamp> {
        self.until.get(&peer).copied().filter(|until| *until > now)
    }
}
