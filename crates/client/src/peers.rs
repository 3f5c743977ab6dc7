//! Links to other listeners: making them, and answering what comes on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use antiphon_mesh::Grant;
use antiphon_net::identity::NodeSecret;
use antiphon_net::{
    Acceptor, Attempts, Closed, Connection, CredentialError, Dial, Dialler, Effort, Stream,
    StreamError, Transport, check_ticket, wall_clock_ms,
};
use antiphon_store::{AsyncStore, ProofCursor, Store};
use antiphon_types::{BlobId, BlockRange, Class, NodeId};
use antiphon_wire::proto::{
    self, BlocksFollow, PeerHello, PeerNotice, Refused, Reply, Request, peer_notice, refused,
    reply, request,
};
use antiphon_wire::reset_code;
use tokio::sync::{mpsc, oneshot};

use crate::duel::Rank;
use crate::faults::Faults;
use crate::giving::Giving;
use crate::gossip::blob_bytes;
use crate::node::Event;
use crate::session::Session;

/// How long a peer may take to show its ticket.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Round-trip time assumed until one is measured.
const ASSUMED_RTT: Duration = Duration::from_millis(50);
/// When to ask again while our own music is in need (B07).
const UPLOAD_PAUSE_MS: u32 = 100;
/// Notices that wait for a slow peer at most.
const QUEUED_NOTICES: usize = 64;
/// Blocks in one request.
const MAX_BLOCKS: u32 = 4096;

/// What every task that deals with peers needs.
#[derive(Clone)]
pub(crate) struct Neighbourhood {
    /// Key of the service that all belong to.
    pub(crate) service: NodeId,
    /// Our peer key of this session.
    pub(crate) secret: NodeSecret,
    pub(crate) transport: Transport,
    /// Where we listen, to connect from there.
    pub(crate) dialler: Option<Dialler>,
    pub(crate) attempts: Attempts,
    pub(crate) giving: Giving,
    pub(crate) session: Session,
    pub(crate) store: Store,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Own playback is in need: nobody is served.
    pub(crate) uploads_paused: Arc<AtomicBool>,
    pub(crate) faults: Faults,
}

/// Why a link to a peer did not come about.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("its ticket is not acceptable: {0}")]
    Ticket(#[from] CredentialError),
    #[error("it refused: {0}")]
    Refused(Refused),
    #[error("it did not introduce itself")]
    Silent,
}

impl Neighbourhood {
    /// Connects to a peer and tells how it went.
    pub(crate) async fn dial(
        self,
        node: NodeId,
        (addresses, udp_addresses): (Vec<String>, Vec<String>),
        effort: Effort,
    ) {
        let connection = Connection::dial(Dial {
            udp_addresses,
            transport: self.transport,
            from: self.dialler.clone(),
            effort,
            attempts: self.attempts.clone(),
            ..Dial::new(addresses, node, self.service, self.secret.clone())
        });
        let timeout = match effort {
            Effort::Once => HELLO_TIMEOUT,
            Effort::Punch => HELLO_TIMEOUT + HELLO_TIMEOUT,
        };
        let greeted = tokio::time::timeout(timeout, self.greet(&connection)).await;
        match greeted.unwrap_or(Err(LinkError::Silent)) {
            Ok(stream) => self.linked(connection, stream, true).await,
            Err(error) => {
                tracing::debug!(peer = ?node, "no link: {error}");
                if matches!(error, LinkError::Stream(StreamError::Closed(Closed::Met))) {
                    // The other's call is being accepted, and says hello.
                    tokio::time::sleep(HELLO_TIMEOUT).await;
                }
                let _ = self.events.send(Event::DialFailed { node, effort });
            }
        }
    }

    /// Takes connections from peers for as long as the node lives.
    pub(crate) async fn accept(self, mut acceptor: Acceptor) {
        loop {
            let connection = acceptor.accept().await;
            if self.events.is_closed() {
                return;
            }
            tokio::spawn(self.clone().welcome(connection));
        }
    }

    async fn greet(&self, connection: &Connection) -> Result<Stream, LinkError> {
        let mut stream = connection.open(Class::Control).map_err(StreamError::from)?;
        send(&mut stream, peer_notice::Kind::Hello(self.hello().await)).await?;
        self.check_hello(connection, &mut stream).await?;
        Ok(stream)
    }

    async fn welcome(self, connection: Connection) {
        let answered = tokio::time::timeout(HELLO_TIMEOUT, self.answer_greeting(&connection)).await;
        match answered.unwrap_or(Err(LinkError::Silent)) {
            Ok(stream) => self.linked(connection, stream, false).await,
            Err(error) => {
                tracing::debug!(peer = ?connection.remote(), "not let in: {error}");
                connection.close("not let in");
            }
        }
    }

    async fn answer_greeting(&self, connection: &Connection) -> Result<Stream, LinkError> {
        let mut stream = connection.accept().await.map_err(StreamError::from)?;
        if let Err(error) = self.check_hello(connection, &mut stream).await {
            let refused = Refused::new(refused::Reason::BadTicket, error.to_string());
            send(&mut stream, peer_notice::Kind::Refused(refused)).await?;
            stream.finish();
            return Err(error);
        }
        connection.let_in();
        send(&mut stream, peer_notice::Kind::Hello(self.hello().await)).await?;
        Ok(stream)
    }

    async fn hello(&self) -> PeerHello {
        PeerHello {
            minor: proto::MINOR_VERSION,
            features: Vec::new(),
            ticket: self.session.ticket().await,
        }
    }

    async fn check_hello(
        &self,
        connection: &Connection,
        stream: &mut Stream,
    ) -> Result<(), LinkError> {
        let notice: Option<PeerNotice> = stream.receive_message().await?;
        let hello = match notice.and_then(|notice| notice.kind) {
            Some(peer_notice::Kind::Hello(hello)) => hello,
            Some(peer_notice::Kind::Refused(refused)) => return Err(LinkError::Refused(refused)),
            _ => return Err(LinkError::Silent),
        };
        let ticket = hello.ticket.as_ref();
        check_ticket(ticket, &self.service, &connection.remote(), wall_clock_ms())?;
        Ok(())
    }

    /// Tells of the link and answers requests until it ends.
    async fn linked(self, connection: Connection, session_stream: Stream, dialled: bool) {
        let node = connection.remote();
        if connection.confirmed().await.is_err() {
            if dialled {
                let _ = self.events.send(Event::DialFailed { node, effort: Effort::Once });
            }
            return;
        }
        let rtt = connection.rtt().unwrap_or(ASSUMED_RTT);
        let (notices, queued) = mpsc::channel(QUEUED_NOTICES);
        let rank = Rank::new(&self.secret.node_id(), &node, dialled, connection.number());
        let since = Instant::now();
        let link = PeerLink { connection: connection.clone(), notices, rank, since };
        if self.events.send(Event::PeerLinked { link, rtt, dialled }).is_err() {
            return;
        }
        let conversation = converse(session_stream, queued, node, &self.events);
        tokio::pin!(conversation);
        loop {
            tokio::select! {
                stream = connection.accept() => match stream {
                    Ok(stream) => drop(tokio::spawn(self.clone().answer(node, stream))),
                    Err(_) => break,
                },
                error = &mut conversation => {
                    tracing::debug!(peer = ?node, "the link ends: {error}");
                    connection.close("the session stream ended");
                    break;
                }
                () = self.events.closed() => return connection.close("leaving"),
            }
        }
        let _ = self.events.send(Event::PeerLost { connection });
    }

    /// Answers one request of a peer.
    async fn answer(self, peer: NodeId, mut stream: Stream) {
        let outcome = match stream.receive_message::<Request>().await {
            Ok(Some(Request { kind: Some(request::Kind::Blocks(blocks)) })) => {
                self.upload(peer, &mut stream, &blocks).await
            }
            Ok(_) => {
                let refused = Refused::new(refused::Reason::Malformed, "peers only send blocks");
                refuse(&mut stream, refused).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => stream.finish(),
            Err(error) => tracing::debug!(?peer, "upload ended: {error}"),
        }
    }

    async fn upload(
        &self,
        peer: NodeId,
        stream: &mut Stream,
        blocks: &proto::Blocks,
    ) -> Result<(), StreamError> {
        let not_held = || Refused::new(refused::Reason::NotHeld, "not in this cache");
        let Some(blob) = BlobId::from_slice(&blocks.blob) else {
            return refuse(stream, not_held()).await;
        };
        let class = u8::try_from(blocks.class).ok().and_then(Class::from_index);
        let class = class.filter(|class| *class != Class::Control).unwrap_or(Class::Offline);
        let range = BlockRange::new(blocks.start, blocks.end);
        if range.is_empty() || range.len() > MAX_BLOCKS || self.store.size(blob).is_none() {
            return refuse(stream, not_held()).await;
        }
        let (answer, granted) = oneshot::channel();
        let asked = self.events.send(Event::UploadAsked { peer, class, answer });
        let grant = match asked {
            Ok(()) => granted.await.ok(),
            Err(_) => None,
        };
        match grant {
            Some((Grant::Served, cut)) => {
                let _ended = UploadEnded { events: self.events.clone(), peer };
                tokio::select! {
                    sent = self.send_blocks(stream, blob, range) => sent,
                    // Something more urgent took the slot. The stream is given
                    // up as it is: it may stand in the middle of a block.
                    Ok(()) = cut => Err(StreamError::Reset(reset_code::CANCELLED)),
                }
            }
            Some((Grant::Busy { retry_after }, _)) => {
                let millis = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                refuse(stream, busy().retry_after_ms(millis)).await
            }
            None => refuse(stream, busy()).await,
        }
    }

    async fn send_blocks(
        &self,
        stream: &mut Stream,
        blob: BlobId,
        blocks: BlockRange,
    ) -> Result<(), StreamError> {
        // Being served, it stays.
        let _hold = self.store.hold(blob);
        let _sending = self.giving.begin();
        let store = AsyncStore::from(self.store.clone());
        let mut cursor = ProofCursor::default();
        let mut promised = false;
        for block in blocks.iter() {
            if self.uploads_paused.load(Ordering::Relaxed) {
                // Told at once, the other asks elsewhere in time.
                return refuse(stream, busy().retry_after_ms(UPLOAD_PAUSE_MS)).await;
            }
            let read = store.read_with_proof(blob, block, &mut cursor).await;
            let Ok(Some((data, proof))) = read else {
                let gone = Refused::new(refused::Reason::NotHeld, "not in this cache");
                return refuse(stream, gone).await;
            };
            if !self.giving.take(u32::try_from(data.len()).unwrap_or(u32::MAX)).await {
                return refuse(stream, busy()).await;
            }
            if !promised {
                let follow = reply::Kind::BlocksFollow(BlocksFollow {});
                stream.send(&Reply { kind: Some(follow) }).await?;
                promised = true;
            }
            self.faults.hold_back().await;
            let data = self.faults.alter(data);
            stream.send_block(block, &proof, data).await?;
        }
        Ok(())
    }
}

/// A link to a peer, and the queue of what it is to be told.
#[derive(Clone)]
pub(crate) struct PeerLink {
    pub(crate) connection: Connection,
    pub(crate) rank: Rank,
    pub(crate) since: Instant,
    notices: mpsc::Sender<peer_notice::Kind>,
}

impl PeerLink {
    /// Tells the peer something. One that does not listen is not told: all that is
    /// said so is said again, or of little use later.
    pub(crate) fn tell(&self, notice: peer_notice::Kind) {
        if self.notices.try_send(notice).is_err() {
            tracing::debug!(peer = ?self.connection.remote(), "a notice was dropped");
        }
    }
}

/// Passes notices on in both directions until the stream ends. The next one of the
/// peer is read when the one before has been dealt with.
async fn converse(
    stream: Stream,
    mut queued: mpsc::Receiver<peer_notice::Kind>,
    peer: NodeId,
    events: &mpsc::UnboundedSender<Event>,
) -> StreamError {
    let (mut sender, mut receiver) = stream.split();
    let hear = async {
        loop {
            let notice = match receiver.receive_message::<PeerNotice>().await {
                Ok(Some(notice)) => notice.kind,
                Ok(None) => return StreamError::Reset(reset_code::CANCELLED),
                Err(error) => return error,
            };
            let Some(notice) = notice else { continue };
            let (done, dealt_with) = oneshot::channel();
            if events.send(Event::PeerNotice { peer, notice, done }).is_ok() {
                let _ = dealt_with.await;
            }
        }
    };
    let tell = async {
        while let Some(kind) = queued.recv().await {
            if let Err(error) = sender.send(&PeerNotice { kind: Some(kind) }).await {
                return error;
            }
        }
        // The link was replaced by another: nothing more is said on this one.
        std::future::pending().await
    };
    tokio::select! {
        error = hear => error,
        error = tell => error,
    }
}

/// Gives the upload slot back, however the upload ended.
struct UploadEnded {
    events: mpsc::UnboundedSender<Event>,
    peer: NodeId,
}

impl Drop for UploadEnded {
    fn drop(&mut self) {
        let _ = self.events.send(Event::UploadEnded { peer: self.peer });
    }
}

/// Asks a peer for blocks.
pub(crate) async fn request_blocks(
    connection: &Connection,
    blob: BlobId,
    blocks: BlockRange,
    class: Class,
) -> Result<Stream, StreamError> {
    let mut stream = connection.open(class)?;
    let kind = request::Kind::Blocks(blocks_request(blob, blocks, class));
    stream.send(&Request { kind: Some(kind) }).await?;
    stream.finish();
    Ok(stream)
}

/// The request for a run of blocks, to a peer or to the server.
pub(crate) fn blocks_request(blob: BlobId, blocks: BlockRange, class: Class) -> proto::Blocks {
    proto::Blocks {
        blob: blob_bytes(blob),
        start: blocks.start,
        end: blocks.end,
        class: class.index().into(),
    }
}

fn busy() -> Refused {
    Refused::new(refused::Reason::Busy, "all upload slots are taken")
}

async fn refuse(stream: &mut Stream, refused: Refused) -> Result<(), StreamError> {
    stream.send(&Reply { kind: Some(reply::Kind::Refused(refused)) }).await
}

async fn send(stream: &mut Stream, kind: peer_notice::Kind) -> Result<(), StreamError> {
    stream.send(&PeerNotice { kind: Some(kind) }).await
}
