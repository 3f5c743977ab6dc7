//! Samples of a track that are read several times: in memory, or in a file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

/// Bytes of one sample of one channel.
const SAMPLE_BYTES: usize = size_of::<f32>();
/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Interleaved stereo at 44.1 kHz, read at any place, by several threads.
pub(crate) trait Samples: Sync {
    /// Samples of one channel.
    fn frames(&self) -> u64;
    /// Replaces `out` by up to `count` frames from `first` on.
    fn read(&self, first: u64, count: usize, out: &mut Vec<f32>) -> io::Result<()>;
}

impl Samples for &[f32] {
    fn frames(&self) -> u64 {
        self.len() as u64 / 2
    }

    fn read(&self, first: u64, count: usize, out: &mut Vec<f32>) -> io::Result<()> {
        out.clear();
        let start = usize::try_from(first).unwrap_or(usize::MAX).saturating_mul(2);
        let rest = self.get(start..self.len() / 2 * 2).unwrap_or_default();
        out.extend_from_slice(&rest[..rest.len().min(count * 2)]);
        Ok(())
    }
}

/// Writes samples to a file from its start.
pub(crate) struct SpoolWriter {
    file: File,
    gathered: Vec<u8>,
    samples: u64,
}

impl SpoolWriter {
    pub(crate) fn new(file: File) -> Self {
        Self { file, gathered: Vec::with_capacity(WRITE_BYTES), samples: 0 }
    }

    pub(crate) fn write(&mut self, samples: &[f32]) -> io::Result<()> {
        for sample in samples {
            self.gathered.extend_from_slice(&sample.to_le_bytes());
            if self.gathered.len() >= WRITE_BYTES {
                self.file.write_all(&self.gathered)?;
                self.gathered.clear();
            }
        }
        self.samples += samples.len() as u64;
        Ok(())
    }

    /// All that was written, with `factor` applied when it is read.
    pub(crate) fn finish(mut self, factor: f32) -> io::Result<Spool> {
        self.file.write_all(&self.gathered)?;
        Ok(Spool { file: Mutex::new(self.file), frames: self.samples / 2, factor })
    }
}

/// Samples in a file.
pub(crate) struct Spool {
    file: Mutex<File>,
    frames: u64,
    factor: f32,
}

impl Samples for Spool {
    fn frames(&self) -> u64 {
        self.frames
    }

    fn read(&self, first: u64, count: usize, out: &mut Vec<f32>) -> io::Result<()> {
        out.clear();
        let left = usize::try_from(self.frames.saturating_sub(first)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(());
        }
        let mut bytes = vec![0; count.min(left) * 2 * SAMPLE_BYTES];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(first * 2 * SAMPLE_BYTES as u64))?;
            file.read_exact(&mut bytes)?;
        }
        let (samples, _) = bytes.as_chunks::<SAMPLE_BYTES>();
        out.extend(samples.iter().map(|sample| f32::from_le_bytes(*sample) * self.factor));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn a_spool_gives_back_what_was_written_at_any_place() {
        let samples: Vec<f32> = (0..200_000_u32).map(|i| (i % 977) as f32 / 977.0).collect();
        let mut writer = SpoolWriter::new(tempfile::tempfile().unwrap());
        for piece in samples.chunks(3_334) {
            writer.write(piece).unwrap();
        }
        let spool = writer.finish(0.5).unwrap();
        let memory = samples.as_slice();
        assert_eq!((spool.frames(), Samples::frames(&memory)), (100_000, 100_000));
        let (mut found, mut truth) = (Vec::new(), Vec::new());
        for (first, count) in [(0, 4_096), (70_001, 9), (99_990, 500), (100_000, 7), (u64::MAX, 1)]
        {
            spool.read(first, count, &mut found).unwrap();
            memory.read(first, count, &mut truth).unwrap();
            assert_eq!(found.len(), truth.len(), "{first}");
            assert!(found.iter().zip(&truth).all(|(a, b)| *a == b * 0.5), "{first}");
        }
    }
}
