//! What the blobs of a store have in common.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use antiphon_types::BlobId;

use crate::blob::Blob;
use crate::budget::Ledger;
use crate::disk::Disk;
use crate::figures::Config;
use crate::head::Layout;
use crate::health::Health;
use crate::memory::Memory;
use crate::sync::{Mutex, lock};

/// What all blobs of a store share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) disk: Arc<dyn Disk>,
    /// Where the blobs are.
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) memory: Memory,
    pub(crate) health: Health,
    /// Blocks that were found damaged since the store was opened.
    pub(crate) damaged: AtomicU64,
    /// Blocks that the disk did not give since the store was opened.
    pub(crate) unreadable: AtomicU64,
    /// Blobs whose file is open, in the order of opening.
    open: Mutex<VecDeque<Weak<Blob>>>,
    open_limit: usize,
}

impl Common {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, config: &Config) -> Self {
        Self {
            disk,
            folder,
            ledger: Arc::default(),
            memory: Memory::new(config.memory_bytes),
            health: Health::default(),
            damaged: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            open: Mutex::default(),
            open_limit: config.open_blobs.max(1),
        }
    }

    /// Notes that a blob has its file open, and closes that of another if need
    /// be.
    pub(crate) fn opened(&self, blob: &Arc<Blob>) {
        let surplus: Vec<_> = {
            let mut open = lock(&self.open);
            open.push_back(Arc::downgrade(blob));
            let surplus = open.len().saturating_sub(self.open_limit);
            open.drain(..surplus).collect()
        };
        self.close(surplus);
    }

    /// Closes the files of all blobs.
    pub(crate) fn close_all(&self) {
        let open = std::mem::take(&mut *lock(&self.open));
        self.close(open);
    }

    /// Closes the files of these blobs; those that have to stay open come up
    /// again later.
    fn close(&self, blobs: impl IntoIterator<Item = Weak<Blob>>) {
        let still_open = |blob: &Weak<Blob>| blob.upgrade().is_some_and(|blob| !blob.close_file());
        let still_open: Vec<_> = blobs.into_iter().filter(still_open).collect();
        lock(&self.open).extend(still_open);
    }

    /// Where the head of a blob is.
    pub(crate) fn path_of_head(&self, layout: Layout, blob: BlobId) -> PathBuf {
        match layout {
            Layout::OneFile => self.path(blob),
            Layout::TwoFiles => self.head_path(blob),
        }
    }

    /// Where a blob is.
    pub(crate) fn path(&self, blob: BlobId) -> PathBuf {
        self.folder.join(format!("{blob}.{ONE_FILE}"))
    }

    /// Where version 1 has the head of a blob.
    pub(crate) fn head_path(&self, blob: BlobId) -> PathBuf {
        self.folder.join(format!("{blob}.{HEAD}"))
    }

    /// Where version 1 has the blocks of a blob.
    pub(crate) fn data_path(&self, blob: BlobId) -> PathBuf {
        self.folder.join(format!("{blob}.{DATA}"))
    }
}

/// The ending of a blob's file.
pub(crate) const ONE_FILE: &str = "blob";
/// The ending of its head in version 1.
pub(crate) const HEAD: &str = "meta";
/// The ending of its blocks in version 1.
pub(crate) const DATA: &str = "data";
