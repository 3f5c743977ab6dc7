//! Which blob has to go when room is needed.

use antiphon_types::BlobId;
use lru::LruCache;

/// Least recently used first, over whole blobs (B50).
///
/// It knows order alone: not sizes, not time, not what is pinned. The owner
/// says what may go when it asks for a victim.
///
/// ```
/// use antiphon_store::LruPolicy;
/// use antiphon_types::BlobId;
///
/// let [a, b, c] = [1, 2, 3].map(|byte| BlobId::new([byte; 32]));
/// let mut policy = LruPolicy::new();
/// for blob in [a, b, c] {
///     policy.insert(blob);
/// }
/// policy.touch(a);
/// assert_eq!(policy.victim(|_| true), Some(b));
/// assert_eq!(policy.victim(|blob| *blob != b), Some(c));
/// ```
#[derive(Debug)]
pub struct LruPolicy {
    order: LruCache<BlobId, ()>,
}

impl Default for LruPolicy {
    fn default() -> Self {
        // The store bounds it: by the budget, and by what is on disk.
        Self { order: LruCache::unbounded() }
    }
}

impl LruPolicy {
    /// Knows no blob.
    pub fn new() -> Self {
        Self::default()
    }

    /// A blob is new: the most recently used.
    pub fn insert(&mut self, blob: BlobId) {
        self.order.put(blob, ());
    }

    /// A blob was used. One that is not known stays so.
    pub fn touch(&mut self, blob: BlobId) {
        self.order.promote(&blob);
    }

    /// A blob is gone.
    pub fn remove(&mut self, blob: BlobId) {
        self.order.pop(&blob);
    }

    /// The blob that should go first, of those that may. It stays known.
    pub fn victim(&self, may_go: impl Fn(&BlobId) -> bool) -> Option<BlobId> {
        self.least_recent_first().find(may_go)
    }

    /// All blobs, the least recently used first.
    pub fn least_recent_first(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.order.iter().rev().map(|(blob, ())| *blob)
    }
}
