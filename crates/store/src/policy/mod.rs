//! Which blob has to go when room is needed.
//!
//! A policy knows which blobs there are, how large each is, and when each came
//! and was played in relation to the others. It knows no clock, no disk and no
//! randomness: the same calls make the same choices. What is pinned, played or
//! being filled is the owner's to know; it says so when it asks for a victim.

use std::fmt;
use std::str::FromStr;

use antiphon_types::BlobId;

mod lru;
mod queue;
mod s3fifo;
mod sketch;
mod standing;
mod tinylfu;

pub use lru::LruPolicy;
pub use s3fifo::S3FifoPolicy;
pub use standing::{Segment, Standing};
pub use tinylfu::TinyLfuPolicy;

/// The order in which blobs go.
///
/// Two things happen to a blob: it comes ([`insert`](Self::insert)), by a play
/// or by a prefetch, and it is played ([`touch`](Self::touch)), at once, later
/// or never. A play of what was not there is an insertion and a touch.
///
/// All bytes are those of the whole blob, however much of it is there yet: room
/// is made for all of it when it begins. Shares are of all bytes known, so a
/// policy needs no budget: it is asked for victims when the budget is full.
pub trait Policy: fmt::Debug + Send + Sync {
    /// A blob of so many bytes comes, not played so far. If it is known
    /// already, nothing changes.
    fn insert(&mut self, blob: BlobId, bytes: u64);

    /// A blob is played. One that is not known stays so.
    fn touch(&mut self, blob: BlobId);

    /// A blob is gone for another reason than [`evict`](Self::evict). One that
    /// is not known stays so.
    fn remove(&mut self, blob: BlobId);

    /// Takes out the blob that should go first, of those that may.
    ///
    /// None if no known blob may go; then nothing changes. What may not go
    /// keeps its place. Repeated, with leave for all, it takes each known blob
    /// once.
    fn evict(&mut self, may_go: &dyn Fn(&BlobId) -> bool) -> Option<BlobId>;

    /// Bytes of all known blobs.
    fn bytes(&self) -> u64;

    /// Each known blob once with what has to be kept of it; roughly those that
    /// go first come first.
    fn standings(&self) -> Vec<(BlobId, Standing)>;

    /// Moves a blob out of the part of the cache for what is new; to be called
    /// when it is pinned, or nothing else could stay there. No play, and no
    /// change for a blob that is elsewhere or not known.
    fn settle(&mut self, blob: BlobId);

    /// A blob was known when the owner closed. With what
    /// [`standings`](Self::standings) gave, in that order, a policy that knows no
    /// blob becomes as it was, but for what it knows of those that went. What
    /// another policy gave is understood as far as it goes.
    fn restore(&mut self, blob: BlobId, bytes: u64, standing: Standing);

    /// Blobs that went and are remembered, never more than there are blobs;
    /// those that went first come first. A policy may remember none.
    fn remembered(&self) -> Vec<BlobId> {
        Vec::new()
    }

    /// A blob was [`remembered`](Self::remembered) when the owner closed; to be
    /// called in that order, after all calls of [`restore`](Self::restore).
    fn remember(&mut self, _: BlobId) {}

    /// Forgets all that went: the owner wants no trace of them.
    fn forget(&mut self);
}

/// The policies there are. `docs/measurements.md` compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PolicyKind {
    /// [`LruPolicy`]: least recently used first.
    Lru,
    /// [`S3FifoPolicy`]: what was not played again leaves early.
    ///
    /// The default: it found most on generated plays, with scans and without.
    #[default]
    S3Fifo,
    /// [`TinyLfuPolicy`]: the less played of two goes.
    TinyLfu,
}

impl PolicyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lru, Self::S3Fifo, Self::TinyLfu];

    /// A policy of this kind that knows no blob.
    pub fn policy(self) -> Box<dyn Policy> {
        match self {
            Self::Lru => Box::new(LruPolicy::new()),
            Self::S3Fifo => Box::new(S3FifoPolicy::new()),
            Self::TinyLfu => Box::new(TinyLfuPolicy::new()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::S3Fifo => "s3-fifo",
            Self::TinyLfu => "w-tinylfu",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == text);
        kind.ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// A text names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no eviction policy `{0}`; name lru, s3-fifo or w-tinylfu")]
pub struct UnknownPolicy(pub String);
