//! The only module that touches files.
//!
//! What is asked of the file system, and all that is asked:
//!
//! * Bytes written to a file are read back from it by this machine while it
//!   runs, whoever wrote them and whether or not they still run.
//! * After `sync` of a file its bytes outlive a power cut. Before that any of
//!   them may be old, zero or missing, in any order.
//! * `rename` within a folder replaces the target in one step, as seen by
//!   whoever runs. After `sync_folder` it outlives a power cut.
//! * An exclusive lock on an open file ends with the process.
//!
//! Nothing else is believed: not a length, not a byte. What is read is checked
//! against a hash before it is used.

mod positional;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Something could not be done to a file.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {path}: {source}; check the disk and its permissions", path = path.display())]
pub struct FileError {
    /// What was tried: a verb.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source }
    }

    /// Whether there is less in the file than there should be, or no file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.source.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof)
    }
}

/// An open file, read and written at positions; shared by many.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
}

impl DiskFile {
    /// Opens what will never be written to.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, FileError> {
        Self::open_with(path, OpenOptions::new().read(true))
    }

    /// Opens for reading and writing, or for reading where nothing may be
    /// written.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        Self::open_with(path, OpenOptions::new().read(true).write(true))
    }

    /// As [`Self::open`], and makes an empty file where there is none.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, FileError> {
        Self::open_with(path, OpenOptions::new().read(true).write(true).create(true))
    }

    fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, FileError> {
        let file = match options.open(path) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                File::open(path)
            }
            opened => opened,
        };
        file.map(|file| Self { file, path: path.to_owned() }).map_err(FileError::at("open", path))
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        positional::read_exact_at(&self.file, buffer, offset)
            .map_err(FileError::at("read", &self.path))
    }

    /// Writes all of `bytes` from `offset` on. Whoever reads meanwhile may see a
    /// part.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        positional::write_all_at(&self.file, bytes, offset)
            .map_err(FileError::at("write to", &self.path))
    }

    /// Makes what was written so far outlive a power cut.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::at("sync", &self.path))
    }
}

/// What of a replaced file outlives a power cut when [`replace`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Nothing yet.
    No,
    /// The old content or the new is there, whole.
    Content,
    /// The new content is there.
    Yes,
}

/// The ending of files that are being written and not yet in place.
pub(crate) const BESIDE: &str = "new";

/// Replaces a file in one step: writes beside, renames.
pub(crate) fn replace(path: &Path, bytes: &[u8], durable: Durable) -> Result<(), FileError> {
    let beside = beside(path);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        if durable == Durable::No { Ok(()) } else { file.sync_all() }
    });
    if let Err(source) = written {
        // It would be cleared away at the next opening anyhow.
        let _ = fs::remove_file(&beside);
        return Err(FileError { action: "write", path: beside, source });
    }
    fs::rename(&beside, path).map_err(FileError::at("rename a new file to", path))?;
    match (durable, path.parent()) {
        (Durable::Yes, Some(folder)) => sync_folder(folder),
        _ => Ok(()),
    }
}

/// A name that no other writer takes, in this process or another.
fn beside(path: &Path) -> PathBuf {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{number}.{BESIDE}", std::process::id()));
    PathBuf::from(name)
}

/// Makes an empty file, in place of what was there.
pub(crate) fn make_empty(path: &Path) -> Result<(), FileError> {
    File::create(path).map(drop).map_err(FileError::at("make", path))
}

/// Makes the names in a folder outlive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    // Elsewhere folders cannot be opened as files, and renames are journalled.
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(FileError::at("sync", folder))?;
    }
    Ok(())
}

/// Makes a folder and those above it, where they are missing.
pub(crate) fn make_folder(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(FileError::at("make the folder", folder))
}

/// The names of the files in a folder that are text, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>, FileError> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect::<io::Result<Vec<_>>>()
    });
    let mut names = listed.map_err(FileError::at("list", folder))?;
    names.sort_unstable();
    Ok(names)
}

/// Reads a file of at most `limit` bytes; none if there is no such file. What
/// goes beyond the limit is not read.
pub(crate) fn read_all(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { action: "read", path: path.to_owned(), source }),
    }
}

/// Removes a file; that there is none is as good.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(FileError { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Bytes that may still be written to the disk that holds `folder`.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64, FileError> {
    fs4::available_space(folder).map_err(FileError::at("ask for the free space of", folder))
}

/// A folder that no other process may open this way.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// Locks a folder by a file in it; none if another process holds it.
pub(crate) fn lock_folder(path: &Path) -> Result<Option<FolderLock>, FileError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(FileError::at("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(FolderLock { _file: file })),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(source)) => {
            Err(FileError { action: "lock", path: path.to_owned(), source })
        }
    }
}
