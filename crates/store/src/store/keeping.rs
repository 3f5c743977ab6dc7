//! What keeps blobs and what lets go of them: pins, removal, durability, scrubbing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use antiphon_types::{BlobId, BlockSet};

use super::{Inner, Store};
use crate::blob::{Blob, Synced};
use crate::disk::{self, FileError};
use crate::error::RemoveError;
use crate::figures::{Affected, Cleared, VerifyReport};
use crate::index;
use crate::store::room::RoomFor;
use crate::sync::{lock, read, write};

impl Store {
    /// Keeps a blob until it is unpinned, through crashes and through loss of
    /// its file. Durable on return; the blob need not be there yet. After an error
    /// it is pinned as long as the store is open, and longer if a later
    /// [`flush`](Self::flush) succeeds.
    pub fn pin(&self, blob: BlobId) -> Result<(), FileError> {
        write(&self.inner.catalog).pin(blob);
        self.inner.save_index()
    }

    /// Lets a blob be evicted again. Durable on return.
    pub fn unpin(&self, blob: BlobId) -> Result<(), FileError> {
        write(&self.inner.catalog).unpin(blob);
        self.inner.save_index()
    }

    /// All blobs that are pinned, there or not, in the order of their ids.
    pub fn pins(&self) -> Vec<BlobId> {
        read(&self.inner.catalog).pins().collect()
    }

    /// Removes a blob and its pin; false if it was not there. Durable on return.
    pub fn remove(&self, blob: BlobId) -> Result<bool, RemoveError> {
        let inner = &*self.inner;
        let _turn = inner.turns.take(blob);
        let (removed, was_refused) = {
            let mut catalog = write(&inner.catalog);
            if catalog.is_held(blob) {
                return Err(RemoveError::Held);
            }
            catalog.unpin(blob);
            (catalog.remove(blob), catalog.forget_refused(blob))
        };
        // All is tried, whatever becomes of the first.
        let saved = inner.save_index();
        if let Some(removed) = &removed {
            removed.destroy()?;
        }
        if was_refused {
            let common = &inner.common;
            for path in [common.path(blob), common.head_path(blob), common.data_path(blob)] {
                disk::remove(&*common.disk, &path)?;
            }
        }
        saved?;
        let was_there = removed.is_some() || was_refused;
        if was_there {
            // Or a power cut might bring it back.
            inner.sync_blobs_folder()?;
        }
        Ok(was_there)
    }

    /// Removes all blobs that are neither pinned nor held, and every trace of
    /// those that went before. Durable on return. After an error, what could be
    /// removed is.
    pub fn clear(&self) -> Result<Cleared, FileError> {
        let inner = &*self.inner;
        let all = read(&inner.catalog).most_recent_first();
        let mut cleared = Cleared::default();
        // All are tried, whatever becomes of the first.
        let mut outcome = Ok(());
        for (blob, _) in all {
            let _turn = inner.turns.take(blob.id());
            let removed = {
                let mut catalog = write(&inner.catalog);
                if catalog.is_pinned(blob.id()) || catalog.is_held(blob.id()) {
                    cleared.kept += 1;
                    continue;
                }
                catalog.remove(blob.id())
            };
            let Some(removed) = removed else { continue };
            cleared.blobs += 1;
            cleared.bytes += removed.charge().bytes();
            outcome = outcome.and(removed.destroy());
        }
        write(&inner.catalog).forget_gone();
        outcome.and_then(|()| inner.sync_blobs_folder()).and_then(|()| inner.save_index())?;
        Ok(cleared)
    }

    /// Reads all blocks that are there and drops those that are damaged.
    ///
    /// `progress` is told how many blocks are done, of how many.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> VerifyReport {
        let blobs = read(&self.inner.catalog).most_recent_first();
        let blobs: Vec<_> = blobs.into_iter().map(|(blob, _)| (blob.blocks(), blob)).collect();
        let total = blobs.iter().map(|(blocks, _)| u64::from(blocks.len())).sum();
        let mut report = VerifyReport::default();
        progress(0, total);
        for (blocks, blob) in &blobs {
            let affected = self.verify_blob(blob, blocks, &mut || {
                report.blocks += 1;
                progress(report.blocks, total);
            });
            if affected.damaged + affected.unreadable > 0 {
                report.damaged += affected.damaged;
                report.unreadable += affected.unreadable;
                report.affected.push(affected);
            }
        }
        report
    }

    fn verify_blob(&self, blob: &Arc<Blob>, blocks: &BlockSet, done: &mut dyn FnMut()) -> Affected {
        let unreadable = || self.inner.common.unreadable.load(Ordering::Relaxed);
        let before = unreadable();
        let (mut absent, mut failed) = (0, 0);
        for block in blocks.ranges().flat_map(|range| range.iter()) {
            match blob.read(block) {
                Ok(Some(_)) => {}
                Ok(None) => absent += 1,
                Err(_) => failed += 1,
            }
            done();
        }
        let mut affected = Affected { blob: blob.id(), damaged: 0, unreadable: failed };
        // What was evicted or removed in the meantime is neither.
        if self.find(blob.id()).is_some_and(|there| Arc::ptr_eq(&there, blob)) {
            // A head that is unreadable takes all blocks with it at the first read.
            let lost = unreadable().saturating_sub(before).min(absent);
            affected.unreadable += lost;
            affected.damaged = absent - lost;
        }
        affected
    }

    /// Makes all that is there of one blob outlive a power cut.
    ///
    /// What is in memory is written, if the disk takes it now and the budget has
    /// room for it; [`Status::memory_bytes`](crate::Status::memory_bytes) tells
    /// whether any is left. After an error, blocks that may not have reached the
    /// disk are in memory, or dropped where that has no room.
    pub fn sync(&self, blob: BlobId) -> Result<(), FileError> {
        let Some(blob) = self.find(blob) else { return Ok(()) };
        let synced = blob.sync(&RoomFor { blob: &blob, inner: &self.inner })?;
        if synced == Synced::NewFile {
            self.inner.sync_blobs_folder()?;
            blob.name_is_durable();
        }
        Ok(())
    }

    /// Makes all that is there outlive a power cut: blocks, order, times. Looks
    /// up the automatic budget, too.
    ///
    /// A blob that was not used since the store was opened is left as it was
    /// found: as its last user synced it.
    ///
    /// After an error, what can be durable is; for the rest see
    /// [`sync`](Self::sync).
    pub fn flush(&self) -> Result<(), FileError> {
        let inner = &*self.inner;
        inner.look_up_budget();
        inner.shrink();
        let blobs = read(&inner.catalog).most_recent_first();
        let mut outcome = Ok(());
        let mut new_files = Vec::new();
        for (blob, _) in blobs.into_iter().filter(|(blob, _)| blob.is_used()) {
            match blob.sync(&RoomFor { blob: &blob, inner }) {
                Ok(Synced::NewFile) => new_files.push(blob),
                synced => outcome = outcome.and(synced.map(drop)),
            }
        }
        if !new_files.is_empty() {
            let synced = inner.sync_blobs_folder();
            if synced.is_ok() {
                new_files.iter().for_each(|blob| blob.name_is_durable());
            }
            outcome = outcome.and(synced);
        }
        outcome.and(inner.save_index())
    }
}

impl Inner {
    /// Syncs the folder of the blobs.
    fn sync_blobs_folder(&self) -> Result<(), FileError> {
        disk::sync_folder(&*self.common.disk, &self.common.folder)?;
        self.sync_own_names()
    }

    /// Makes the names of the store's folders outlive a power cut, and what was
    /// found in the outer one when it was opened: once.
    fn sync_own_names(&self) -> Result<(), FileError> {
        if self.own_names_synced.load(Ordering::Relaxed) {
            return Ok(());
        }
        let disk = &*self.common.disk;
        disk::sync_folder(disk, &self.folder)?;
        // Any of those above may have been made with it.
        for above in self.folder.ancestors().skip(1) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            match disk::sync_folder(disk, above) {
                // Who may not look into it did not make ours.
                Err(error) if error.is_refusal() => break,
                synced => synced?,
            }
        }
        self.own_names_synced.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the index if it is behind.
    fn save_index(&self) -> Result<(), FileError> {
        let mut generation = lock(&self.index);
        let index = {
            let mut catalog = write(&self.catalog);
            if !catalog.is_dirty {
                return self.sync_own_names();
            }
            catalog.is_dirty = false;
            *generation += 1;
            catalog.index(*generation)
        };
        let saved = index::save(&*self.common.disk, &self.folder, &index)
            .and_then(|()| self.sync_own_names());
        if saved.is_err() {
            write(&self.catalog).is_dirty = true;
        }
        saved
    }
}
