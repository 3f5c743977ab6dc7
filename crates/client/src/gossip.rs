//! What listeners tell each other of wants and holdings, between messages and the
//! core.

use antiphon_mesh::{Interest, Notice, QueryId};
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
                let ranges = have.ranges.into_iter().take(MAX_RANGES).map(BlockRange::from);
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

    /// Tells a neighbour what the core wants it to know. What of a blob we hold is
    /// told if there is any.
    pub(crate) fn tell_neighbour(&self, peer: NodeId, notice: Notice) {
        let (Some(link), Some(notice)) = (self.peers.get(&peer), self.message_of(notice)) else {
            return;
        };
        link.tell(notice);
    }

    fn message_of(&self, notice: Notice) -> Option<peer_notice::Kind> {
        Some(match notice {
            Notice::Want => {
                let interests = self.listener.mesh().wanted().iter().map(told_interest).collect();
                peer_notice::Kind::Want(proto::Want { interests })
            }
            Notice::Have { blob } => {
                let held = self.shared_blocks(blob)?;
                let ranges = held.ranges().take(MAX_RANGES).map(proto::Range::from).collect();
                peer_notice::Kind::Have(proto::Have { blob: blob_bytes(blob), ranges })
            }
            Notice::Query { id, blob, hops } => {
                let (id, blob) = (id_bytes(id), blob_bytes(blob));
                peer_notice::Kind::Query(proto::Query { id, blob, hops })
            }
            Notice::Hit { id, holder } => {
                let holder = holder.unwrap_or_else(|| self.neighbourhood.secret.node_id());
                let (id, peer_key) = (id_bytes(id), node_bytes(holder));
                peer_notice::Kind::Hit(proto::Hit { id, peer_key })
            }
        })
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

/// The name of a blob, as messages have it.
pub(crate) fn blob_bytes(blob: BlobId) -> Bytes {
    Bytes::copy_from_slice(blob.as_bytes())
}

/// The key of a node, as messages have it.
pub(crate) fn node_bytes(node: NodeId) -> Bytes {
    Bytes::copy_from_slice(node.as_bytes())
}
