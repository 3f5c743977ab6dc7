//! Finding holders through neighbours (B33).

use std::collections::{BTreeMap, VecDeque};

use antiphon_types::{BlobId, NodeId, Timestamp};

use crate::mesh::{Mesh, Notice, Output};

/// How far a query goes: to neighbours of neighbours.
const HOPS: u32 = 2;

/// Holders found whose finder is still to be credited.
const CREDITS: usize = 64;

/// Names a query wherever it goes. Drawn at random by who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub [u8; 16]);

/// Queries that were seen, and the way back.
#[derive(Debug, Default)]
pub(crate) struct Search {
    queries: BTreeMap<QueryId, Query>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, QueryId)>,
    /// Who was found through whom, and has not delivered yet.
    credits: VecDeque<(NodeId, NodeId)>,
}

#[derive(Debug)]
struct Query {
    blob: BlobId,
    /// Whose it is; `None` if it is our own.
    origin: Option<NodeId>,
    /// To whom it went on.
    asked: Vec<NodeId>,
    hits: Vec<NodeId>,
}

impl Search {
    /// Remembers a query; false if it is known.
    fn enter(&mut self, now: Timestamp, id: QueryId, query: Query, most: usize) -> bool {
        if most == 0 || self.queries.contains_key(&id) {
            return false;
        }
        while self.queries.len() >= most {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.queries.remove(&oldest);
        }
        self.queries.insert(id, query);
        self.order.push_back((now, id));
        true
    }

    fn forget_before(&mut self, then: Timestamp) {
        while self.order.front().is_some_and(|(at, _)| *at < then) {
            if let Some((_, id)) = self.order.pop_front() {
                self.queries.remove(&id);
            }
        }
    }

    pub(crate) fn forget_peer(&mut self, peer: NodeId) {
        self.credits.retain(|(_, through)| *through != peer);
    }

    /// Through whom `holder` was found, once.
    pub(crate) fn finder(&mut self, holder: NodeId) -> Option<NodeId> {
        let nth = self.credits.iter().position(|(found, _)| *found == holder)?;
        self.credits.remove(nth).map(|(_, through)| through)
    }
}

impl Mesh {
    /// Asks the neighbourhood who holds `blob`. `id` is to be drawn at random.
    ///
    /// Answers come as [`Output::Found`].
    pub fn search(&mut self, now: Timestamp, id: QueryId, blob: BlobId) {
        let now = self.advance(now);
        self.spread(now, id, blob, None, HOPS);
    }

    /// A neighbour asks who holds `blob`; `held` says that we hold some of it. It
    /// goes on to others while `hops`, at most 2, is greater than 1.
    pub fn handle_query(
        &mut self,
        now: Timestamp,
        from: NodeId,
        id: QueryId,
        blob: BlobId,
        hops: u32,
        held: bool,
    ) {
        let now = self.advance(now);
        if !self.may_notify(now, from) {
            return;
        }
        let (burst, rate) = (self.limits.query_burst, self.limits.queries_per_second);
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        if !neighbour.queries.take(now, burst, rate) {
            return self.note_excess(now, from);
        }
        let hops = if hops.min(HOPS) > 1 { 1 } else { 0 };
        if self.spread(now, id, blob, Some(from), hops) && held {
            self.outputs
                .push_back(Output::Tell { peer: from, notice: Notice::Hit { id, holder: None } });
        }
    }

    /// A neighbour answers a query: `holder` holds the blob.
    ///
    /// What nobody asked, what this neighbour was not asked and what was said
    /// before is dropped.
    pub fn handle_hit(&mut self, now: Timestamp, from: NodeId, id: QueryId, holder: NodeId) {
        let now = self.advance(now);
        if !self.may_notify(now, from) {
            return;
        }
        let Some(query) = self.search.queries.get_mut(&id) else { return };
        let known = query.hits.contains(&holder) || query.hits.len() >= self.limits.hits_per_query;
        if known || !query.asked.contains(&from) || query.origin == Some(holder) {
            return;
        }
        query.hits.push(holder);
        let (blob, origin) = (query.blob, query.origin);
        if let Some(peer) = origin {
            if self.neighbours.contains_key(&peer) {
                self.outputs.push_back(Output::Tell {
                    peer,
                    notice: Notice::Hit { id, holder: Some(holder) },
                });
            }
            return;
        }
        if holder != from {
            if self.search.credits.len() >= CREDITS {
                self.search.credits.pop_front();
            }
            self.search.credits.push_back((holder, from));
        }
        self.outputs.push_back(Output::Found { blob, holder });
    }

    /// Sends a query that is new on; false if it is not. With no hops left it is
    /// only remembered.
    fn spread(
        &mut self,
        now: Timestamp,
        id: QueryId,
        blob: BlobId,
        origin: Option<NodeId>,
        hops: u32,
    ) -> bool {
        self.search.forget_before(now.saturating_sub(self.limits.query_life));
        let asked = if hops > 0 { self.to_ask(id, origin) } else { Vec::new() };
        let query = Query { blob, origin, asked: asked.clone(), hits: Vec::new() };
        if !self.search.enter(now, id, query, self.limits.queries) {
            return false;
        }
        let ask = asked
            .into_iter()
            .map(|peer| Output::Tell { peer, notice: Notice::Query { id, blob, hops } });
        self.outputs.extend(ask);
        true
    }

    /// Neighbours to pass a query on to: the ones after a place in the circle of
    /// ids that the query names, so that each query takes others.
    fn to_ask(&self, id: QueryId, origin: Option<NodeId>) -> Vec<NodeId> {
        let mut place = [0; NodeId::BYTES];
        place[..id.0.len()].copy_from_slice(&id.0);
        let place = NodeId::new(place);
        let after = self.neighbours.range(place..).chain(self.neighbours.range(..place));
        let others = after.map(|(peer, _)| *peer).filter(|peer| Some(*peer) != origin);
        others.take(self.limits.fan_out).collect()
    }
}
