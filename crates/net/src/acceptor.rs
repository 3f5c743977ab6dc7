//! Accepting connections from whoever knocks, within limits.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_handshake::door::DoorCounters;
use antiphon_handshake::identity::NodeSecret;
use antiphon_types::NodeId;
use quinn::{Endpoint, Incoming, ServerConfig, TokioRuntime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::connection::{Connection, Shared};
use crate::door::{AcceptorLimits, Door, Place};
use crate::quic::{self, QuicLink};
use crate::socket;
use crate::tcp::greeting::{self, Host};
/// Ports tried when any port will do.
const PORT_ATTEMPTS: usize = 16;

/// How long a connection may be open before its owner lets it in.
const LET_IN_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections that wait to be accepted by their owner.
const QUEUED_CONNECTIONS: usize = 64;

/// Listening sockets, TCP and UDP on one port, that hand out connections whose
/// handshake is done.
pub struct Acceptor {
    local_address: SocketAddr,
    ready: mpsc::Receiver<Connection>,
    door: Arc<Door>,
    /// Ends with the acceptor.
    _listening: JoinSet<()>,
}

impl Acceptor {
    /// Listens on `address` as the node of `secret`, for members of `service`.
    ///
    /// # Errors
    ///
    /// The port is taken, for TCP or for UDP, or may not be used.
    pub async fn bind(
        address: SocketAddr,
        secret: NodeSecret,
        service: NodeId,
        limits: AcceptorLimits,
    ) -> io::Result<Self> {
        let (listener, socket) = bind_both(address).await?;
        let local_address = listener.local_addr()?;
        let quic = quic::config::server(&secret, &service)?;
        let endpoint = Endpoint::new(
            quic::config::endpoint(),
            Some(quic.clone()),
            socket,
            Arc::new(TokioRuntime),
        )?;
        let (sender, ready) = mpsc::channel(QUEUED_CONNECTIONS);
        let door = Arc::new(Door::new(limits));
        let host = Host::new(&secret, service);
        let porter = Arc::new(Porter { host, quic, door: Arc::clone(&door), ready: sender });
        let mut listening = JoinSet::new();
        listening.spawn(Arc::clone(&porter).listen_tcp(listener));
        listening.spawn(porter.listen_quic(endpoint));
        Ok(Self { local_address, ready, door, _listening: listening })
    }

    /// How strangers were dealt with so far.
    pub fn counters(&self) -> DoorCounters {
        self.door.counters()
    }

    /// Where it listens; a port of 0 has become a real one.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// The next connection. Its first streams may have come as early data.
    pub async fn accept(&mut self) -> Connection {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task ends only when this value is dropped.
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("local_address", &self.local_address)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

/// What the tasks of an acceptor share.
struct Porter {
    host: Host,
    quic: ServerConfig,
    door: Arc<Door>,
    ready: mpsc::Sender<Connection>,
}

impl Porter {
    async fn listen_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    // Whoever is refused is not told why: the socket closes.
                    let Ok(place) = self.door.arrive(from.ip()) else { continue };
                    let id = place.id();
                    let greeting = Arc::clone(&self).greet_tcp(stream, from, place);
                    self.door.watch(id, || tokio::spawn(greeting).abort_handle());
                }
                Err(error) => {
                    // Out of descriptors, most likely: existing connections go
                    // on, and new ones are taken when some have ended.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn greet_tcp(self: Arc<Self>, mut stream: TcpStream, from: SocketAddr, place: Place) {
        let greeting = async {
            socket::tune(&stream)?;
            greeting::respond(&mut stream, &self.host, &place).await
        };
        match tokio::time::timeout(self.door.patience(), greeting).await {
            Ok(Ok(greeted)) => {
                self.hand_out(Connection::accepted_tcp(stream, from, greeted, place)).await;
            }
            Ok(Err(error)) => tracing::debug!(%from, "no handshake: {error}"),
            Err(_) => tracing::debug!(%from, "no handshake in time"),
        }
    }

    async fn listen_quic(self: Arc<Self>, endpoint: Endpoint) {
        // Connections keep the endpoint beyond this task; it is to take no more.
        let _deaf = Deaf(endpoint.clone());
        while let Some(incoming) = endpoint.accept().await {
            // An address that may be forged costs one packet, and no memory.
            let from = incoming.remote_address().ip();
            if self.door.must_prove_address(from) && incoming.may_retry() {
                let _ = incoming.retry();
                continue;
            }
            let admitted = self.door.arrive(from);
            // The first message is there: that is how we hear of it.
            match admitted.and_then(|place| place.greeted().map(|()| place)) {
                Ok(place) => {
                    let porter = Arc::clone(&self);
                    tokio::spawn(porter.greet_quic(incoming, endpoint.clone(), place));
                }
                // Silence: whoever is refused in words learns that we are here.
                Err(_) => incoming.ignore(),
            }
        }
        tracing::error!("the UDP socket has failed: nobody can connect over QUIC any more");
    }

    async fn greet_quic(self: Arc<Self>, incoming: Incoming, endpoint: Endpoint, place: Place) {
        let from = incoming.remote_address();
        let accepting = QuicLink::accept(incoming, endpoint, self.quic.clone());
        let link = match tokio::time::timeout(self.door.patience(), accepting).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return tracing::debug!(%from, "no handshake: {error}"),
            Err(_) => return tracing::debug!(%from, "no handshake in time"),
        };
        let Some(remote) = link.node() else {
            return tracing::debug!(%from, "no handshake: it showed no key");
        };
        self.hand_out(Connection::accepted_quic(link, remote, place)).await;
    }

    async fn hand_out(&self, connection: Connection) {
        tokio::spawn(expel(Arc::downgrade(&connection.shared)));
        // Refused only while shutting down.
        let _ = self.ready.send(connection).await;
    }
}

/// Closes a connection whose owner does not let it in: who is not known after so
/// long is a stranger who holds a place.
async fn expel(shared: Weak<Shared>) {
    tokio::time::sleep(LET_IN_TIMEOUT).await;
    if let Some(shared) = shared.upgrade() {
        shared.expel();
    }
}

/// Makes an endpoint take no more connections when dropped.
struct Deaf(Endpoint);

impl Drop for Deaf {
    fn drop(&mut self) {
        self.0.set_server_config(None);
    }
}

/// A TCP and a UDP socket on one port.
async fn bind_both(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let listener = TcpListener::bind(address).await?;
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(socket) => return Ok((listener, socket)),
            // Somebody else has that port; another will be free for both.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(error),
        }
    }
}
