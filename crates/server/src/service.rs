//! What all sessions of a server share.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_catalog::{BlobSharing, Catalog};
use antiphon_net::{Clock, Proof, ProofKey, wall_clock_ms};
use antiphon_store::Origin;
use antiphon_tracker::{Limits, MemoryTracker};
use antiphon_types::{BlobId, NodeId};
use antiphon_wire::proto;
use tokio::sync::mpsc;

use crate::contact::{MAX_PROVEN, MAX_TOLD_BYTES, Reach};
use crate::keys::{Keys, KeysError};
use crate::online::{Index, Online};
use crate::pace::Pushes;
use crate::policy::{Policy, Remembered, are_named};
use crate::redis_tracker::{OpenRedisError, RedisSettings, RedisTracker};
use crate::session::Listener;

/// How long a listener may keep a key for offline use.
pub(crate) const LEASE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Addresses that a listener may name as her own.
const MAX_LOCAL_ADDRESSES: usize = 8;

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
    pub(crate) pushes: Pushes,
    pub(crate) online: Online,
    policy: Policy,
    proof_key: ProofKey,
    relayed: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
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

impl Service {
    /// Opens the service in a folder, or founds one there.
    pub fn open(folder: &Path, name: String, join: Join) -> Result<Self, ServiceError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| ServiceError::Folder { path: folder.to_owned(), source })?;
        let keys = Keys::open(folder)?;
        let proof_key = keys.proof_key();
        Ok(Self {
            name,
            keys,
            join,
            catalog: Catalog::open(folder.join("catalog.sqlite"))?,
            origin: Origin::open(&folder.join("blobs"))?,
            clock: Clock::start(),
            served: Served::default(),
            pushes: Pushes::default(),
            online: Online::new(Index::Memory(Box::new(MemoryTracker::new(
                Limits { contact_bytes: MAX_TOLD_BYTES, ..Limits::default() },
                rand::random(),
            )))),
            policy: Policy::default(),
            proof_key,
            relayed: Mutex::default(),
        })
    }

    /// The service's name on the network.
    pub fn node(&self) -> NodeId {
        self.keys.node.node_id()
    }

    /// Has several servers of this service share one index of who holds what,
    /// in the Redis at `url`: see [`RedisSettings::new`]. It need not be there
    /// yet, nor stay. To be called before the service runs.
    pub fn share_index(&mut self, url: &str) -> Result<(), OpenRedisError> {
        let settings = RedisSettings::new(url, self.node())?;
        let (tracker, relayed) = RedisTracker::open(settings, Limits::default())?;
        self.online = Online::new(Index::Redis(Arc::new(tracker)));
        self.relayed = Mutex::new(Some(relayed));
        Ok(())
    }

    /// What other servers pass on to this one, if they share an index. Once.
    pub(crate) fn take_relayed(&self) -> Option<mpsc::Receiver<Vec<u8>>> {
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes what a listener holds. Asks the catalogue, so it may take a while.
    pub(crate) fn announce(&self, peer: NodeId, blobs: &[BlobId]) {
        // Only what is ours: nobody fills the index with inventions.
        let ours: Vec<BlobId> =
            blobs.iter().copied().filter(|blob| self.sharing_of(*blob).is_some()).collect();
        self.online.announce(peer, &ours);
    }

    /// Notes what a listener holds no longer.
    pub(crate) fn withdraw(&self, peer: NodeId, blobs: &[BlobId]) {
        self.online.withdraw(peer, blobs);
    }

    /// Listeners who hold a rendition, the nearest first; nobody where the
    /// operator wants it so, or to one who does not share herself. Asks the
    /// catalogue and perhaps Redis, so it may take a while.
    pub(crate) fn find_peers(&self, blob: BlobId, asker: Listener) -> Vec<proto::Peer> {
        if !asker.sharing {
            return Vec::new();
        }
        let Some(sharing) = self.sharing_of(blob).filter(are_named) else { return Vec::new() };
        self.online.find(blob, asker.peer, sharing.catalog.smallest_swarm.into())
    }

    /// Brings two listeners together for a blob, or for nothing in particular,
    /// unless the operator wants nobody named for it. May take a while, as
    /// [`Self::find_peers`].
    pub(crate) fn introduce(&self, asker: NodeId, holder: NodeId, blob: Option<BlobId>) {
        let allowed = match blob {
            Some(blob) => self.sharing_of(blob).is_some_and(|sharing| are_named(&sharing)),
            None => self.catalog.sharing().is_ok_and(|sharing| sharing.percent > 0),
        };
        if allowed {
            self.online.introduce(self.clock.now(), asker, holder);
        }
    }

    /// A listener says where she may be reached; believed as far as it goes.
    pub(crate) fn reach(&self, peer: NodeId, reach: &proto::Reach) {
        let port = |port: u32| u16::try_from(port).unwrap_or(0);
        let proven = reach.observed.iter().take(MAX_PROVEN).filter_map(|observed| {
            let (address, proof) =
                (observed.address.parse().ok()?, Proof::from_slice(&observed.proof)?);
            self.proof_key.check(address, &proof, wall_clock_ms()).is_ok().then_some(address)
        });
        let told = Reach {
            mapped_tcp: port(reach.mapped_tcp_port),
            mapped_udp: port(reach.mapped_udp_port),
            proven: proven.collect(),
            from_listening_port: reach.from_listening_port,
        };
        let local = local_addresses(&reach.local_addresses);
        self.online.reach(self.clock.now(), peer, &local, &told);
    }

    /// What is remembered of blobs, if that takes no time.
    pub(crate) fn remembered(&self) -> Option<Remembered<'_>> {
        self.policy.remembered(self.clock.now())
    }

    /// What holds for a blob; `None` if it is none of ours.
    pub(crate) fn sharing_of(&self, blob: BlobId) -> Option<BlobSharing> {
        self.policy.of(&self.catalog, self.clock.now(), blob).unwrap_or_else(|error| {
            tracing::error!("the catalogue failed: {error}");
            None
        })
    }

    /// How many listeners are online.
    pub fn online(&self) -> usize {
        self.online.count()
    }
}

/// Addresses that a listener says her interfaces have; those that are none, or
/// too many, are not looked at.
pub(crate) fn local_addresses(named: &[String]) -> Vec<IpAddr> {
    let named = named.iter().take(MAX_LOCAL_ADDRESSES);
    named.filter_map(|address| address.parse().ok()).collect()
}
