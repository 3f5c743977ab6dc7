//! One cached blob: its files, and what is known of them in memory.
//!
//! Two locks. `state` is what readers look at; it is never held during I/O.
//! `fill` orders those who write this blob's files, and is held while they do.
//! Who holds `fill` may take `state`, never the other way round.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use antiphon_types::{BlobId, BlobSize, BlockSet};
use bytes::Bytes;

use crate::budget::Charge;
use crate::common::{Common, data_path, meta_path};
use crate::disk::{self, DiskFile, Durable, FileError};
use crate::error::PutError;
use crate::hashing::{self, Hash, Pair};
use crate::meta;
use crate::proof::ProofCursor;
use crate::sync::{Mutex, RwLock, lock, read, write};
use crate::tree::{BlobTree, NewPairs};

/// Whether a block was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was verified and is there now.
    Stored,
    /// It was verified and had been there.
    AlreadyThere,
}

/// A blob on disk, whole or in part.
#[derive(Debug)]
pub(crate) struct Blob {
    id: BlobId,
    size: BlobSize,
    charge: Charge,
    common: Arc<Common>,
    data: RwLock<Option<Arc<DiskFile>>>,
    state: RwLock<State>,
    fill: Mutex<Fill>,
}

#[derive(Debug)]
struct State {
    /// The blocks that are there, or were claimed to be when the store was
    /// opened. Once there is a tree, it knows the hashes of all of them.
    have: BlockSet,
    /// The blocks put since the last sync.
    unsynced: Option<BlockSet>,
    /// Read from disk when first needed.
    tree: Option<BlobTree>,
}

#[derive(Debug, Default)]
struct Fill {
    /// Removed from the store: its files may belong to a successor.
    gone: bool,
    /// The `.meta` file lacks something that is known in memory.
    rewrite_meta: bool,
    meta: Option<DiskFile>,
}

impl Blob {
    /// Makes the files of a blob of which nothing is there.
    pub(crate) fn create(
        common: &Arc<Common>,
        id: BlobId,
        size: BlobSize,
    ) -> Result<Self, FileError> {
        let have = BlockSet::empty(size);
        let tree = BlobTree::new(id, size);
        disk::make_empty(&data_path(&common.folder, id))?;
        let file = meta::whole_file(id, size, &have, None);
        disk::replace(&meta_path(&common.folder, id), &file, Durable::No)?;
        Ok(Self::new(common, id, size, have, Some(tree)))
    }

    /// Takes over the files of a blob whose bitmap claims to `have` blocks.
    pub(crate) fn found(common: &Arc<Common>, id: BlobId, size: BlobSize, have: BlockSet) -> Self {
        Self::new(common, id, size, have, None)
    }

    fn new(
        common: &Arc<Common>,
        id: BlobId,
        size: BlobSize,
        have: BlockSet,
        tree: Option<BlobTree>,
    ) -> Self {
        let charge = Charge::open(&common.ledger, meta::file_bytes(size) + bytes_of(size, &have));
        Self {
            id,
            size,
            charge,
            common: Arc::clone(common),
            data: RwLock::default(),
            state: RwLock::new(State { have, unsynced: None, tree }),
            fill: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> BlobId {
        self.id
    }

    pub(crate) fn size(&self) -> BlobSize {
        self.size
    }

    pub(crate) fn charge(&self) -> &Charge {
        &self.charge
    }

    pub(crate) fn blocks(&self) -> BlockSet {
        read(&self.state).have.clone()
    }

    pub(crate) fn block_count_held(&self) -> u32 {
        read(&self.state).have.len()
    }

    pub(crate) fn is_complete(&self) -> bool {
        read(&self.state).have.is_full()
    }

    /// A block, verified; none if it is not there, or was found damaged.
    pub(crate) fn read(self: &Arc<Self>, block: u32) -> Result<Option<Bytes>, FileError> {
        self.load()?;
        let Some(expected) = self.expected(block) else { return Ok(None) };
        let found = self.fetch(block, &expected)?;
        if found.is_none() {
            self.drop_damaged(block);
        }
        Ok(found)
    }

    /// The pairs that prove a block; none if it is not there.
    pub(crate) fn proof(
        &self,
        block: u32,
        cursor: &mut ProofCursor,
    ) -> Result<Option<Vec<u8>>, FileError> {
        self.load()?;
        let state = read(&self.state);
        let tree = state.tree.as_ref().filter(|_| state.have.contains(block));
        Ok(tree.and_then(|tree| tree.proof(block, cursor)))
    }

    /// Verifies a block and keeps it. `make_room` is asked to charge its bytes
    /// to this blob.
    pub(crate) fn put(
        self: &Arc<Self>,
        block: u32,
        proof: &[u8],
        data: &[u8],
        make_room: impl FnOnce(u64) -> bool,
    ) -> Result<Put, PutError> {
        self.load()?;
        let (new, is_there) = {
            let state = read(&self.state);
            let tree = state.tree.as_ref().ok_or(PutError::NotBegun)?;
            (tree.check(block, proof, data)?, state.have.contains(block))
        };
        if is_there {
            return Ok(Put::AlreadyThere);
        }
        let bytes = data.len() as u64;
        if !make_room(bytes) {
            self.learn_only(&new);
            return Err(PutError::NoRoom);
        }
        let stored = self.store(block, data, &new);
        if !matches!(stored, Ok(Put::Stored)) {
            self.charge.subtract(bytes);
        }
        stored
    }

    /// Makes what is there outlive a power cut. What cannot be made to is
    /// dropped: after a failed sync nobody knows what is on the disk.
    pub(crate) fn sync(self: &Arc<Self>) -> Result<Synced, FileError> {
        let unsynced = write(&self.state).unsynced.take();
        let mut fill = lock(&self.fill);
        if fill.gone || (unsynced.is_none() && !fill.rewrite_meta) {
            return Ok(Synced::Nothing);
        }
        let rewritten = if fill.rewrite_meta { self.rewrite_meta(&mut fill) } else { Ok(()) };
        drop(fill);
        let synced = rewritten.and_then(|()| {
            self.data_file()?.sync()?;
            DiskFile::open(&self.meta_path())?.sync()
        });
        match synced {
            Ok(()) => Ok(Synced::Something),
            Err(error) => {
                self.forget(unsynced.as_ref()).map_or(Ok(Synced::Nothing), |()| Err(error))
            }
        }
    }

    /// Removes its files. Whoever still has it finds nothing in it.
    pub(crate) fn destroy(&self) -> Result<(), FileError> {
        let mut fill = lock(&self.fill);
        fill.gone = true;
        fill.meta = None;
        *write(&self.data) = None;
        write(&self.state).have = BlockSet::empty(self.size);
        self.charge.close();
        // Data without its `.meta` is cleared away at the next opening.
        disk::remove(&self.meta_path())?;
        disk::remove(&data_path(&self.common.folder, self.id))
    }

    /// Reads the tree from disk if that was not done yet, and drops the claims
    /// that it does not bear out.
    fn load(&self) -> Result<(), FileError> {
        if read(&self.state).tree.is_some() {
            return Ok(());
        }
        let mut fill = lock(&self.fill);
        if read(&self.state).tree.is_some() {
            return Ok(());
        }
        let file = disk::read_all(&self.meta_path(), meta::file_bytes(self.size))?;
        let file = file.unwrap_or_default();
        let mut tree = BlobTree::new(self.id, self.size);
        tree.load(|middle| {
            let at = usize::try_from(meta::pair_offset(self.size, middle)).ok()?;
            Pair::from_slice(file.get(at..at + hashing::PAIR_BYTES)?)
        });
        let mut state = write(&self.state);
        let unfounded: Vec<u32> = state
            .have
            .ranges()
            .flat_map(|range| range.iter())
            .filter(|&block| !tree.knows_block(block))
            .collect();
        for &block in &unfounded {
            self.unclaim(&mut state, block);
        }
        fill.rewrite_meta |= !unfounded.is_empty();
        state.tree = Some(tree);
        Ok(())
    }

    /// The hash of a block that is there.
    fn expected(&self, block: u32) -> Option<Hash> {
        let state = read(&self.state);
        if !state.have.contains(block) {
            return None;
        }
        state.tree.as_ref()?.block_hash(block)
    }

    /// The bytes of a block; none if they are missing or are not those.
    fn fetch(self: &Arc<Self>, block: u32, expected: &Hash) -> Result<Option<Bytes>, FileError> {
        let Some(index) = self.size.block(block) else { return Ok(None) };
        let mut buffer = vec![0; self.size.block_bytes(index) as usize];
        let filled = self.data_file().and_then(|file| file.read_at(&mut buffer, index.offset()));
        match filled {
            Err(error) if error.is_missing() => return Ok(None),
            filled => filled?,
        }
        let hash = hashing::block_hash(self.size.block_count(), block, &buffer);
        Ok((hash == *expected).then(|| Bytes::from(buffer)))
    }

    /// Looks at a block again, now that nobody writes, and drops it if it is
    /// still bad.
    fn drop_damaged(self: &Arc<Self>, block: u32) {
        let mut fill = lock(&self.fill);
        if fill.gone {
            return;
        }
        let Some(expected) = self.expected(block) else { return };
        if !matches!(self.fetch(block, &expected), Ok(None)) {
            return;
        }
        // Its file may be another by now: deleted, or put back.
        *write(&self.data) = None;
        self.unclaim(&mut write(&self.state), block);
        let byte = meta::bitmap_byte(&read(&self.state).have, block);
        let cleared = self
            .meta_file(&mut fill)
            .and_then(|file| file.write_at(&[byte], meta::bit_offset(block)));
        fill.rewrite_meta |= cleared.is_err();
    }

    /// A block that was claimed is not there.
    fn unclaim(&self, state: &mut State, block: u32) {
        if state.have.remove(block) {
            if let Some(unsynced) = state.unsynced.as_mut() {
                unsynced.remove(block);
            }
            let bytes = self.size.block(block).map_or(0, |index| self.size.block_bytes(index));
            self.charge.subtract(u64::from(bytes));
            self.common.damaged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Drops blocks that may not have reached the disk; none if it is all the
    /// same, because the blob is gone.
    fn forget(&self, blocks: Option<&BlockSet>) -> Option<()> {
        let mut fill = lock(&self.fill);
        if fill.gone {
            return None;
        }
        fill.rewrite_meta = true;
        let mut state = write(&self.state);
        for block in blocks.into_iter().flat_map(BlockSet::ranges).flat_map(|range| range.iter()) {
            self.unclaim(&mut state, block);
        }
        Some(())
    }

    /// Keeps pairs for blocks that lean on them, though their own is not kept.
    fn learn_only(&self, new: &NewPairs) {
        let mut fill = lock(&self.fill);
        fill.rewrite_meta |= !new.0.is_empty();
        self.learn(new);
    }

    fn learn(&self, new: &NewPairs) {
        if let Some(tree) = write(&self.state).tree.as_mut() {
            tree.learn(new);
        }
    }

    /// Writes a verified block, then what proves it, then that it is there.
    fn store(self: &Arc<Self>, block: u32, data: &[u8], new: &NewPairs) -> Result<Put, PutError> {
        let mut fill = lock(&self.fill);
        if fill.gone {
            return Err(PutError::NotBegun);
        }
        if read(&self.state).have.contains(block) {
            return Ok(Put::AlreadyThere);
        }
        // True, whatever becomes of the disk: the next block may lean on them.
        self.learn(new);
        if let Err(error) = self.write_block(&mut fill, block, data, new) {
            fill.rewrite_meta = true;
            return Err(error.into());
        }
        let mut state = write(&self.state);
        state.have.insert(block);
        state.unsynced.get_or_insert_with(|| BlockSet::empty(self.size)).insert(block);
        Ok(Put::Stored)
    }

    fn write_block(
        self: &Arc<Self>,
        fill: &mut Fill,
        block: u32,
        data: &[u8],
        new: &NewPairs,
    ) -> Result<(), FileError> {
        let Some(index) = self.size.block(block) else { return Ok(()) };
        self.data_file_or_new()?.write_at(data, index.offset())?;
        if fill.rewrite_meta {
            self.rewrite_meta(fill)?;
        }
        let byte = meta::bitmap_byte(&read(&self.state).have, block) | 1 << (block % 8);
        let file = self.meta_file(fill)?;
        for (middle, pair) in &new.0 {
            file.write_at(&pair.to_bytes(), meta::pair_offset(self.size, *middle))?;
        }
        file.write_at(&[byte], meta::bit_offset(block))
    }

    /// Replaces the `.meta` file by what is known in memory.
    fn rewrite_meta(&self, fill: &mut Fill) -> Result<(), FileError> {
        let file = {
            let state = read(&self.state);
            meta::whole_file(self.id, self.size, &state.have, state.tree.as_ref())
        };
        fill.meta = None;
        disk::replace(&self.meta_path(), &file, Durable::No)?;
        fill.rewrite_meta = false;
        Ok(())
    }

    fn meta_file<'a>(&self, fill: &'a mut Fill) -> Result<&'a DiskFile, FileError> {
        if fill.meta.is_none() {
            match DiskFile::open(&self.meta_path()) {
                Err(error) if error.is_missing() => self.rewrite_meta(fill)?,
                opened => fill.meta = Some(opened?),
            }
        }
        match &mut fill.meta {
            Some(file) => Ok(file),
            empty => Ok(empty.insert(DiskFile::open(&self.meta_path())?)),
        }
    }

    fn data_file(self: &Arc<Self>) -> Result<Arc<DiskFile>, FileError> {
        self.data_file_by(DiskFile::open)
    }

    fn data_file_or_new(self: &Arc<Self>) -> Result<Arc<DiskFile>, FileError> {
        self.data_file_by(DiskFile::open_or_create)
    }

    fn data_file_by(
        self: &Arc<Self>,
        open: impl FnOnce(&Path) -> Result<DiskFile, FileError>,
    ) -> Result<Arc<DiskFile>, FileError> {
        if let Some(file) = &*read(&self.data) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open(&data_path(&self.common.folder, self.id))?);
        *write(&self.data) = Some(Arc::clone(&file));
        self.common.opened(self);
        Ok(file)
    }

    /// Closes its files as far as nobody is using them.
    pub(crate) fn close_files(&self) {
        *write(&self.data) = None;
        if let Ok(mut fill) = self.fill.try_lock() {
            fill.meta = None;
        }
    }

    fn meta_path(&self) -> PathBuf {
        meta_path(&self.common.folder, self.id)
    }
}

/// Whether there was anything to sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synced {
    Nothing,
    Something,
}

/// Bytes of some blocks of a blob.
fn bytes_of(size: BlobSize, blocks: &BlockSet) -> u64 {
    let ranges = blocks.ranges().map(|range| {
        let block = u64::from(antiphon_types::BLOCK_BYTES);
        let end = (u64::from(range.end) * block).min(size.bytes());
        end - u64::from(range.start) * block
    });
    ranges.sum()
}
