//! S3-FIFO.

use antiphon_types::BlobId;

use super::queue::{Item, Queue};
use super::{Policy, Segment, Standing};

/// The default share of the small queue, in thousandths.
const SMALL_PER_MILLE: u64 = 100;
/// The paper's two bits.
const MOST_PLAYS: u8 = 3;
/// Plays that bring a blob from the small queue to the main one: it was played
/// again.
const PLAYS_TO_STAY: u8 = 2;

/// S3-FIFO: three queues, in which a blob moves only when room is needed.
///
/// A blob enters a small queue. At its end it goes, or moves to the main queue
/// if it was played at least twice; at the end of that it goes round once more
/// for each play since, three at most. So what is prefetched and not played
/// passes through the small queue alone. Blobs that were played and went from
/// the small queue are remembered, as many as there are blobs: when one comes
/// again, that counts as one play.
///
/// After Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache
/// eviction", SOSP 2023. It differs in that queues are measured in bytes, and
/// that a prefetch is no access: there, the second access of a blob is one
/// that is found, here it is the second play.
///
/// ```
/// use antiphon_store::{Policy as _, S3FifoPolicy};
/// use antiphon_types::BlobId;
///
/// let [loved, prefetched] = [1, 2].map(|byte| BlobId::new([byte; 32]));
/// let mut policy = S3FifoPolicy::new();
/// policy.insert(loved, 4_000_000);
/// policy.touch(loved);
/// policy.touch(loved);
/// policy.insert(prefetched, 4_000_000);
/// assert_eq!(policy.evict(&|_| true), Some(prefetched));
/// ```
#[derive(Debug)]
pub struct S3FifoPolicy {
    small: Queue,
    main: Queue,
    ghosts: Queue,
    small_per_mille: u64,
}

impl Default for S3FifoPolicy {
    fn default() -> Self {
        Self::with_small_share(SMALL_PER_MILLE)
    }
}

impl S3FifoPolicy {
    /// Knows no blob; the small queue has a tenth, as in the paper.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows no blob; the small queue has so many thousandths of all bytes.
    pub fn with_small_share(small_per_mille: u64) -> Self {
        let [small, main, ghosts] = std::array::from_fn(|_| Queue::default());
        Self { small, main, ghosts, small_per_mille }
    }

    fn small_is_over(&self) -> bool {
        u128::from(self.small.bytes()) * 1000
            > u128::from(self.bytes()) * u128::from(self.small_per_mille)
    }

    fn evict_from_small(&mut self, item: Item) -> Option<BlobId> {
        self.small.remove(&item.blob);
        if item.plays >= PLAYS_TO_STAY {
            self.main.push(Item { plays: 0, ..item });
            return None;
        }
        if item.plays > 0 {
            self.remember(item.blob);
        }
        Some(item.blob)
    }

    fn evict_from_main(&mut self, item: Item) -> Option<BlobId> {
        self.main.remove(&item.blob);
        if item.plays > 0 {
            self.main.push(Item { plays: item.plays - 1, ..item });
            return None;
        }
        Some(item.blob)
    }

    /// As many are remembered as there are blobs.
    fn bound_ghosts(&mut self) {
        while self.ghosts.len() > self.small.len() + self.main.len()
            && let Some(oldest) = self.ghosts.first(&|_| true)
        {
            self.ghosts.remove(&oldest.blob);
        }
    }
}

impl Policy for S3FifoPolicy {
    fn insert(&mut self, blob: BlobId, bytes: u64) {
        if self.small.contains(&blob) || self.main.contains(&blob) {
            return;
        }
        let plays = u8::from(self.ghosts.remove(&blob).is_some());
        self.small.push(Item { blob, bytes, plays });
    }

    fn touch(&mut self, blob: BlobId) {
        let _ = self.small.count_play(&blob, MOST_PLAYS) || self.main.count_play(&blob, MOST_PLAYS);
    }

    fn remove(&mut self, blob: BlobId) {
        self.small.remove(&blob);
        self.main.remove(&blob);
        self.bound_ghosts();
    }

    fn evict(&mut self, may_go: &dyn Fn(&BlobId) -> bool) -> Option<BlobId> {
        // Each turn ends it, moves one blob out of the small queue, or takes
        // one play from a blob of the main one.
        loop {
            let main = self.main.first(may_go);
            let small = if self.small_is_over() || main.is_none() {
                self.small.first(may_go)
            } else {
                None
            };
            let victim = match (small, main) {
                (Some(item), _) => self.evict_from_small(item),
                (None, Some(item)) => self.evict_from_main(item),
                (None, None) => return None,
            };
            if victim.is_some() {
                self.bound_ghosts();
                return victim;
            }
        }
    }

    fn settle(&mut self, blob: BlobId) {
        if let Some(item) = self.small.remove(&blob) {
            self.main.push(item);
        }
    }

    fn bytes(&self) -> u64 {
        self.small.bytes() + self.main.bytes()
    }

    fn standings(&self) -> Vec<(BlobId, Standing)> {
        let with = |segment| move |item: Item| (item.blob, Standing { segment, plays: item.plays });
        let small = self.small.iter().map(with(Segment::New));
        small.chain(self.main.iter().map(with(Segment::Main))).collect()
    }

    fn restore(&mut self, blob: BlobId, bytes: u64, standing: Standing) {
        let item = Item { blob, bytes, plays: standing.plays.min(MOST_PLAYS) };
        match standing.segment {
            Segment::New => self.small.push(item),
            Segment::Main | Segment::Protected => self.main.push(item),
        }
    }

    fn remembered(&self) -> Vec<BlobId> {
        self.ghosts.iter().map(|item| item.blob).collect()
    }

    fn remember(&mut self, blob: BlobId) {
        self.ghosts.push(Item { blob, bytes: 0, plays: 1 });
        self.bound_ghosts();
    }

    fn forget(&mut self) {
        self.ghosts = Queue::default();
    }
}
