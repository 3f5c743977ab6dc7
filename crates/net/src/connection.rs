//! A connection to another node, whoever opened it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_types::{Class, NodeId};
use antiphon_wire::mux::OpenError;
use antiphon_wire::{CloseCode, Limits, Mux, Role, StreamId};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::dial::{self, Dial};
use crate::door::Place;
use crate::early::Early;
use crate::quic::{self, Delivery, QuicLink, QuicReceiver, QuicSender};
use crate::socket::canonical;
use crate::stream::{Origin, Stream};
use crate::tcp::driver;
use crate::tcp::greeting::Greeted;
use crate::{Clock, Transport};

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
    /// Both sides dialled at the same moment and met on one TCP connection. The
    /// node with the smaller id has called; ours is the other, so that the
    /// [`Acceptor`](crate::Acceptor) hands out the connection.
    #[error("the other side connected at the same moment: its connection is accepted")]
    Met,
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

/// Finished streams that a close waits for: the last words, not a download.
const MAX_LEAVING: usize = 8;

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
    /// Where we listen, as far as this connection has to do with it.
    listening_port: Option<u16>,
    /// Tells the driver that the multiplexer may have something to send.
    pub(crate) work: Notify,
    /// Tells of new streams and of a change of phase.
    pub(crate) news: Notify,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) link: Link,
    /// Streams that are, or began as, the multiplexer's. (In boxes: a node of the
    /// map has room for eleven, and most connections have one stream.)
    pub(crate) streams: BTreeMap<StreamId, Box<StreamState>>,
    pub(crate) incoming: VecDeque<Incoming>,
    /// Whether the other side's first stream was taken.
    pub(crate) has_accepted: bool,
    pub(crate) phase: Phase,
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// See [`Connection::number`]; of QUIC the link knows it.
    pub(crate) number: Option<u64>,
    /// The reason for which we want to close, once all is sent.
    pub(crate) closing: Option<String>,
    /// What we said when we took our leave, or will say once connected.
    pub(crate) going_away: Option<String>,
    /// What the other side said when it took its leave.
    pub(crate) farewell: Option<String>,
    /// QUIC streams that were finished lately and may still be under way.
    pub(crate) leaving: VecDeque<Delivery>,
    /// What an accepted connection costs until its owner lets it in.
    pub(crate) place: Option<Place>,
}

/// What carries the streams.
pub(crate) enum Link {
    /// No transport has won yet.
    Pending(Early),
    /// TCP.
    Mux(Box<Mux>),
    /// QUIC.
    Quic(QuicLink),
}

/// A stream that the other side has opened.
pub(crate) enum Incoming {
    Mux(StreamId, Class),
    Quic(Class, QuicSender, QuicReceiver),
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
    /// What the stream has become if it was opened before QUIC had won; its
    /// owner comes to take it.
    pub(crate) quic_sender: Option<QuicSender>,
    pub(crate) quic_receiver: Option<QuicReceiver>,
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

impl Shared {
    /// Ends an accepted connection that was not let in.
    pub(crate) fn expel(&self) {
        let mut state = self.lock();
        if state.place.is_some() {
            state.closing.get_or_insert_with(|| "it was not let in".to_owned());
            drop(state);
            self.work.notify_one();
        }
    }
}

impl State {
    pub(crate) fn closed(&self) -> Option<Closed> {
        match &self.phase {
            Phase::Closed(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// The multiplexer, on TCP.
    pub(crate) fn mux(&mut self) -> Option<&mut Mux> {
        match &mut self.link {
            Link::Mux(mux) => Some(mux),
            Link::Pending(_) | Link::Quic(_) => None,
        }
    }

    /// Remembers a stream that was finished, so that a close waits for it.
    pub(crate) fn note_leaving(&mut self, delivery: Delivery) {
        if self.leaving.len() >= MAX_LEAVING {
            self.leaving.pop_front();
        }
        self.leaving.push_back(delivery);
    }

    /// Gives a stream up whose owner has gone.
    pub(crate) fn reset(&mut self, id: StreamId, code: u32) {
        match &mut self.link {
            Link::Pending(early) => early.give_up(id),
            Link::Mux(mux) => mux.reset(id, code),
            // Its halves say so themselves when they are dropped.
            Link::Quic(_) => {}
        }
    }

    /// Says that no more will be written to a stream.
    pub(crate) fn finish(&mut self, id: StreamId) {
        match &mut self.link {
            Link::Pending(early) => early.finish(id),
            Link::Mux(mux) => mux.finish(id),
            Link::Quic(_) => {
                let stream = self.streams.get_mut(&id);
                if let Some(sender) = stream.and_then(|stream| stream.quic_sender.as_mut()) {
                    sender.finish();
                    let delivery = sender.delivered();
                    self.note_leaving(delivery);
                }
            }
        }
    }
}

/// Lets the driver know when nobody uses the connection any more.
struct Alive {
    shared: Arc<Shared>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.closing.is_none() {
            let reason = "no longer needed";
            state.closing = Some(reason.to_owned());
            if let Some(mux) = state.mux() {
                mux.go_away(CloseCode::SHUTDOWN, reason);
            }
        }
        drop(state);
        self.shared.work.notify_one();
    }
}

impl Connection {
    /// Connects. Returns at once: streams may be opened and written at once, up
    /// to 64 KiB in all. What they hold when a TCP socket stands (up to 4 KiB)
    /// travels as early data. That must be harmless if it were replayed.
    ///
    /// Must be called within a tokio runtime, as everything here.
    pub fn dial(dial: Dial) -> Self {
        let connection = Self::new(
            dial.node,
            Link::Pending(Early::default()),
            Phase::Connecting,
            Clock::start(),
            dial.from.as_ref().map(|from| from.local_address().port()),
        );
        tokio::spawn(dial::run(Arc::clone(&connection.shared), dial));
        connection
    }

    pub(crate) fn accepted_tcp(
        stream: TcpStream,
        from: SocketAddr,
        greeted: Greeted,
        place: Place,
    ) -> Self {
        let phase = Phase::Established { confirmed: false };
        let clock = Clock::start();
        let mux = Mux::new(Role::Responder, Limits::default(), clock.now());
        let local = stream.local_addr().ok().map(canonical);
        let port = local.map(|local| local.port());
        let connection = Self::new(greeted.remote, Link::Mux(Box::new(mux)), phase, clock, port);
        {
            let mut state = connection.shared.lock();
            state.place = Some(place);
            state.number = Some(greeted.number);
            state.addresses = local.map(|local| (local, from));
        }
        tokio::spawn(driver::accepted(Arc::clone(&connection.shared), stream, greeted));
        connection
    }

    pub(crate) fn accepted_quic(link: QuicLink, remote: NodeId, place: Place) -> Self {
        // A QUIC handshake cannot be replayed.
        let phase = Phase::Established { confirmed: true };
        let addresses = link.addresses();
        let port = addresses.map(|(local, _)| local.port());
        let connection = Self::new(remote, Link::Quic(link), phase, Clock::start(), port);
        {
            let mut state = connection.shared.lock();
            state.place = Some(place);
            state.addresses = addresses;
        }
        tokio::spawn(quic::driver::run(Arc::clone(&connection.shared)));
        connection
    }

    fn new(
        remote: NodeId,
        link: Link,
        phase: Phase,
        clock: Clock,
        listening_port: Option<u16>,
    ) -> Self {
        let state = State {
            link,
            streams: BTreeMap::new(),
            incoming: VecDeque::new(),
            has_accepted: false,
            phase,
            addresses: None,
            number: None,
            closing: None,
            going_away: None,
            farewell: None,
            leaving: VecDeque::new(),
            place: None,
        };
        let shared = Arc::new(Shared {
            clock,
            remote,
            listening_port,
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

    /// A number that both ends have for this connection, and by all chance for no
    /// other: two who have made two connections agree by it on the one that they keep.
    /// `None` until it is established. It is no secret.
    pub fn number(&self) -> Option<u64> {
        let state = self.shared.lock();
        match &state.link {
            Link::Quic(link) => link.number(),
            Link::Mux(_) | Link::Pending(_) => state.number,
        }
    }

    /// Our address and the other's, once connected. On QUIC either may change
    /// while the connection lives.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let state = self.shared.lock();
        match &state.link {
            Link::Quic(link) => link.addresses(),
            Link::Pending(_) | Link::Mux(_) => state.addresses,
        }
    }

    /// Our address, once connected.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.addresses().map(|(local, _)| local)
    }

    /// The other side's address as we see it, once connected.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.addresses().map(|(_, remote)| remote)
    }

    /// Whether it uses the port at which we listen, so that the other side sees
    /// where that is: accepted ones do, and those that were dialled from a
    /// [`Dialler`](crate::Dialler), unless the port could not be had.
    pub fn is_at_listening_port(&self) -> bool {
        let local = self.local_address().map(|local| local.port());
        local.is_some() && local == self.shared.listening_port
    }

    /// Over what it travels, once connected: never [`Transport::Auto`].
    pub fn transport(&self) -> Option<Transport> {
        match &self.shared.lock().link {
            Link::Pending(_) => None,
            Link::Mux(_) => Some(Transport::Tcp),
            Link::Quic(_) => Some(Transport::Quic),
        }
    }

    /// The round-trip time last measured, if any was.
    pub fn rtt(&self) -> Option<Duration> {
        match &self.shared.lock().link {
            Link::Pending(_) => None,
            Link::Mux(mux) => mux.rtt(),
            Link::Quic(link) => Some(link.rtt()),
        }
    }

    /// Says that this computer has moved to another network, or may have. A
    /// QUIC connection goes on from a new socket (RFC 9000 section 9). A TCP
    /// connection cannot: it will be found dead, and is to be dialled again.
    ///
    /// # Errors
    ///
    /// No new socket can be had; the connection stays where it is.
    pub fn network_changed(&self) -> std::io::Result<()> {
        match &self.shared.lock().link {
            Link::Quic(link) => link.rebind(),
            Link::Pending(_) | Link::Mux(_) => Ok(()),
        }
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

    /// Measures the round-trip time again. (QUIC does so all the time.)
    pub fn ping(&self) {
        if let Some(mux) = self.shared.lock().mux() {
            mux.ping(self.shared.clock.now());
        }
        self.shared.work.notify_one();
    }

    /// Says that the other side has shown its right to be here. Until then an
    /// accepted connection counts among the strangers, who are few; after 15 s
    /// it is closed.
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
        if let Some(farewell) = &state.farewell {
            return Err(Closed::ByPeer(farewell.clone()));
        }
        let refused = |error: &dyn fmt::Display| Closed::ByUs(error.to_string());
        if state.going_away.is_some() {
            return Err(refused(&OpenError::GoingAway));
        }
        let id = match &mut state.link {
            Link::Pending(early) => early
                .open(class)
                .ok_or_else(|| refused(&"too many streams before the connection stands"))?,
            Link::Mux(mux) => mux.open(class).map_err(|error| refused(&error))?,
            Link::Quic(link) => {
                let (sender, receiver) = link.open(class).map_err(|error| refused(&error))?;
                drop(state);
                return Ok(Stream::of_quic(self.clone(), class, Origin::Ours, (sender, receiver)));
            }
        };
        state.streams.insert(id, Box::default());
        drop(state);
        Ok(Stream::of_mux(self.clone(), id, class, Origin::Ours))
    }

    /// The next stream that the other side has opened.
    pub async fn accept(&self) -> Result<Stream, Closed> {
        let (incoming, first) = self
            .wait_for(|state| match state.incoming.pop_front() {
                Some(stream) => {
                    Some(Ok((stream, !std::mem::replace(&mut state.has_accepted, true))))
                }
                None => state.closed().map(Err),
            })
            .await?;
        let origin = if first { Origin::Session } else { Origin::Request };
        Ok(match incoming {
            Incoming::Mux(id, class) => Stream::of_mux(self.clone(), id, class, origin),
            Incoming::Quic(class, sender, receiver) => {
                Stream::of_quic(self.clone(), class, origin, (sender, receiver))
            }
        })
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.shared.lock().closed().is_none()
    }

    /// Whether two handles are of one connection.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Says that no new streams are taken or opened; open ones go on. Before the
    /// connection stands, it is said as soon as it does.
    pub fn go_away(&self, reason: &str) {
        self.say_farewell(&mut self.shared.lock(), reason);
        self.shared.work.notify_one();
    }

    /// Closes once what is queued has been sent. On QUIC that is what the
    /// streams that were finished last hold, for up to 2 s; what was written to
    /// others may be lost.
    pub fn close(&self, reason: &str) {
        let mut state = self.shared.lock();
        if state.closing.is_none() {
            state.closing = Some(reason.to_owned());
            self.say_farewell(&mut state, reason);
        }
        drop(state);
        self.shared.work.notify_one();
    }

    fn say_farewell(&self, state: &mut State, reason: &str) {
        state.going_away.get_or_insert_with(|| reason.to_owned());
        match &mut state.link {
            Link::Pending(_) => {}
            Link::Mux(mux) => mux.go_away(CloseCode::SHUTDOWN, reason),
            Link::Quic(link) => link.go_away(reason),
        }
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
