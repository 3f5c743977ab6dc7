//! Ordinary files, one for each blob, with nothing above them.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};

use antiphon_types::BLOCK_BYTES;

use super::keeper::Keeper;
use super::set::{Member, Source};
use crate::Result;

/// Files that are read and written at positions. All of a set are open while
/// it is read.
pub(super) struct Raw {
    folder: PathBuf,
    writing: Option<File>,
    reading: Vec<(Member, File)>,
    buffer: Vec<u8>,
}

impl Raw {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let folder = folder.join("raw");
        fs::create_dir_all(&folder)?;
        let buffer = vec![0; BLOCK_BYTES as usize];
        Ok(Self { folder, writing: None, reading: Vec::new(), buffer })
    }

    fn writing(&self) -> Result<&File> {
        self.writing.as_ref().ok_or_else(|| "no blob was begun".into())
    }
}

impl Keeper for Raw {
    fn begin(&mut self, source: &Source) -> Result<()> {
        self.writing = Some(File::create(self.folder.join(source.id.to_string()))?);
        Ok(())
    }

    fn put(&mut self, source: &Source, blocks: Range<u32>) -> Result<()> {
        let file = self.writing()?;
        for block in blocks {
            let offset = u64::from(block) * u64::from(BLOCK_BYTES);
            positional::write_all_at(file, source.block(block), offset)?;
        }
        Ok(())
    }

    fn sync(&mut self, _source: &Source) -> Result<()> {
        Ok(self.writing()?.sync_data()?)
    }

    fn ready_to_read(&mut self, members: &[Member]) -> Result<()> {
        for member in members {
            let file = File::open(self.folder.join(member.id.to_string()))?;
            self.reading.push((*member, file));
        }
        Ok(())
    }

    fn read(&mut self, member: usize, block: u32) -> Result<&[u8]> {
        let (Member { size, .. }, file) = &self.reading[member];
        let index = size.block(block).ok_or("the blob has no such block")?;
        let bytes = &mut self.buffer[..size.block_bytes(index) as usize];
        positional::read_exact_at(file, bytes, index.offset())?;
        Ok(bytes)
    }
}

#[cfg(unix)]
pub(super) mod positional {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt as _;

    pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(buffer, offset)
    }

    pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

#[cfg(windows)]
pub(super) mod positional {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt as _;

    // A file on a disk gives and takes a block at once, but where it ends.
    pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match file.seek_read(buffer, offset)? {
            read if read == buffer.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        match file.seek_write(bytes, offset)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}
