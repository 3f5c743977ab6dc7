//! What a store asks of a disk, and all that it asks.
//!
//! [`Disk`] is the whole of it: nothing else in this crate touches a file.
//! [`SystemDisk`] asks the operating system; a test may ask something that
//! loses, tears and fails as it pleases.
//!
//! What is believed of a disk:
//!
//! * Bytes written to a file are read back from it by this machine while it
//!   runs, whoever wrote them and whether or not they still run.
//! * After [`DiskFile::sync`] the file's bytes outlive a power cut. Before that
//!   any of them may be old, zero or missing, in any order.
//! * [`Disk::rename`] within a folder replaces the target in one step, as seen
//!   by whoever runs. A name that was made, replaced or removed outlives a power
//!   cut after [`Disk::sync_folder`]; before that, the old and the new state may
//!   each come back.
//! * A lock ends with the process that holds it.
//!
//! Nothing else is believed: not a length, not a byte. What is read is checked
//! against a hash before it is used.

mod none;
mod replace;
mod system;

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use none::NoDisk;
pub(crate) use replace::{BESIDE, Durable, replace, replace_by};
pub use system::SystemDisk;

/// A disk: folders of files, each named by its path.
///
/// Errors are those of [`std::io`], and the store goes by their kind:
///
/// * [`NotFound`](ErrorKind::NotFound) and
///   [`UnexpectedEof`](ErrorKind::UnexpectedEof): something is not there, for good.
///   What was claimed to be there is dropped.
/// * [`StorageFull`](ErrorKind::StorageFull) and
///   [`QuotaExceeded`](ErrorKind::QuotaExceeded): there is no room. Blobs are evicted.
/// * [`ReadOnlyFilesystem`](ErrorKind::ReadOnlyFilesystem) and
///   [`PermissionDenied`](ErrorKind::PermissionDenied): nothing may be written. Files
///   are opened to be read, and nothing is evicted.
/// * [`OutOfMemory`](ErrorKind::OutOfMemory), [`Interrupted`](ErrorKind::Interrupted)
///   and, on Unix, the numbers of `ENFILE` and `EMFILE`: the process lacks something.
///   The caller is told, and nothing else is concluded.
/// * All others: the disk fails. What it does not give counts as missing as long as
///   the store is open.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file. What is opened works until it is dropped, also after the file
    /// was renamed or removed.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// The names of what is in a folder, those that are text, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes a folder and those above it, where they are missing.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file another name in the same folder, in place of what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Who has it open may go on using it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder outlive a power cut.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file, which is made if it is missing, against all others who
    /// would lock it; none if one of them has.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// Bytes that may still be written to the disk that holds `folder`.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read a file that is there.
    Read,
    /// To read and write a file that is there.
    Write,
    /// To read and write a file, which is made, or emptied if it is there.
    Create,
}

/// An open file, read and written at positions; shared by many threads.
#[expect(clippy::len_without_is_empty, reason = "nobody asks for empty files")]
pub trait DiskFile: Debug + Send + Sync {
    /// Appends `len` bytes of the file, from `offset` on, to `buffer`;
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the file ends before. What
    /// is in the buffer after an error is anyone's guess.
    fn read_at(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<()>;

    /// As [`read_at`](Self::read_at) if the bytes are in memory and no disk has
    /// to be waited for; otherwise false, and the buffer is as it was.
    fn read_at_once(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<bool> {
        let _ = (buffer, len, offset);
        Ok(false)
    }

    /// Writes all of `bytes` from `offset` on; a gap before them reads as zero
    /// and takes no room. Who reads meanwhile may see a part; after an error any
    /// part may be written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// The file's length in bytes. What lies beyond is not read.
    fn len(&self) -> io::Result<u64>;

    /// Makes what was written so far outlive a power cut, by whoever it was. After
    /// an error nothing is known of what was written since the last success, not
    /// even if a later call succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// Held, nobody else gets the lock; dropped, it is free.
pub trait DiskLock: Debug + Send + Sync {}

/// Something could not be done to a file.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {path}: {source}; {advice}", path = path.display(), advice = self.advice())]
pub struct FileError {
    /// What was tried: a verb.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// Tells what was tried, and with what.
    pub(crate) fn at<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source }
    }

    /// Whether there is less in the file than there should be, or no file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof)
    }

    /// Whether there is no room.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }

    /// Whether nothing may be written.
    pub(crate) fn is_refusal(&self) -> bool {
        is_refusal(&self.source)
    }

    /// Whether it is the process that lacks something, not the disk.
    pub(crate) fn is_passing(&self) -> bool {
        // EMFILE, ENFILE: the standard library has no kind for them.
        matches!(self.source.kind(), ErrorKind::OutOfMemory | ErrorKind::Interrupted)
            || (cfg!(unix) && matches!(self.source.raw_os_error(), Some(23 | 24)))
    }

    fn advice(&self) -> &'static str {
        match self.source.kind() {
            _ if self.is_full() => "free some space, or choose a smaller cache",
            _ if self.is_refusal() => "check the permissions, and how the disk is mounted",
            _ if self.is_passing() => "allow this program more open files and memory",
            ErrorKind::NotFound => "something was removed: start again, or choose another folder",
            _ => "check the disk",
        }
    }
}

/// Whether an error says that nothing may be written.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// Opens what will not be written to.
pub(crate) fn open_to_read(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, FileError> {
    disk.open(path, Access::Read).map_err(FileError::at("open", path))
}

/// Reads a file of at most `limit` bytes; none if there is no such file. What
/// goes beyond the limit is not read.
pub(crate) fn read_all(
    disk: &dyn Disk,
    path: &Path,
    limit: u64,
) -> Result<Option<Vec<u8>>, FileError> {
    let read = disk.open(path, Access::Read).and_then(|file| read_start(&*file, limit));
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { action: "read", path: path.to_owned(), source }),
    }
}

/// The first bytes of a file: `limit` of them, or all there are.
pub(crate) fn read_start(file: &dyn DiskFile, limit: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?.min(limit);
    let len = usize::try_from(len).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    file.read_at(&mut bytes, len, 0)?;
    Ok(bytes)
}

/// The names of the files in a folder that are text, sorted.
pub(crate) fn list(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>, FileError> {
    let mut names = disk.list(folder).map_err(FileError::at("list", folder))?;
    names.sort_unstable();
    Ok(names)
}

/// Makes a folder and those above it, where they are missing.
pub(crate) fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<(), FileError> {
    disk.make_folder(folder).map_err(FileError::at("make the folder", folder))
}

/// Makes the names in a folder outlive a power cut.
pub(crate) fn sync_folder(disk: &dyn Disk, folder: &Path) -> Result<(), FileError> {
    disk.sync_folder(folder).map_err(FileError::at("sync", folder))
}

/// Removes a file; that there is none is as good.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), FileError> {
    match disk.remove(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(FileError { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
