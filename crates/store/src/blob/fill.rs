//! Taking blocks in: to the disk, or to memory where the disk would not.

use std::sync::Arc;

use antiphon_types::BlockSet;
use bytes::Bytes;

use super::home::Home;
use super::{Blob, Fill, InMemory, State};
use crate::disk::FileError;
use crate::error::PutError;
use crate::head;
use crate::memory::{Displaced, Ticket};
use crate::sync::{lock, read, write};
use crate::tree::NewPairs;

/// Where a block that was put is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was verified and is on the disk now, though not yet durable.
    Stored,
    /// It was verified and had been there.
    AlreadyThere,
    /// It was verified and is in memory, because the disk would not take it or
    /// the budget has no room for it.
    InMemory,
}

/// What a blob asks of the store that it is in.
pub(crate) trait Room {
    /// Charges bytes to the blob, for which others may be evicted; false if no
    /// room can be made.
    fn charge(&self, bytes: u64) -> bool;

    /// The disk is full: evicts others who hold so many bytes; false if that
    /// cannot be, or was tried and did not help.
    fn free_disk(&self, bytes: u64) -> bool;
}

impl Blob {
    /// Verifies a block and keeps it.
    pub(crate) fn put(
        self: &Arc<Self>,
        block: u32,
        proof: &[u8],
        data: &[u8],
        room: &impl Room,
    ) -> Result<Put, PutError> {
        self.load().map_err(PutError::NotChecked)?;
        let (new, is_there, is_bad) = {
            let state = read(&self.state);
            let tree = state.tree.as_ref().ok_or(PutError::NotBegun)?;
            let new = tree.check(block, proof, data)?;
            (new, state.have.contains(block), state.is_bad(block))
        };
        if is_there {
            return Ok(Put::AlreadyThere);
        }
        let refused = if !is_bad && self.has_disk() && self.common.health.may_try() {
            match self.put_on_disk(block, data, &new, room) {
                Err(error @ (PutError::NoRoom | PutError::Io(_))) => Some(error),
                done => return done,
            }
        } else {
            None
        };
        match (self.put_in_memory(block, data, &new)?, refused) {
            (Some(put), _) => Ok(put),
            (None, Some(refused)) => Err(refused),
            (None, None) if self.has_disk() => self.put_on_disk(block, data, &new, room),
            (None, None) => Err(PutError::NoRoom),
        }
    }

    /// Whether its file may be written to.
    pub(super) fn has_disk(&self) -> bool {
        lock(&self.fill).home.takes_blocks()
    }

    fn put_on_disk(
        self: &Arc<Self>,
        block: u32,
        data: &[u8],
        new: &NewPairs,
        room: &impl Room,
    ) -> Result<Put, PutError> {
        let (bytes, head) = (data.len() as u64, self.bytes_of_new_file());
        if !room.charge(bytes + head) {
            self.learn_only(new);
            return Err(PutError::NoRoom);
        }
        let mut fill = lock(&self.fill);
        let mut stored = self.store(&mut fill, block, data, new);
        if matches!(&stored, Err(PutError::Io(error)) if error.is_full()) {
            // Not while it is held: those who have to go have their own.
            drop(fill);
            let may_try = room.free_disk(bytes + head);
            fill = lock(&self.fill);
            if may_try {
                stored = self.store(&mut fill, block, data, new);
            }
        }
        self.settle_head(&mut fill, head);
        drop(fill);
        match &stored {
            Ok(Put::Stored) => {
                self.common.health.succeeded();
                return stored;
            }
            Err(PutError::Io(error)) => self.common.health.failed(error),
            _ => {}
        }
        self.charge.subtract(bytes);
        stored
    }

    /// Gives back what was charged for the head of a new file, unless the file was
    /// made: another filler may have been first, or nobody could.
    pub(super) fn settle_head(&self, fill: &mut Fill, charged: u64) {
        if charged > 0 && !std::mem::take(&mut fill.head_uncharged) {
            self.charge.subtract(charged);
        }
    }

    /// What the file takes besides blocks, if it is still to be made.
    pub(super) fn bytes_of_new_file(&self) -> u64 {
        match lock(&self.fill).home {
            Home::ToBeMade => head::disk_bytes(self.size),
            _ => 0,
        }
    }

    /// Writes a verified block, then what proves it, then that it is there.
    fn store(
        self: &Arc<Self>,
        fill: &mut Fill,
        block: u32,
        data: &[u8],
        new: &NewPairs,
    ) -> Result<Put, PutError> {
        if fill.gone {
            return Err(PutError::NotBegun);
        }
        if read(&self.state).have.contains(block) {
            return Ok(Put::AlreadyThere);
        }
        // True, whatever becomes of the disk: the next block may lean on them.
        self.learn(new);
        match self.write_block(fill, block, data, new.middles()) {
            Ok(()) => Ok(Put::Stored),
            Err(error) => {
                fill.notes.everything = true;
                Err(error.into())
            }
        }
    }

    /// Writes a block that is not on disk yet, and now and then the head.
    pub(super) fn write_block(
        self: &Arc<Self>,
        fill: &mut Fill,
        block: u32,
        data: &[u8],
        new_middles: impl Iterator<Item = u32>,
    ) -> Result<(), FileError> {
        let Some(index) = self.size.block(block) else { return Ok(()) };
        let file = self.file_or_new(fill)?;
        file.write_at(data, self.place(index.offset())).map_err(self.failed("write to"))?;
        fill.notes.block_came(block, new_middles);
        let was_in_memory = self.came_to_disk(block);
        if fill.notes.are_due()
            && let Err(error) = self.write_notes(fill, &*file)
        {
            // Its bit is not on disk, so neither is the block.
            self.did_not_come(block, was_in_memory);
            return Err(error);
        }
        if let Some(kept) = was_in_memory {
            self.common.memory.release(kept.ticket);
        }
        Ok(())
    }

    /// A block is on the disk, and no longer in memory alone.
    fn came_to_disk(&self, block: u32) -> Option<InMemory> {
        let mut state = write(&self.state);
        state.have.insert(block);
        state.unsynced.get_or_insert_with(|| BlockSet::empty(self.size)).insert(block);
        state.memory.remove(&block)
    }

    fn did_not_come(&self, block: u32, was_in_memory: Option<InMemory>) {
        let mut state = write(&self.state);
        if let Some(unsynced) = state.unsynced.as_mut() {
            unsynced.remove(block);
        }
        let kept = was_in_memory
            .is_some_and(|InMemory { ticket, bytes }| self.keep(&mut state, block, ticket, bytes));
        if !kept {
            state.have.remove(block);
        }
    }

    /// Keeps a verified block in memory; none if that has no room.
    fn put_in_memory(
        self: &Arc<Self>,
        block: u32,
        data: &[u8],
        new: &NewPairs,
    ) -> Result<Option<Put>, PutError> {
        let Some(ticket) = self.admit(block) else {
            self.learn_only(new);
            return Ok(None);
        };
        let mut fill = lock(&self.fill);
        let is_there = read(&self.state).have.contains(block);
        if fill.gone || is_there {
            self.common.memory.release(ticket);
            return if fill.gone { Err(PutError::NotBegun) } else { Ok(Some(Put::AlreadyThere)) };
        }
        self.learn(new);
        fill.notes.everything |= !new.is_empty();
        let kept = self.keep(&mut write(&self.state), block, ticket, Bytes::copy_from_slice(data));
        Ok(kept.then_some(Put::InMemory))
    }

    /// Keeps a block in memory; false if it has had to make room for others since
    /// it was admitted.
    pub(super) fn keep(&self, state: &mut State, block: u32, ticket: Ticket, bytes: Bytes) -> bool {
        let has_room = self.common.memory.has(ticket);
        if has_room {
            state.have.insert(block);
            state.memory.insert(block, InMemory { ticket, bytes });
        }
        has_room
    }

    /// Room in memory for a block. Only without a lock.
    pub(super) fn admit(self: &Arc<Self>, block: u32) -> Option<Ticket> {
        let (ticket, gone) = self.common.memory.admit(self, block, self.block_bytes(block))?;
        for Displaced { blob, block, ticket } in gone {
            blob.forget_in_memory(block, ticket);
        }
        Some(ticket)
    }

    /// A block had to make room for another in memory.
    fn forget_in_memory(&self, block: u32, ticket: Ticket) {
        let mut state = write(&self.state);
        if state.memory.get(&block).is_some_and(|kept| kept.ticket == ticket) {
            state.memory.remove(&block);
            state.have.remove(block);
        }
    }

    /// Keeps pairs for blocks that lean on them, though their own is not kept.
    fn learn_only(&self, new: &NewPairs) {
        let mut fill = lock(&self.fill);
        fill.notes.everything |= !new.is_empty();
        self.learn(new);
    }

    fn learn(&self, new: &NewPairs) {
        if let Some(tree) = write(&self.state).tree.as_mut() {
            tree.learn(new);
        }
    }
}
