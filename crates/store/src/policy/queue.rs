//! Blobs in a row.

use std::collections::BTreeMap;

use antiphon_types::BlobId;

/// What a policy knows of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) blob: BlobId,
    pub(super) bytes: u64,
    /// How often it was played, as far as the policy counts that.
    pub(super) plays: u8,
}

/// Blobs in the order in which they were put in, each at most once.
///
/// All operations take logarithmic time, but for [`first`](Self::first), which
/// passes over what may not go.
#[derive(Debug, Default)]
pub(super) struct Queue {
    row: BTreeMap<u64, Item>,
    places: BTreeMap<BlobId, u64>,
    next: u64,
    bytes: u64,
}

impl Queue {
    /// Puts a blob behind all others; if it was there, it leaves its old place.
    pub(super) fn push(&mut self, item: Item) {
        self.remove(&item.blob);
        self.row.insert(self.next, item);
        self.places.insert(item.blob, self.next);
        self.next += 1;
        self.bytes += item.bytes;
    }

    pub(super) fn remove(&mut self, blob: &BlobId) -> Option<Item> {
        let item = self.row.remove(&self.places.remove(blob)?)?;
        self.bytes -= item.bytes;
        Some(item)
    }

    pub(super) fn contains(&self, blob: &BlobId) -> bool {
        self.places.contains_key(blob)
    }

    /// Counts a play, up to `most`; false if the blob is not there.
    pub(super) fn count_play(&mut self, blob: &BlobId, most: u8) -> bool {
        let item = self.places.get(blob).and_then(|place| self.row.get_mut(place));
        let Some(item) = item else { return false };
        item.plays = item.plays.saturating_add(1).min(most);
        true
    }

    /// The one that has been here longest, of those that may go.
    pub(super) fn first(&self, may_go: &dyn Fn(&BlobId) -> bool) -> Option<Item> {
        self.iter().find(|item| may_go(&item.blob))
    }

    /// Those that have been here longest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Item> + '_ {
        self.row.values().copied()
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
