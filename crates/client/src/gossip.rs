//! What listeners tell each other of wants and holdings, between messages and the
//! core.

use antiphon_mesh::{Interest, QueryId};
use antiphon_types::{BlobId, BlockRange, BlockSet, Class, NodeId};
use antiphon_wire::proto::{self, peer_notice};
use bytes::Bytes;

use crate::node::Node;
use crate::settings::Peers;

/// Ranges in one `Have`.
const MAX_RANGES: usize = 64;

/// Interests in one `Want` that are looked at.
const MAX_INTERESTS: usize = 8;

impl Node {
    /// Deals with what a neighbour says.
    pub(crate) fn handle_notice(&mut self, peer: NodeId, notice: peer_notice::Kind) {
        let now = self.clock.now();
        match notice {
            peer_notice::Kind::Want(want) => {
                let interests = want.interests.iter().take(MAX_INTERESTS).filter_map(interest);
                self.listener.handle_want(now, peer, &interests.collect::<Vec<_>>());
            }
            peer_notice::Kind::Have(have) => {
                let Some(blob) = BlobId::from_slice(&have.blob) else { return };
                let ranges = have.ranges.iter().take(MAX_RANGES);
                let ranges = ranges.map(|range| BlockRange::new(range.start, range.end));
                self.listener.handle_have(now, peer, blob, ranges);
            }
            peer_notice::Kind::Query(query) => {
                let Some((id, blob)) = query_id(&query.id).zip(BlobId::from_slice(&query.blob))
                else {
                    return;
                };
                let held = self.shared_blocks(blob).is_some();
                self.listener.handle_query(now, peer, id, blob, query.hops, held);
            }
            peer_notice::Kind::Hit(hit) => {
                let Some((id, holder)) = query_id(&hit.id).zip(NodeId::from_slice(&hit.peer_key))
                else {
                    return;
                };
                if holder != self.neighbourhood.secret.node_id() {
                    self.listener.handle_hit(now, peer, id, holder);
                }
            }
            // Said once, before the link stood.
            peer_notice::Kind::Hello(_) | peer_notice::Kind::Refused(_) => {}
        }
    }

    /// Tells a neighbour what we want.
    pub(crate) fn tell_wants(&self, peer: NodeId) {
        let interests = self.listener.mesh().wanted().iter().map(told_interest).collect();
        self.tell(peer, peer_notice::Kind::Want(proto::Want { interests }));
    }

    /// Tells a neighbour which blocks of a blob we hold, if any.
    pub(crate) fn tell_holdings(&self, peer: NodeId, blob: BlobId) {
        let Some(held) = self.shared_blocks(blob) else { return };
        let ranges = held.ranges().take(MAX_RANGES);
        let ranges = ranges.map(|range| proto::Range { start: range.start, end: range.end });
        let have = proto::Have { blob: blob_bytes(blob), ranges: ranges.collect() };
        self.tell(peer, peer_notice::Kind::Have(have));
    }

    /// Asks a neighbour who holds a blob.
    pub(crate) fn tell_query(&self, peer: NodeId, id: QueryId, blob: BlobId, hops: u32) {
        let query = proto::Query { id: id_bytes(id), blob: blob_bytes(blob), hops };
        self.tell(peer, peer_notice::Kind::Query(query));
    }

    /// Tells a neighbour who holds what it asked for: `None` is ourselves.
    pub(crate) fn tell_hit(&self, peer: NodeId, id: QueryId, holder: Option<NodeId>) {
        let holder = holder.unwrap_or_else(|| self.neighbourhood.secret.node_id());
        let peer_key = Bytes::copy_from_slice(holder.as_bytes());
        self.tell(peer, peer_notice::Kind::Hit(proto::Hit { id: id_bytes(id), peer_key }));
    }

    fn tell(&self, peer: NodeId, notice: peer_notice::Kind) {
        if let Some(link) = self.peers.get(&peer) {
            link.tell(notice);
        }
    }

    /// What of a blob may be had from us: nothing if that is not a single block.
    fn shared_blocks(&self, blob: BlobId) -> Option<BlockSet> {
        self.store.blocks(blob).filter(|held| self.sharing != Peers::Off && !held.is_empty())
    }
}

fn interest(interest: &proto::Interest) -> Option<(BlobId, Class)> {
    let class = u8::try_from(interest.class).ok().and_then(Class::from_index);
    let class = class.filter(|class| *class != Class::Control).unwrap_or(Class::Offline);
    Some((BlobId::from_slice(&interest.blob)?, class))
}

fn told_interest(interest: &Interest) -> proto::Interest {
    proto::Interest { blob: blob_bytes(interest.blob), class: interest.class.index().into() }
}

fn query_id(id: &[u8]) -> Option<QueryId> {
    id.try_into().ok().map(QueryId)
}

fn id_bytes(id: QueryId) -> Bytes {
    Bytes::copy_from_slice(&id.0)
}

fn blob_bytes(blob: BlobId) -> Bytes {
    Bytes::copy_from_slice(blob.as_bytes())
}
