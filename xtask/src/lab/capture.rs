//! Packets written down in the pcap format of libpcap, as `tcpdump -r` reads
//! it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::SystemTime;

/// Packets begin with their IP header: LINKTYPE_RAW of the tcpdump project's
/// list.
const LINKTYPE_RAW: u32 = 101;
/// Little endian, times in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// No packet on our links is longer.
const LONGEST: u32 = 65_535;

/// A capture file that is being written.
#[derive(Debug)]
pub(super) struct Capture {
    file: BufWriter<File>,
}

impl Capture {
    /// Starts a capture; what stood in the file is gone.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        for field in [MAGIC, u32::from_le_bytes([2, 0, 4, 0]), 0, 0, LONGEST, LINKTYPE_RAW] {
            file.write_all(&field.to_le_bytes())?;
        }
        Ok(Self { file })
    }

    /// Adds a packet that passed now.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn add(&mut self, packet: &[u8]) -> io::Result<()> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        // The format has 32 bits for the seconds, to be read as unsigned.
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let length = u32::try_from(packet.len()).unwrap_or(LONGEST);
        for field in [seconds, now.subsec_micros(), length, length] {
            self.file.write_all(&field.to_le_bytes())?;
        }
        self.file.write_all(packet)
    }

    /// Hands everything to the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_laid_out_as_libpcap_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.pcap");
        let mut capture = Capture::create(&path).unwrap();
        capture.add(b"packet").unwrap();
        capture.flush().unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(&bytes[20..24], [101, 0, 0, 0]);
        assert_eq!(&bytes[32..40], [6, 0, 0, 0, 6, 0, 0, 0]);
        assert_eq!(&bytes[40..], b"packet");
    }
}
