//! The folder of blobs that a server gives out.

use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_types::{BlobId, BlobSize};
use bytes::Bytes;
use lru::LruCache;

use crate::disk::{self, DiskFile, Durable, FileError, SystemDisk};
use crate::error::{AddError, OriginReadError};
use crate::outboard;
use crate::proof::ProofCursor;
use crate::sync::{Mutex, RwLock, lock, read, write};
use crate::tree::BlobTree;

/// Blobs whose tree and file are kept at hand. Default 256: a server reads the
/// same few blobs over and over, and the rest from the start.
const AT_HAND: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

/// The outboard of the largest blob: its length, and a pair for each block but one.
const LARGEST_OUTBOARD_BYTES: u64 = 8 + (64 << 22);

/// Bytes that are copied at a time.
const COPY_BYTES: u64 = 256 * 1024;

/// A folder of complete, immutable blobs.
///
/// Several processes may use one folder: files come into being whole, under
/// their names, and never change. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Origin {
    folder: Arc<Path>,
    at_hand: Arc<Mutex<LruCache<BlobId, OriginBlob>>>,
}

/// A blob of an [`Origin`].
#[derive(Debug, Clone)]
pub struct OriginBlob {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: BlobTree,
    /// Opened again when a block in it is bad: the file may have been restored.
    data: RwLock<Arc<dyn DiskFile>>,
    path: PathBuf,
}

impl Origin {
    /// Opens a folder, which is made if it is missing.
    pub fn open(folder: &Path) -> Result<Self, FileError> {
        disk::make_folder(&SystemDisk, folder)?;
        let at_hand = Arc::new(Mutex::new(LruCache::new(AT_HAND)));
        Ok(Self { folder: folder.into(), at_hand })
    }

    /// Adds a blob. It is durable on return.
    ///
    /// If it is there already and whole, nothing is written; if it is damaged,
    /// it is replaced.
    pub fn add(&self, bytes: &[u8]) -> Result<(BlobId, BlobSize), AddError> {
        let size = BlobSize::new(bytes.len() as u64)?;
        let blob = crate::hash(bytes);
        if self.is_stored(blob, bytes) {
            return Ok((blob, size));
        }
        lock(&self.at_hand).pop(&blob);
        // The outboard first: who finds a blob finds its outboard.
        let outboard = outboard::encode(bytes).ok_or(antiphon_types::BlobSizeError(0))?;
        disk::replace(&SystemDisk, &self.outboard_path(blob), &outboard, Durable::Yes)?;
        disk::replace(&SystemDisk, &self.data_path(blob), bytes, Durable::Yes)?;
        // Whoever asked meanwhile may have found the old one.
        lock(&self.at_hand).pop(&blob);
        Ok((blob, size))
    }

    /// Adds a blob as [`add`](Self::add) does, out of something that is read
    /// twice from its start: in memory there is only its outboard, 0.4 % of it.
    pub fn add_from(&self, mut source: impl Read + Seek) -> Result<(BlobId, BlobSize), AddError> {
        let length = source.seek(SeekFrom::End(0)).map_err(AddError::Source)?;
        let size = BlobSize::new(length)?;
        source.rewind().map_err(AddError::Source)?;
        let (blob, outboard) =
            outboard::encode_from(&mut source, size).map_err(AddError::Source)?;
        if self.is_whole(blob) {
            return Ok((blob, size));
        }
        lock(&self.at_hand).pop(&blob);
        disk::replace(&SystemDisk, &self.outboard_path(blob), &outboard, Durable::Yes)?;
        source.rewind().map_err(AddError::Source)?;
        disk::replace_by(&SystemDisk, &self.data_path(blob), Durable::Yes, |file| {
            copy(&mut source, file, length)
        })?;
        lock(&self.at_hand).pop(&blob);
        Ok((blob, size))
    }

    /// Whether a blob is there with every block as it should be. Reads all of it.
    pub fn is_whole(&self, blob: BlobId) -> bool {
        self.get(blob)
            .is_some_and(|blob| blob.size().all().iter().all(|block| blob.read(block).is_ok()))
    }

    /// A blob; none if it is not there or was altered beyond use.
    ///
    /// A missing or damaged outboard is computed anew from the blob.
    pub fn get(&self, blob: BlobId) -> Option<OriginBlob> {
        if let Some(found) = lock(&self.at_hand).get(&blob) {
            return Some(found.clone());
        }
        let path = self.data_path(blob);
        let data = disk::open_to_read(&SystemDisk, &path).ok()?;
        let tree = self.stored_tree(blob).or_else(|| self.new_tree(blob))?;
        let inner = Inner { tree, data: RwLock::new(data), path };
        let inner = if inner.has_end() {
            inner
        } else {
            // Pairs do not tell the length, the last block does. If it is the
            // blob that was altered, what is good of it is served all the same.
            Inner { tree: self.new_tree(blob).unwrap_or(inner.tree), ..inner }
        };
        let found = OriginBlob { inner: Arc::new(inner) };
        lock(&self.at_hand).put(blob, found.clone());
        Some(found)
    }

    /// The tree in the outboard; none if that is missing or damaged.
    fn stored_tree(&self, blob: BlobId) -> Option<BlobTree> {
        let stored = disk::read_all(&SystemDisk, &self.outboard_path(blob), LARGEST_OUTBOARD_BYTES)
            .ok()
            .flatten()?;
        outboard::decode(blob, &stored).ok()
    }

    /// The tree computed from the blob, with which the outboard is replaced; none
    /// if the blob was altered.
    fn new_tree(&self, blob: BlobId) -> Option<BlobTree> {
        let bytes = disk::read_all(&SystemDisk, &self.data_path(blob), u64::MAX).ok().flatten()?;
        let encoded = outboard::encode(&bytes)?;
        let tree = outboard::decode(blob, &encoded).ok()?;
        // It serves without, if the folder may not be written.
        let _ = disk::replace(&SystemDisk, &self.outboard_path(blob), &encoded, Durable::Yes);
        Some(tree)
    }

    fn is_stored(&self, blob: BlobId, bytes: &[u8]) -> bool {
        let limit = bytes.len() as u64 + 1;
        let stored = disk::read_all(&SystemDisk, &self.data_path(blob), limit).ok().flatten();
        stored.is_some_and(|stored| stored == bytes) && self.get(blob).is_some()
    }

    fn data_path(&self, blob: BlobId) -> PathBuf {
        self.folder.join(format!("{blob}.blob"))
    }

    fn outboard_path(&self, blob: BlobId) -> PathBuf {
        self.folder.join(format!("{blob}.obao4"))
    }
}

/// Copies so many bytes to the start of a file.
fn copy(source: &mut impl Read, file: &dyn DiskFile, length: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < length {
        buffer.clear();
        source.by_ref().take(COPY_BYTES.min(length - at)).read_to_end(&mut buffer)?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&buffer, at)?;
        at += buffer.len() as u64;
    }
    Ok(())
}

impl Inner {
    /// Reads a block and verifies it.
    fn read(&self, block: u32) -> Result<Bytes, OriginReadError> {
        let data = Arc::clone(&read(&self.data));
        match self.read_from(&*data, block) {
            Err(OriginReadError::Damaged(_)) => {
                let restored = disk::open_to_read(&SystemDisk, &self.path)?;
                let found = self.read_from(&*restored, block)?;
                *write(&self.data) = restored;
                Ok(found)
            }
            found => found,
        }
    }

    fn read_from(&self, data: &dyn DiskFile, block: u32) -> Result<Bytes, OriginReadError> {
        let size = self.tree.size();
        let index = size.block(block).ok_or(OriginReadError::OutOfRange(block))?;
        let len = size.block_bytes(index) as usize;
        let mut buffer = Vec::with_capacity(len);
        let filled = data.read_at(&mut buffer, len, index.offset());
        match filled.map_err(FileError::at("read", &self.path)) {
            Err(error) if error.is_missing() => return Err(OriginReadError::Damaged(block)),
            filled => filled?,
        }
        if !self.tree.is_block(block, &buffer) {
            return Err(OriginReadError::Damaged(block));
        }
        Ok(Bytes::from(buffer))
    }

    /// Whether the last block is good, and with it the length.
    fn has_end(&self) -> bool {
        self.read(self.tree.size().block_count() - 1).is_ok()
    }
}

impl OriginBlob {
    /// Its id.
    pub fn blob(&self) -> BlobId {
        self.inner.tree.blob()
    }

    /// Its size.
    pub fn size(&self) -> BlobSize {
        self.inner.tree.size()
    }

    /// Reads a block and verifies it.
    pub fn read(&self, block: u32) -> Result<Bytes, OriginReadError> {
        self.inner.read(block)
    }

    /// The proof of a block, less what `cursor` has seen; empty for a block that
    /// [`read`](Self::read) refuses as out of range.
    pub fn proof(&self, block: u32, cursor: &mut ProofCursor) -> Vec<u8> {
        self.inner.tree.proof(block, cursor).unwrap_or_default()
    }
}
