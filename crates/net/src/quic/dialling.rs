//! The sockets from which we dial.
//!
//! quinn reads every socket into a buffer of 3 MB of its own. With a socket for
//! each connection that would count for each peer, and the bound of 4 MiB would
//! not hold; so all connections that a runtime dials share one socket for each
//! family of addresses. A change of network moves them together, as it should.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use quinn::{ClientConfig, ConnectError, Connecting, Endpoint};
use tokio::runtime::{self, Handle};

/// The name that rustls wants and nobody sees.
pub(super) const SERVER_NAME: &str = "antiphon";

/// Those in use. A socket lives as long as one of its connections, and within
/// the runtime that drives it.
static SOCKETS: Mutex<Vec<Weak<Dialling>>> = Mutex::new(Vec::new());

/// A socket to dial from.
#[derive(Debug)]
pub(super) struct Dialling {
    pub(super) endpoint: Endpoint,
    is_ipv6: bool,
    runtime: runtime::Id,
    /// How often it was bound anew.
    moves: AtomicU32,
}

impl Dialling {
    /// Begins to connect to `address` from the socket for its family.
    pub(super) fn connect(
        address: SocketAddr,
        config: ClientConfig,
    ) -> io::Result<(Arc<Self>, Connecting)> {
        let dialling = Self::towards(address)?;
        match dialling.endpoint.connect_with(config.clone(), address, SERVER_NAME) {
            Ok(connecting) => Ok((dialling, connecting)),
            // Its socket has failed, and its connections with it.
            Err(ConnectError::EndpointStopping) => {
                dialling.forget();
                let dialling = Self::towards(address)?;
                let connecting = dialling.endpoint.connect_with(config, address, SERVER_NAME);
                Ok((dialling, connecting.map_err(io::Error::other)?))
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Goes on from a new socket, with all connections.
    pub(super) fn rebind(&self) -> io::Result<()> {
        self.endpoint.rebind(UdpSocket::bind(any_address(self.is_ipv6))?)?;
        self.moves.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    fn towards(address: SocketAddr) -> io::Result<Arc<Self>> {
        let (is_ipv6, runtime) = (address.is_ipv6(), Handle::current().id());
        let mut sockets = SOCKETS.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|socket| socket.strong_count() > 0);
        let known = sockets
            .iter()
            .filter_map(Weak::upgrade)
            .find(|socket| socket.is_ipv6 == is_ipv6 && socket.runtime == runtime);
        if let Some(socket) = known {
            return Ok(socket);
        }
        let endpoint = Endpoint::client(any_address(is_ipv6))?;
        let socket = Arc::new(Self { endpoint, is_ipv6, runtime, moves: AtomicU32::new(0) });
        sockets.push(Arc::downgrade(&socket));
        Ok(socket)
    }

    /// Is handed out no more.
    fn forget(&self) {
        let mut sockets = SOCKETS.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|socket| !std::ptr::eq(socket.as_ptr(), self));
    }
}

/// Any address and port of a family.
pub(super) fn any_address(is_ipv6: bool) -> SocketAddr {
    match is_ipv6 {
        false => (Ipv4Addr::UNSPECIFIED, 0).into(),
        true => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
