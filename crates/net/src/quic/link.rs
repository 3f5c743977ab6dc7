//! A QUIC connection, and how one is made.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use antiphon_types::{Class, NodeId};
use antiphon_wire::CloseCode;
use quinn::{ConnectionError, Endpoint, Incoming, RecvStream, SendStream, ServerConfig, VarInt};

use super::config;
use super::courtesy::Urgent;
use super::dialling::{Dialling, SERVER_NAME, any_address};
use super::identity::node_of;
use super::stream::{QuicReceiver, QuicSender, notice};
use super::window::SendWindow;
use crate::dial::{Dial, Effort};
use crate::socket::canonical;

/// What the number of a connection is derived under.
const NUMBER_LABEL: &[u8] = b"antiphon connection number";

/// Times that other tasks run before a close is taken to be on its way.
const CLOSE_TURNS: u32 = 64;

/// A connection that stands.
#[derive(Debug, Clone)]
pub(crate) struct QuicLink {
    pub(crate) connection: quinn::Connection,
    socket: Socket,
    urgent: Urgent,
    window: SendWindow,
    source: Arc<Mutex<Option<Source>>>,
}

/// Whose socket a connection uses.
#[derive(Debug, Clone)]
enum Socket {
    Dialling(Arc<Dialling>),
    Listening(Endpoint),
}

/// The address from which packets leave, and for what it was found.
#[derive(Debug, Clone, Copy)]
struct Source {
    moves: u32,
    remote: IpAddr,
    local: IpAddr,
}

/// Why no stream can be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("as many streams are open as the other side allows; finish or reset one first")]
    TooMany,
    #[error(transparent)]
    Closed(#[from] ConnectionError),
}

/// Connects to whom `dial` names at `address`; she has proven her name when this
/// returns.
pub(crate) async fn connect(address: SocketAddr, dial: &Dial) -> io::Result<QuicLink> {
    let urgent = Urgent::default();
    let mut config = config::client(&dial.secret, dial.node, &dial.service)?;
    config.transport_config(match dial.effort {
        Effort::Once => config::transport(urgent.clone()),
        Effort::Punch => config::hasty_transport(urgent.clone()),
    });
    let (socket, connecting) = match &dial.from {
        Some(dialler) => {
            let endpoint = dialler.endpoint();
            let connecting = endpoint.connect_with(config, address, SERVER_NAME);
            (Socket::Listening(endpoint.clone()), connecting.map_err(io::Error::other)?)
        }
        None => {
            let (dialling, connecting) = Dialling::connect(address, config)?;
            (Socket::Dialling(dialling), connecting)
        }
    };
    let connection = connecting.await.map_err(io::Error::from)?;
    if node_of(&connection) != Some(dial.node) {
        return Err(io::Error::other("another node answered"));
    }
    Ok(QuicLink::new(connection, socket, urgent))
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
        Ok(Self::new(connection, Socket::Listening(endpoint), urgent))
    }

    fn new(connection: quinn::Connection, socket: Socket, urgent: Urgent) -> Self {
        let window = SendWindow::new(connection.clone());
        Self { connection, socket, urgent, window, source: Arc::default() }
    }

    /// The same at both ends, and of no other connection (RFC 5705).
    pub(crate) fn number(&self) -> Option<u64> {
        let mut number = [0; 8];
        self.connection.export_keying_material(&mut number, NUMBER_LABEL, b"").ok()?;
        Some(u64::from_be_bytes(number))
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
        let sender = QuicSender::answering(sender, class, &self.urgent, &self.window);
        (sender, QuicReceiver::new(receiver))
    }

    pub(crate) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let mut local = self.endpoint().local_addr().ok()?;
        let remote = canonical(self.connection.remote_address());
        match self.connection.local_ip() {
            Some(ip) => local.set_ip(ip.to_canonical()),
            None if local.ip().is_unspecified() => local.set_ip(self.source(remote)?),
            None => {}
        }
        Some((local, remote))
    }

    fn endpoint(&self) -> &Endpoint {
        match &self.socket {
            Socket::Dialling(dialling) => &dialling.endpoint,
            Socket::Listening(endpoint) => endpoint,
        }
    }

    /// The address from which packets to `remote` leave, found once for each
    /// socket.
    fn source(&self, remote: SocketAddr) -> Option<IpAddr> {
        let moves = match &self.socket {
            Socket::Dialling(dialling) => dialling.moves(),
            Socket::Listening(_) => 0,
        };
        let mut known = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = *known
            && (source.moves, source.remote) == (moves, remote.ip())
        {
            return Some(source.local);
        }
        let local = source_towards(remote)?;
        *known = Some(Source { moves, remote: remote.ip(), local });
        Some(local)
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
                let sender = QuicSender::opened(sender, class, &self.urgent, &self.window);
                Ok((sender, QuicReceiver::new(receiver)))
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

    /// Waits until a close has left, or cannot: a program that ends before
    /// would leave the other side to its idle time-out.
    pub(super) async fn close_has_left(&self) {
        for _ in 0..CLOSE_TURNS {
            if self.connection.stats().frame_tx.connection_close > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Goes on from a new socket, as do all others that were dialled. A
    /// listening socket stays: it is known to others by its port.
    pub(crate) fn rebind(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Dialling(dialling) => dialling.rebind(),
            Socket::Listening(_) => Ok(()),
        }
    }
}

/// The address from which packets to `remote` leave.
fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(any_address(remote.is_ipv6())).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
