//! A listener's node, as a library: start it, ask it to play.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use antiphon_listener::{Config, Listener, Source, UserPolicy};
use antiphon_net::identity::NodeSecret;
use antiphon_net::lan::{Lan, LanConfig};
use antiphon_net::{Acceptor, AcceptorLimits, Attempts, Clock, ServerLink, Transport, metered};
use antiphon_store::{OpenError, Store};
use antiphon_types::{Bitrate, TrackId};
use antiphon_wire::proto::{reply, request};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::faults::Faults;
use crate::giving::Giving;
use crate::library::Library;
use crate::network;
use crate::node::{Event, Inboxes, Node};
use crate::peers::Neighbourhood;
use crate::queue::Repeat;
use crate::reach::tell_reach;
use crate::record::{BytesBySource, PlayRecord, Records};
use crate::session::{Identity, RequestError, Session};
use crate::settings::{DataDir, Peers, Upload};
use crate::sound::SinkKind;
use crate::standing::Standing;
use crate::trouble::DiskTrouble;

/// How often the system is asked whether the network is metered.
const METERED_INTERVAL: Duration = Duration::from_secs(60);

/// What an engine needs to know.
pub struct EngineConfig {
    /// The listener's folder.
    pub data: DataDir,
    /// The server.
    pub link: ServerLink,
    /// With which other listeners music is shared.
    pub peers: Peers,
    /// What is passed on at most.
    pub upload: Upload,
    /// Where other listeners may connect.
    pub listen: SocketAddr,
    /// Over what to connect, to the server and to other listeners.
    pub transport: Transport,
    /// How much the cache may hold; `None` for a tenth of the free disk.
    pub cache_bytes: Option<u64>,
    /// Misbehaviour on purpose.
    pub faults: Faults,
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener's folder cannot be used.
    #[error(transparent)]
    Settings(#[from] crate::settings::SettingsError),
    /// The cache cannot be used.
    #[error("{0}")]
    Cache(#[from] antiphon_store::OpenError),
    /// A file or folder cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Other listeners cannot connect.
    #[error("cannot listen on {address}: {source}; name another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Why a track was not heard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlayError {
    /// The server refused.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server's answer makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(String),
    /// The cache cannot take it.
    #[error("the cache cannot be used: {0}")]
    Cache(String),
    /// It cannot be decoded, or the sink failed.
    #[error("it cannot be played: {0}")]
    Sound(String),
    /// The engine has ended.
    #[error("the program is ending")]
    Ended,
}

/// What became of a track: what was played of it, or why it was not.
pub type Played = Result<PlayRecord, (TrackId, PlayError)>;

/// A source with requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceShare {
    /// Which.
    pub source: Source,
    /// Blocks on their way.
    pub outstanding: u32,
}

/// What is playing, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayStatus {
    /// The track.
    pub track: Option<TrackId>,
    /// "Artist – Title"; empty until known.
    pub name: String,
    /// The rendition.
    pub bitrate: Bitrate,
    /// How much was heard.
    pub position: Duration,
    /// How much there is; zero until known.
    pub length: Duration,
    /// How much music is there beyond the position, without a gap.
    pub buffered: Duration,
    /// Where its bytes came from so far.
    pub bytes: BytesBySource,
    /// How many it has; 0 until known.
    pub total_bytes: u64,
    /// Links to other listeners.
    pub peers: usize,
    /// Whether the session with the server stands.
    pub server: bool,
    /// Whether the music has stopped for want of data.
    pub stalled: bool,
    /// Whether the listener has stopped it.
    pub paused: bool,
    /// Sources with requests under way.
    pub sources: Vec<SourceShare>,
    /// What the music waits for, if it waits.
    pub waiting: Option<String>,
    /// Why what is heard is not kept, if it is not.
    pub trouble: Option<String>,
}

impl Default for PlayStatus {
    fn default() -> Self {
        Self {
            track: None,
            name: String::new(),
            bitrate: Bitrate::Kbps160,
            position: Duration::ZERO,
            length: Duration::ZERO,
            buffered: Duration::ZERO,
            bytes: BytesBySource::default(),
            total_bytes: 0,
            peers: 0,
            server: false,
            stalled: false,
            paused: false,
            sources: Vec::new(),
            waiting: None,
            trouble: None,
        }
    }
}

/// What is to be played, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayOptions {
    /// Which rendition, or how it is chosen.
    pub bitrate: UserPolicy,
    /// Where the music goes.
    pub sink: SinkKind,
    /// How many times faster than real time the sink consumes, 1 to 1000; a
    /// sound device does not.
    pub speed: f64,
    /// Where in the first track to begin.
    pub from: Duration,
    /// What follows each track.
    pub repeat: Repeat,
    /// Whether the tracks come in an order of chance.
    pub shuffle: bool,
    /// Change of volume in decibels: 0 for the music as it is, at -14 LUFS.
    pub volume: f32,
    /// For how long the end of a track and the beginning of the next are heard
    /// together; zero for tracks that join without a gap.
    pub crossfade: Duration,
}

impl PlayOptions {
    /// One play from the beginning, in real time.
    pub fn new(sink: SinkKind) -> Self {
        Self {
            bitrate: UserPolicy::Auto,
            sink,
            speed: 1.0,
            from: Duration::ZERO,
            repeat: Repeat::Off,
            shuffle: false,
            volume: 0.0,
            crossfade: Duration::ZERO,
        }
    }

    /// The factor that the volume means for each sample.
    pub(crate) fn gain(&self) -> f32 {
        antiphon_media::gain_factor(Some(f64::from(self.volume)))
    }
}

/// What a listener does while music plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Control {
    /// Stops the sound, or lets it go on. Fetching goes on meanwhile, as far
    /// ahead as it would.
    Pause(bool),
    /// The one or the other.
    TogglePause,
    /// Goes on at another place of the track.
    Seek(Duration),
    /// Goes back or forth.
    SeekBy {
        /// Of music; back if negative.
        seconds: i64,
    },
    /// Plays the next track.
    Next,
    /// Plays the track from its beginning, or in its first 3 s the one before.
    Previous,
    /// Repeats or does not.
    Repeat(Repeat),
    /// Shuffles what comes, or puts it back in order.
    Shuffle(bool),
    /// Changes the volume, in decibels; 0 for the music as it is.
    Volume(f32),
}

/// A program under way: tracks that are heard one after the other.
pub struct Playing {
    /// What is playing; changes as it goes.
    pub status: watch::Receiver<PlayStatus>,
    /// What is decided on the way, and why, in words.
    pub decisions: mpsc::UnboundedReceiver<String>,
    pub(crate) played: mpsc::UnboundedReceiver<Played>,
}

impl Playing {
    /// Waits for the end of the next track; `None` after the last one.
    pub async fn next(&mut self) -> Option<Played> {
        self.played.recv().await
    }

    /// Waits for the end of the only track.
    pub async fn finished(&mut self) -> Result<PlayRecord, PlayError> {
        self.next().await.unwrap_or_else(unheard).map_err(|(_, error)| error)
    }
}

/// What ended before it was heard.
fn unheard() -> Played {
    Err((TrackId::new([0; 16]), PlayError::Ended))
}

pub(crate) struct PlayRequest {
    pub(crate) tracks: Vec<TrackId>,
    pub(crate) options: PlayOptions,
    pub(crate) clicked: Instant,
    pub(crate) status: watch::Sender<PlayStatus>,
    pub(crate) decisions: mpsc::UnboundedSender<String>,
    pub(crate) played: mpsc::UnboundedSender<Played>,
}

pub(crate) enum Command {
    Play(Box<PlayRequest>),
    Control(Control),
    Stop,
    Ask { kind: request::Kind, answer: oneshot::Sender<Result<reply::Kind, RequestError>> },
    Flush { done: oneshot::Sender<Result<(), String>> },
}

/// A listener's node at work. It ends when the last clone is gone.
#[derive(Clone)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
}

impl Engine {
    /// Opens the listener's folder, connects to the server, and listens for
    /// other listeners if sharing is on. Does not wait for the server.
    pub async fn start(config: EngineConfig) -> Result<Self, StartError> {
        let device = config.data.device_key()?;
        let store_config =
            antiphon_store::Config { budget_bytes: config.cache_bytes, ..Default::default() };
        let trouble = DiskTrouble::default();
        let store = open_store(&config.data.path("cache"), store_config, &trouble)?;
        let library_path = config.data.path("library");
        let library = Library::open(library_path.clone(), config.link.node, &device)
            .map_err(|source| StartError::Io { path: library_path, source })?;
        let (standing, peer, ticket) =
            Standing::open(&config.data.path("standing"), &config.link.node);
        let acceptor = match config.peers {
            Peers::On | Peers::Lan => Some(listen(config.listen, &peer, &config.link).await?),
            Peers::Off => None,
        };
        let dialler = acceptor.as_ref().map(Acceptor::dialler);
        let port = acceptor.as_ref().map_or(0, |acceptor| acceptor.local_address().port());
        let sharing = config.peers == Peers::On;

        let (session_events, session_inbox) = mpsc::channel(64);
        let identity = Identity {
            device,
            peer: peer.clone(),
            // The device is known; only `login` says the secret.
            join_secret: String::new(),
            sharing,
            // Who shares on the local network alone is named to nobody.
            listen_port: if sharing { port } else { 0 },
            link: config.link.clone(),
            transport: config.transport,
            from: dialler.clone().filter(|_| sharing),
            standing: Some(standing),
        };
        let session = Session::start(identity, ticket, session_events).await;
        let (events, events_inbox) = mpsc::unbounded_channel();
        let lines = config.data.path("events.jsonl");
        let recorded = events.clone();
        let unreported = config.data.path("unreported");
        let noted = trouble.clone();
        let lost = move |error: &_| noted.note(&format!("an event record was lost: {error}"));
        let records = Records::open(lines.clone(), unreported, lost, move || {
            let _ = recorded.send(Event::Recorded);
        })
        .map_err(|source| StartError::Io { path: lines, source })?;
        let uploads_paused = Arc::new(AtomicBool::new(false));
        let clock = Clock::start();
        let giving = Giving::open(config.data.path("given"), &config.upload, clock);
        let node_id = peer.node_id();
        let neighbourhood = Neighbourhood {
            service: config.link.node,
            secret: peer,
            transport: config.transport,
            dialler: dialler.clone(),
            attempts: Attempts::default(),
            giving: giving.clone(),
            session: session.clone(),
            store: store.clone(),
            events: events.clone(),
            uploads_paused: Arc::clone(&uploads_paused),
            faults: config.faults,
        };
        let mut background = JoinSet::new();
        if let Some(acceptor) = acceptor {
            background.spawn(neighbourhood.clone().accept(acceptor));
            // Who listens on the loopback alone is not there for anybody.
            if !config.listen.ip().is_loopback() {
                let presence = LanConfig::new(config.link.node, node_id, port);
                background.spawn(watch_lan(presence, events.clone()));
            }
        }
        if !config.upload.metered {
            background.spawn(heed_metered(giving.clone()));
        }
        if let Some(dialler) = dialler.filter(|_| sharing) {
            background.spawn(tell_reach(session.clone(), dialler));
        }
        let network = config.data.path("network");
        let listener_config = Config { learned: network::read(&network), ..Config::default() };
        let node = Node {
            clock,
            listener: Listener::new(listener_config, rand::random(), clock.now()),
            network,
            session,
            store,
            library: Arc::new(library),
            records,
            trouble,
            told: None,
            neighbourhood,
            sharing: config.peers,
            giving,
            events,
            program: None,
            next_play: 1,
            server_up: false,
            peers: Default::default(),
            meetings: Default::default(),
            transfers: Default::default(),
            uploads: Default::default(),
            uploads_paused,
            reporting: false,
            announced: Default::default(),
            ticks: 0,
        };
        let (commands, commands_inbox) = mpsc::channel(16);
        let inboxes =
            Inboxes { commands: commands_inbox, session: session_inbox, events: events_inbox };
        tokio::spawn(async move {
            node.run(inboxes).await;
            background.shutdown().await;
        });
        Ok(Self { commands })
    }

    /// Plays a track; what is playing ends. The click is now.
    pub async fn play(&self, track: TrackId, options: PlayOptions) -> Result<Playing, PlayError> {
        self.play_all(vec![track], options).await
    }

    /// Plays tracks one after the other, without a gap; what is playing ends. The
    /// click is now.
    pub async fn play_all(
        &self,
        tracks: Vec<TrackId>,
        mut options: PlayOptions,
    ) -> Result<Playing, PlayError> {
        let clicked = Instant::now();
        options.speed = options.speed.clamp(1.0, 1000.0);
        let (status, shown) = watch::channel(PlayStatus::default());
        let (played, outcomes) = mpsc::unbounded_channel();
        let (decisions, decided) = mpsc::unbounded_channel();
        let request = PlayRequest { tracks, options, clicked, status, decisions, played };
        let sent = self.commands.send(Command::Play(Box::new(request))).await;
        sent.map_err(|_| PlayError::Ended)?;
        Ok(Playing { status: shown, decisions: decided, played: outcomes })
    }

    /// Does something with what is playing; without it, nothing.
    pub async fn control(&self, control: Control) {
        let _ = self.commands.send(Command::Control(control)).await;
    }

    /// Ends what is playing.
    pub async fn stop(&self) {
        let _ = self.commands.send(Command::Stop).await;
    }

    /// Makes a request to the server, now.
    pub async fn ask(&self, kind: request::Kind) -> Result<reply::Kind, RequestError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Ask { kind, answer }).await;
        sent.map_err(|_| RequestError::Offline)?;
        answered.await.unwrap_or(Err(RequestError::Offline))
    }

    /// Makes the cache durable. An error that the listener was not told of yet
    /// comes back.
    pub async fn flush(&self) -> Result<(), String> {
        let (done, finished) = oneshot::channel();
        let ended = || "the program is ending".to_owned();
        self.commands.send(Command::Flush { done }).await.map_err(|_| ended())?;
        finished.await.unwrap_or(Err(ended()))
    }
}

/// Opens the cache; where the disk does not give one, music goes on without.
fn open_store(
    folder: &Path,
    config: antiphon_store::Config,
    trouble: &DiskTrouble,
) -> Result<Store, OpenError> {
    match Store::open(folder, config) {
        Err(OpenError::Io(error)) => {
            trouble.note(&error);
            Ok(Store::in_memory(config))
        }
        opened => opened,
    }
}

/// Gives nothing while the system says that the network costs by the byte (B10).
async fn heed_metered(giving: Giving) {
    let mut due = tokio::time::interval(METERED_INTERVAL);
    loop {
        due.tick().await;
        giving.close(metered().await == Some(true));
    }
}

/// Tells of those who come and go on the local network.
async fn watch_lan(presence: LanConfig, events: mpsc::UnboundedSender<Event>) {
    let (_here, mut seen) = Lan::start(presence);
    while let Some(event) = seen.recv().await {
        if events.send(Event::Lan(event)).is_err() {
            break;
        }
    }
}

async fn listen(
    address: SocketAddr,
    peer: &NodeSecret,
    link: &ServerLink,
) -> Result<Acceptor, StartError> {
    Acceptor::bind(address, peer.clone(), link.node, AcceptorLimits::default())
        .await
        .map_err(|source| StartError::Listen { address, source })
}
