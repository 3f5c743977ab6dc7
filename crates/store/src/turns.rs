//! Whose turn it is to make or remove the files of a blob.

use std::collections::BTreeSet;
use std::sync::{Condvar, MutexGuard, PoisonError};

use antiphon_types::BlobId;

use crate::sync::{Mutex, lock};

/// Keeps the files of one life of a blob from meeting those of the next: who
/// makes or removes them has the blob's turn. Other blobs do not wait.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<BTreeSet<BlobId>>,
    given_back: Condvar,
}

/// Held while the files of a blob are made or removed.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    blob: BlobId,
}

impl Turns {
    /// Waits for the blob's turn. Only without a lock or a turn in hand.
    pub(crate) fn take(&self, blob: BlobId) -> Turn<'_> {
        let mut taken = lock(&self.taken);
        while !taken.insert(blob) {
            taken = self.given_back.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self, blob }
    }

    /// The blobs whose turn somebody has. While it is looked at, nobody takes
    /// one.
    pub(crate) fn taken(&self) -> MutexGuard<'_, BTreeSet<BlobId>> {
        lock(&self.taken)
    }

    /// The turn of a blob that is not among the [`taken`](Self::taken) ones.
    pub(crate) fn issue(&self, taken: &mut BTreeSet<BlobId>, blob: BlobId) -> Turn<'_> {
        taken.insert(blob);
        Turn { turns: self, blob }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.taken).remove(&self.blob);
        self.turns.given_back.notify_all();
    }
}
