//! Least recently used.

use antiphon_types::BlobId;

use super::queue::{Item, Queue};
use super::standing::MOST_PLAYS;
use super::{Policy, Segment, Standing};

/// Least recently used first, over whole blobs: the rule of B50.
///
/// To come counts as a use, also by prefetch: what is predicted to be played
/// next must not be the first to go. So whatever is prefetched in bulk drives
/// out what is played; the other policies do better there.
///
/// ```
/// use antiphon_store::{LruPolicy, Policy as _};
/// use antiphon_types::BlobId;
///
/// let [a, b, c] = [1, 2, 3].map(|byte| BlobId::new([byte; 32]));
/// let mut policy = LruPolicy::new();
/// for blob in [a, b, c] {
///     policy.insert(blob, 4_000_000);
/// }
/// policy.touch(a);
/// assert_eq!(policy.evict(&|blob| *blob != b), Some(c));
/// assert_eq!(policy.evict(&|_| true), Some(b));
/// ```
#[derive(Debug, Default)]
pub struct LruPolicy {
    order: Queue,
}

impl LruPolicy {
    /// Knows no blob.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Policy for LruPolicy {
    fn insert(&mut self, blob: BlobId, bytes: u64) {
        if !self.order.contains(&blob) {
            self.order.push(Item { blob, bytes, plays: 0 });
        }
    }

    fn touch(&mut self, blob: BlobId) {
        if self.order.count_play(&blob, MOST_PLAYS)
            && let Some(item) = self.order.remove(&blob)
        {
            self.order.push(item);
        }
    }

    fn remove(&mut self, blob: BlobId) {
        self.order.remove(&blob);
    }

    fn evict(&mut self, may_go: &dyn Fn(&BlobId) -> bool) -> Option<BlobId> {
        let victim = self.order.first(may_go)?.blob;
        self.order.remove(&victim);
        Some(victim)
    }

    fn settle(&mut self, _: BlobId) {}

    fn bytes(&self) -> u64 {
        self.order.bytes()
    }

    fn standings(&self) -> Vec<(BlobId, Standing)> {
        let standing = |item: Item| Standing { segment: Segment::Main, plays: item.plays };
        self.order.iter().map(|item| (item.blob, standing(item))).collect()
    }

    fn restore(&mut self, blob: BlobId, bytes: u64, standing: Standing) {
        self.order.push(Item { blob, bytes, plays: standing.plays });
    }

    fn forget(&mut self) {}
}
