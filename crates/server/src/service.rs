//! What all sessions of a server share.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_catalog::Catalog;
use antiphon_net::Clock;
use antiphon_store::Origin;
use antiphon_tracker::{MemoryTracker, Place, Tracker};
use antiphon_types::{BlobId, NodeId};
use antiphon_wire::proto::{self, server_notice};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use tokio::sync::mpsc;

use crate::keys::{Keys, KeysError};

/// How many holders an answer names (B32).
const NAMED_PEERS: usize = 10;

/// How long a listener may keep a key for offline use.
pub(crate) const LEASE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Notices that wait for a slow listener at most; more are dropped.
const QUEUED_NOTICES: usize = 64;

/// Who may register a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Join {
    /// Whoever has the link.
    Open,
    /// Whoever also knows this secret.
    Secret(String),
}

/// Why a server cannot start or a command cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The data folder cannot be used.
    #[error("cannot use {path}: {source}; name another folder with --data-dir", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The secrets cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The catalogue cannot be used.
    #[error("the catalogue cannot be used: {0}")]
    Catalog(#[from] antiphon_catalog::OpenError),
    /// The blobs cannot be used.
    #[error("the folder of blobs cannot be used: {0}")]
    Origin(#[from] antiphon_store::FileError),
}

/// The parts of a server that outlive any session.
pub struct Service {
    /// Name for the listeners' eyes.
    pub name: String,
    /// Identity and content secret.
    pub keys: Keys,
    /// Who may register a device.
    pub join: Join,
    /// Tracks, devices, plays.
    pub catalog: Catalog,
    /// The renditions, encrypted.
    pub origin: Origin,
    pub(crate) clock: Clock,
    pub(crate) served: Served,
    tracker: MemoryTracker,
    sessions: Mutex<BTreeMap<NodeId, Member>>,
    rng: Mutex<StdRng>,
}

/// Bytes and requests since the start.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) blocks: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) plays: AtomicU64,
    pub(crate) active_requests: AtomicU64,
}

impl Served {
    /// Counts a request as under way until the returned value is dropped.
    pub(crate) fn begin_request(&self) -> ActiveRequest<'_> {
        self.active_requests.fetch_add(1, Ordering::Relaxed);
        ActiveRequest { served: self }
    }

    pub(crate) fn count_block(&self, bytes: usize) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A request under way.
pub(crate) struct ActiveRequest<'a> {
    served: &'a Served,
}

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.served.active_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Something to tell a listener. (In a box: a queue has room for 32 from the
/// begin, and most stay empty.)
type Notice = Box<server_notice::Kind>;

/// A listener who is online.
struct Member {
    /// Where others may reach it, the likeliest first.
    addresses: Vec<SocketAddr>,
    public: IpAddr,
    notices: mpsc::Sender<Notice>,
    /// Tells a session from a later one of the same peer key.
    session: u64,
}

impl Service {
    /// Opens the service in a folder, or founds one there.
    pub fn open(folder: &Path, name: String, join: Join) -> Result<Self, ServiceError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| ServiceError::Folder { path: folder.to_owned(), source })?;
        Ok(Self {
            name,
            keys: Keys::open(folder)?,
            join,
            catalog: Catalog::open(folder.join("catalog.sqlite"))?,
            origin: Origin::open(&folder.join("blobs"))?,
            clock: Clock::start(),
            served: Served::default(),
            tracker: MemoryTracker::new(antiphon_tracker::Limits::default(), rand::random()),
            sessions: Mutex::default(),
            rng: Mutex::new(StdRng::from_rng(&mut rand::rng())),
        })
    }

    /// The service's name on the network.
    pub fn node(&self) -> NodeId {
        self.keys.node.node_id()
    }

    /// Lets a listener be named to others, and be told things. The session is
    /// over when the returned membership is dropped.
    pub(crate) fn join(
        &self,
        peer: NodeId,
        public: SocketAddr,
        local: &[IpAddr],
        listen_port: u16,
    ) -> (Membership<'_>, mpsc::Receiver<Notice>) {
        let (notices, queued) = mpsc::channel(QUEUED_NOTICES);
        let session = lock(&self.rng).next_u64();
        let public = public.ip().to_canonical();
        // Held over both, so that an older session's leaving comes before or
        // after, not between.
        let mut sessions = lock(&self.sessions);
        if listen_port != 0 {
            let place = Place::new(public, local.iter().copied());
            if let Err(error) = self.tracker.connect(self.clock.now(), peer, place) {
                tracing::warn!(?peer, "not in the tracker: {error}");
            }
        }
        let addresses = std::iter::once(public)
            .chain(local.iter().copied())
            .map(|ip| SocketAddr::new(ip, listen_port))
            .collect();
        sessions.insert(peer, Member { addresses, public, notices, session });
        drop(sessions);
        (Membership { service: self, peer, session }, queued)
    }

    /// Notes what a listener holds. Asks the catalogue, so it may take a while.
    pub(crate) fn announce(&self, peer: NodeId, blobs: &[BlobId]) {
        // Only what is ours: nobody fills the index with inventions.
        let known = |blob: &BlobId| matches!(self.catalog.rendition_owner(*blob), Ok(Some(_)));
        let ours: Vec<BlobId> = blobs.iter().copied().filter(known).collect();
        if let Err(error) = self.tracker.announce(peer, &ours) {
            tracing::debug!(?peer, "announcement refused: {error}");
        }
    }

    /// Notes what a listener holds no longer.
    pub(crate) fn withdraw(&self, peer: NodeId, blobs: &[BlobId]) {
        self.tracker.withdraw(peer, blobs);
    }

    /// Listeners who hold a rendition, the nearest first.
    pub(crate) fn find_peers(&self, blob: BlobId, asker: NodeId) -> Vec<proto::Peer> {
        let found = {
            let mut rng = lock(&self.rng);
            self.tracker.find(blob, asker, NAMED_PEERS, &mut *rng)
        };
        let sessions = lock(&self.sessions);
        let public = sessions.get(&asker).map(|member| member.public);
        found
            .into_iter()
            .filter_map(|peer| Some(sessions.get(&peer.node)?.describe(peer.node, public)))
            .collect()
    }

    /// Tells `holder` that `asker` wants to be connected to.
    pub(crate) fn introduce(&self, asker: NodeId, holder: NodeId) {
        let sessions = lock(&self.sessions);
        let (Some(from), Some(to)) = (sessions.get(&asker), sessions.get(&holder)) else { return };
        let peer = from.describe(asker, Some(to.public));
        let notice = server_notice::Kind::Introduction(proto::Introduction {
            peer: Some(peer),
            ..proto::Introduction::default()
        });
        if to.notices.try_send(Box::new(notice)).is_err() {
            tracing::debug!(?holder, "too slow to be introduced");
        }
    }

    /// How many listeners are online.
    pub fn online(&self) -> usize {
        lock(&self.sessions).len()
    }
}

impl Member {
    fn describe(&self, peer: NodeId, asker: Option<IpAddr>) -> proto::Peer {
        // Addresses inside a household help only those in the same one, and
        // are nobody else's business.
        let shown = if asker == Some(self.public) { self.addresses.len() } else { 1 };
        proto::Peer {
            peer_key: bytes::Bytes::copy_from_slice(peer.as_bytes()),
            addresses: self.addresses.iter().take(shown).map(SocketAddr::to_string).collect(),
            udp_addresses: Vec::new(),
        }
    }
}

/// A listener's place among those online; given up when dropped.
pub(crate) struct Membership<'a> {
    service: &'a Service,
    peer: NodeId,
    session: u64,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let mut sessions = lock(&self.service.sessions);
        // A listener who came back over a new connection is still here.
        if sessions.get(&self.peer).is_some_and(|member| member.session == self.session) {
            sessions.remove(&self.peer);
            self.service.tracker.disconnect(self.peer);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
