//! The cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use antiphon_types::{BlobId, BlobSize, BlockSet};
use bytes::Bytes;

use crate::blob::{Blob, Put, Synced};
use crate::budget::automatic_budget;
use crate::catalog::Catalog;
use crate::common::{Common, data_path, meta_path};
use crate::disk::{self, FileError, FolderLock};
use crate::error::{BeginError, OpenError, PutError, ReadError, RemoveError};
use crate::figures::{Cleared, Config, Entry, Status, VerifyReport};
use crate::index::{self, IndexError};
use crate::meta;
use crate::proof::ProofCursor;
use crate::scan::{Found, scan};
use crate::sync::{Mutex, RwLock, lock, read, write};

/// A verified cache of blobs in a folder of its own.
///
/// Clones are handles to one store, which closes with the last of them. All
/// methods are synchronous; those that may touch the disk take microseconds
/// when warm, and belong on a blocking thread otherwise.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    common: Arc<Common>,
    catalog: RwLock<Catalog>,
    automatic: bool,
    budget: AtomicU64,
    /// Held while blobs come and go, so that files of one life of a blob do not
    /// meet those of the next. Taken before a blob's own locks.
    coming_and_going: Mutex<()>,
    /// Held while the index is written; its generation.
    index: Mutex<u64>,
    _lock: FolderLock,
}

/// While it lives, the blob it is of is not evicted: it is being played or
/// served. The blob need not be there yet. It also keeps the store open.
#[derive(Debug)]
pub struct Hold {
    store: Store,
    blob: BlobId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        write(&self.store.inner.catalog).release(self.blob);
    }
}

impl Store {
    /// Opens the store in `folder`, which is made if it is missing.
    ///
    /// Reads the header of every blob, not the blobs. What a crash left half
    /// done is cleared away; if the budget has shrunk, blobs are evicted.
    pub fn open(folder: &Path, config: Config) -> Result<Self, OpenError> {
        let Config { budget_bytes, open_blobs } = config;
        let blobs = folder.join("blobs");
        disk::make_folder(&blobs)?;
        let lock = disk::lock_folder(&folder.join("lock"))?
            .ok_or_else(|| OpenError::InUse(folder.to_owned()))?;
        let index = index::load(folder).map_err(|error| match error {
            IndexError::UnknownVersion { path, version } => {
                OpenError::UnknownVersion { path, version }
            }
            IndexError::File(error) => OpenError::Io(error),
        })?;
        let common = Arc::new(Common::new(blobs, open_blobs));
        let Found { blobs, refused } = scan(&common)?;
        let store = Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                catalog: RwLock::new(Catalog::new(blobs, refused, &index)),
                automatic: budget_bytes.is_none(),
                budget: AtomicU64::new(budget_bytes.unwrap_or(0)),
                coming_and_going: Mutex::default(),
                index: Mutex::new(index.generation),
                _lock: lock,
                common,
            }),
        };
        store.inner.look_up_budget();
        store.inner.shrink();
        Ok(store)
    }

    /// Makes room for a blob, and an entry without blocks if there is none.
    ///
    /// Room is made for all of it, and taken as blocks come. The size is
    /// believed: under a wrong one no wrong block is accepted, but the last block
    /// never verifies.
    pub fn begin(&self, blob: BlobId, size: BlobSize) -> Result<(), BeginError> {
        let inner = &*self.inner;
        let _alone = lock(&inner.coming_and_going);
        if let Some(there) = self.find(blob) {
            match there.size() {
                same if same == size => return Ok(()),
                other if there.block_count_held() > 0 => {
                    return Err(BeginError::OtherSize { there: other, asked: size });
                }
                _ => {
                    write(&inner.catalog).remove(blob);
                    there.destroy()?;
                }
            }
        }
        if let Some(version) = read(&inner.catalog).refused(blob) {
            return Err(BeginError::UnknownVersion(version));
        }
        inner.look_up_budget();
        let needed = size.bytes() + meta::file_bytes(size);
        if !inner.evict_for(needed, None) {
            return Err(BeginError::NoRoom { needed, budget: inner.budget() });
        }
        let begun = Blob::create(&inner.common, blob, size)?;
        write(&inner.catalog).insert(Arc::new(begun));
        Ok(())
    }

    /// Which blocks of a blob are there; none if it was not begun.
    pub fn blocks(&self, blob: BlobId) -> Option<BlockSet> {
        self.find(blob).map(|blob| blob.blocks())
    }

    /// The size of a blob; none if it was not begun.
    pub fn size(&self, blob: BlobId) -> Option<BlobSize> {
        self.find(blob).map(|blob| blob.size())
    }

    /// Whether all blocks of a blob are there.
    pub fn is_complete(&self, blob: BlobId) -> bool {
        self.find(blob).is_some_and(|blob| blob.is_complete())
    }

    /// Verifies a block and keeps it; its proof is that of
    /// [`format`](crate::format).
    ///
    /// Whenever this returns `Ok`, `data` is the block, also if it was there
    /// already. It is not durable before the next [`flush`](Self::flush).
    pub fn put(
        &self,
        blob: BlobId,
        block: u32,
        proof: &[u8],
        data: &[u8],
    ) -> Result<Put, PutError> {
        let blob = self.find(blob).ok_or(PutError::NotBegun)?;
        blob.put(block, proof, data, |bytes| self.inner.charge(&blob, bytes))
    }

    /// Reads a block and verifies it again.
    ///
    /// None if it is not there. A damaged block is dropped, counted, and from
    /// then on not there.
    pub fn read(&self, blob: BlobId, block: u32) -> Result<Option<Bytes>, ReadError> {
        match self.find(blob) {
            Some(blob) => Ok(blob.read(block)?),
            None => Ok(None),
        }
    }

    /// The proof of a block that is there, less what `cursor` has seen.
    pub fn proof(
        &self,
        blob: BlobId,
        block: u32,
        cursor: &mut ProofCursor,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        match self.find(blob) {
            Some(blob) => Ok(blob.proof(block, cursor)?),
            None => Ok(None),
        }
    }

    /// A blob is played now: it will be the last to go.
    pub fn touch(&self, blob: BlobId) {
        write(&self.inner.catalog).touch(blob, SystemTime::now());
    }

    /// Keeps a blob until it is unpinned, through crashes and through loss of
    /// its files. Durable on return; the blob need not be there yet.
    pub fn pin(&self, blob: BlobId) -> Result<(), FileError> {
        write(&self.inner.catalog).pin(blob);
        self.inner.save_index()
    }

    /// Lets a blob be evicted again. Durable on return.
    pub fn unpin(&self, blob: BlobId) -> Result<(), FileError> {
        write(&self.inner.catalog).unpin(blob);
        self.inner.save_index()
    }

    /// Keeps a blob as long as the [`Hold`] lives.
    pub fn hold(&self, blob: BlobId) -> Hold {
        write(&self.inner.catalog).hold(blob);
        Hold { store: self.clone(), blob }
    }

    /// All blobs, the most recently used first.
    pub fn list(&self) -> Vec<Entry> {
        let catalog = read(&self.inner.catalog);
        let entry = |(blob, last_play): (Arc<Blob>, _)| Entry {
            blob: blob.id(),
            size: blob.size(),
            blocks_held: blob.block_count_held(),
            complete: blob.is_complete(),
            pinned: catalog.is_pinned(blob.id()),
            last_play,
        };
        catalog.most_recent_first().into_iter().map(entry).collect()
    }

    /// The store in figures.
    pub fn status(&self) -> Status {
        let catalog = read(&self.inner.catalog);
        let blobs = catalog.most_recent_first();
        let pinned = blobs.iter().filter(|(blob, _)| catalog.is_pinned(blob.id()));
        Status {
            bytes: self.inner.common.ledger.used(),
            budget: self.inner.budget(),
            blobs: blobs.len(),
            pinned_bytes: pinned.map(|(blob, _)| blob.charge().bytes()).sum(),
            damaged_blocks: self.inner.common.damaged.load(Ordering::Relaxed),
            refused_blobs: catalog.refused_count(),
        }
    }

    /// Removes a blob and its pin; false if it was not there.
    pub fn remove(&self, blob: BlobId) -> Result<bool, RemoveError> {
        let inner = &*self.inner;
        let _alone = lock(&inner.coming_and_going);
        let (removed, was_refused) = {
            let mut catalog = write(&inner.catalog);
            if catalog.is_held(blob) {
                return Err(RemoveError::Held);
            }
            catalog.unpin(blob);
            (catalog.remove(blob), catalog.forget_refused(blob))
        };
        inner.save_index()?;
        if let Some(removed) = &removed {
            removed.destroy()?;
        }
        if was_refused {
            disk::remove(&meta_path(&inner.common.folder, blob))?;
            disk::remove(&data_path(&inner.common.folder, blob))?;
        }
        Ok(removed.is_some() || was_refused)
    }

    /// Removes all blobs that are neither pinned nor held.
    pub fn clear(&self) -> Result<Cleared, FileError> {
        let inner = &*self.inner;
        let _alone = lock(&inner.coming_and_going);
        let mut cleared = Cleared::default();
        let mut removed = Vec::new();
        {
            let mut catalog = write(&inner.catalog);
            for (blob, _) in catalog.most_recent_first() {
                if catalog.is_pinned(blob.id()) || catalog.is_held(blob.id()) {
                    cleared.kept += 1;
                } else {
                    cleared.blobs += 1;
                    cleared.bytes += blob.charge().bytes();
                    removed.extend(catalog.remove(blob.id()));
                }
            }
            catalog.is_dirty = true;
        }
        // All are tried, whatever becomes of the first.
        let outcomes: Vec<_> = removed.iter().map(|blob| blob.destroy()).collect();
        outcomes.into_iter().collect::<Result<(), _>>()?;
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
            for block in blocks.ranges().flat_map(|range| range.iter()) {
                report.blocks += 1;
                match blob.read(block) {
                    Ok(Some(_)) => {}
                    Ok(None) => report.damaged += 1,
                    Err(_) => report.unreadable += 1,
                }
                progress(report.blocks, total);
            }
        }
        report
    }

    /// Makes all that is there outlive a power cut: blocks, order, times.
    ///
    /// After an error, blocks that may not have reached the disk are dropped;
    /// what other blobs have is durable all the same.
    pub fn flush(&self) -> Result<(), FileError> {
        let blobs = read(&self.inner.catalog).most_recent_first();
        let outcomes: Vec<_> = blobs.iter().map(|(blob, _)| blob.sync()).collect();
        if outcomes.iter().any(|outcome| matches!(outcome, Ok(Synced::Something))) {
            disk::sync_folder(&self.inner.common.folder)?;
        }
        let saved = self.inner.save_index();
        outcomes.into_iter().try_for_each(|outcome| outcome.map(drop)).and(saved)
    }

    fn find(&self, blob: BlobId) -> Option<Arc<Blob>> {
        read(&self.inner.catalog).get(blob).cloned()
    }
}

impl Inner {
    fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// An automatic budget follows the disk. If that cannot be asked, it stays.
    fn look_up_budget(&self) {
        if !self.automatic {
            return;
        }
        let free = disk::free_bytes(&self.folder);
        let used = self.common.ledger.used();
        match free {
            Ok(free) => self.budget.store(automatic_budget(free, used), Ordering::Relaxed),
            Err(_) if self.budget() == 0 => {
                self.budget.store(automatic_budget(0, 0), Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    /// Charges bytes to a blob; false if no room can be made for them.
    fn charge(&self, blob: &Arc<Blob>, bytes: u64) -> bool {
        while !blob.charge().try_add(bytes, self.budget()) {
            let _alone = lock(&self.coming_and_going);
            if !self.evict_for(bytes, Some(blob.id())) {
                return false;
            }
        }
        true
    }

    /// Evicts until `needed` more bytes are within the budget; false, and
    /// nothing is evicted, if that cannot be. Only while `coming_and_going` is
    /// held.
    fn evict_for(&self, needed: u64, spare: Option<BlobId>) -> bool {
        let wanted = self.common.ledger.used().saturating_add(needed);
        let surplus = wanted.saturating_sub(self.budget());
        if surplus == 0 {
            return true;
        }
        let Some(victims) = write(&self.catalog).evict(surplus, spare) else { return false };
        for victim in victims {
            // Files that cannot be removed are found again at the next opening.
            let _ = victim.destroy();
        }
        true
    }

    /// Evicts what is over the budget, or as much of it as may go.
    fn shrink(&self) {
        let _alone = lock(&self.coming_and_going);
        while self.common.ledger.used() > self.budget() {
            let Some(victims) = write(&self.catalog).evict(1, None) else { return };
            for victim in victims {
                let _ = victim.destroy();
            }
        }
    }

    /// Writes the index if it is behind.
    fn save_index(&self) -> Result<(), FileError> {
        let mut generation = lock(&self.index);
        let index = {
            let mut catalog = write(&self.catalog);
            if !catalog.is_dirty {
                return Ok(());
            }
            catalog.is_dirty = false;
            catalog.index(*generation + 1)
        };
        let saved = index::save(&self.folder, &index);
        match saved {
            Ok(()) => *generation += 1,
            Err(_) => write(&self.catalog).is_dirty = true,
        }
        saved
    }
}
