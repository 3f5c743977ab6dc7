//! Where a blob is on the disk: opening, making and removing its file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_types::{BlobId, BlobSize};

use super::{Blob, Fill, Open};
use crate::common::Common;
use crate::disk::{self, Access, DiskFile, FileError};
use crate::head::{self, Layout};
use crate::sync::{read, write};
use crate::two_files::TwoFiles;

/// What became of a blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// It is there.
    Disk,
    /// It could not be made yet.
    ToBeMade,
    /// Its head cannot be read. What is in it is left for another day.
    Unreadable,
    /// A later version of this crate made it.
    OfLaterVersion,
}

impl Home {
    /// Whether blocks may be written to it.
    pub(super) fn takes_blocks(self) -> bool {
        matches!(self, Self::Disk | Self::ToBeMade)
    }
}

/// The largest head that is written when a file is made: that of a blob of 256 MB.
const WRITTEN_AT_ONCE: u64 = 1 << 20;

/// Makes the file of a blob of which nothing is there.
///
/// With a head of zeros: so the disk has a place for it in one piece, and what
/// is noted later is written where something was, which syncs in half the time.
pub(super) fn create(
    common: &Common,
    id: BlobId,
    size: BlobSize,
) -> Result<Arc<dyn DiskFile>, FileError> {
    let path = common.path(id);
    let file = common.disk.open(&path, Access::Create).map_err(FileError::at("make", &path))?;
    let mut head = head::empty(Layout::OneFile, id, size);
    if let Ok(len) = usize::try_from(head::head_bytes(size).min(WRITTEN_AT_ONCE)) {
        head.resize(head.len().max(len), 0);
    }
    let written = file.write_at(&head, 0);
    if let Err(source) = written {
        // A file without a head is cleared away at the next opening anyhow.
        let _ = common.disk.remove(&path);
        return Err(FileError { action: "write to", path, source });
    }
    Ok(file)
}

impl Blob {
    /// The file, to which its head belongs.
    pub(super) fn path(&self) -> PathBuf {
        self.common.path_of_head(self.layout, self.id)
    }

    /// What an error with the file is told as. Its path is put together only then:
    /// that takes about as long as reading a block.
    pub(super) fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> FileError + '_ {
        move |source| FileError { action, path: self.path(), source }
    }

    /// Where the blob's byte at `offset` is in the file.
    pub(super) fn place(&self, offset: u64) -> u64 {
        head::data_offset(self.size) + offset
    }

    /// The file, opened if need be; to be read where it may not be written to.
    pub(super) fn file(self: &Arc<Self>) -> Result<Arc<dyn DiskFile>, FileError> {
        if let Some(open) = &read(&self.state).file {
            return Ok(Arc::clone(&open.file));
        }
        match self.open_file(Access::Write) {
            Err(error) if error.is_refusal() => self.open_file(Access::Read),
            opened => opened,
        }
    }

    /// The file to be written to, opened if need be.
    pub(super) fn file_to_write(self: &Arc<Self>) -> Result<Arc<dyn DiskFile>, FileError> {
        self.common.health.may_write()?;
        match &read(&self.state).file {
            Some(open) if open.is_writable => return Ok(Arc::clone(&open.file)),
            _ => {}
        }
        self.open_file(Access::Write)
    }

    fn open_file(self: &Arc<Self>, access: Access) -> Result<Arc<dyn DiskFile>, FileError> {
        let opened = match self.try_open(access) {
            Err(error) if error.is_passing() => {
                self.common.close_all();
                self.try_open(access)
            }
            opened => opened,
        };
        Ok(self.opened(opened?, access))
    }

    fn try_open(&self, access: Access) -> Result<Arc<dyn DiskFile>, FileError> {
        let open = |path: PathBuf| {
            self.common.disk.open(&path, access).map_err(FileError::at("open", &path))
        };
        match self.layout {
            Layout::OneFile => open(self.path()),
            Layout::TwoFiles => {
                Ok(self.join(open(self.path())?, open(self.common.data_path(self.id))?))
            }
        }
    }

    pub(super) fn opened(
        self: &Arc<Self>,
        file: Arc<dyn DiskFile>,
        access: Access,
    ) -> Arc<dyn DiskFile> {
        let is_writable = access != Access::Read;
        write(&self.state).file = Some(Open { file: Arc::clone(&file), is_writable });
        self.common.opened(self);
        file
    }

    /// The file, made if it is not there; its head is then to be written.
    pub(super) fn file_or_new(
        self: &Arc<Self>,
        fill: &mut Fill,
    ) -> Result<Arc<dyn DiskFile>, FileError> {
        match self.file_to_write() {
            Err(error) if error.is_missing() => {}
            opened => {
                if opened.is_ok() && fill.home == Home::ToBeMade {
                    // One of an earlier life, which could not be removed.
                    fill.home = Home::Disk;
                    fill.head_uncharged = true;
                    fill.name_unsynced = true;
                }
                return opened;
            }
        }
        let file = match self.layout {
            Layout::OneFile => self.open_or_make(fill, &self.path())?,
            Layout::TwoFiles => self.join(
                self.open_or_make(fill, &self.path())?,
                self.open_or_make(fill, &self.common.data_path(self.id))?,
            ),
        };
        fill.head_uncharged |= fill.home == Home::ToBeMade;
        fill.home = Home::Disk;
        Ok(self.opened(file, Access::Create))
    }

    fn open_or_make(&self, fill: &mut Fill, path: &Path) -> Result<Arc<dyn DiskFile>, FileError> {
        let disk = &*self.common.disk;
        match disk.open(path, Access::Write).map_err(FileError::at("open", path)) {
            Err(error) if error.is_missing() => {
                fill.notes.everything = true;
                fill.name_unsynced = true;
                disk.open(path, Access::Create).map_err(FileError::at("make", path))
            }
            opened => opened,
        }
    }

    fn join(&self, head: Arc<dyn DiskFile>, data: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(TwoFiles { head, data, seam: head::data_offset(self.size) })
    }

    /// Closes its file, unless there is something to be synced: what went wrong
    /// with that is surely told only to who had the file open. False if it stays
    /// open.
    pub(crate) fn close_file(&self) -> bool {
        let mut state = write(&self.state);
        let may_close = state.unsynced.is_none();
        if may_close {
            state.file = None;
        }
        may_close
    }

    pub(super) fn remove_files(&self) -> Result<(), FileError> {
        let disk = &*self.common.disk;
        // Of two files one without the other is cleared away at the next opening.
        disk::remove(disk, &self.path())?;
        match self.layout {
            Layout::OneFile => Ok(()),
            Layout::TwoFiles => disk::remove(disk, &self.common.data_path(self.id)),
        }
    }

    /// Notes on disk that a block is not there.
    pub(super) fn clear_bit(self: &Arc<Self>, fill: &mut Fill, block: u32) {
        fill.notes.block_changed(block);
        // If it cannot be written now, it will be later.
        let _ = self.file_to_write().and_then(|file| self.write_notes(fill, &*file));
    }
}
