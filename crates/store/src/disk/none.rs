//! No disk at all.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use super::{Access, Disk, DiskFile, DiskLock};

/// A disk that is not there: what is asked of it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoDisk;

fn no_disk() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "the store was opened without a disk")
}

impl Disk for NoDisk {
    fn open(&self, _: &Path, _: Access) -> io::Result<Arc<dyn DiskFile>> {
        Err(no_disk())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Err(no_disk())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Err(no_disk())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(no_disk())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(no_disk())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Err(no_disk())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Err(no_disk())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Err(no_disk())
    }
}
