//! What the blobs of a store have in common.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use antiphon_types::BlobId;

use crate::blob::Blob;
use crate::budget::Ledger;
use crate::sync::{Mutex, lock};

/// What all blobs of a store share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Arc<Ledger>,
    /// Blocks that were found damaged since the store was opened.
    pub(crate) damaged: AtomicU64,
    /// Blobs whose data file is open, in the order of opening.
    open: Mutex<VecDeque<Weak<Blob>>>,
    open_limit: usize,
}

impl Common {
    pub(crate) fn new(folder: PathBuf, open_limit: usize) -> Self {
        let open_limit = open_limit.max(1);
        let (ledger, damaged) = (Arc::default(), AtomicU64::new(0));
        Self { folder, ledger, damaged, open: Mutex::default(), open_limit }
    }

    /// Notes that a blob has a file open, and closes that of another if need be.
    pub(crate) fn opened(&self, blob: &Arc<Blob>) {
        let mut open = lock(&self.open);
        open.push_back(Arc::downgrade(blob));
        let surplus = open.len().saturating_sub(self.open_limit);
        let surplus: Vec<_> = open.drain(..surplus).collect();
        drop(open);
        surplus.iter().filter_map(Weak::upgrade).for_each(|blob| blob.close_files());
    }
}

/// Where a blob's blocks are.
pub(crate) fn data_path(folder: &Path, blob: BlobId) -> PathBuf {
    folder.join(format!("{blob}.data"))
}

/// Where it is written which blocks are there.
pub(crate) fn meta_path(folder: &Path, blob: BlobId) -> PathBuf {
    folder.join(format!("{blob}.meta"))
}
