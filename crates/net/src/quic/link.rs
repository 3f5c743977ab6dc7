//! A QUIC connection, and how one is made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use antiphon_handshake::identity::NodeSecret;
use antiphon_types::{Class, NodeId};
use antiphon_wire::CloseCode;
use quinn::{ConnectionError, Endpoint, Incoming, RecvStream, SendStream, ServerConfig, VarInt};

use super::config;
use super::courtesy::Urgent;
use super::identity::node_of;
use super::stream::{QuicReceiver, QuicSender, notice};

/// The name that rustls wants and nobody sees.
const SERVER_NAME: &str = "antiphon";

/// A connection that stands.
#[derive(Debug, Clone)]
pub(crate) struct QuicLink {
    pub(crate) connection: quinn::Connection,
    endpoint: Endpoint,
    urgent: Urgent,
    /// Whether the socket is this connection's alone.
    own_socket: bool,
}

/// Why no stream can be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{} streams are open, which is the most; finish one first", config::MAX_STREAMS)]
    TooMany,
    #[error(transparent)]
    Closed(#[from] ConnectionError),
}

/// Connects to `node` at `address`, a member of `service`; it has proven its
/// name when this returns.
pub(crate) async fn connect(
    address: SocketAddr,
    secret: &NodeSecret,
    node: NodeId,
    service: &NodeId,
) -> io::Result<QuicLink> {
    let endpoint = Endpoint::client(any_address_like(address))?;
    let urgent = Urgent::default();
    let config = config::client(secret, node, service, urgent.clone())?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME);
    let connection = connecting.map_err(io::Error::other)?.await.map_err(io::Error::from)?;
    if node_of(&connection) != Some(node) {
        return Err(io::Error::other("another node answered"));
    }
    Ok(QuicLink { connection, endpoint, urgent, own_socket: true })
}

impl QuicLink {
    /// Answers whoever called at a listening endpoint.
    pub(crate) async fn accept(
        incoming: Incoming,
        endpoint: Endpoint,
        mut config: ServerConfig,
    ) -> Result<Self, ConnectionError> {
        let urgent = Urgent::default();
        config.transport_config(config::transport(urgent.clone()));
        let connection = incoming.accept_with(Arc::new(config))?.await?;
        Ok(Self { connection, endpoint, urgent, own_socket: false })
    }

    /// Who is at the other end.
    pub(crate) fn node(&self) -> Option<NodeId> {
        node_of(&self.connection)
    }

    /// The two halves of a stream, ours to answer on.
    pub(super) fn answering(
        &self,
        class: Class,
        (sender, receiver): (SendStream, RecvStream),
    ) -> (QuicSender, QuicReceiver) {
        (QuicSender::answering(sender, class, &self.urgent), QuicReceiver::new(receiver))
    }

    pub(crate) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let mut local = self.endpoint.local_addr().ok()?;
        let remote = self.connection.remote_address();
        match self.connection.local_ip() {
            Some(ip) => local.set_ip(ip.to_canonical()),
            None if local.ip().is_unspecified() => local.set_ip(source_towards(remote)?),
            None => {}
        }
        Some((local, SocketAddr::new(remote.ip().to_canonical(), remote.port())))
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Opens a stream, without waiting for a place.
    pub(crate) fn open(&self, class: Class) -> Result<(QuicSender, QuicReceiver), OpenError> {
        let opening = pin!(self.connection.open_bi());
        match opening.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(opened) => {
                let (sender, receiver) = opened?;
                Ok((QuicSender::opened(sender, class, &self.urgent), QuicReceiver::new(receiver)))
            }
            Poll::Pending => Err(OpenError::TooMany),
        }
    }

    /// Says that no new streams are taken.
    pub(crate) fn go_away(&self, reason: &str) {
        let connection = self.connection.clone();
        let words = notice(CloseCode::SHUTDOWN, reason);
        tokio::spawn(async move {
            let Ok(mut stream) = connection.open_uni().await else { return };
            if stream.write_chunk(words).await.is_ok() {
                let _ = stream.finish();
            }
        });
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(VarInt::from_u32(code.0), reason.as_bytes());
    }

    /// Goes on from a new socket. A listening socket stays: it is known to
    /// others by its port.
    pub(crate) fn rebind(&self) -> io::Result<()> {
        if !self.own_socket {
            return Ok(());
        }
        let remote = self.connection.remote_address();
        self.endpoint.rebind(UdpSocket::bind(any_address_like(remote))?)
    }
}

/// The address from which packets to `remote` leave.
fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any_address_like(remote)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Any address and port of the same family.
fn any_address_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
