//! Who may be a neighbour, and who has to make room (B31).

use std::cmp::Reverse;

use antiphon_types::{NodeId, Timestamp};

use crate::mesh::{DropReason, Mesh, Output};
use crate::{Met, Neighbour};

impl Mesh {
    /// Whether a newcomer is taken; somebody may have to go for it.
    ///
    /// Who comes to us is a stranger: there is room for so many of them, and for
    /// so many of each network, that the neighbours that we chose ourselves, or
    /// that gave, cannot be pushed out by any number (eclipse).
    pub(crate) fn admit(&mut self, peer: NodeId, met: Met) -> Result<(), DropReason> {
        if self.bans.until(self.now, peer).is_some() {
            return Err(DropReason::BadBlock);
        }
        let is_full = self.neighbours.len() >= self.limits.soft_neighbours;
        if is_full && self.resting.until(self.now, peer).is_some() {
            return Err(DropReason::Full);
        }
        if !met.dialled {
            self.admit_inbound(met)?;
        }
        if self.neighbours.len() >= self.limits.hard_neighbours && !self.drop_least_useful(|_| true)
        {
            return Err(DropReason::Full);
        }
        Ok(())
    }

    fn admit_inbound(&mut self, met: Met) -> Result<(), DropReason> {
        let inbound = |neighbour: &&Neighbour| !neighbour.met.dialled;
        let here =
            |neighbour: &&Neighbour| met.network.is_some() && neighbour.met.network == met.network;
        let count = self.neighbours.values().filter(inbound).filter(here).count();
        if count >= self.limits.inbound_per_network {
            return Err(DropReason::Crowded);
        }
        let count = self.neighbours.values().filter(inbound).count();
        if count >= self.limits.inbound_neighbours
            && !self.drop_least_useful(|neighbour| !neighbour.met.dialled)
        {
            return Err(DropReason::Full);
        }
        Ok(())
    }

    /// Drops the least useful until there are no more than we want, as far as
    /// there are some past their grace.
    pub(crate) fn shrink(&mut self) {
        while self.neighbours.len() > self.limits.soft_neighbours
            && self.drop_least_useful(|_| true)
        {}
    }

    /// When the next of too many neighbours loses its grace.
    pub(crate) fn next_judgement(&self) -> Option<Timestamp> {
        if self.neighbours.len() <= self.limits.soft_neighbours {
            return None;
        }
        let ends = self.neighbours.values().map(|neighbour| neighbour.since + self.limits.grace);
        ends.filter(|end| *end > self.now).min()
    }

    /// Drops, of the neighbours past their grace that are `eligible`, the one that
    /// is worth least; among equals the one that came last. False if nobody should
    /// go.
    ///
    /// Those that gave the most stay. While there are newcomers, only who was of no
    /// use goes: they cannot have shown yet that they are worth more.
    fn drop_least_useful(&mut self, eligible: impl Fn(&Neighbour) -> bool) -> bool {
        let (now, limits) = (self.now, &self.limits);
        let judged = |neighbour: &Neighbour| now.saturating_since(neighbour.since) >= limits.grace;
        let newcomers = !self.neighbours.values().all(judged);
        let protected = self.protected();
        let dialled = self.neighbours.values().filter(|neighbour| neighbour.met.dialled).count();
        // Places that those who come to us can never have.
        let reserved = limits.hard_neighbours.saturating_sub(limits.inbound_neighbours);
        let candidates = self.neighbours.iter().filter(|(peer, neighbour)| {
            judged(neighbour)
                && eligible(neighbour)
                && !protected.contains(peer)
                && !(neighbour.met.dialled && dialled <= reserved)
                && !(newcomers && neighbour.was_of_use(now))
        });
        // A stranger that did nothing goes before whom we chose, however near it is.
        let least = candidates.min_by_key(|(peer, neighbour)| {
            let has_claim = neighbour.met.dialled || neighbour.was_of_use(now);
            (has_claim, self.worth(neighbour), Reverse(neighbour.since), **peer)
        });
        let Some(peer) = least.map(|(peer, _)| *peer) else { return false };
        self.resting.insert(peer, now + self.limits.rest, self.limits.bans);
        self.remove(peer);
        self.outputs.push_back(Output::Drop { peer, reason: DropReason::LeastUseful });
        true
    }

    /// Usefulness, and a little more for who has been here for long, so that equals
    /// do not take turns.
    fn worth(&self, neighbour: &Neighbour) -> u64 {
        let weights = &self.limits.weights;
        let points = neighbour.usefulness(self.now, weights);
        let age = self.now.saturating_since(neighbour.since);
        match age >= self.limits.rest {
            true => points.saturating_add(points / 100 * weights.incumbent_percent),
            false => points,
        }
    }

    /// Those that gave the most lately.
    fn protected(&self) -> Vec<NodeId> {
        let gave =
            self.neighbours.iter().map(|(peer, neighbour)| (neighbour.gave(self.now), *peer));
        let mut gave: Vec<(u64, NodeId)> = gave.filter(|(gave, _)| *gave > 0).collect();
        gave.sort_unstable_by_key(|(gave, peer)| (Reverse(*gave), *peer));
        gave.into_iter().map(|(_, peer)| peer).take(self.limits.protected).collect()
    }
}
