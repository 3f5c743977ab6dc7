//! Port mappings: the router of a home is asked to let others connect to us.
//!
//! PCP (RFC 6887) comes first, then NAT-PMP (RFC 6886), then UPnP's Internet
//! Gateway Device: one that works is kept. A mapping is asked for one hour,
//! renewed at half of what the router gives, and removed when it is no longer
//! wanted; one without an end is neither asked for nor taken, because nobody would
//! remove it after a crash. All of it goes on beside everything else, and what the
//! router does is waited for by nobody.
//!
//! A router may say anything: packets and pages are bounded in size and time, a
//! device that answers a search is only asked at the address that it answers from,
//! and nothing is believed of the outside address until somebody has connected to
//! it. Whether there is another NAT further out, the server knows: it sees us from
//! there.
//!
//! Written here and not taken from a library: it is a few packets and three SOAP
//! actions, and the libraries bring an HTTP client, tables of international domain
//! names and an XML tree to read them.
//!
//! ```no_run
//! # async fn example() {
//! use antiphon_net::portmap::{PortMap, PortMapConfig};
//!
//! let map = PortMap::start(PortMapConfig::new(4_711, 4_711));
//! let mut mappings = map.watch();
//! while mappings.changed().await.is_ok() {
//!     println!("{:?}", *mappings.borrow_and_update());
//! }
//! map.close().await;
//! # }
//! ```

mod engine;
mod http;
mod pcp;
mod route;
mod upnp;
mod wire;
mod xml;

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the removal of mappings may take.
const REMOVAL: Duration = Duration::from_secs(3);

/// What to map, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapConfig {
    /// Our port of TCP, if it shall be mapped.
    pub tcp: Option<u16>,
    /// Our port of UDP, if it shall be mapped.
    pub udp: Option<u16>,
    /// Whether PCP is tried.
    pub pcp: bool,
    /// Whether NAT-PMP is tried.
    pub nat_pmp: bool,
    /// Whether UPnP is tried.
    pub upnp: bool,
    /// The router, in place of the one that the system names.
    pub router: Option<RouterAddress>,
}

impl PortMapConfig {
    /// Both ports, by whatever the router of the system's default route speaks.
    pub const fn new(tcp: u16, udp: u16) -> Self {
        Self { tcp: Some(tcp), udp: Some(udp), pcp: true, nat_pmp: true, upnp: true, router: None }
    }
}

/// Where a router is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterAddress {
    /// By PCP and NAT-PMP; usually port 5351.
    pub pcp: SocketAddrV4,
    /// By UPnP's search; usually 239.255.255.250:1900. Only what answers from the
    /// address in `pcp` is heard.
    pub search: SocketAddrV4,
}

/// What a mapping carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// As IANA numbers them.
    const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// How the router was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Port Control Protocol.
    Pcp,
    /// NAT Port Mapping Protocol.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapState {
    /// A router is being asked.
    Asking,
    /// At least one port is mapped.
    Mapped,
    /// No port is; it is tried again later, and when the network changes.
    Failed(Failure),
    /// Closed.
    Closed,
}

/// What is mapped now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mappings {
    /// Where the router says that our TCP port can be reached from outside.
    pub tcp: Option<SocketAddrV4>,
    /// Where the router says that our UDP port can be reached from outside.
    pub udp: Option<SocketAddrV4>,
    /// How, if any is.
    pub method: Option<Method>,
    /// How it stands.
    pub state: MapState,
}

impl Mappings {
    const fn none(state: MapState) -> Self {
        Self { tcp: None, udp: None, method: None, state }
    }
}

/// Why a router maps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing has answered.
    #[error("no router answers; port mapping may be turned off there")]
    Silent,
    /// It answers, but does not speak this method.
    #[error("the router does not speak this protocol")]
    Unsupported,
    /// It says no, in its own numbers.
    #[error("the router refuses (code {0})")]
    Refused(u16),
    /// It would map for ever, or not at all.
    #[error("the router gives only mappings without an end, which are not taken")]
    OnlyPermanent,
    /// What it says makes no sense.
    #[error("the router gave no sensible answer")]
    Garbage,
    /// The network itself.
    #[error("the router cannot be asked: {0}")]
    Network(io::ErrorKind),
}

impl Failure {
    #[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
    fn io(error: io::Error) -> Self {
        match error.kind() {
            // Somebody is there, and nobody listens.
            io::ErrorKind::ConnectionRefused => Self::Unsupported,
            kind => Self::Network(kind),
        }
    }
}

/// Mappings that are kept as long as this is. When it is dropped they are removed
/// in the background; [`PortMap::close`] waits for that.
#[derive(Debug)]
pub struct PortMap {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    mappings: watch::Receiver<Mappings>,
}

impl PortMap {
    /// Begins to ask, and returns at once.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn start(config: PortMapConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (sender, mappings) = watch::channel(Mappings::none(MapState::Asking));
        let task = tokio::spawn(engine::run(config, sender, stopped));
        Self { stop: Some(stop), task, mappings }
    }

    /// What is mapped, now and as it changes.
    pub fn watch(&self) -> watch::Receiver<Mappings> {
        self.mappings.clone()
    }

    /// Removes the mappings and waits until it is done, 3 seconds at most.
    pub async fn close(mut self) {
        self.stop.take();
        // What is not removed by then ends with its lease.
        let _ = timeout(REMOVAL, &mut self.task).await;
    }
}
