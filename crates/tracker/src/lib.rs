//! Who holds which blob, the nearest first.
//!
//! A tracker is the partial central index of a swarm (B32): for each blob it
//! keeps the listeners online who announced it most recently, 20 by default,
//! and names up to 10 of them to whoever asks. It is small on purpose. What it
//! does not know, neighbours do, and after a restart it fills again by itself.
//!
//! Read [`Tracker`] first, the narrow interface that an engine shared by
//! several servers can stand behind as well, and then [`MemoryTracker`], the
//! one that needs nothing but memory.
//!
//! ```
//! use antiphon_tracker::{Limits, MemoryTracker, Place, Tracker};
//! use antiphon_types::{BlobId, NodeId, Timestamp};
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! # let key = [7; 16];
//! let tracker = MemoryTracker::new(Limits::default(), key);
//! let [ann, ben, cat] = [1, 2, 3].map(|n| NodeId::new([n; 32]));
//! let far = Place::new("198.51.100.7".parse()?, []);
//! let home = "203.0.113.5".parse()?;
//! tracker.connect(Timestamp::ZERO, ann, far)?;
//! tracker.connect(Timestamp::ZERO, ben, Place::new(home, ["192.168.1.2".parse()?]))?;
//! tracker.connect(Timestamp::ZERO, cat, Place::new(home, ["192.168.1.3".parse()?]))?;
//!
//! let song = BlobId::new([7; 32]);
//! for peer in [ann, ben, cat] {
//!     tracker.announce(peer, &[song])?;
//! }
//! let mut rng = ChaCha8Rng::seed_from_u64(1);
//! let found = tracker.find(song, cat, 10, &mut rng);
//! assert_eq!(found[0].node, ben, "they sit in the same house");
//! assert_eq!(found[1].node, ann);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it leaves to others
//!
//! It opens no socket and proves nothing: the caller has authenticated the
//! peer that it names in a call, took [`Place::public`] from the socket, and
//! limits how often a peer may call. Where a peer can be reached is the
//! caller's to know and to write into [`Place::contact`], in a form of its own:
//! the tracker gives these bytes back with the peer's name and never looks at
//! them.
//!
//! Of the contract of sans-IO cores (see `antiphon_types`) it needs little:
//! every call is finished when it returns, so there is no output to drain and
//! no time-out. The order of its answers depends on the calls and on the
//! random numbers handed in, on nothing else.

mod hash;
mod health;
mod limits;
mod memory;
mod peer;
mod place;
mod ranking;
mod regions;
mod shards;
mod slab;
mod swarm;
mod table;

use std::sync::Arc;

use antiphon_types::{BlobId, NodeId, Timestamp};
use rand_core::Rng;

pub use health::Health;
pub use limits::Limits;
pub use memory::{MemoryTracker, Totals};
pub use place::{Nearness, Place, Whereabouts};
pub use regions::{MAX_NAME_BYTES, MAX_PREFIXES, Regions, RegionsError, RegionsProblem};

/// An index of who holds what.
///
/// `peer` is always a name that the caller has authenticated: a peer speaks for
/// itself alone, and no call changes what is known of another, except that the
/// holder announced longest ago makes room in a full swarm.
///
/// It can be used as `dyn Tracker`, so that the engine is chosen at run time.
pub trait Tracker: Send + Sync {
    /// A peer is online, at `place`.
    ///
    /// For a peer that is connected already, the place is replaced and what it
    /// announced stays.
    fn connect(&self, now: Timestamp, peer: NodeId, place: Place) -> Result<(), ConnectError>;

    /// `peer` holds `blobs` and serves them.
    ///
    /// Each one counts as its most recent announcement. What exceeds a limit
    /// is left out and counted in [`Announced::refused`].
    fn announce(&self, peer: NodeId, blobs: &[BlobId]) -> Result<Announced, AnnounceError>;

    /// `peer` no longer serves `blobs`. Whatever it did not announce is skipped.
    fn withdraw(&self, peer: NodeId, blobs: &[BlobId]);

    /// `peer` is gone, and with it, at once, all that it announced.
    fn disconnect(&self, peer: NodeId);

    /// What is known now of how well `peer` serves, in place of what was known
    /// before. One who connects is taken for healthy and idle; of a peer that
    /// is not connected nothing is kept.
    fn handle_health(&self, peer: NodeId, health: Health);

    /// Up to `limit` peers that hold `blob` (the tracker's own limit applies
    /// as well), never `asker` itself.
    ///
    /// They come nearest first (B39): in the asker's local network, behind its
    /// public address, in its region, anywhere. Of those equally near, the
    /// healthy and idle come first; and where that is equal too, `rng` shuffles
    /// them, so that load spreads. To an asker that is not connected, all are
    /// equally near.
    fn find(&self, blob: BlobId, asker: NodeId, limit: usize, rng: &mut dyn Rng) -> Vec<Holder> {
        let mut found = Vec::new();
        self.find_each(blob, asker, limit, rng, &mut |named| found.push(named.to_holder()));
        found
    }

    /// The same, told one by one, which copies nothing.
    ///
    /// `tell` must not call the tracker, and should be quick: a part of the index
    /// waits for it.
    fn find_each(
        &self,
        blob: BlobId,
        asker: NodeId,
        limit: usize,
        rng: &mut dyn Rng,
        tell: &mut dyn FnMut(Named<'_>),
    );
}

/// One who holds what was asked for, for the moment in which it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its name.
    pub node: &'a NodeId,
    /// How near it is to the asker.
    pub nearness: Nearness,
    /// Where it is reached, as [`Place::contact`] said.
    pub contact: &'a Arc<[u8]>,
}

impl Named<'_> {
    /// To be kept.
    pub fn to_holder(self) -> Holder {
        let Self { node, nearness, contact } = self;
        Holder { node: *node, nearness, contact: Arc::clone(contact) }
    }
}

/// One who holds what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub node: NodeId,
    /// How near it is to the asker.
    pub nearness: Nearness,
    /// Where it is reached, as [`Place::contact`] said.
    pub contact: Arc<[u8]>,
}

impl Holder {
    /// The same, to be told.
    pub fn named(&self) -> Named<'_> {
        Named { node: &self.node, nearness: self.nearness, contact: &self.contact }
    }
}

/// What became of an announcement.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// How many of the blobs are in the index now, as of this call.
    pub taken: usize,
    /// How many were left out because a limit was reached. The peer may still
    /// be asked for them by its neighbours.
    pub refused: usize,
}

/// Why a peer cannot be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Every place is taken.
    #[error(
        "{0} peers are connected, as many as the tracker may keep; the new one can listen but is not found: raise Limits::peers or add a server"
    )]
    Full(usize),
    /// What says where it is reached is longer than an answer should carry.
    #[error(
        "a contact of {length} bytes, and a tracker keeps at most {limit}; name fewer addresses or raise Limits::contact_bytes"
    )]
    LongContact {
        /// Its length in bytes.
        length: usize,
        /// [`Limits::contact_bytes`].
        limit: usize,
    },
}

/// Why an announcement is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// The peer is not connected, or no longer.
    #[error("peer {0} announced before it was connected; connect it first")]
    NotConnected(NodeId),
}
