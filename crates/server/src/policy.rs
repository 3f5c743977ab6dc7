//! Whether listeners are named to each other for a blob.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use antiphon_catalog::{BlobSharing, Catalog, DatabaseError, Sharing};
use antiphon_types::{BlobId, Timestamp, TrackId};

/// How soon what an operator says reaches every answer.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Blobs that are remembered; more, and all are forgotten. About 100 bytes each.
const REMEMBERED: usize = 200_000;

/// What the catalogue says of blobs, remembered as long as it says the same.
#[derive(Default)]
pub(crate) struct Policy {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    looked_at: Option<Timestamp>,
    version: u64,
    /// Only blobs of ours: names that strangers invent take no room.
    blobs: HashMap<BlobId, BlobSharing, BuildHasherDefault<AsNamed>>,
}

/// The hash of a blob's name is the name, which is a hash; only names of blobs that are
/// ours are ever put under it.
#[derive(Default)]
struct AsNamed(u64);

impl Hasher for AsNamed {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What is remembered, as long as one looks.
pub(crate) struct Remembered<'a>(RwLockReadGuard<'a, Known>);

impl Remembered<'_> {
    /// What holds for a blob, if that is remembered.
    pub(crate) fn of(&self, blob: BlobId) -> Option<BlobSharing> {
        self.0.blobs.get(&blob).copied()
    }
}

impl Policy {
    /// What is remembered, if nothing has to be looked up: this takes no time.
    pub(crate) fn remembered(&self, now: Timestamp) -> Option<Remembered<'_>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.is_fresh(now).then_some(Remembered(known))
    }

    /// What holds for a blob; `None` if it is none of ours. May take as long as
    /// the catalogue does.
    pub(crate) fn of(
        &self,
        catalog: &Catalog,
        now: Timestamp,
        blob: BlobId,
    ) -> Result<Option<BlobSharing>, DatabaseError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_fresh(now)
            && let Some(sharing) = known.blobs.get(&blob)
        {
            return Ok(Some(*sharing));
        }
        let fresh = known.is_fresh(now);
        drop(known);
        if !fresh {
            let version = catalog.changes_by_others()?;
            self.known.write().unwrap_or_else(PoisonError::into_inner).refresh(now, version);
        }
        let found = catalog.blob_sharing(blob)?;
        if let Some(sharing) = found {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.blobs.len() >= REMEMBERED {
                known.blobs.clear();
            }
            known.blobs.insert(blob, sharing);
        }
        Ok(found)
    }
}

impl Known {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.looked_at.is_some_and(|at| now.saturating_since(at) < LOOK_AGAIN)
    }

    fn refresh(&mut self, now: Timestamp, version: u64) {
        if self.version != version {
            self.blobs.clear();
            self.version = version;
        }
        self.looked_at = Some(now);
    }
}

/// Whether holders of a blob are named at all.
pub(crate) fn are_named(sharing: &BlobSharing) -> bool {
    sharing.allowed && within_share(sharing.track, sharing.catalog)
}

/// Whether a track is in the share of those whose listeners are named. It
/// follows from the track alone, so that all who play it find each other, and
/// one that is in at 20 percent is in at 30.
fn within_share(track: TrackId, sharing: Sharing) -> bool {
    if sharing.percent >= 100 {
        return true;
    }
    let hash = blake3::hash(track.as_bytes());
    let drawn = hash.as_bytes().first_chunk().map_or(0, |first| u32::from_le_bytes(*first) % 100);
    drawn < u32::from(sharing.percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(number: u16, percent: u8) -> bool {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_le_bytes());
        within_share(TrackId::new(id), Sharing { percent, smallest_swarm: 0 })
    }

    #[test]
    fn a_share_is_a_share_of_tracks_and_grows_by_tracks() {
        for (percent, expected) in [(0, 0..=0), (30, 2_800..=3_200), (100, 10_000..=10_000)] {
            let count = (0..10_000).filter(|&number| shared(number, percent)).count();
            assert!(expected.contains(&count), "{count} of 10,000 at {percent} percent");
        }
        assert!((0..10_000).all(|number| shared(number, 30) || !shared(number, 20)));
    }
}
