//! Replacing a whole file in one step.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Access, Disk, DiskFile, FileError, sync_folder};

/// What of a replaced file outlives a power cut when [`replace`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// The old content or the new is there, whole.
    Content,
    /// The new content is there.
    Yes,
}

/// The ending of files that are being written and not yet in place.
pub(crate) const BESIDE: &str = "new";

/// Replaces a file in one step: writes beside, renames.
pub(crate) fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    durable: Durable,
) -> Result<(), FileError> {
    replace_by(disk, path, durable, |file| file.write_at(bytes, 0))
}

/// Replaces a file in one step by what `fill` writes to a new one.
pub(crate) fn replace_by(
    disk: &dyn Disk,
    path: &Path,
    durable: Durable,
    fill: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
) -> Result<(), FileError> {
    let beside = beside(path);
    let written = disk.open(&beside, Access::Create).and_then(|file| {
        fill(&*file)?;
        file.sync()
    });
    let renamed = match written {
        Err(source) => Err(FileError { action: "write", path: beside.clone(), source }),
        Ok(()) => disk.rename(&beside, path).map_err(FileError::at("rename a new file to", path)),
    };
    if let Err(error) = renamed {
        // It would be cleared away at the next opening anyhow.
        let _ = disk.remove(&beside);
        return Err(error);
    }
    match (durable, path.parent()) {
        (Durable::Yes, Some(folder)) => sync_folder(disk, folder),
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
