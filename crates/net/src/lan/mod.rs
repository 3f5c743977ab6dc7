//! Presence on the local network: listeners of a service find each other with no
//! server.
//!
//! Two ways are used side by side, because each network lets through what it
//! likes: multicast DNS and the limited broadcast. Both say the same: a
//! [tag](ServiceTag) of the service, the peer key of this session and the port
//! where it listens. Nothing is said of what anybody holds, nor of people and
//! their machines; that is for the authenticated connection, and so is the proof
//! that a peer is who it says. The bytes are in `docs/protocol.md`, section 12.
//!
//! What comes in is a hint from anybody on the network. Therefore:
//!
//! * only packets and names from networks that this machine is attached to are
//!   believed, and a broadcast only for the address that it came from;
//! * at most 256 peers are known, 16 at one address, and 8 addresses of one, by
//!   each way;
//! * nothing is ever sent to an address because a packet named it. A newcomer is
//!   greeted by one broadcast on its own network, as long as its own packet, at
//!   most one in a second however many come.
//!
//! ```no_run
//! # async fn example(service: antiphon_types::NodeId, peer: antiphon_types::NodeId) {
//! use antiphon_net::lan::{Lan, LanConfig, LanEvent};
//!
//! let (lan, mut events) = Lan::start(LanConfig::new(service, peer, 4_711));
//! while let Some(LanEvent::Seen { node, addresses }) = events.recv().await {
//!     println!("{node} listens at {addresses:?}");
//! }
//! lan.close().await;
//! # }
//! ```

mod broadcast;
mod engine;
mod mdns;
pub(crate) mod networks;
mod peers;
mod presence;
mod schedule;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use antiphon_types::NodeId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use presence::{Presence, PresenceKind, ServiceTag};

use engine::Engine;
use mdns::{Mdns, MdnsLeave};
use networks::Networks;

/// The UDP port of broadcasts: outside of what systems give to outgoing traffic.
pub const BROADCAST_PORT: u16 = 27_400;

/// Events that may wait for who reads them; beyond that the network waits.
const EVENTS: usize = 64;

/// Addresses of our own that are told.
const MAX_OWN_ADDRESSES: usize = 8;

/// How long taking leave may take.
const LEAVE: Duration = Duration::from_millis(500);

/// Who is announced, and how.
#[derive(Debug, Clone)]
pub struct LanConfig {
    /// The service; others are neither told nor heard.
    pub service: NodeId,
    /// Our peer key of this session.
    pub peer: NodeId,
    /// Where we listen, over TCP and QUIC. With 0 we hear others and say nothing.
    pub port: u16,
    /// Whether multicast DNS is used.
    pub mdns: bool,
    /// Whether broadcasts are used.
    pub broadcast: bool,
    /// The UDP port of broadcasts; all listeners of a network must have the same.
    pub broadcast_port: u16,
}

impl LanConfig {
    /// Both ways, on [`BROADCAST_PORT`].
    pub const fn new(service: NodeId, peer: NodeId, port: u16) -> Self {
        Self { service, peer, port, mdns: true, broadcast: true, broadcast_port: BROADCAST_PORT }
    }
}

/// What changes on the local network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LanEvent {
    /// A peer is there, or is there at other addresses than before. Whether it is
    /// who it says, only a connection tells.
    Seen {
        /// Its peer key, as it says.
        node: NodeId,
        /// All that is known, at least one and at most 16; first those from which
        /// its packets came.
        addresses: Vec<SocketAddr>,
    },
    /// A peer has taken its leave, or has not been heard for three intervals. A
    /// connection that stands may well go on: anybody could have said so.
    Gone {
        /// Its peer key.
        node: NodeId,
    },
}

/// Whether an address is on a network that this machine is attached to.
///
/// Asks the system each time: interfaces come and go.
pub fn is_near(address: IpAddr) -> bool {
    Networks::read().is_ok_and(|networks| networks.believes(address.to_canonical()))
}

/// The addresses of this machine's interfaces that mean something to others nearby,
/// at most 8.
pub fn own_addresses() -> Vec<IpAddr> {
    Networks::read().map(|networks| networks.own(MAX_OWN_ADDRESSES)).unwrap_or_default()
}

/// Our presence. It ends, with a word of leave, when this is dropped.
#[derive(Debug)]
pub struct Lan {
    task: JoinHandle<()>,
    leave: Leave,
}

/// How we take our leave.
struct Leave {
    /// The packet that says so and its port, if we broadcast.
    packet: Option<([u8; Presence::BYTES], u16)>,
    mdns: Option<MdnsLeave>,
}

impl Lan {
    /// Announces us and begins to listen for others. What of it does not work here
    /// (no network, no multicast, a port that is taken) is left out, with one line
    /// in the log.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn start(config: LanConfig) -> (Self, mpsc::Receiver<LanEvent>) {
        let (sender, events) = mpsc::channel(EVENTS);
        let mdns = config.mdns.then(|| Mdns::start(&config)).and_then(|started| {
            started
                .inspect_err(|error| {
                    tracing::warn!("no multicast DNS, so some peers nearby are not found: {error}");
                })
                .ok()
        });
        let presence = |kind| Presence {
            kind,
            tag: ServiceTag::of(&config.service),
            peer: config.peer,
            port: config.port,
        };
        let speaks = config.broadcast && config.port != 0;
        let packet =
            speaks.then(|| (presence(PresenceKind::Leaving).encode(), config.broadcast_port));
        let leave = Leave { packet, mdns: mdns.as_ref().map(Mdns::leave) };
        let here = presence(PresenceKind::Here);
        let task = tokio::spawn(Engine::new(config, here, mdns, sender).run());
        (Self { task, leave }, events)
    }

    /// Takes leave and waits until it is said, half a second at most.
    pub async fn close(mut self) {
        self.task.abort();
        if let Some(said) = self.leave.say() {
            let _ = tokio::time::timeout(LEAVE, said.recv_async()).await;
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        self.task.abort();
        self.leave.say();
    }
}

impl Leave {
    /// Says it, once, without waiting; multicast DNS answers when it has.
    fn say(&mut self) -> Option<mdns_sd::Receiver<mdns_sd::DaemonStatus>> {
        if let Some((packet, port)) = self.packet.take() {
            let networks = Networks::read().unwrap_or_default();
            broadcast::announce(&packet, port, &networks);
        }
        self.mdns.take()?.go()
    }
}

impl std::fmt::Debug for Leave {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leave").finish_non_exhaustive()
    }
}
