//! W-TinyLFU.

use antiphon_types::BlobId;

use super::queue::{Item, Queue};
use super::sketch::Sketch;
use super::{Policy, Segment, Standing};

/// The default share of the window, in thousandths: the paper has 10, and leaves
/// it to what is cached. `docs/measurements.md` has what others give.
const WINDOW_PER_MILLE: u64 = 100;
/// The share of the protected segment in all but the window, in thousandths.
const PROTECTED_PER_MILLE: u64 = 800;
/// Plays after which all counts are halved, for each known blob.
const SAMPLE_PER_BLOB: u64 = 10;
/// As if so many blobs were known at least, or a small cache would forget in
/// an evening.
const LEAST_SAMPLE_BLOBS: u64 = 100;

/// W-TinyLFU: of the newcomer and the one that would go, the less played goes.
///
/// A blob enters a window, in which the least recently used is next. When the
/// window has more than its share, its next and the next of the main segment
/// are compared by how often they were played, also before they came; the one
/// with more plays stays, and at equal plays the one that is in the main
/// segment. There, what is played is protected, and the least recent of the
/// protected, when they are over four fifths, is on probation again. Counts are
/// kept in a sketch of 64 KiB and halved again and again; what is counted of
/// blobs that went does not outlive the process. A prefetch is no play.
///
/// After Einziger, Friedman, Manes: "TinyLFU: a highly efficient cache admission
/// policy", ACM Transactions on Storage 13(4), 2017. It differs in that
/// segments are measured in bytes, and plays alone are counted, whatever their
/// size: what a blob saves for its bytes is its number of plays. Of those on
/// probation the least played is next, not the least recent: room is made
/// before a newcomer is there, so that at times none competes.
///
/// Taking a victim takes time in proportion to the blobs on probation.
///
/// ```
/// use antiphon_store::{Policy as _, TinyLfuPolicy};
/// use antiphon_types::BlobId;
///
/// let [loved, prefetched] = [1, 2].map(|byte| BlobId::new([byte; 32]));
/// let mut policy = TinyLfuPolicy::new();
/// policy.insert(loved, 4_000_000);
/// policy.touch(loved);
/// policy.insert(prefetched, 4_000_000);
/// assert_eq!(policy.evict(&|_| true), Some(prefetched));
/// ```
#[derive(Debug)]
pub struct TinyLfuPolicy {
    window: Queue,
    probation: Queue,
    protected: Queue,
    plays: Sketch,
    window_per_mille: u64,
}

impl Default for TinyLfuPolicy {
    fn default() -> Self {
        Self::with_window_share(WINDOW_PER_MILLE)
    }
}

impl TinyLfuPolicy {
    /// Knows no blob; the window has a tenth.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows no blob; the window has so many thousandths of all bytes.
    pub fn with_window_share(window_per_mille: u64) -> Self {
        let [window, probation, protected] = std::array::from_fn(|_| Queue::default());
        Self { window, probation, protected, plays: Sketch::default(), window_per_mille }
    }

    fn knows(&self, blob: &BlobId) -> bool {
        [&self.window, &self.probation, &self.protected].iter().any(|queue| queue.contains(blob))
    }

    /// Whether so many bytes are more than the share of the window.
    fn window_is_over_with(&self, bytes: u64) -> bool {
        is_over(bytes, self.bytes(), self.window_per_mille)
    }

    /// The protected above their share are on probation again.
    fn demote(&mut self) {
        while is_over(
            self.protected.bytes(),
            self.protected.bytes() + self.probation.bytes(),
            PROTECTED_PER_MILLE,
        ) && self.protected.len() > 1
            && let Some(least_recent) = self.protected.first(&|_| true)
        {
            self.protected.remove(&least_recent.blob);
            self.probation.push(least_recent);
        }
    }

    fn count_play(&mut self, blob: &BlobId) {
        self.plays.add(blob);
        let known = self.window.len() + self.probation.len() + self.protected.len();
        let blobs = u64::try_from(known).unwrap_or(u64::MAX).max(LEAST_SAMPLE_BLOBS);
        if self.plays.additions >= blobs.saturating_mul(SAMPLE_PER_BLOB) {
            self.plays.halve();
        }
    }

    /// Who competes for the main segment: the least played on probation, of
    /// these the least recent; or the least recent of the protected.
    fn victim(&self, may_go: &dyn Fn(&BlobId) -> bool) -> Option<Item> {
        let on_probation = self.probation.iter().filter(|item| may_go(&item.blob));
        on_probation
            .min_by_key(|item| self.plays.count(&item.blob))
            .or_else(|| self.protected.first(may_go))
    }
}

fn is_over(bytes: u64, of: u64, per_mille: u64) -> bool {
    u128::from(bytes) * 1000 > u128::from(of) * u128::from(per_mille)
}

impl Policy for TinyLfuPolicy {
    fn insert(&mut self, blob: BlobId, bytes: u64) {
        if !self.knows(&blob) {
            self.window.push(Item { blob, bytes, plays: 0 });
        }
    }

    fn touch(&mut self, blob: BlobId) {
        if let Some(item) = self.window.remove(&blob) {
            self.window.push(item);
        } else if let Some(item) = self.probation.remove(&blob).or(self.protected.remove(&blob)) {
            self.protected.push(item);
            self.demote();
        } else {
            return;
        }
        self.count_play(&blob);
    }

    fn remove(&mut self, blob: BlobId) {
        self.window.remove(&blob);
        self.probation.remove(&blob);
        self.protected.remove(&blob);
    }

    fn evict(&mut self, may_go: &dyn Fn(&BlobId) -> bool) -> Option<BlobId> {
        // Each turn ends it or moves one blob out of the window.
        loop {
            let is_over = self.window_is_over_with(self.window.bytes());
            let candidate = self.window.first(may_go).filter(|_| is_over);
            let Some(candidate) = candidate else {
                let victim = self.victim(may_go).or_else(|| self.window.first(may_go))?.blob;
                self.remove(victim);
                return Some(victim);
            };
            // There is room in the main segment.
            if self.window_is_over_with(self.window.bytes() - candidate.bytes) {
                self.settle(candidate.blob);
                continue;
            }
            let victim = self.victim(may_go);
            let plays = |item: Item| self.plays.count(&item.blob);
            let weaker = victim.filter(|victim| plays(candidate) > plays(*victim));
            if weaker.is_some() {
                self.settle(candidate.blob);
            }
            let loser = weaker.unwrap_or(candidate).blob;
            self.remove(loser);
            return Some(loser);
        }
    }

    fn settle(&mut self, blob: BlobId) {
        if let Some(item) = self.window.remove(&blob) {
            self.probation.push(item);
        }
    }

    fn bytes(&self) -> u64 {
        self.window.bytes() + self.probation.bytes() + self.protected.bytes()
    }

    fn standings(&self) -> Vec<(BlobId, Standing)> {
        let with = |segment| {
            move |item: Item| (item.blob, Standing { segment, plays: self.plays.count(&item.blob) })
        };
        let window = self.window.iter().map(with(Segment::New));
        let probation = self.probation.iter().map(with(Segment::Main));
        window.chain(probation).chain(self.protected.iter().map(with(Segment::Protected))).collect()
    }

    fn restore(&mut self, blob: BlobId, bytes: u64, standing: Standing) {
        let item = Item { blob, bytes, plays: 0 };
        match standing.segment {
            Segment::New => self.window.push(item),
            Segment::Main => self.probation.push(item),
            Segment::Protected => self.protected.push(item),
        }
        self.plays.raise(&blob, standing.plays);
    }

    fn forget(&mut self) {
        let standings = self.standings();
        self.plays = Sketch::default();
        for (blob, standing) in standings {
            self.plays.raise(&blob, standing.plays);
        }
    }
}
