//! The disk as the operating system has it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Access, Disk, DiskFile, DiskLock, is_refusal};

/// The files of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::Write => drop(options.write(true)),
            Access::Create => drop(options.write(true).create(true).truncate(true)),
        }
        // A pipe of that name is no reason to wait.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
        );
        Ok(Arc::new(SystemFile(options.open(path)?)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Elsewhere folders cannot be opened as files, and renames are journalled.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = match options.open(path) {
            // A lock needs no right to write, only a file.
            Err(error) if is_refusal(&error) => File::open(path).map_err(|_| error)?,
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(SystemLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        fs4::available_space(folder)
    }
}

#[derive(Debug)]
struct SystemFile(File);

#[derive(Debug)]
struct SystemLock(File);

impl DiskLock for SystemLock {}

impl Drop for SystemLock {
    fn drop(&mut self) {
        // Closing would do, but for a process that is just being started by
        // another thread: it has a copy of the file until it is on its own.
        let _ = self.0.unlock();
    }
}

impl DiskFile for SystemFile {
    fn read_at(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<()> {
        positional::read_at(&self.0, buffer, len, offset)
    }

    // Elsewhere nobody can say whether it would have to wait.
    #[cfg(target_os = "linux")]
    fn read_at_once(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<bool> {
        positional::read_at_once(&self.0, buffer, len, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        positional::write_all_at(&self.0, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Reading and writing at a position, on each system as it offers it.
#[cfg(unix)]
mod positional {
    use std::fs::File;
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::FileExt;

    use rustix::buffer::spare_capacity;

    /// Into memory that was not zeroed first: a fifth of the time of a read.
    pub(super) fn read_at(
        file: &File,
        buffer: &mut Vec<u8>,
        len: usize,
        offset: u64,
    ) -> io::Result<()> {
        buffer.reserve_exact(len);
        let end = buffer.len() + len;
        let mut at = offset;
        while buffer.len() < end {
            match rustix::io::pread(file, spare_capacity(buffer), at) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => at += read as u64,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // There may have been room for more.
        buffer.truncate(end);
        Ok(())
    }

    pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn read_at_once(
        file: &File,
        buffer: &mut Vec<u8>,
        len: usize,
        offset: u64,
    ) -> io::Result<bool> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};

        let start = buffer.len();
        buffer.resize(start + len, 0);
        let slices = &mut [io::IoSliceMut::new(&mut buffer[start..])];
        let read = preadv2(file, slices, offset, ReadWriteFlags::NOWAIT);
        if read == Ok(len) {
            return Ok(true);
        }
        buffer.truncate(start);
        match read {
            // A part: the rest is on the disk, or beyond the end.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(windows)]
mod positional {
    use std::fs::File;
    use std::io::{self, ErrorKind};
    use std::os::windows::fs::FileExt;

    pub(super) fn read_at(
        file: &File,
        buffer: &mut Vec<u8>,
        len: usize,
        offset: u64,
    ) -> io::Result<()> {
        let start = buffer.len();
        buffer.resize(start + len, 0);
        let (mut rest, mut at) = (&mut buffer[start..], offset);
        while !rest.is_empty() {
            match file.seek_read(rest, at) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    rest = &mut rest[read..];
                    at += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match file.seek_write(bytes, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
