//! Accepting connections from whoever knocks, within limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_handshake::identity::NodeSecret;
use antiphon_types::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::{greeting, socket};

/// What strangers may cost before they have shown who they are.
#[derive(Debug, Clone)]
pub struct AcceptorLimits {
    /// Connections in all that were not let in yet, in the handshake or before
    /// [`Connection::let_in`]. Each may hold a socket and 1 MiB.
    pub half_open: usize,
    /// The same from one address: a household, or a hostile host.
    pub half_open_per_address: usize,
    /// Time from the connection to the end of the handshake.
    pub handshake_timeout: Duration,
    /// First messages remembered, so that a recorded one is not answered
    /// twice. What may travel in one is harmless to repeat, so forgetting the
    /// oldest costs an attacker's victim nothing but one read.
    pub remembered_greetings: usize,
}

impl Default for AcceptorLimits {
    fn default() -> Self {
        Self {
            half_open: 256,
            half_open_per_address: 64,
            handshake_timeout: Duration::from_secs(5),
            remembered_greetings: 65_536,
        }
    }
}

/// A listening socket that hands out connections whose handshake is done.
#[derive(Debug)]
pub struct Acceptor {
    local_address: SocketAddr,
    ready: mpsc::Receiver<Connection>,
    task: JoinHandle<()>,
}

impl Acceptor {
    /// Listens on `address` as the node of `secret`, for members of `service`.
    pub async fn bind(
        address: SocketAddr,
        secret: NodeSecret,
        service: NodeId,
        limits: AcceptorLimits,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local_address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(64);
        let door = Arc::new(Door { secret, service, limits, state: Mutex::default() });
        let task = tokio::spawn(door.run(listener, sender));
        Ok(Self { local_address, ready, task })
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

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Door {
    secret: NodeSecret,
    service: NodeId,
    limits: AcceptorLimits,
    state: Mutex<DoorState>,
}

#[derive(Default)]
struct DoorState {
    half_open: BTreeMap<IpAddr, usize>,
    half_open_in_all: usize,
    greetings: BTreeSet<[u8; 32]>,
    greetings_by_age: VecDeque<[u8; 32]>,
}

impl Door {
    async fn run(self: Arc<Self>, listener: TcpListener, ready: mpsc::Sender<Connection>) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Some(place) = Place::take(&self, from.ip()) else { continue };
                    tokio::spawn(Arc::clone(&self).greet(stream, from, place, ready.clone()));
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

    async fn greet(
        self: Arc<Self>,
        mut stream: TcpStream,
        from: SocketAddr,
        place: Place,
        ready: mpsc::Sender<Connection>,
    ) {
        let greeting = async {
            socket::tune(&stream)?;
            greeting::respond(&mut stream, &self.secret, &self.service, |key| self.is_new(key))
                .await
        };
        match tokio::time::timeout(self.limits.handshake_timeout, greeting).await {
            Ok(Ok(greeted)) => {
                let connection = Connection::accepted(stream, from, greeted, place);
                // Refused only while shutting down.
                let _ = ready.send(connection).await;
            }
            Ok(Err(error)) => tracing::debug!(%from, "no handshake: {error}"),
            Err(_) => tracing::debug!(%from, "no handshake in time"),
        }
    }

    fn is_new(&self, ephemeral: [u8; 32]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.greetings.insert(ephemeral) {
            return false;
        }
        state.greetings_by_age.push_back(ephemeral);
        if state.greetings_by_age.len() > self.limits.remembered_greetings
            && let Some(oldest) = state.greetings_by_age.pop_front()
        {
            state.greetings.remove(&oldest);
        }
        true
    }
}

/// The right to be half open, given back when dropped.
pub(crate) struct Place {
    door: Arc<Door>,
    from: IpAddr,
}

impl Place {
    fn take(door: &Arc<Door>, from: IpAddr) -> Option<Self> {
        let mut state = door.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.half_open_in_all >= door.limits.half_open {
            return None;
        }
        let here = state.half_open.entry(from).or_default();
        if *here >= door.limits.half_open_per_address {
            return None;
        }
        *here += 1;
        state.half_open_in_all += 1;
        Some(Self { door: Arc::clone(door), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.half_open_in_all -= 1;
        if let Some(here) = state.half_open.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                state.half_open.remove(&self.from);
            }
        }
    }
}
