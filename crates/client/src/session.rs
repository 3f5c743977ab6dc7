//! The session with the server: kept alive, resumed when it breaks (B20).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_net::identity::NodeSecret;
use antiphon_net::{
    Closed, Connection, Dial, Dialler, ServerLink, Stream, StreamError, StreamSender, Transport,
    lan, prove_peer_key,
};
use antiphon_types::{BlobId, Class, NodeId};
use antiphon_wire::proto::{
    self, ClientNotice, Hello, Reply, Request, ServerNotice, client_notice, reply, request,
    server_notice,
};
use rand::RngExt as _;
use tokio::sync::{mpsc, watch};

use crate::gossip::{blob_bytes, node_bytes};
use crate::standing::Standing;

/// First pause before connecting again; doubled for each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often the ticket is renewed; it is good for six hours.
const TICKET_RENEWAL: Duration = Duration::from_secs(60 * 60);
/// How long a server may take to say welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Round-trip time assumed until one is measured.
const ASSUMED_RTT: Duration = Duration::from_millis(50);
/// Notices that wait for the server at most.
const QUEUED_NOTICES: usize = 256;
/// Blobs in one announcement.
const ANNOUNCED_AT_ONCE: usize = 1000;

/// Who we are to the server.
pub(crate) struct Identity {
    pub(crate) link: ServerLink,
    pub(crate) device: NodeSecret,
    pub(crate) peer: NodeSecret,
    pub(crate) join_secret: String,
    pub(crate) sharing: bool,
    pub(crate) listen_port: u16,
    pub(crate) transport: Transport,
    /// Where we listen, to connect from there.
    pub(crate) from: Option<Dialler>,
    /// Where the ticket is kept.
    pub(crate) standing: Option<Standing>,
}

/// What the session tells the engine.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// The server said welcome.
    Up { service: String, rtt: Duration },
    /// The connection is gone; it is being tried again.
    Down { reason: String },
    /// The server does not want us.
    Refused(proto::Refused),
    /// Another listener wants us to connect.
    Introduction(proto::Introduction),
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no connection to the server now.
    #[error("the server cannot be reached")]
    Offline,
    /// The connection broke, or the server spoke nonsense.
    #[error("the server did not answer: {0}")]
    Stream(#[from] StreamError),
    /// The server refused.
    #[error("the server refused: {0}")]
    Refused(proto::Refused),
    /// The answer is not one to this request.
    #[error("the server's answer makes no sense")]
    Nonsense,
}

impl From<Closed> for RequestError {
    fn from(closed: Closed) -> Self {
        Self::Stream(closed.into())
    }
}

/// The session. Clones share it; it ends with the last.
#[derive(Clone)]
pub(crate) struct Session {
    connection: watch::Receiver<Option<Connection>>,
    notices: mpsc::Sender<client_notice::Kind>,
    ticket: watch::Receiver<Option<proto::SignedTicket>>,
    welcomes: watch::Receiver<u64>,
    /// Why the server will not have us, if it said so.
    refused: Arc<Mutex<Option<proto::Refused>>>,
}

impl Session {
    /// Connects and keeps connected. The first connection is being dialled
    /// when this returns, so that a request made at once travels with it.
    pub(crate) async fn start(
        identity: Identity,
        kept: Option<proto::SignedTicket>,
        events: mpsc::Sender<SessionEvent>,
    ) -> Self {
        let first = identity.dial().await;
        let (current, connection) = watch::channel(Some(first.connection.clone()));
        let (notices, queued) = mpsc::channel(QUEUED_NOTICES);
        let (certified, ticket) = watch::channel(kept);
        let (welcomed, welcomes) = watch::channel(0);
        let refused = Arc::new(Mutex::new(None));
        let keeper = Keeper {
            identity,
            events,
            current,
            queued,
            ticket: certified,
            welcomes: welcomed,
            refused: Arc::clone(&refused),
        };
        tokio::spawn(keeper.run(first));
        Self { connection, notices, ticket, welcomes, refused }
    }

    /// Makes a request on a stream of its own; the answer is still to come.
    pub(crate) async fn request(
        &self,
        class: Class,
        kind: request::Kind,
    ) -> Result<Stream, RequestError> {
        let connection = self.connection.borrow().clone().ok_or(RequestError::Offline)?;
        let mut stream = connection.open(class)?;
        stream.send(&Request { kind: Some(kind) }).await?;
        stream.finish();
        Ok(stream)
    }

    /// Makes a request and waits for its answer.
    pub(crate) async fn ask(&self, kind: request::Kind) -> Result<reply::Kind, RequestError> {
        let answer = async {
            let mut stream = self.request(Class::Control, kind).await?;
            receive_reply(&mut stream).await
        };
        answer.await.map_err(|error| self.explain(error))
    }

    /// A request that failed because the server would not have us at all is
    /// told as that.
    pub(crate) fn explain(&self, error: RequestError) -> RequestError {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match (&error, &*refused) {
            (RequestError::Offline | RequestError::Stream(_), Some(refused)) => {
                RequestError::Refused(refused.clone())
            }
            _ => error,
        }
    }

    /// The round-trip time last measured; asks for another measurement.
    pub(crate) fn measure(&self) -> Option<Duration> {
        let connection = self.connection.borrow().clone()?;
        connection.ping();
        connection.rtt()
    }

    /// Tells the server that these blobs are held whole, or are no longer.
    /// Told in vain when there is no session: all is told anew to the next.
    pub(crate) fn announce(&self, blobs: &[BlobId]) {
        for blobs in blobs.chunks(ANNOUNCED_AT_ONCE) {
            let blobs = blobs.iter().copied().map(blob_bytes).collect();
            self.tell(client_notice::Kind::Announce(proto::Announce { blobs }));
        }
    }

    /// Tells the server that these blobs are held no longer.
    pub(crate) fn withdraw(&self, blobs: &[BlobId]) {
        for blobs in blobs.chunks(ANNOUNCED_AT_ONCE) {
            let blobs = blobs.iter().copied().map(blob_bytes).collect();
            self.tell(client_notice::Kind::Withdraw(proto::Withdraw { blobs }));
        }
    }

    /// Asks the server to have a peer connect to us.
    pub(crate) fn ask_for_introduction(&self, peer: &NodeId, blob: Option<BlobId>) {
        let peer_key = node_bytes(*peer);
        let blob = blob.map(blob_bytes).unwrap_or_default();
        self.tell(client_notice::Kind::Introduce(proto::Introduce { peer_key, blob }));
    }

    /// Tells the server where others may reach us.
    pub(crate) fn tell_reach(&self, reach: proto::Reach) {
        self.tell(client_notice::Kind::Reach(reach));
    }

    /// Changes with each new session.
    pub(crate) fn welcomes(&self) -> watch::Receiver<u64> {
        self.welcomes.clone()
    }

    /// Where the server is, while there is a connection to it.
    pub(crate) fn server_address(&self) -> Option<SocketAddr> {
        self.connection.borrow().as_ref()?.remote_address()
    }

    /// Whether the connection to the server leaves from the port where we listen.
    pub(crate) fn is_at_listening_port(&self) -> bool {
        self.connection.borrow().as_ref().is_some_and(Connection::is_at_listening_port)
    }

    /// Reports a peer that sent a block which does not verify.
    pub(crate) fn report_bad_peer(&self, peer: &NodeId, blob: &BlobId, block: u32) {
        self.tell(client_notice::Kind::BadPeer(proto::BadPeer {
            peer_key: node_bytes(*peer),
            blob: blob_bytes(*blob),
            block,
        }));
    }

    /// What to show to peers; waited for if the server has not said welcome.
    pub(crate) async fn ticket(&self) -> Option<proto::SignedTicket> {
        let mut ticket = self.ticket.clone();
        ticket.wait_for(Option::is_some).await.ok()?;
        ticket.borrow().clone()
    }

    fn tell(&self, notice: client_notice::Kind) {
        if self.notices.try_send(notice).is_err() {
            tracing::debug!("a notice to the server was dropped");
        }
    }
}

/// Makes one request on a session of its own: for commands that neither play
/// nor serve, beside a node that does.
pub(crate) async fn ask_once(
    link: ServerLink,
    device: NodeSecret,
    join_secret: String,
    transport: Transport,
    kind: request::Kind,
) -> Result<reply::Kind, RequestError> {
    let peer = NodeSecret::generate(&mut rand::rng());
    let (sharing, listen_port) = (false, 0);
    let identity = Identity {
        link,
        device,
        peer,
        join_secret,
        sharing,
        listen_port,
        transport,
        from: None,
        standing: None,
    };
    let (events, mut inbox) = mpsc::channel(16);
    let session = Session::start(identity, None, events).await;
    let unheard = async { while inbox.recv().await.is_some() {} };
    tokio::select! {
        answer = session.ask(kind) => answer,
        () = unheard => Err(session.explain(RequestError::Offline)),
    }
}

/// The first message of an answer.
pub(crate) async fn receive_reply(stream: &mut Stream) -> Result<reply::Kind, RequestError> {
    let reply: Option<Reply> = stream.receive_message().await?;
    match reply.and_then(|reply| reply.kind) {
        Some(reply::Kind::Refused(refused)) => Err(RequestError::Refused(refused)),
        Some(kind) => Ok(kind),
        None => Err(RequestError::Nonsense),
    }
}

/// A connection to the server on which hello was said, before anything else.
struct Dialled {
    connection: Connection,
    stream: Result<Stream, StreamError>,
}

impl Identity {
    async fn dial(&self) -> Dialled {
        let (addresses, server) = (vec![self.link.address()], self.link.node);
        let connection = Connection::dial(Dial {
            transport: self.transport,
            from: self.from.clone(),
            ..Dial::new(addresses, server, server, self.device.clone())
        });
        let stream = self.say_hello(&connection).await;
        Dialled { connection, stream }
    }

    async fn say_hello(&self, connection: &Connection) -> Result<Stream, StreamError> {
        let mut stream = connection.open(Class::Control)?;
        let hello = client_notice::Kind::Hello(self.hello());
        stream.send(&ClientNotice { kind: Some(hello) }).await?;
        Ok(stream)
    }

    fn hello(&self) -> Hello {
        let peer = self.peer.node_id();
        Hello {
            minor: proto::MINOR_VERSION,
            agent: concat!("antiphon/", env!("CARGO_PKG_VERSION")).to_owned(),
            peer_key: node_bytes(peer),
            peer_key_proof: prove_peer_key(&self.peer, &self.device.node_id(), &self.link.node),
            join_secret: self.join_secret.clone(),
            sharing: self.sharing,
            listen_port: self.listen_port.into(),
            local_addresses: match self.sharing {
                true => lan::own_addresses().iter().map(ToString::to_string).collect(),
                false => Vec::new(),
            },
            ..Hello::default()
        }
    }
}

/// Keeps the session.
struct Keeper {
    identity: Identity,
    events: mpsc::Sender<SessionEvent>,
    current: watch::Sender<Option<Connection>>,
    queued: mpsc::Receiver<client_notice::Kind>,
    ticket: watch::Sender<Option<proto::SignedTicket>>,
    welcomes: watch::Sender<u64>,
    refused: Arc<Mutex<Option<proto::Refused>>>,
}

/// How to go on.
enum Next {
    /// On this connection.
    Stay,
    /// On another: this is what was wrong with this one.
    Again(String),
    /// Not at all: nobody needs the session any more, or the server will not
    /// have us.
    End,
}

impl Keeper {
    async fn run(mut self, first: Dialled) {
        let mut dialled = first;
        let mut pause = FIRST_PAUSE;
        loop {
            let mut welcomed = false;
            let Dialled { connection, stream } = dialled;
            let next = match stream {
                Ok(stream) => self.converse(&connection, stream, &mut welcomed).await,
                Err(error) => Next::Again(error.to_string()),
            };
            self.current.send_replace(None);
            connection.close("the session ended");
            let Next::Again(reason) = next else { return };
            if self.events.send(SessionEvent::Down { reason }).await.is_err() {
                return;
            }
            pause = if welcomed { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            tokio::select! {
                () = tokio::time::sleep(jittered) => {}
                () = self.events.closed() => return,
            }
            dialled = self.identity.dial().await;
            self.current.send_replace(Some(dialled.connection.clone()));
        }
    }

    async fn converse(
        &mut self,
        connection: &Connection,
        stream: Stream,
        welcomed: &mut bool,
    ) -> Next {
        let (mut sender, mut receiver) = stream.split();
        let welcome_by = tokio::time::Instant::now() + WELCOME_TIMEOUT;
        let mut renewal = tokio::time::interval(TICKET_RENEWAL);
        renewal.reset();
        loop {
            let next = tokio::select! {
                notice = receiver.receive_message::<ServerNotice>() => match notice {
                    Ok(Some(notice)) => self.handle(connection, notice.kind, welcomed).await,
                    Ok(None) => Next::Again("the server ended the session".to_owned()),
                    Err(error) => Next::Again(error.to_string()),
                },
                Some(kind) = self.queued.recv(), if *welcomed => {
                    next_after(send_notice(&mut sender, kind).await)
                }
                _ = renewal.tick() => {
                    let renew = client_notice::Kind::RenewTicket(proto::RenewTicket {});
                    next_after(send_notice(&mut sender, renew).await)
                }
                () = tokio::time::sleep_until(welcome_by), if !*welcomed => {
                    Next::Again("the server did not answer".to_owned())
                }
                () = connection.leaving() => Next::Again("the server is stopping".to_owned()),
                () = self.events.closed() => Next::End,
            };
            if !matches!(next, Next::Stay) {
                return next;
            }
        }
    }

    async fn handle(
        &self,
        connection: &Connection,
        kind: Option<server_notice::Kind>,
        welcomed: &mut bool,
    ) -> Next {
        let event = match kind {
            Some(server_notice::Kind::Welcome(welcome)) => {
                *welcomed = true;
                self.certify(welcome.ticket);
                self.welcomes.send_modify(|welcomes| *welcomes += 1);
                let rtt = connection.rtt().unwrap_or(ASSUMED_RTT);
                SessionEvent::Up { service: welcome.service, rtt }
            }
            Some(server_notice::Kind::Ticket(ticket)) => {
                self.certify(Some(ticket));
                return Next::Stay;
            }
            Some(server_notice::Kind::Introduction(introduction)) => {
                SessionEvent::Introduction(introduction)
            }
            Some(server_notice::Kind::Refused(refused)) => return self.refuse(refused).await,
            // A newer server may say what we do not understand.
            _ => return Next::Stay,
        };
        match self.events.send(event).await {
            Ok(()) => Next::Stay,
            Err(_) => Next::End,
        }
    }

    /// A ticket has come, and is kept.
    fn certify(&self, ticket: Option<proto::SignedTicket>) {
        if let (Some(standing), Some(ticket)) = (self.identity.standing.clone(), ticket.clone()) {
            let secret = self.identity.peer.clone();
            tokio::task::spawn_blocking(move || standing.keep(&secret, &ticket));
        }
        self.ticket.send_replace(ticket);
    }

    async fn refuse(&self, refused: proto::Refused) -> Next {
        let passing = matches!(
            refused.reason(),
            proto::refused::Reason::Unavailable | proto::refused::Reason::Busy
        );
        if passing {
            return Next::Again(refused.to_string());
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
        let _ = self.events.send(SessionEvent::Refused(refused)).await;
        Next::End
    }
}

fn next_after(sent: Result<(), StreamError>) -> Next {
    match sent {
        Ok(()) => Next::Stay,
        Err(error) => Next::Again(error.to_string()),
    }
}

async fn send_notice(
    sender: &mut StreamSender,
    kind: client_notice::Kind,
) -> Result<(), StreamError> {
    sender.send(&ClientNotice { kind: Some(kind) }).await
}
