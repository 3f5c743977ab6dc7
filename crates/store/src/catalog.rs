//! Which blobs there are, in which order they may go, and which may not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use antiphon_types::BlobId;

use crate::blob::Blob;
use crate::index::{Index, Record};
use crate::policy::LruPolicy;
use crate::turns::{Turn, Turns};

/// The state of a store that is not a blob's own. Guarded by one lock that is
/// never held during I/O.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    blobs: HashMap<BlobId, Kept>,
    policy: LruPolicy,
    /// Pins outlive what they pin: a blob that is fetched again is pinned.
    pins: BTreeSet<BlobId>,
    holds: HashMap<BlobId, u32>,
    /// Blobs of later format versions, and which.
    refused: BTreeMap<BlobId, u32>,
    /// Whether the index on disk is behind.
    pub(crate) is_dirty: bool,
}

#[derive(Debug)]
struct Kept {
    blob: Arc<Blob>,
    last_play: Option<SystemTime>,
}

impl Catalog {
    /// The blobs found on disk, in the order of the index; those that it does
    /// not know came after it was written.
    pub(crate) fn new(
        found: Vec<Arc<Blob>>,
        refused: BTreeMap<BlobId, u32>,
        index: &Index,
    ) -> Self {
        let mut catalog = Self { refused, ..Self::default() };
        let mut found: BTreeMap<_, _> = found.into_iter().map(|blob| (blob.id(), blob)).collect();
        for record in &index.records {
            if record.pinned {
                catalog.pins.insert(record.blob);
            }
            if let Some(blob) = found.remove(&record.blob) {
                catalog.insert(blob);
                catalog.set_last_play(record.blob, record.last_play);
            }
        }
        found.into_values().for_each(|blob| catalog.insert(blob));
        catalog.is_dirty = false;
        catalog
    }

    pub(crate) fn get(&self, blob: BlobId) -> Option<&Arc<Blob>> {
        self.blobs.get(&blob).map(|kept| &kept.blob)
    }

    /// Adds a blob as the most recently used.
    pub(crate) fn insert(&mut self, blob: Arc<Blob>) {
        self.policy.insert(blob.id());
        self.blobs.insert(blob.id(), Kept { blob, last_play: None });
        self.is_dirty = true;
    }

    pub(crate) fn remove(&mut self, blob: BlobId) -> Option<Arc<Blob>> {
        self.policy.remove(blob);
        self.blobs.remove(&blob).map(|kept| kept.blob)
    }

    /// The blob was played at that time.
    pub(crate) fn touch(&mut self, blob: BlobId, at: SystemTime) {
        self.policy.touch(blob);
        self.set_last_play(blob, Some(at));
        self.is_dirty = true;
    }

    fn set_last_play(&mut self, blob: BlobId, at: Option<SystemTime>) {
        if let Some(kept) = self.blobs.get_mut(&blob) {
            kept.last_play = at;
        }
    }

    /// False if it was pinned already.
    pub(crate) fn pin(&mut self, blob: BlobId) -> bool {
        let is_new = self.pins.insert(blob);
        self.is_dirty |= is_new;
        is_new
    }

    /// False if it was not pinned.
    pub(crate) fn unpin(&mut self, blob: BlobId) -> bool {
        let was_there = self.pins.remove(&blob);
        self.is_dirty |= was_there;
        was_there
    }

    pub(crate) fn is_pinned(&self, blob: BlobId) -> bool {
        self.pins.contains(&blob)
    }

    pub(crate) fn hold(&mut self, blob: BlobId) {
        *self.holds.entry(blob).or_default() += 1;
    }

    pub(crate) fn release(&mut self, blob: BlobId) {
        if let Some(count) = self.holds.get_mut(&blob) {
            *count -= 1;
            if *count == 0 {
                self.holds.remove(&blob);
            }
        }
    }

    pub(crate) fn is_held(&self, blob: BlobId) -> bool {
        self.holds.contains_key(&blob)
    }

    pub(crate) fn refused(&self, blob: BlobId) -> Option<u32> {
        self.refused.get(&blob).copied()
    }

    pub(crate) fn refused_count(&self) -> usize {
        self.refused.len()
    }

    pub(crate) fn forget_refused(&mut self, blob: BlobId) -> bool {
        self.refused.remove(&blob).is_some()
    }

    /// Takes out blobs until `surplus` bytes are freed, the least recently used
    /// first, with the turns to remove their files; none at all if that much
    /// cannot be freed. What is just being made or removed is passed over.
    pub(crate) fn evict<'a>(
        &mut self,
        surplus: u64,
        spare: Option<BlobId>,
        turns: &'a Turns,
    ) -> Option<Vec<(Arc<Blob>, Turn<'a>)>> {
        let may_go =
            |blob: &BlobId| !self.is_pinned(*blob) && !self.is_held(*blob) && Some(*blob) != spare;
        let mut freed = 0;
        let mut victims = Vec::new();
        for victim in self.policy.least_recent_first().filter(may_go) {
            if freed >= surplus {
                break;
            }
            let Some(turn) = turns.try_take(victim) else { continue };
            freed += self.get(victim).map_or(0, |blob| blob.charge().bytes());
            victims.push((victim, turn));
        }
        if freed < surplus {
            return None;
        }
        let take_out = |(victim, turn)| Some((self.remove(victim)?, turn));
        Some(victims.into_iter().filter_map(take_out).collect())
    }

    /// All blobs with the time of their last play, the most recently used first.
    pub(crate) fn most_recent_first(&self) -> Vec<(Arc<Blob>, Option<SystemTime>)> {
        let mut all: Vec<_> = self
            .policy
            .least_recent_first()
            .filter_map(|blob| self.blobs.get(&blob))
            .map(|kept| (Arc::clone(&kept.blob), kept.last_play))
            .collect();
        all.reverse();
        all
    }

    /// What the index is to hold.
    pub(crate) fn index(&self, generation: u64) -> Index {
        let record = |blob, last_play| Record { blob, last_play, pinned: self.is_pinned(blob) };
        let absent = self.pins.iter().filter(|blob| !self.blobs.contains_key(blob));
        let mut records: Vec<_> = absent.map(|blob| record(*blob, None)).collect();
        records.extend(
            self.policy
                .least_recent_first()
                .map(|blob| record(blob, self.blobs.get(&blob).and_then(|kept| kept.last_play))),
        );
        Index { generation, records }
    }
}
