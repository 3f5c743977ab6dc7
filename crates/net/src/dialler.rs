//! Dialling from the port at which we listen.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use antiphon_types::NodeId;
use quinn::Endpoint;
use tokio::net::TcpStream;

use crate::acceptor::Porter;
use crate::udp::{Aside, Observed};

/// Dials from the port at which an [`Acceptor`](crate::Acceptor) listens, TCP and
/// UDP, so that a NAT on the way maps what we dial as it maps what others see of
/// us. Clones are one.
#[derive(Clone)]
pub struct Dialler {
    port: Arc<Port>,
}

/// A port at which we listen.
struct Port {
    address: SocketAddr,
    endpoint: Endpoint,
    aside: Arc<Aside>,
    porter: Arc<Porter>,
}

impl Dialler {
    pub(crate) fn new(
        address: SocketAddr,
        endpoint: Endpoint,
        aside: Arc<Aside>,
        porter: Arc<Porter>,
    ) -> Self {
        Self { port: Arc::new(Port { address, endpoint, aside, porter }) }
    }

    /// Where we listen.
    pub fn local_address(&self) -> SocketAddr {
        self.port.address
    }

    /// Asks `server`, at its UDP port, from where our packets come: the address
    /// that a NAT gives our UDP port, and the server's proof of it. The mapping of
    /// a NAT lasts 30 s and more without packets (RFC 4787 REQ-5 says 2 minutes,
    /// and many do not keep it), so ask again every 15 to 20 s.
    ///
    /// # Errors
    ///
    /// Nothing came back within 3 s ([`io::ErrorKind::TimedOut`]): UDP is blocked,
    /// or the server does not answer such questions. Or the address is of a family
    /// that our socket cannot reach, or too many questions are open.
    pub async fn observe(&self, server: SocketAddr) -> io::Result<Observed> {
        self.port.aside.observe(server).await
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.port.endpoint
    }

    /// Sends a packet that says nothing, so that a NAT lets in what comes from
    /// there.
    pub(crate) fn open_way(&self, address: SocketAddr) {
        self.port.aside.open_way(address);
    }

    /// The same, but the packet goes no further than the second router: it opens
    /// our side alone.
    pub(crate) fn knock(&self, address: SocketAddr) {
        self.port.aside.knock(address);
    }

    /// Takes a socket as one that was accepted, if we listen as `node`.
    pub(crate) fn take_in(&self, node: NodeId, stream: TcpStream) {
        let Ok(from) = stream.peer_addr() else { return };
        if self.port.porter.node() == node {
            Arc::clone(&self.port.porter).take_tcp(stream, from);
        }
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").field("address", &self.port.address).finish_non_exhaustive()
    }
}
