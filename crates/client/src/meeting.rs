//! Who is connected to: holders that the server names, peers that it introduces,
//! listeners on the local network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use antiphon_listener::PlayId;
use antiphon_mesh::{Met, Network};
use antiphon_net::lan::{self, LanEvent};
use antiphon_net::{Connection, Effort};
use antiphon_types::{BlobId, NodeId};
use antiphon_wire::proto;

use crate::calls::{Callable, Calls, Heard};
use crate::duel;
use crate::node::{Event, Node};
use crate::peers::PeerLink;
use crate::record;
use crate::settings::Peers;

/// How often one peer may be asked for through the server.
const INTRODUCTION_INTERVAL: Duration = Duration::from_secs(10);
/// Peers remembered as asked for; they come from the server, but anyway.
const MAX_INTRODUCTIONS: usize = 256;
/// How long a peer that is dialled may take before the server is asked to make it
/// dial us as well: more than a connection to somebody near who can be reached.
const INTRODUCE_AFTER: Duration = Duration::from_millis(150);
/// Peers that are dialled at a time; more wait for the next answer of the tracker.
const MAX_DIALLING: usize = 32;
/// Listeners of the local network that are connected to without being named.
const MAX_NEAR: usize = 16;
/// How long the one with the larger key leaves the dialling to the other.
const NEAR_WAIT: Duration = Duration::from_secs(2);

/// Connections that are being made.
#[derive(Default)]
pub(crate) struct Meetings {
    dialling: BTreeMap<NodeId, Instant>,
    punching: BTreeSet<NodeId>,
    introductions: BTreeMap<NodeId, Instant>,
    /// Introductions that were acted on.
    heard: Heard,
    calls: Calls,
    /// Listeners of the local network, and where they say they are.
    near: BTreeMap<NodeId, Vec<SocketAddr>>,
}

/// How a link came about, for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetBy {
    /// One side connected to an address that the server had named.
    Direct,
    /// Both are on one network.
    Lan,
    /// Both sides connected at once, at the server's word.
    Introduced,
}

impl Node {
    pub(crate) fn handle_linked(&mut self, link: PeerLink, rtt: Duration, dialled: bool) {
        let (now, node) = (self.clock.now(), link.connection.remote());
        let address = link.connection.remote_address();
        let is_near = address.is_some_and(|from| lan::is_near(from.ip()));
        let (path, took_ms) = self.note_met(node, is_near);
        let is_welcome = match self.sharing {
            Peers::On => true,
            Peers::Lan => is_near,
            Peers::Off => false,
        };
        if !is_welcome || self.listener.mesh().banned_until(now, node).is_some() {
            return link.connection.close("not wanted");
        }
        let standing = self.peers.get(&node).filter(|other| other.connection.is_open());
        if let Some(other) = standing {
            if !duel::is_taken(&link.rank, (&other.rank, other.since.elapsed())) {
                return link.connection.close("there is another link");
            }
            other.connection.close("there is another link");
        }
        let transport = link.connection.transport().map(|transport| transport.to_string());
        self.records.add(record::Event::PeerUp {
            peer: node.to_string(),
            dialled,
            transport: transport.unwrap_or_default(),
            path,
            took_ms,
        });
        let network = address.and_then(|from| Network::of(from.ip()));
        self.peers.insert(node, link);
        self.listener.handle_peer_up(now, node, Met { rtt, network, dialled });
    }

    /// How a link came about, and how long after it was wanted.
    fn note_met(&mut self, node: NodeId, is_near: bool) -> (MetBy, u64) {
        let wanted = self.meetings.dialling.remove(&node);
        let punched = self.meetings.punching.remove(&node);
        let path = match (is_near, punched) {
            (true, _) => MetBy::Lan,
            (false, true) => MetBy::Introduced,
            (false, false) => MetBy::Direct,
        };
        let took = wanted.map_or(Duration::ZERO, |wanted| wanted.elapsed());
        (path, u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn handle_lost(&mut self, connection: &Connection) {
        let node = connection.remote();
        let ours = |link: &PeerLink| link.connection.is_same(connection);
        if self.peers.get(&node).is_some_and(ours) {
            self.peers.remove(&node);
            self.records.add(record::Event::PeerDown { peer: node.to_string() });
            self.listener.handle_peer_down(self.clock.now(), node);
        }
    }

    /// Peers that hold what is playing: to be used, and connected to.
    pub(crate) fn meet_holders(&mut self, play: PlayId, peers: &[proto::Peer]) {
        if self.sharing != Peers::On {
            return;
        }
        let nodes: Vec<NodeId> =
            peers.iter().filter_map(|peer| NodeId::from_slice(&peer.peer_key)).collect();
        self.listener.handle_holders(self.clock.now(), play, &nodes);
        let blob = self.blob_of(play);
        for peer in peers {
            self.meet(peer, Effort::Once, blob);
        }
    }

    /// Connects to a peer unless there is a link, or will be.
    fn meet(&mut self, peer: &proto::Peer, effort: Effort, blob: Option<BlobId>) {
        let Some(node) = NodeId::from_slice(&peer.peer_key) else { return };
        if !self.is_to_be_met(node) || self.meetings.dialling.len() >= MAX_DIALLING {
            return;
        }
        let known = self.meetings.dialling.contains_key(&node);
        let under_way = match effort {
            Effort::Once => known,
            Effort::Punch => self.meetings.punching.contains(&node),
        };
        if under_way {
            return;
        }
        let Some(Callable { tcp, udp }) = self.meetings.calls.admit(Instant::now(), peer) else {
            return tracing::debug!(peer = ?node, "named where nobody is called now");
        };
        if effort == Effort::Punch {
            self.meetings.punching.insert(node);
        }
        self.meetings.dialling.entry(node).or_insert_with(Instant::now);
        tokio::spawn(self.neighbourhood.clone().dial(node, (tcp, udp), effort));
        if effort == Effort::Once && self.server_up {
            let events = self.events.clone();
            tokio::spawn(async move {
                tokio::time::sleep(INTRODUCE_AFTER).await;
                let _ = events.send(Event::Unmet { node, blob });
            });
        }
    }

    fn is_to_be_met(&self, node: NodeId) -> bool {
        let banned = self.listener.mesh().banned_until(self.clock.now(), node).is_some();
        let ourselves = node == self.neighbourhood.secret.node_id();
        !banned && !ourselves && !self.peers.contains_key(&node)
    }

    pub(crate) fn handle_dial_failed(&mut self, node: NodeId, effort: Effort) {
        if effort == Effort::Punch {
            self.meetings.punching.remove(&node);
        }
        if !self.meetings.punching.contains(&node) {
            self.meetings.dialling.remove(&node);
        }
        if effort == Effort::Once {
            self.introduce_if_unmet(node, None);
        }
    }

    /// A peer that does not answer may be behind a NAT: it shall dial us too.
    pub(crate) fn introduce_if_unmet(&mut self, node: NodeId, blob: Option<BlobId>) {
        if !self.meetings.near.contains_key(&node) {
            self.ask_for_introduction(node, blob);
        }
    }

    pub(crate) fn ask_for_introduction(&mut self, node: NodeId, blob: Option<BlobId>) {
        let introductions = &mut self.meetings.introductions;
        introductions.retain(|_, asked| asked.elapsed() < INTRODUCTION_INTERVAL);
        let may = introductions.len() < MAX_INTRODUCTIONS && !introductions.contains_key(&node);
        if may && self.sharing == Peers::On && self.is_to_be_met(node) {
            self.meetings.introductions.insert(node, Instant::now());
            self.session.ask_for_introduction(&node, blob);
        }
    }

    /// The server says that another listener and we are to connect, now.
    pub(crate) fn be_introduced(&mut self, introduction: &proto::Introduction) {
        let (Some(peer), true) = (&introduction.peer, self.sharing == Peers::On) else { return };
        if self.is_to_be_acted_on(introduction, peer) {
            self.meet(peer, Effort::Punch, None);
        }
    }

    /// Whether an introduction is one: it bears an id, for the first time, and if it
    /// says that we have asked for it, we have.
    fn is_to_be_acted_on(
        &mut self,
        introduction: &proto::Introduction,
        peer: &proto::Peer,
    ) -> bool {
        let Some(node) = NodeId::from_slice(&peer.peer_key) else { return false };
        let asked_for = self.meetings.introductions.contains_key(&node);
        if introduction.asked && !asked_for || !self.meetings.heard.is_first(&introduction.id) {
            tracing::debug!(peer = ?node, "an introduction that nobody asked for, or an old one");
            return false;
        }
        true
    }

    /// Somebody of this service is on the local network, or is not any more.
    pub(crate) fn handle_lan(&mut self, event: LanEvent) {
        match event {
            LanEvent::Seen { node, addresses } => {
                let room = self.meetings.near.len() < MAX_NEAR;
                if room || self.meetings.near.contains_key(&node) {
                    self.meetings.near.insert(node, addresses);
                    self.meet_near(node);
                }
            }
            LanEvent::Gone { node } => drop(self.meetings.near.remove(&node)),
        }
    }

    /// Connects to a listener of the local network: the one with the smaller key
    /// does, and the other if that takes too long.
    fn meet_near(&mut self, node: NodeId) {
        let Some(addresses) = self.meetings.near.get(&node) else { return };
        if self.sharing == Peers::Off || !self.is_to_be_met(node) {
            return;
        }
        if self.meetings.dialling.contains_key(&node) {
            return;
        }
        self.meetings.dialling.insert(node, Instant::now());
        let addresses = addresses.iter().map(SocketAddr::to_string).collect();
        let dial = self.neighbourhood.clone().dial(node, (addresses, Vec::new()), Effort::Once);
        let wait = match self.neighbourhood.secret.node_id() < node {
            true => Duration::ZERO,
            false => NEAR_WAIT,
        };
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            dial.await;
        });
    }

    /// Those of the local network to whom there is no link.
    pub(crate) fn meet_all_near(&mut self) {
        let near: Vec<NodeId> = self.meetings.near.keys().copied().collect();
        for node in near {
            self.meet_near(node);
        }
    }
}
