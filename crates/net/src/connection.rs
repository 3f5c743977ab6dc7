//! A connection to another node, whoever opened it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_handshake::identity::NodeSecret;
use antiphon_types::{Class, NodeId};
use antiphon_wire::{CloseCode, Limits, StreamId};
use antiphon_wire::{Mux, Role};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::Clock;
use crate::acceptor::Place;
use crate::driver;
use crate::greeting::Greeted;
use crate::stream::Stream;

/// Whom to connect to, and as whom.
#[derive(Clone)]
pub struct Dial {
    /// `HOST:PORT` each; the first that answers is used. At most 8 are tried.
    pub addresses: Vec<String>,
    /// Who must answer.
    pub node: NodeId,
    /// The service that both belong to: the key of its server.
    pub service: NodeId,
    /// Who calls.
    pub secret: NodeSecret,
}

/// Why a connection is no more, or never came to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// None of the addresses answered.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// What was tried.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// Something answered, but not who was called.
    #[error("{0}")]
    Handshake(String),
    /// The stream of bytes ended or broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The other side took its leave.
    #[error("the other side closed the connection: {0}")]
    ByPeer(String),
    /// We closed it.
    #[error("closed: {0}")]
    ByUs(String),
    /// The other side broke a rule or a limit.
    #[error("the other side broke the protocol: {0}")]
    Protocol(String),
    /// Nothing was heard for too long.
    #[error("nothing was heard from the other side for too long")]
    Idle,
}

/// A connection. Clones share it; it closes when the last clone and the last
/// of its streams are gone.
#[derive(Clone)]
pub struct Connection {
    pub(crate) shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) remote: NodeId,
    /// Tells the driver that the multiplexer may have something to send.
    pub(crate) work: Notify,
    /// Tells of new streams and of a change of phase.
    pub(crate) news: Notify,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) mux: Mux,
    pub(crate) streams: BTreeMap<StreamId, StreamState>,
    pub(crate) incoming: VecDeque<(StreamId, Class)>,
    pub(crate) phase: Phase,
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// The reason for which we want to close, once all is sent.
    pub(crate) closing: Option<String>,
    /// What the other side said when it took its leave.
    pub(crate) farewell: Option<String>,
    /// What an accepted connection costs until its owner lets it in.
    pub(crate) place: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    /// The handshake is done. A responder does not yet know whether the
    /// initiator is alive or a recording.
    Established {
        confirmed: bool,
    },
    Closed(Closed),
}

/// What has come in on a stream, and who waits for it.
#[derive(Default)]
pub(crate) struct StreamState {
    pub(crate) inbox: VecDeque<Bytes>,
    pub(crate) end: Option<StreamEnd>,
    pub(crate) readable: Arc<Notify>,
    pub(crate) writable: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    Finished,
    Reset(u32),
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if something did, the state
        // of the multiplexer is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything that waits on the connection.
    pub(crate) fn close(&self, reason: Closed) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Closed(_)) {
            state.phase = Phase::Closed(reason);
        }
        let place = state.place.take();
        for stream in state.streams.values() {
            stream.readable.notify_one();
            stream.writable.notify_one();
        }
        drop(state);
        drop(place);
        self.news.notify_waiters();
    }
}

impl State {
    pub(crate) fn closed(&self) -> Option<Closed> {
        match &self.phase {
            Phase::Closed(reason) => Some(reason.clone()),
            _ => None,
        }
    }
}

/// Lets the driver know when nobody uses the connection any more.
struct Alive {
    shared: Arc<Shared>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.shared.lock().closing.get_or_insert_with(|| "no longer needed".to_owned());
        self.shared.work.notify_one();
    }
}

impl Connection {
    /// Connects. Returns at once: streams may be opened and written at once,
    /// and what they hold when the socket stands (up to 4 KiB) travels as
    /// early data. That must be harmless if it were replayed.
    ///
    /// Must be called within a tokio runtime, as everything here.
    pub fn dial(dial: Dial) -> Self {
        let connection = Self::new(Role::Initiator, dial.node, Phase::Connecting);
        tokio::spawn(driver::dial(Arc::clone(&connection.shared), dial));
        connection
    }

    pub(crate) fn accepted(
        stream: TcpStream,
        from: SocketAddr,
        greeted: Greeted,
        place: Place,
    ) -> Self {
        let phase = Phase::Established { confirmed: false };
        let connection = Self::new(Role::Responder, greeted.remote, phase);
        connection.shared.lock().place = Some(place);
        if let Ok(local) = stream.local_addr() {
            connection.shared.lock().addresses = Some((local, from));
        }
        tokio::spawn(driver::accepted(Arc::clone(&connection.shared), stream, greeted));
        connection
    }

    fn new(role: Role, remote: NodeId, phase: Phase) -> Self {
        let clock = Clock::start();
        let state = State {
            mux: Mux::new(role, Limits::default(), clock.now()),
            streams: BTreeMap::new(),
            incoming: VecDeque::new(),
            phase,
            addresses: None,
            closing: None,
            farewell: None,
            place: None,
        };
        let shared = Arc::new(Shared {
            clock,
            remote,
            work: Notify::new(),
            news: Notify::new(),
            state: Mutex::new(state),
        });
        Self { _alive: Arc::new(Alive { shared: Arc::clone(&shared) }), shared }
    }

    /// Who is at the other end; proven once the connection is established.
    pub fn remote(&self) -> NodeId {
        self.shared.remote
    }

    /// Our address and the other's, once connected.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.shared.lock().addresses
    }

    /// The round-trip time last measured, if any was.
    pub fn rtt(&self) -> Option<Duration> {
        self.shared.lock().mux.rtt()
    }

    /// Waits until the handshake is done.
    pub async fn established(&self) -> Result<(), Closed> {
        self.wait_for(|state| match &state.phase {
            Phase::Connecting => None,
            Phase::Established { .. } => Some(Ok(())),
            Phase::Closed(reason) => Some(Err(reason.clone())),
        })
        .await
    }

    /// Waits until the other side has proven that it is there now, and is not
    /// a recording of an earlier conversation.
    pub async fn confirmed(&self) -> Result<(), Closed> {
        self.wait_for(|state| match &state.phase {
            Phase::Connecting | Phase::Established { confirmed: false } => None,
            Phase::Established { confirmed: true } => Some(Ok(())),
            Phase::Closed(reason) => Some(Err(reason.clone())),
        })
        .await
    }

    /// Waits until the other side has said that it goes away, or has gone.
    pub async fn leaving(&self) {
        self.wait_for(|state| (state.farewell.is_some() || state.closed().is_some()).then_some(()))
            .await;
    }

    /// Measures the round-trip time again.
    pub fn ping(&self) {
        self.shared.lock().mux.ping(self.shared.clock.now());
        self.shared.work.notify_one();
    }

    /// Says that the other side has shown its right to be here. Until then an
    /// accepted connection counts among the strangers, who are few.
    pub fn let_in(&self) {
        // Dropped outside: giving a place back takes another lock.
        let place = self.shared.lock().place.take();
        drop(place);
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) -> Closed {
        self.wait_for(|state| state.closed()).await
    }

    /// Opens a stream.
    pub fn open(&self, class: Class) -> Result<Stream, Closed> {
        let mut state = self.shared.lock();
        if let Some(reason) = state.closed() {
            return Err(reason);
        }
        let id = state.mux.open(class).map_err(|error| Closed::ByUs(error.to_string()))?;
        state.streams.insert(id, StreamState::default());
        drop(state);
        Ok(Stream::new(self.clone(), id, class, true))
    }

    /// The next stream that the other side has opened.
    pub async fn accept(&self) -> Result<Stream, Closed> {
        let (id, class) = self
            .wait_for(|state| match state.incoming.pop_front() {
                Some(stream) => Some(Ok(stream)),
                None => state.closed().map(Err),
            })
            .await?;
        Ok(Stream::new(self.clone(), id, class, false))
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.shared.lock().closed().is_none()
    }

    /// Whether two handles are of one connection.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Says that no new streams are taken; open ones go on.
    pub fn go_away(&self, reason: &str) {
        self.shared.lock().mux.go_away(CloseCode::SHUTDOWN, reason);
        self.shared.work.notify_one();
    }

    /// Closes once what is queued has been sent.
    pub fn close(&self, reason: &str) {
        let mut state = self.shared.lock();
        if state.closing.is_none() {
            state.closing = Some(reason.to_owned());
            state.mux.go_away(CloseCode::SHUTDOWN, reason);
        }
        drop(state);
        self.shared.work.notify_one();
    }

    async fn wait_for<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let news = self.shared.news.notified();
            tokio::pin!(news);
            // Registered before looking, so that nothing is missed in between.
            news.as_mut().enable();
            if let Some(value) = ready(&mut self.shared.lock()) {
                return value;
            }
            news.await;
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("remote", &self.shared.remote)
            .field("phase", &self.shared.lock().phase)
            .finish_non_exhaustive()
    }
}
