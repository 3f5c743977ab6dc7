//! One cached blob: its file, and what is known of it in memory.
//!
//! Three locks. `state` is what readers look at; it is never held during I/O.
//! `fill` is held by the one who writes the blob's file, `syncing` by the one
//! who makes it durable; readers take neither, and no other blob's filler does.
//! Who holds `syncing` may take `fill`, who holds that `state`, never the other
//! way round.

mod fill;
mod home;
mod load;
mod notes;
mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use antiphon_types::{BlobId, BlobSize, BlockSet};
use bytes::Bytes;

use crate::budget::Charge;
use crate::common::Common;
use crate::disk::{Access, DiskFile, FileError};
use crate::hashing::{self, Hash};
use crate::head::{self, Layout};
use crate::memory::Ticket;
use crate::proof::ProofCursor;
use crate::sync::{Mutex, RwLock, lock, read, write};
use crate::tree::BlobTree;

pub use fill::Put;
pub(crate) use fill::Room;
use home::Home;
use notes::Notes;
pub(crate) use sync::Synced;

/// A blob, whole or in part.
#[derive(Debug)]
pub(crate) struct Blob {
    id: BlobId,
    size: BlobSize,
    layout: Layout,
    charge: Charge,
    common: Arc<Common>,
    state: RwLock<State>,
    fill: Mutex<Fill>,
    syncing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// The blocks that are there, or were claimed to be when the store was
    /// opened. Once there is a tree, it knows the hashes of all of them.
    have: BlockSet,
    /// Those of them that the disk would not take.
    memory: BTreeMap<u32, InMemory>,
    /// Those of them that were written since the last sync.
    unsynced: Option<BlockSet>,
    /// Read from disk when first needed.
    tree: Option<BlobTree>,
    /// Open while it is used.
    file: Option<Open>,
    /// How often a block that was there turned out damaged or unreadable.
    bad: BTreeMap<u32, u8>,
}

#[derive(Debug)]
struct Open {
    file: Arc<dyn DiskFile>,
    is_writable: bool,
}

#[derive(Debug)]
struct InMemory {
    ticket: Ticket,
    bytes: Bytes,
}

#[derive(Debug)]
struct Fill {
    /// Removed from the store: its file may belong to a successor.
    gone: bool,
    home: Home,
    /// What the head on disk lacks of what is known in memory.
    notes: Notes,
    /// A power cut may take the file's name; and more, if the file was found: who
    /// wrote it may have been killed before it synced.
    name_unsynced: bool,
    /// The file was made just now; whoever had its head charged takes note.
    head_uncharged: bool,
    /// A sync failed before any did not: what was found may be in the system's
    /// memory alone, which will not write it any more.
    found_unsynced: bool,
}

/// What is known of a block without asking the disk.
enum Look {
    Absent,
    InMemory(Bytes),
    OnDisk(Hash, Option<Arc<dyn DiskFile>>),
}

impl Blob {
    /// Makes the file of a blob of which nothing is there.
    pub(crate) fn create(
        common: &Arc<Common>,
        id: BlobId,
        size: BlobSize,
    ) -> Result<Arc<Self>, FileError> {
        let file = home::create(common, id, size)?;
        let blob = Self::new(common, Layout::OneFile, id, size, BlockSet::empty(size));
        let blob = Arc::new(blob);
        lock(&blob.fill).name_unsynced = true;
        write(&blob.state).tree = Some(BlobTree::new(id, size));
        blob.opened(file, Access::Create);
        Ok(blob)
    }

    /// A blob that has no file; it gets one when the disk takes it, unless one of
    /// a later version is there.
    pub(crate) fn without_file(
        common: &Arc<Common>,
        id: BlobId,
        size: BlobSize,
        is_refused: bool,
    ) -> Arc<Self> {
        let blob = Self::new(common, Layout::OneFile, id, size, BlockSet::empty(size));
        blob.charge.subtract(head::disk_bytes(size));
        write(&blob.state).tree = Some(BlobTree::new(id, size));
        {
            let mut fill = lock(&blob.fill);
            fill.home = if is_refused { Home::OfLaterVersion } else { Home::ToBeMade };
            fill.notes.everything = true;
        }
        Arc::new(blob)
    }

    /// Takes over the file of a blob whose bitmap claims to `have` blocks.
    pub(crate) fn found(
        common: &Arc<Common>,
        layout: Layout,
        id: BlobId,
        size: BlobSize,
        have: BlockSet,
    ) -> Self {
        let blob = Self::new(common, layout, id, size, have);
        lock(&blob.fill).name_unsynced = true;
        blob
    }

    fn new(
        common: &Arc<Common>,
        layout: Layout,
        id: BlobId,
        size: BlobSize,
        have: BlockSet,
    ) -> Self {
        let charge = Charge::open(&common.ledger, head::disk_bytes(size) + bytes_of(size, &have));
        let memory = BTreeMap::new();
        let bad = BTreeMap::new();
        let state = State { have, memory, unsynced: None, tree: None, file: None, bad };
        let notes = Notes::default();
        let fill = Fill {
            gone: false,
            home: Home::Disk,
            notes,
            name_unsynced: false,
            head_uncharged: false,
            found_unsynced: false,
        };
        Self {
            id,
            size,
            layout,
            charge,
            common: Arc::clone(common),
            state: RwLock::new(state),
            fill: Mutex::new(fill),
            syncing: Mutex::default(),
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

    /// Whether it was used since the store was opened.
    pub(crate) fn is_used(&self) -> bool {
        read(&self.state).tree.is_some()
    }

    /// Gives it up if it has no block and no file; false if it has. Whoever still
    /// has it can put nothing into it.
    pub(crate) fn give_up_if_empty(&self) -> bool {
        // Whoever is filling it has something for it.
        let Ok(mut fill) = self.fill.try_lock() else { return false };
        let has_file = matches!(fill.home, Home::Disk | Home::Unreadable);
        if has_file || !read(&self.state).have.is_empty() {
            return false;
        }
        fill.gone = true;
        self.charge.close();
        true
    }

    pub(crate) fn is_complete(&self) -> bool {
        read(&self.state).have.is_full()
    }

    /// A block, verified; none if it is not there, or was found damaged or
    /// unreadable.
    pub(crate) fn read(self: &Arc<Self>, block: u32) -> Result<Option<Bytes>, FileError> {
        self.load()?;
        let (expected, file) = match self.look(block) {
            Look::Absent => return Ok(None),
            Look::InMemory(bytes) => return Ok(Some(bytes)),
            Look::OnDisk(expected, file) => (expected, file),
        };
        match file.map_or_else(|| self.file(), Ok).and_then(|file| self.fetch(&*file, block)) {
            Ok(Some(bytes)) if self.is_block(block, &bytes, &expected) => Ok(Some(bytes)),
            Ok(_) => self.look_again(block),
            Err(error) if error.is_passing() => Err(error),
            Err(error) if error.is_missing() => self.look_again(block),
            Err(_) => {
                let _fill = lock(&self.fill);
                self.drop_unreadable(block);
                Ok(None)
            }
        }
    }

    /// As [`read`](Self::read), if that needs no waiting for the disk; otherwise
    /// none, which says nothing of the block.
    #[cfg(feature = "tokio")]
    pub(crate) fn read_at_once(&self, block: u32) -> Option<Bytes> {
        let (expected, file) = match self.look(block) {
            Look::Absent => return None,
            Look::InMemory(bytes) => return Some(bytes),
            Look::OnDisk(expected, file) => (expected, file?),
        };
        let index = self.size.block(block)?;
        let mut buffer = Vec::new();
        let len = self.size.block_bytes(index) as usize;
        let at_once = file.read_at_once(&mut buffer, len, self.place(index.offset()));
        let bytes = at_once.ok().filter(|&done| done).map(|_| Bytes::from(buffer))?;
        self.is_block(block, &bytes, &expected).then_some(bytes)
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

    /// Removes its file. Whoever still has it finds nothing in it.
    pub(crate) fn destroy(&self) -> Result<(), FileError> {
        let mut fill = lock(&self.fill);
        fill.gone = true;
        {
            let mut state = write(&self.state);
            state.have = BlockSet::empty(self.size);
            state.file = None;
            for kept in std::mem::take(&mut state.memory).into_values() {
                self.common.memory.release(kept.ticket);
            }
        }
        self.charge.close();
        match fill.home {
            Home::Disk | Home::Unreadable => self.remove_files(),
            Home::ToBeMade => {
                // One that could not be read may be there from before.
                let _ = self.remove_files();
                Ok(())
            }
            Home::OfLaterVersion => Ok(()),
        }
    }

    /// What is known of a block. Without a tree nothing is.
    fn look(&self, block: u32) -> Look {
        let state = read(&self.state);
        if !state.have.contains(block) {
            return Look::Absent;
        }
        if let Some(kept) = state.memory.get(&block) {
            return Look::InMemory(kept.bytes.clone());
        }
        match state.tree.as_ref().and_then(|tree| tree.block_hash(block)) {
            Some(expected) => {
                let file = state.file.as_ref().map(|open| Arc::clone(&open.file));
                Look::OnDisk(expected, file)
            }
            None => Look::Absent,
        }
    }

    /// The bytes where a block should be; none if the file ends before.
    fn fetch(&self, file: &dyn DiskFile, block: u32) -> Result<Option<Bytes>, FileError> {
        let Some(index) = self.size.block(block) else { return Ok(None) };
        let len = self.size.block_bytes(index) as usize;
        let mut buffer = Vec::with_capacity(len);
        let filled =
            file.read_at(&mut buffer, len, self.place(index.offset())).map_err(self.failed("read"));
        match filled {
            Err(error) if error.is_missing() => Ok(None),
            filled => filled.map(|()| Some(Bytes::from(buffer))),
        }
    }

    fn is_block(&self, block: u32, bytes: &[u8], expected: &Hash) -> bool {
        hashing::block_hash(self.size.block_count(), block, bytes) == *expected
    }

    /// Looks at a block that seemed bad, now that nobody writes, and drops it if
    /// it still is.
    fn look_again(self: &Arc<Self>, block: u32) -> Result<Option<Bytes>, FileError> {
        let mut fill = lock(&self.fill);
        let expected = match self.look(block) {
            Look::OnDisk(expected, _) if !fill.gone => expected,
            Look::InMemory(bytes) => return Ok(Some(bytes)),
            Look::OnDisk(..) | Look::Absent => return Ok(None),
        };
        // Its file may be another by now: deleted, or put back.
        self.close_file();
        match self.file().and_then(|file| self.fetch(&*file, block)) {
            Ok(Some(bytes)) if self.is_block(block, &bytes, &expected) => return Ok(Some(bytes)),
            Err(error) if error.is_passing() => return Err(error),
            Err(error) if !error.is_missing() => {
                self.drop_unreadable(block);
                return Ok(None);
            }
            _ => {}
        }
        self.unclaim(&mut write(&self.state), block);
        self.clear_bit(&mut fill, block);
        Ok(None)
    }

    /// A block that the disk does not give is not there for now. The claim stays
    /// on disk: tomorrow it may. Only while `fill` is held.
    fn drop_unreadable(&self, block: u32) {
        let mut state = write(&self.state);
        if state.is_on_disk(block) {
            self.take_out(&mut state, block);
            self.common.unreadable.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A block that was claimed to be on disk is not there.
    fn unclaim(&self, state: &mut State, block: u32) {
        if self.take_out(state, block) {
            self.common.damaged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a block out that its place on the disk did not give; false if it is
    /// not in.
    fn take_out(&self, state: &mut State, block: u32) -> bool {
        let was_there = self.remove_from_books(state, block);
        if was_there {
            let times = state.bad.entry(block).or_default();
            *times = times.saturating_add(1);
        }
        was_there
    }

    /// Takes a block that is on disk out of the books; false if it is not in.
    fn remove_from_books(&self, state: &mut State, block: u32) -> bool {
        let was_there = state.have.remove(block);
        if was_there {
            if let Some(unsynced) = state.unsynced.as_mut() {
                unsynced.remove(block);
            }
            self.charge.subtract(self.block_bytes(block));
        }
        was_there
    }

    fn block_bytes(&self, block: u32) -> u64 {
        self.size.block(block).map_or(0, |index| self.size.block_bytes(index).into())
    }
}

impl State {
    /// Whether the place of a block on the disk has failed before, written anew or
    /// not: it is not written to again.
    fn is_bad(&self, block: u32) -> bool {
        self.bad.get(&block).is_some_and(|times| *times > 1)
    }

    /// Whether the disk has a block.
    fn is_on_disk(&self, block: u32) -> bool {
        self.have.contains(block) && !self.memory.contains_key(&block)
    }
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
