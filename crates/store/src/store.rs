//! The cache.

mod keeping;
mod room;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use antiphon_types::{BlobId, BlobSize, BlockSet};
use bytes::Bytes;

use crate::blob::{Blob, Put};
use crate::catalog::Catalog;
use crate::common::Common;
use crate::disk::{self, Disk, DiskLock, FileError, NoDisk, SystemDisk};
use crate::error::{BeginError, OpenError, PutError, ReadError};
use crate::figures::{Config, Entry, Status};
use crate::head;
use crate::index::{self, Index, IndexError};
use crate::proof::ProofCursor;
use crate::scan::{Found, scan};
use crate::sync::{Mutex, RwLock, read, write};
use crate::turns::Turns;
use room::RoomFor;

/// A verified cache of blobs in a folder of its own.
///
/// Clones are handles to one store, which closes with the last of them. All
/// methods are synchronous; those that may touch the disk take microseconds
/// when warm, and belong on a blocking thread otherwise. For callers that must
/// not wait there is `AsyncStore`, with the feature `tokio`.
///
/// Any number of threads may use any blobs at once. Readers wait for nobody, but
/// for the first use of a blob, which reads its hashes; those who fill one blob
/// take turns.
///
/// When the disk is full, read-only or broken, blocks are kept in memory instead
/// ([`Put::InMemory`]), and [`Status::trouble`] says why.
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
    turns: Turns,
    /// Held while the index is written; its generation.
    index: Mutex<u64>,
    /// Whether the names of its folders outlive a power cut.
    own_names_synced: AtomicBool,
    _lock: Option<Box<dyn DiskLock>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for (blob, _) in read(&self.catalog).most_recent_first() {
            blob.note();
        }
    }
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
    /// done is cleared away; if the budget has shrunk, blobs are evicted, unless
    /// the configuration says otherwise. A folder that may not be written to is
    /// opened all the same.
    pub fn open(folder: &Path, config: Config) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(SystemDisk), folder, config)
    }

    /// As [`open`](Self::open), on another disk than that of the system.
    pub fn open_on(disk: Arc<dyn Disk>, folder: &Path, config: Config) -> Result<Self, OpenError> {
        let blobs = folder.join("blobs");
        disk::make_folder(&*disk, &blobs)?;
        let lock = take_lock(&*disk, folder)?;
        let loaded = index::load(&*disk, folder).map_err(|error| match error {
            IndexError::UnknownVersion { path, version } => {
                OpenError::UnknownVersion { path, version }
            }
            IndexError::File(error) => OpenError::Io(error),
        })?;
        index::clear_away_unfinished(&*disk, folder);
        let common = Arc::new(Common::new(disk, blobs, &config));
        let found = scan(&common)?;
        let lock = match lock {
            Lock::Taken(lock) => Some(lock),
            Lock::NotNeeded(error) => {
                common.health.forbid(&error);
                None
            }
        };
        let store = Self::new(folder, common, found, &loaded.index, &config, lock);
        // A pin that one copy lacks is to be in both before anyone is told of it.
        write(&store.inner.catalog).is_dirty |= loaded.copies_differ;
        store.inner.look_up_budget();
        if config.evict_on_open {
            store.inner.shrink();
        }
        Ok(store)
    }

    /// A store without a disk, for who finds no folder to keep one in: it has
    /// [`Config::memory_bytes`], and forgets all when it is closed.
    pub fn in_memory(config: Config) -> Self {
        let common = Arc::new(Common::new(Arc::new(NoDisk), PathBuf::new(), &config));
        let nothing = Index::default();
        let store = Self::new(Path::new(""), common, Found::default(), &nothing, &config, None);
        store.inner.own_names_synced.store(true, Ordering::Relaxed);
        store
    }

    fn new(
        folder: &Path,
        common: Arc<Common>,
        found: Found,
        index: &Index,
        config: &Config,
        lock: Option<Box<dyn DiskLock>>,
    ) -> Self {
        let inner = Inner {
            folder: folder.to_owned(),
            catalog: RwLock::new(Catalog::new(found.blobs, found.refused, index, config.policy)),
            automatic: config.budget_bytes.is_none(),
            budget: AtomicU64::new(config.budget_bytes.unwrap_or(0)),
            turns: Turns::default(),
            index: Mutex::new(index.generation),
            own_names_synced: AtomicBool::default(),
            _lock: lock,
            common,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes room for a blob, and an entry without blocks if there is none.
    ///
    /// Room is made for all of it, and taken as blocks come. The size is
    /// believed: under a wrong one no wrong block is accepted, but the last block
    /// never verifies. If the disk does not take the blob, it begins in memory.
    pub fn begin(&self, blob: BlobId, size: BlobSize) -> Result<(), BeginError> {
        self.begin_with(blob, size, |inner| {
            if let Some(version) = read(&inner.catalog).refused(blob) {
                return Err(BeginError::UnknownVersion(version));
            }
            inner.look_up_budget();
            let needed = size.bytes() + head::disk_bytes(size);
            if !inner.evict_for(needed, Some(blob)) {
                return Err(BeginError::NoRoom { needed, budget: inner.budget() });
            }
            inner.create(blob, size)
        })
    }

    /// As [`begin`](Self::begin), but asks for no room: for what is played now
    /// though the budget cannot hold it. Its blocks are written to disk once
    /// there is room, unless a later version's blob is there.
    pub fn begin_in_memory(&self, blob: BlobId, size: BlobSize) -> Result<(), BeginError> {
        self.begin_with(blob, size, |inner| {
            let is_refused = read(&inner.catalog).refused(blob).is_some();
            write(&inner.catalog).forget_empty();
            Ok(Blob::without_file(&inner.common, blob, size, is_refused))
        })
    }

    fn begin_with(
        &self,
        blob: BlobId,
        size: BlobSize,
        make: impl FnOnce(&Inner) -> Result<Arc<Blob>, BeginError>,
    ) -> Result<(), BeginError> {
        let inner = &*self.inner;
        let _turn = inner.turns.take(blob);
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
        let begun = make(inner)?;
        write(&inner.catalog).insert(begun);
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
    /// already. It is not durable before the next [`sync`](Self::sync) or
    /// [`flush`](Self::flush). A process that is killed before that loses at most
    /// the last 15 blocks of a blob; one that drops the store, none.
    pub fn put(
        &self,
        blob: BlobId,
        block: u32,
        proof: &[u8],
        data: &[u8],
    ) -> Result<Put, PutError> {
        let blob = self.find(blob).ok_or(PutError::NotBegun)?;
        blob.put(block, proof, data, &RoomFor { blob: &blob, inner: &self.inner })
    }

    /// Reads a block and verifies it again.
    ///
    /// None if it is not there. A damaged block is dropped, counted, and from
    /// then on not there; one that the disk does not give is not there until the
    /// store is opened again. Either can be put again.
    pub fn read(&self, blob: BlobId, block: u32) -> Result<Option<Bytes>, ReadError> {
        match self.find(blob) {
            Some(blob) => Ok(blob.read(block)?),
            None => Ok(None),
        }
    }

    /// As [`read`](Self::read) if the block is in memory and no disk has to be
    /// waited for; otherwise none, which says nothing of the block.
    #[cfg(feature = "tokio")]
    pub(crate) fn read_at_once(&self, blob: BlobId, block: u32) -> Option<Bytes> {
        self.find(blob)?.read_at_once(block)
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

    /// A blob is played now: it will go later than without.
    pub fn touch(&self, blob: BlobId) {
        write(&self.inner.catalog).touch(blob, SystemTime::now());
    }

    /// Keeps a blob as long as the [`Hold`] lives.
    pub fn hold(&self, blob: BlobId) -> Hold {
        write(&self.inner.catalog).hold(blob);
        Hold { store: self.clone(), blob }
    }

    /// All blobs, roughly those that go last first; exactly so under
    /// [`PolicyKind::Lru`](crate::PolicyKind::Lru).
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
        let common = &self.inner.common;
        Status {
            bytes: common.ledger.used(),
            budget: self.inner.budget(),
            blobs: blobs.len(),
            pinned_bytes: pinned.map(|(blob, _)| blob.charge().bytes()).sum(),
            memory_bytes: common.memory.used(),
            trouble: self.trouble(),
            damaged_blocks: common.damaged.load(Ordering::Relaxed),
            unreadable_blocks: common.unreadable.load(Ordering::Relaxed),
            refused_blobs: catalog.refused_count(),
        }
    }

    /// What is wrong with the disk, if it did not take what was last to be
    /// written: what happened, to which file, and what to do.
    pub fn trouble(&self) -> Option<String> {
        self.inner.common.health.trouble()
    }

    fn find(&self, blob: BlobId) -> Option<Arc<Blob>> {
        read(&self.inner.catalog).get(blob).cloned()
    }
}

enum Lock {
    Taken(Box<dyn DiskLock>),
    /// Nothing may be written here, as the error says, so nobody needs one.
    NotNeeded(FileError),
}

/// Locks the folder.
fn take_lock(disk: &dyn Disk, folder: &Path) -> Result<Lock, OpenError> {
    let path = folder.join("lock");
    match disk.lock(&path).map_err(FileError::at("lock", &path)) {
        Ok(Some(lock)) => Ok(Lock::Taken(lock)),
        Ok(None) => Err(OpenError::InUse(folder.to_owned())),
        Err(error) if error.is_refusal() => Ok(Lock::NotNeeded(error)),
        Err(error) => Err(error.into()),
    }
}
