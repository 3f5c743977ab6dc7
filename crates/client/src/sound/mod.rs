//! interim
use crate::device::VirtualDevice;
use antiphon_media::{RawPcmWriter, Sink, WavWriter};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the music goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// Nowhere, in real time.
    Null,
    /// Into a WAV file, in real time.
    Wav(PathBuf),
    /// bare samples
    Pcm(PathBuf),
}

impl std::str::FromStr for SinkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "null" => Ok(Self::Null),
            Some(("wav", file)) if !file.is_empty() => Ok(Self::Wav(file.into())),
            Some(("pcm", file)) if !file.is_empty() => Ok(Self::Pcm(file.into())),
            _ => Err("expected null, wav:FILE or pcm:FILE".to_owned()),
        }
    }
}
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SoundError(String);

pub(crate) trait Output: Send {
    fn room(&mut self, now: Instant) -> usize;
    fn writable_at(&self, now: Instant) -> Option<Instant>;
    fn write(&mut self, samples: &[i16], now: Instant) -> Result<(), SoundError>;
    fn heard(&mut self, now: Instant) -> u64;
    fn dry_at(&self) -> Option<Instant>;
    fn discard(&mut self, now: Instant) -> u64;
    fn stalls(&self) -> (u32, Duration);
    fn pause(&mut self, now: Instant) -> Result<(), SoundError>;
    fn resume(&mut self, now: Instant) -> Result<(), SoundError>;
    fn finish(&mut self) -> Result<(), SoundError>;
    fn conditions(&mut self) -> Vec<String>;
}

struct Clocked {
    device: VirtualDevice,
    sink: Option<Box<dyn Sink>>,
}

pub(crate) fn open(kind: &SinkKind, speed: f64) -> Result<Box<dyn Output>, SoundError> {
    let named = |path: &PathBuf| {
        let path = path.display().to_string();
        move |error| SoundError(format!("cannot write {path}: {error}"))
    };
    let sink: Option<Box<dyn Sink>> = match kind {
        SinkKind::Null => None,
        SinkKind::Wav(path) => Some(Box::new(WavWriter::create(path).map_err(named(path))?)),
        SinkKind::Pcm(path) => Some(Box::new(RawPcmWriter::create(path).map_err(named(path))?)),
    };
    Ok(Box::new(Clocked { device: VirtualDevice::new(speed), sink }))
}

impl Output for Clocked {
    fn room(&mut self, now: Instant) -> usize {
        if self.device.writable_at().is_none_or(|at| at <= now) { usize::MAX / 8 } else { 0 }
    }
    fn writable_at(&self, _now: Instant) -> Option<Instant> {
        self.device.writable_at()
    }
    fn write(&mut self, samples: &[i16], now: Instant) -> Result<(), SoundError> {
        if let Some(sink) = &mut self.sink {
            sink.write(samples).map_err(|e| SoundError(e.to_string()))?;
        }
        self.device.write(samples.len() as u64 / 2, now);
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
        if let Some(sink) = &mut self.sink {
            sink.finish().map_err(|e| SoundError(e.to_string()))?;
        }
        Ok(())
    }
    fn conditions(&mut self) -> Vec<String> {
        Vec::new()
    }
}
