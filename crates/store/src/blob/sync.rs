//! Making a blob outlive a power cut.

use std::sync::Arc;

use antiphon_types::BlockSet;

use super::home::Home;
use super::{Blob, Fill, Look, Room};
use crate::disk::FileError;
use crate::sync::{lock, read, write};

/// What a sync did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synced {
    /// There was nothing to do.
    Nothing,
    /// The file is durable.
    File,
    /// The file is durable once the folder is.
    NewFile,
}

impl Blob {
    /// Makes what is there outlive a power cut, blocks in memory included. After
    /// a failed sync nobody knows what is on the disk: blocks that may not be are
    /// kept in memory, or dropped.
    pub(crate) fn sync(self: &Arc<Self>, room: &impl Room) -> Result<Synced, FileError> {
        let _alone = lock(&self.syncing);
        let written = self.write_back(room);
        let unsynced = write(&self.state).unsynced.take();
        let name_unsynced = {
            let mut fill = lock(&self.fill);
            if fill.gone || fill.home != Home::Disk {
                return written.map(|()| Synced::Nothing);
            }
            if unsynced.is_none() && fill.notes.is_empty() && !fill.name_unsynced {
                return written.map(|()| Synced::Nothing);
            }
            if written.is_ok()
                && let Err(error) =
                    self.write_found_again(&mut fill).and_then(|()| self.write_notes_now(&mut fill))
            {
                self.common.health.failed(&error);
                self.note_unsynced(unsynced);
                return Err(error);
            }
            fill.name_unsynced
        };
        let file = self.file();
        if let Err(error) = &file
            && error.is_passing()
        {
            self.note_unsynced(unsynced);
            return file.map(|_| Synced::Nothing);
        }
        let synced = file.and_then(|file| {
            // Not under a lock: this may take seconds.
            file.sync().map_err(self.failed("sync"))
        });
        if let Err(error) = synced {
            self.common.health.failed(&error);
            // Blocks that were written meanwhile may have failed with the others.
            self.note_unsynced(unsynced);
            let uncertain = write(&self.state).unsynced.take();
            let is_gone = !self.rescue(uncertain.as_ref());
            return if is_gone { Ok(Synced::Nothing) } else { Err(error) };
        }
        written?;
        Ok(if name_unsynced { Synced::NewFile } else { Synced::File })
    }

    /// The folder was synced after a [`Synced::NewFile`].
    pub(crate) fn name_is_durable(&self) {
        lock(&self.fill).name_unsynced = false;
    }

    /// Puts blocks back among those that are to be synced.
    fn note_unsynced(&self, blocks: Option<BlockSet>) {
        let mut state = write(&self.state);
        match (&mut state.unsynced, blocks) {
            (Some(later), Some(blocks)) => {
                blocks.ranges().flat_map(|range| range.iter()).for_each(|block| {
                    later.insert(block);
                });
            }
            (none, blocks) => *none = blocks,
        }
    }

    /// Writes in place what was found on disk, if a sync of it failed.
    fn write_found_again(self: &Arc<Self>, fill: &mut Fill) -> Result<(), FileError> {
        if !fill.found_unsynced {
            return Ok(());
        }
        let file = self.file_to_write()?;
        let have = read(&self.state).have.clone();
        for block in have.ranges().flat_map(|range| range.iter()) {
            let (Some(index), Look::OnDisk(expected, _)) =
                (self.size.block(block), self.look(block))
            else {
                continue;
            };
            match self.fetch(&*file, block) {
                Ok(Some(bytes)) if self.is_block(block, &bytes, &expected) => {
                    let place = self.place(index.offset());
                    file.write_at(&bytes, place).map_err(self.failed("write to"))?;
                }
                Err(error) if error.is_passing() => return Err(error),
                _ => {
                    self.unclaim(&mut write(&self.state), block);
                    fill.notes.block_changed(block);
                }
            }
        }
        fill.found_unsynced = false;
        Ok(())
    }

    fn write_notes_now(self: &Arc<Self>, fill: &mut Fill) -> Result<(), FileError> {
        let file = self.file_or_new(fill)?;
        self.write_notes(fill, &*file)
    }

    /// Writes what is in memory to the disk, as far as that takes it.
    fn write_back(self: &Arc<Self>, room: &impl Room) -> Result<(), FileError> {
        let waiting: Vec<u32> = read(&self.state).memory.keys().copied().collect();
        for block in waiting {
            if !self.has_disk() || !self.write_back_block(block, room)? {
                break;
            }
        }
        Ok(())
    }

    /// False if the budget has no room for it.
    fn write_back_block(self: &Arc<Self>, block: u32, room: &impl Room) -> Result<bool, FileError> {
        let (bytes, head) = (self.block_bytes(block), self.bytes_of_new_file());
        if !room.charge(bytes + head) {
            return Ok(false);
        }
        let mut fill = lock(&self.fill);
        let kept = read(&self.state).memory.get(&block).map(|kept| kept.bytes.clone());
        let written = match kept.filter(|_| !fill.gone) {
            Some(kept) => {
                self.write_block(&mut fill, block, &kept, std::iter::empty()).map(|()| true)
            }
            None => Ok(false),
        };
        fill.notes.everything |= written.is_err();
        self.settle_head(&mut fill, head);
        match &written {
            Ok(true) => self.common.health.succeeded(),
            Ok(false) => self.charge.subtract(bytes),
            Err(error) => {
                self.charge.subtract(bytes);
                self.common.health.failed(error);
            }
        }
        written.map(|_| true)
    }

    /// Takes blocks that may not have reached the disk into memory, or drops
    /// them; false if it is all the same, because the blob is gone.
    fn rescue(self: &Arc<Self>, blocks: Option<&BlockSet>) -> bool {
        {
            let mut fill = lock(&self.fill);
            // Of the head, too, nobody knows.
            fill.notes.everything = true;
            fill.found_unsynced |= fill.name_unsynced;
        }
        for block in blocks.into_iter().flat_map(BlockSet::ranges).flat_map(|range| range.iter()) {
            let ticket = self.admit(block);
            let fill = lock(&self.fill);
            let read = self.read_on_disk(block).filter(|_| !fill.gone);
            let mut state = write(&self.state);
            match (ticket, read) {
                (Some(ticket), Some(bytes)) => {
                    self.remove_from_books(&mut state, block);
                    self.keep(&mut state, block, ticket, bytes);
                }
                (ticket, _) => {
                    ticket.into_iter().for_each(|ticket| self.common.memory.release(ticket));
                    if state.is_on_disk(block) {
                        self.unclaim(&mut state, block);
                    }
                }
            }
        }
        !lock(&self.fill).gone
    }

    /// A block that is on disk, if what the disk gives now is that block.
    fn read_on_disk(self: &Arc<Self>, block: u32) -> Option<bytes::Bytes> {
        let Look::OnDisk(expected, _) = self.look(block) else { return None };
        let bytes = self.file().and_then(|file| self.fetch(&*file, block)).ok().flatten()?;
        self.is_block(block, &bytes, &expected).then_some(bytes)
    }
}
