//! The node of one listener: one loop that drives the [`Listener`] core and
//! carries out what it decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use antiphon_listener::{Listener, Output, PlayId, Refused, Source, TransferId};
use antiphon_mesh::Grant;
use antiphon_net::lan::LanEvent;
use antiphon_net::{Clock, Connection, Effort, sleep_until};
use antiphon_store::Store;
use antiphon_types::{BlobId, BlockRange, Class, NodeId};
use antiphon_wire::proto::{self, peer_notice, reply, request};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::engine::{Command, PlayError};
use crate::giving::Giving;
use crate::gossip::blob_bytes;
use crate::library::Library;
use crate::meeting::Meetings;
use crate::network;
use crate::peers::{Neighbourhood, PeerLink, blocks_request, request_blocks};
use crate::play::Answer;
use crate::player::PlayerEvent;
use crate::program::Program;
use crate::record::{self, Records, Unreported};
use crate::session::{Session, SessionEvent};
use crate::settings::Peers;
use crate::transfer::Transfer;
use crate::trouble::DiskTrouble;

/// How often the display is brought up to date.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// Every so many looks round-trip times are measured.
const TICKS_PER_MEASUREMENT: u32 = 5;
/// When to ask again one who gives nothing at this hour.
const NOT_GIVING_RETRY: Duration = Duration::from_secs(60);
/// How many looks go by until listeners nearby without a link are dialled again.
const TICKS_PER_GREETING: u32 = 50;
/// How many looks go by until what was given is kept on the disk.
const TICKS_PER_KEEPING: u32 = 600;

/// Everything that can wake the loop.
pub(crate) enum Event {
    /// A link to a peer stands.
    PeerLinked { link: PeerLink, rtt: Duration, dialled: bool },
    /// A link to a peer ended.
    PeerLost { connection: Connection },
    /// A neighbour says something; `done` lets it say more.
    PeerNotice { peer: NodeId, notice: peer_notice::Kind, done: oneshot::Sender<()> },
    /// A peer could not be reached.
    DialFailed { node: NodeId, effort: Effort },
    /// A peer that was dialled had some time to answer.
    Unmet { node: NodeId, blob: Option<BlobId> },
    /// Something changed on the local network.
    Lan(LanEvent),
    /// A block came, was verified and stored.
    Block {
        play: PlayId,
        source: Source,
        transfer: TransferId,
        block: u32,
        bytes: u32,
        first_byte: Option<Instant>,
    },
    /// The server does not have the blob.
    ServerLacks { play: PlayId },
    /// A block came that does not verify.
    BadBlock { play: PlayId, source: Source, transfer: TransferId, block: u32 },
    /// A request will not be answered in full.
    Refused { transfer: TransferId, reason: Refused },
    /// The server's push ended.
    PushEnded { play: PlayId },
    /// The cache cannot take blocks.
    StoreFailed { play: PlayId, reason: String },
    /// The server answered a play, or did not.
    Answered { play: PlayId, answer: Answer },
    /// The player thread tells something.
    Player(PlayerEvent),
    /// The tracker answered.
    PeersFound { play: PlayId, peers: Vec<proto::Peer> },
    /// A peer asks for an upload slot.
    UploadAsked {
        peer: NodeId,
        class: Class,
        answer: oneshot::Sender<(Grant, oneshot::Receiver<()>)>,
    },
    /// An upload that was granted has ended.
    UploadEnded { peer: NodeId },
    /// A play was recorded, and waits to be told to the server.
    Recorded,
    /// Plays were told to the server: it has acknowledged them, or not.
    Reported { acknowledged: bool },
}

/// The loop's state.
pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) listener: Listener,
    /// Where is kept what was learned of the network.
    pub(crate) network: PathBuf,
    pub(crate) session: Session,
    pub(crate) store: Store,
    pub(crate) library: Arc<Library>,
    pub(crate) records: Records,
    pub(crate) trouble: DiskTrouble,
    /// What the listener is told of it.
    pub(crate) told: Option<String>,
    pub(crate) neighbourhood: Neighbourhood,
    /// With whom music is shared.
    pub(crate) sharing: Peers,
    pub(crate) giving: Giving,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) program: Option<Program>,
    pub(crate) next_play: u64,
    pub(crate) server_up: bool,
    pub(crate) peers: BTreeMap<NodeId, PeerLink>,
    pub(crate) meetings: Meetings,
    pub(crate) transfers: BTreeMap<TransferId, AbortHandle>,
    pub(crate) uploads: BTreeMap<NodeId, Vec<oneshot::Sender<()>>>,
    pub(crate) uploads_paused: Arc<AtomicBool>,
    pub(crate) reporting: bool,
    /// What the server was told is held, or being fetched.
    pub(crate) announced: BTreeSet<BlobId>,
    pub(crate) ticks: u32,
}

/// The inboxes of the loop.
pub(crate) struct Inboxes {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) session: mpsc::Receiver<SessionEvent>,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

impl Node {
    /// Runs until the last handle of the engine is gone.
    pub(crate) async fn run(mut self, mut inboxes: Inboxes) {
        let mut status = tokio::time::interval(STATUS_INTERVAL);
        status.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            self.let_sound_go();
            self.carry_out();
            let timeout = self.listener.poll_timeout();
            tokio::select! {
                biased;
                Some(event) = inboxes.events.recv() => self.handle(event),
                Some(event) = inboxes.session.recv() => self.handle_session(event),
                command = inboxes.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                () = sleep_until(&self.clock, timeout) => {
                    self.listener.handle_timeout(self.clock.now());
                }
                _ = status.tick() => self.look_around(),
            }
        }
        self.stop_program();
        self.keep_learned();
        self.giving.keep();
        for link in self.peers.values() {
            link.connection.close("leaving");
        }
        let store = self.store.clone();
        let flushed = tokio::task::spawn_blocking(move || store.flush()).await;
        if let Ok(Err(error)) = flushed {
            self.trouble.note(&error);
            self.tell_of_trouble();
        }
    }

    /// What is done now and then: measuring, retrying, showing.
    fn look_around(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(TICKS_PER_MEASUREMENT) && self.program.is_some() {
            let now = self.clock.now();
            if let Some(rtt) = self.session.measure().filter(|_| self.server_up) {
                self.listener.handle_server_up(now, rtt);
            }
            for (node, link) in &self.peers {
                link.connection.ping();
                if let Some(rtt) = link.connection.rtt() {
                    self.listener.handle_peer_up(now, *node, rtt);
                }
            }
        }
        if self.ticks.is_multiple_of(TICKS_PER_GREETING) {
            self.meet_all_near();
        }
        if self.ticks.is_multiple_of(TICKS_PER_KEEPING) {
            let giving = self.giving.clone();
            tokio::task::spawn_blocking(move || giving.keep());
        }
        self.retry_play();
        self.prepare_next();
        if let Some(trouble) = self.store.trouble() {
            self.trouble.note(&trouble);
        }
        self.tell_of_trouble();
        self.show();
    }

    /// Says what is wrong with the disk, once; while music plays, its display
    /// does.
    pub(crate) fn tell_of_trouble(&mut self) {
        let Some(trouble) = self.trouble.tell() else { return };
        if self.program.is_none() {
            tracing::warn!("{trouble}");
        }
        self.told = Some(trouble);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Play(request) => self.start_program(*request),
            Command::Control(control) => self.control(control),
            Command::Stop => self.stop_program(),
            Command::Ask { kind, answer } => {
                let session = self.session.clone();
                tokio::spawn(async move {
                    let _ = answer.send(session.ask(kind).await);
                });
            }
            Command::Flush { done } => {
                self.keep_learned();
                let (store, trouble) = (self.store.clone(), self.trouble.clone());
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = store.flush() {
                        trouble.note(&error);
                    }
                    let _ = done.send(trouble.tell().map_or(Ok(()), Err));
                });
            }
        }
    }

    /// Keeps for the next session what this one learned of the network.
    fn keep_learned(&self) {
        if let Some(learned) = self.listener.learned() {
            network::keep(&self.network, &learned);
        }
    }

    fn handle_session(&mut self, event: SessionEvent) {
        let now = self.clock.now();
        match event {
            SessionEvent::Up { service, rtt } => {
                tracing::debug!(service, ?rtt, "session stands");
                self.server_up = true;
                self.records.add(record::Event::ServerUp);
                self.listener.handle_server_up(now, rtt);
                self.announce_all();
                self.report_plays();
                self.ask_again();
            }
            SessionEvent::Down { reason } => {
                tracing::debug!("session is down: {reason}");
                if std::mem::take(&mut self.server_up) {
                    self.records.add(record::Event::ServerDown { reason });
                    self.listener.handle_server_down(now);
                }
            }
            SessionEvent::Refused(refused) => {
                if let Some(play) = self.asks_server() {
                    self.fail_track(play, PlayError::Refused(refused.to_string()));
                }
            }
            SessionEvent::Introduction(introduction) => self.be_introduced(&introduction),
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::PeerLinked { link, rtt, dialled } => self.handle_linked(link, rtt, dialled),
            Event::PeerNotice { peer, notice, done } => {
                self.handle_notice(peer, notice);
                let _ = done.send(());
            }
            Event::PeerLost { connection } => self.handle_lost(&connection),
            Event::DialFailed { node, effort } => self.handle_dial_failed(node, effort),
            Event::Unmet { node, blob } => self.introduce_if_unmet(node, blob),
            Event::Lan(event) => self.handle_lan(event),
            Event::Block { play, source, transfer, block, bytes, first_byte } => {
                if let Some(track) = self.track_play_mut(play) {
                    track.count_block(play, source, (block, bytes), first_byte);
                }
                self.listener.handle_block(now, play, source, transfer, block, bytes);
                self.announce_begun(play);
                if self.listener.missing_blocks_of(play) == Some(0) {
                    if let Some(track) = self.track_play_mut(play) {
                        track.note_whole();
                    }
                    self.track_completed();
                }
            }
            Event::BadBlock { play, source, transfer, block } => {
                self.handle_bad_block(play, source, transfer, block);
            }
            Event::Refused { transfer, reason } => {
                self.transfers.remove(&transfer);
                self.listener.handle_refused(now, transfer, reason);
            }
            Event::ServerLacks { play } => {
                if let Some(track) = self.track_play(play).map(|play| play.track) {
                    // The next play asks the server what it has instead.
                    self.library.forget(track);
                    let what = "it has this track no longer as it is known here; play it again";
                    self.fail_track(play, PlayError::Refused(what.to_owned()));
                }
            }
            Event::PushEnded { play } => self.listener.handle_push_ended(now, play),
            Event::StoreFailed { play, reason } => {
                self.fail_track(play, PlayError::Cache(reason));
            }
            Event::Answered { play, answer } => {
                if self.track_play(play).is_some() {
                    self.handle_answer(play, answer);
                }
            }
            Event::Player(event) => self.handle_player(event),
            Event::PeersFound { play, peers } => self.meet_holders(play, &peers),
            Event::UploadAsked { peer, class, answer } => {
                let grant = match self.giving.is_open() {
                    true => self.listener.request_upload(now, peer, class),
                    false => Grant::Busy { retry_after: NOT_GIVING_RETRY },
                };
                let (cut, cutting) = oneshot::channel();
                if grant == Grant::Served {
                    let cuts = self.uploads.entry(peer).or_default();
                    cuts.retain(|cut| !cut.is_closed());
                    cuts.push(cut);
                }
                if answer.send((grant, cutting)).is_err() && grant == Grant::Served {
                    self.listener.handle_upload_ended(now, peer);
                }
            }
            Event::UploadEnded { peer } => {
                self.listener.handle_upload_ended(now, peer);
                if let Some(cuts) = self.uploads.get_mut(&peer) {
                    cuts.retain(|cut| !cut.is_closed());
                    if cuts.is_empty() {
                        self.uploads.remove(&peer);
                    }
                }
            }
            Event::Recorded => self.report_plays(),
            Event::Reported { acknowledged } => {
                self.reporting = false;
                // What was not acknowledged is told again with the next play
                // or session.
                if acknowledged {
                    self.report_plays();
                }
            }
        }
    }

    /// Does what the listener core has decided.
    fn carry_out(&mut self) {
        while let Some(output) = self.listener.poll_output(self.clock.now()) {
            match output {
                Output::Fetch { transfer, play, source, blocks, class, reason } => {
                    self.tell_of_fetch(source, blocks, reason);
                    self.fetch(transfer, play, source, blocks, class);
                }
                Output::Decided(decision) => self.tell_of_decision(decision),
                Output::Cancel { transfer, .. } => {
                    if let Some(task) = self.transfers.remove(&transfer) {
                        task.abort();
                    }
                }
                Output::CancelPush { play } => {
                    if let Some(track) = self.track_play_mut(play) {
                        track.cancel_push();
                    }
                }
                Output::Switch { play, at, bitrate } => self.switch(play, at, bitrate),
                Output::FindPeers { play } => self.find_peers(play),
                Output::Meet { peer, blob } => self.ask_for_introduction(peer, Some(blob)),
                Output::Tell { peer, notice } => self.tell_neighbour(peer, notice),
                Output::DropPeer { peer, reason } => {
                    tracing::info!(?peer, ?reason, "peer dropped");
                    if let Some(link) = self.peers.get(&peer) {
                        link.connection.close("no longer a neighbour");
                    }
                }
                Output::CutUpload { peer, .. } => {
                    for cut in self.uploads.remove(&peer).unwrap_or_default() {
                        let _ = cut.send(());
                    }
                }
            }
        }
        let paused = self.listener.uploads_paused(self.clock.now());
        self.uploads_paused.store(paused, Ordering::Relaxed);
        self.transfers.retain(|_, task| !task.is_finished());
    }

    fn fetch(
        &mut self,
        id: TransferId,
        play: PlayId,
        source: Source,
        blocks: BlockRange,
        class: Class,
    ) {
        let Some(to) = self.destination(play) else { return };
        let blob = to.blob;
        let transfer = Transfer { id, source, blocks, to };
        let task = match source {
            Source::Server => {
                let session = self.session.clone();
                let kind = request::Kind::Blocks(blocks_request(blob, blocks, class));
                tokio::spawn(async move {
                    let stream = session.request(class, kind).await;
                    transfer.run(stream).await;
                })
            }
            Source::Peer(peer) => {
                let connection = self.peers.get(&peer).map(|link| link.connection.clone());
                tokio::spawn(async move {
                    let stream = match connection {
                        Some(connection) => request_blocks(&connection, blob, blocks, class)
                            .await
                            .map_err(crate::session::RequestError::from),
                        None => Err(crate::session::RequestError::Offline),
                    };
                    transfer.run(stream).await;
                })
            }
        };
        self.transfers.insert(id, task.abort_handle());
    }

    fn handle_bad_block(&mut self, play: PlayId, source: Source, transfer: TransferId, block: u32) {
        self.transfers.remove(&transfer);
        if let Some(track) = self.track_play_mut(play) {
            track.record.bad_blocks += 1;
        }
        let blob = self.blob_of(play);
        match (source, blob) {
            (Source::Peer(peer), Some(blob)) => {
                tracing::warn!(?peer, block, "a block does not verify");
                self.session.report_bad_peer(&peer, &blob, block);
                self.records.add(record::Event::BadBlock {
                    peer: peer.to_string(),
                    blob: blob.to_string(),
                    block,
                });
            }
            _ => tracing::warn!(?source, block, "a block does not verify"),
        }
        self.listener.handle_bad_block(self.clock.now(), play, source, transfer, block);
    }

    // Peers.

    fn find_peers(&mut self, play: PlayId) {
        let Some(blob) = self.blob_of(play) else { return };
        if self.sharing != Peers::On {
            return;
        }
        let (session, events) = (self.session.clone(), self.events.clone());
        tokio::spawn(async move {
            let find = proto::FindPeers { blob: blob_bytes(blob) };
            if let Ok(reply::Kind::Peers(found)) = session.ask(request::Kind::FindPeers(find)).await
            {
                let _ = events.send(Event::PeersFound { play, peers: found.peers });
            }
        });
    }

    // The server.

    /// Tells the tracker of a new session what is held whole.
    fn announce_all(&mut self) {
        self.announced.clear();
        self.announce_changes();
    }

    /// Tells the tracker of a track that is being fetched, so that others find what
    /// there is of it: a new one spreads before anybody has all of it.
    fn announce_begun(&mut self, play: PlayId) {
        if self.blob_of(play).is_some_and(|blob| !self.announced.contains(&blob)) {
            self.announce_changes();
        }
    }

    /// Tells the tracker what has come to be held whole, or begun to be fetched,
    /// since it was last told, and what has been evicted.
    fn announce_changes(&mut self) {
        if self.sharing != Peers::On {
            return;
        }
        let entries = self.store.list();
        let mut shared: BTreeSet<BlobId> =
            entries.iter().filter(|entry| entry.complete).map(|entry| entry.blob).collect();
        shared.extend(self.listener.mesh().wanted().iter().map(|wanted| wanted.blob));
        let new: Vec<BlobId> = shared.difference(&self.announced).copied().collect();
        let gone: Vec<BlobId> = self.announced.difference(&shared).copied().collect();
        self.session.announce(&new);
        self.session.withdraw(&gone);
        self.announced = shared;
    }

    fn track_completed(&mut self) {
        self.announce_changes();
        let (store, trouble) = (self.store.clone(), self.trouble.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.flush() {
                trouble.note(&error);
            }
        });
    }

    /// Tells the server of plays it has not acknowledged.
    pub(crate) fn report_plays(&mut self) {
        if self.reporting || !self.server_up {
            return;
        }
        self.reporting = true;
        let (session, events) = (self.session.clone(), self.events.clone());
        let unreported = self.records.unreported();
        tokio::spawn(async move {
            let told = tell_plays(&session, unreported).await;
            let _ = events.send(Event::Reported { acknowledged: told });
        });
    }
}

/// Tells the server of plays; true if there were some and it has them.
async fn tell_plays(session: &Session, unreported: Unreported) -> bool {
    let read = tokio::task::spawn_blocking(move || unreported.read()).await;
    let Ok((plays, reported)) = read else { return false };
    if plays.is_empty() {
        return false;
    }
    let report = request::Kind::ReportPlays(proto::ReportPlays { plays });
    let acknowledged = matches!(session.ask(report).await, Ok(reply::Kind::PlaysReported(_)));
    if !acknowledged {
        return false;
    }
    match tokio::task::spawn_blocking(move || reported.acknowledged()).await {
        Ok(Ok(())) => true,
        // What is still there would be told again at once, and again.
        Ok(Err(error)) => {
            tracing::debug!("plays will be reported again: {error}");
            false
        }
        Err(_) => false,
    }
}
