//! Blobs whose head and blocks are in two files, as version 1 made them.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;

/// Two files that look like one: what is before `seam` is in the first.
///
/// So a cache of version 1 needs no copying: its blobs are read and filled where
/// they are, until they are evicted.
#[derive(Debug)]
pub(crate) struct TwoFiles {
    pub(crate) head: Arc<dyn DiskFile>,
    pub(crate) data: Arc<dyn DiskFile>,
    pub(crate) seam: u64,
}

impl TwoFiles {
    /// The file that an offset falls in, and where in it. Nobody reads or writes
    /// across the seam.
    fn place(&self, offset: u64) -> (&dyn DiskFile, u64) {
        match offset.checked_sub(self.seam) {
            None => (&*self.head, offset),
            Some(offset) => (&*self.data, offset),
        }
    }
}

impl DiskFile for TwoFiles {
    fn read_at(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<()> {
        let (file, offset) = self.place(offset);
        file.read_at(buffer, len, offset)
    }

    fn read_at_once(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<bool> {
        let (file, offset) = self.place(offset);
        file.read_at_once(buffer, len, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (file, offset) = self.place(offset);
        file.write_at(bytes, offset)
    }

    /// The length of the head: nobody asks for that of the blocks.
    fn len(&self) -> io::Result<u64> {
        self.head.len()
    }

    fn sync(&self) -> io::Result<()> {
        self.data.sync()?;
        self.head.sync()
    }
}
