//! Which blobs there are, in which order they may go, and which may not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use antiphon_types::BlobId;

use crate::blob::Blob;
use crate::head;
use crate::index::{Index, Record};
use crate::policy::{Policy, PolicyKind, Standing};
use crate::turns::{Turn, Turns};

/// The state of a store that is not a blob's own. Guarded by one lock that is
/// never held during I/O.
#[derive(Debug)]
pub(crate) struct Catalog {
    blobs: HashMap<BlobId, Kept>,
    policy: Box<dyn Policy>,
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
        policy: PolicyKind,
    ) -> Self {
        let mut catalog = Self {
            blobs: HashMap::new(),
            policy: policy.policy(),
            pins: BTreeSet::new(),
            holds: HashMap::new(),
            refused,
            is_dirty: false,
        };
        let mut found: BTreeMap<_, _> = found.into_iter().map(|blob| (blob.id(), blob)).collect();
        for record in &index.records {
            if record.pinned {
                catalog.pins.insert(record.blob);
            }
            if let Some(blob) = found.remove(&record.blob) {
                catalog.policy.restore(record.blob, bytes_of(&blob), record.standing);
                catalog.blobs.insert(record.blob, Kept { blob, last_play: record.last_play });
            }
        }
        found.into_values().for_each(|blob| catalog.insert(blob));
        let gone = index.records.iter().filter(|record| record.gone);
        gone.for_each(|record| catalog.policy.remember(record.blob));
        catalog.is_dirty = false;
        catalog
    }

    pub(crate) fn get(&self, blob: BlobId) -> Option<&Arc<Blob>> {
        self.blobs.get(&blob).map(|kept| &kept.blob)
    }

    /// Adds a blob that was not played so far.
    pub(crate) fn insert(&mut self, blob: Arc<Blob>) {
        self.policy.insert(blob.id(), bytes_of(&blob));
        if self.is_pinned(blob.id()) {
            self.policy.settle(blob.id());
        }
        self.blobs.insert(blob.id(), Kept { blob, last_play: None });
        self.is_dirty = true;
    }

    pub(crate) fn remove(&mut self, blob: BlobId) -> Option<Arc<Blob>> {
        self.policy.remove(blob);
        let removed = self.blobs.remove(&blob).map(|kept| kept.blob);
        self.is_dirty |= removed.is_some();
        removed
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
        self.policy.settle(blob);
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

    /// In the order of their ids.
    pub(crate) fn pins(&self) -> impl Iterator<Item = BlobId> + '_ {
        self.pins.iter().copied()
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

    /// Takes out blobs until `surplus` bytes are freed, in the order of the
    /// policy, with the turns to remove their files; none at all if that much
    /// cannot be freed. What is just being made or removed is passed over.
    pub(crate) fn evict<'a>(
        &mut self,
        surplus: u64,
        spare: Option<BlobId>,
        turns: &'a Turns,
    ) -> Option<Vec<(Arc<Blob>, Turn<'a>)>> {
        let Self { blobs, policy, pins, holds, .. } = self;
        let mut taken = turns.taken();
        let may_go = |blob: &BlobId| {
            !pins.contains(blob)
                && !holds.contains_key(blob)
                && Some(*blob) != spare
                && !taken.contains(blob)
        };
        let mut free = 0;
        let mut rest = blobs.iter().filter(|(blob, _)| may_go(blob));
        while free < surplus {
            free += rest.next()?.1.blob.charge().bytes();
        }
        let mut freed = 0;
        let mut victims = Vec::new();
        while freed < surplus
            && let Some(victim) = policy.evict(&may_go)
        {
            let Some(kept) = blobs.remove(&victim) else { continue };
            freed += kept.blob.charge().bytes();
            victims.push(kept.blob);
        }
        let with_turn = |blob: Arc<Blob>| (Arc::clone(&blob), turns.issue(&mut taken, blob.id()));
        Some(victims.into_iter().map(with_turn).collect())
    }

    /// Takes out blobs of which nothing is there, on disk or in memory, unless
    /// they are pinned or held: nothing else would, since they take no room.
    pub(crate) fn forget_empty(&mut self) {
        let Self { blobs, policy, pins, holds, .. } = self;
        blobs.retain(|id, kept| {
            let stays =
                pins.contains(id) || holds.contains_key(id) || !kept.blob.give_up_if_empty();
            if !stays {
                policy.remove(*id);
            }
            stays
        });
    }

    /// Leaves no trace of blobs that went.
    pub(crate) fn forget_gone(&mut self) {
        self.policy.forget();
        self.is_dirty = true;
    }

    /// All blobs with the time of their last play, roughly those that go last
    /// first: under LRU, the most recently used.
    pub(crate) fn most_recent_first(&self) -> Vec<(Arc<Blob>, Option<SystemTime>)> {
        let mut all: Vec<_> = self
            .policy
            .standings()
            .into_iter()
            .filter_map(|(blob, _)| self.blobs.get(&blob))
            .map(|kept| (Arc::clone(&kept.blob), kept.last_play))
            .collect();
        all.reverse();
        all
    }

    /// What the index is to hold.
    pub(crate) fn index(&self, generation: u64) -> Index {
        let record = |blob, standing| Record {
            blob,
            last_play: self.blobs.get(&blob).and_then(|kept| kept.last_play),
            pinned: self.is_pinned(blob),
            standing,
            gone: false,
        };
        let absent = self.pins.iter().filter(|blob| !self.blobs.contains_key(blob));
        let mut records: Vec<_> = absent.map(|blob| record(*blob, Standing::default())).collect();
        let gone = self.policy.remembered().into_iter();
        records.extend(gone.map(|blob| Record { gone: true, ..record(blob, Standing::default()) }));
        let standings = self.policy.standings().into_iter();
        records.extend(standings.map(|(blob, standing)| record(blob, standing)));
        Index { generation, records }
    }
}

/// What a blob takes up once it is whole.
fn bytes_of(blob: &Blob) -> u64 {
    blob.size().bytes() + head::disk_bytes(blob.size())
}
