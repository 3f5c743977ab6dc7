//! Accepting connections from whoever knocks, within limits.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_handshake::door::DoorCounters;
use antiphon_handshake::identity::NodeSecret;
use antiphon_types::NodeId;
use quinn::{Endpoint, Incoming, ServerConfig, TokioRuntime};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Dialler;
use crate::connection::{Connection, Shared};
use crate::door::{AcceptorLimits, Door, Place};
use crate::quic::{self, QuicLink};
use crate::socket;
use crate::tcp::greeting::{self, Host};
use crate::udp::{self, Aside, ProofKey};

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
    aside: Arc<Aside>,
    dialler: Dialler,
    /// Ends with the acceptor.
    _listening: JoinSet<()>,
}

impl Acceptor {
    /// Listens on `address` as the node of `secret`, for members of `service`.
    /// `[::]` stands for all addresses, of IPv4 too; where there is no IPv6 it
    /// becomes `0.0.0.0`.
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
        let (listener, socket) = socket::listen(address)?;
        let local_address = listener.local_addr()?;
        let quic = quic::config::server(&secret, &service)?;
        let aside = Arc::new(Aside::new(socket)?);
        let endpoint = Endpoint::new_with_abstract_socket(
            quic::config::endpoint(),
            Some(quic.clone()),
            Arc::new(udp::Socket::new(Arc::clone(&aside))),
            Arc::new(TokioRuntime),
        )?;
        let (sender, ready) = mpsc::channel(QUEUED_CONNECTIONS);
        let door = Arc::new(Door::new(limits));
        let host = Host::new(&secret, service);
        let porter = Arc::new(Porter { host, quic, door: Arc::clone(&door), ready: sender });
        let dialler =
            Dialler::new(local_address, endpoint.clone(), Arc::clone(&aside), Arc::clone(&porter));
        let mut listening = JoinSet::new();
        listening.spawn(Arc::clone(&porter).listen_tcp(listener));
        listening.spawn(porter.listen_quic(endpoint));
        Ok(Self { local_address, ready, door, aside, dialler, _listening: listening })
    }

    /// Dials from the port at which this listens, as [`Dial::from`](crate::Dial).
    /// It may be used for as long as anybody likes, also when this is gone; as
    /// long the UDP port stays taken.
    pub fn dialler(&self) -> Dialler {
        self.dialler.clone()
    }

    /// From now on tells whoever asks at the UDP port where packets of his come
    /// from, and proves it with `key`: see [`Dialler::observe`]. At most 5,000 a
    /// second are answered, and none with more bytes than he sent.
    pub fn tell_addresses(&self, key: ProofKey) {
        self.aside.answer_with(key);
    }

    /// How strangers were dealt with so far.
    pub fn counters(&self) -> DoorCounters {
        self.door.counters()
    }

    /// Where it listens, TCP and UDP; a port of 0 has become a real one.
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
pub(crate) struct Porter {
    host: Host,
    quic: ServerConfig,
    door: Arc<Door>,
    ready: mpsc::Sender<Connection>,
}

impl Porter {
    /// Who answers.
    pub(crate) fn node(&self) -> NodeId {
        self.host.node()
    }

    async fn listen_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => Arc::clone(&self).take_tcp(stream, from),
                Err(error) => {
                    // Out of descriptors, most likely: existing connections go
                    // on, and new ones are taken when some have ended.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Takes a socket on which the other side speaks first.
    pub(crate) fn take_tcp(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let from = socket::canonical(from);
        // Whoever is refused is not told why: the socket closes.
        let Ok(place) = self.door.arrive(from.ip()) else { return };
        let (id, door) = (place.id(), Arc::clone(&self.door));
        let greeting = self.greet_tcp(stream, from, place);
        door.watch(id, || tokio::spawn(greeting).abort_handle());
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
            let from = incoming.remote_address().ip().to_canonical();
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
