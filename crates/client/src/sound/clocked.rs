//! Outputs that keep time and make no sound: files, and nothing at all.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use antiphon_media::{RawPcmWriter, Sink, WavWriter};
use antiphon_types::CHANNELS;

use super::virtual_device::VirtualDevice;
use super::{Condition, Output, SoundError};

/// A device that is not there, and perhaps a file that gets what it plays.
pub(super) struct Clocked {
    device: VirtualDevice,
    file: Option<(PathBuf, Box<dyn Sink>)>,
}

impl Clocked {
    pub(super) fn null(speed: f64) -> Self {
        Self { device: VirtualDevice::new(speed), file: None }
    }

    pub(super) fn wav(path: &Path, speed: f64) -> Result<Self, SoundError> {
        Self::file(path, speed, WavWriter::create)
    }

    pub(super) fn pcm(path: &Path, speed: f64) -> Result<Self, SoundError> {
        Self::file(path, speed, RawPcmWriter::create)
    }

    fn file<S: Sink + 'static>(
        path: &Path,
        speed: f64,
        create: impl FnOnce(&Path) -> std::io::Result<S>,
    ) -> Result<Self, SoundError> {
        let sink = create(path).map_err(|source| cannot_write(path, source))?;
        let file = Some((path.to_owned(), Box::new(sink) as Box<dyn Sink>));
        Ok(Self { device: VirtualDevice::new(speed), file })
    }

    fn with_file(
        &mut self,
        act: impl FnOnce(&mut dyn Sink) -> std::io::Result<()>,
    ) -> Result<(), SoundError> {
        let Some((path, sink)) = &mut self.file else { return Ok(()) };
        act(sink.as_mut()).map_err(|source| cannot_write(path, source))
    }
}

fn cannot_write(path: &Path, source: std::io::Error) -> SoundError {
    SoundError::File { path: path.to_owned(), source }
}

impl Output for Clocked {
    fn room(&mut self, now: Instant) -> usize {
        self.device.room(now)
    }

    fn writable_at(&self, now: Instant) -> Option<Instant> {
        self.device.writable_at().filter(|at| *at > now)
    }

    fn write(&mut self, samples: &[i16], now: Instant) -> Result<(), SoundError> {
        self.with_file(|file| file.write(samples))?;
        self.device.write((samples.len() / usize::from(CHANNELS)) as u64, now);
        Ok(())
    }

    fn heard(&mut self, now: Instant) -> u64 {
        self.device.heard(now)
    }

    fn dry_at(&self) -> Option<Instant> {
        self.device.dry_at()
    }

    fn discard(&mut self, now: Instant) -> u64 {
        self.device.discard(now)
    }

    fn stalls(&self) -> (u32, Duration) {
        self.device.stalls()
    }

    fn pause(&mut self, now: Instant) -> Result<(), SoundError> {
        self.device.pause(now);
        Ok(())
    }

    fn resume(&mut self, now: Instant) -> Result<(), SoundError> {
        self.device.resume(now);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SoundError> {
        self.with_file(|file| file.finish())
    }

    fn conditions(&mut self) -> Vec<Condition> {
        Vec::new()
    }
}
