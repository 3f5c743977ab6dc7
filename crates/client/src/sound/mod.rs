//! Where the music goes: a sound device, a file, or nowhere.
//!
//! The player hands samples to an [`Output`] at the pace at which the output
//! takes them. Files and the null device keep time as a device with a buffer of
//! 200 ms does. A sound device is fed by a thread of its own; between the player and
//! that thread lie a lock-free ring of frames and a few atomics.

mod clock;
mod clocked;
#[cfg(target_os = "linux")]
mod pulse;
mod queue;
#[cfg(target_os = "linux")]
mod tape;
mod virtual_device;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the music goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkKind {
    /// Nowhere, in real time.
    Null,
    /// Into a WAV file, in real time.
    Wav(PathBuf),
    /// Into a file of bare samples, 16 bit little-endian stereo, in real time.
    Pcm(PathBuf),
    /// Out of a sound device: the one with this name, or the system's default.
    Sound(Option<String>),
}

impl std::str::FromStr for SinkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "null" => Ok(Self::Null),
            None if text == "sound" => Ok(Self::Sound(None)),
            Some(("wav", file)) if !file.is_empty() => Ok(Self::Wav(file.into())),
            Some(("pcm", file)) if !file.is_empty() => Ok(Self::Pcm(file.into())),
            Some(("sound", device)) if !device.is_empty() => Ok(Self::Sound(Some(device.into()))),
            _ => Err("expected sound, sound:DEVICE, null, wav:FILE or pcm:FILE".to_owned()),
        }
    }
}

/// Why there is no sound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SoundError {
    #[error("cannot write {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(
        "no sound: {reason}. Start PulseAudio or PipeWire (with pipewire-pulse), or play \
         elsewhere: --sink null, wav:FILE or pcm:FILE"
    )]
    Unavailable { reason: String },
    #[error("{frames} frames were written where room is for {room}")]
    TooMuch { frames: usize, room: usize },
}

/// What an output tells of itself while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It plays nothing; it is asked for again until it is back.
    Gone { reason: String },
    /// It plays on, from where it stopped.
    Back,
    /// It goes out of another device now.
    Moved { device: String },
    /// It had nothing to play while music was still to come.
    RanDry,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { reason } => write!(f, "the sound device is gone: {reason}"),
            Self::Back => f.write_str("the sound device is back"),
            Self::Moved { device } => write!(f, "the sound goes to another device: {device}"),
            Self::RanDry => f.write_str("the sound device ran dry"),
        }
    }
}

/// What takes samples and plays them.
///
/// A frame is a sample of each channel, at 44.1 kHz. `now` is the time of the
/// call and never goes back from one call to the next.
pub(crate) trait Output: Send {
    /// Frames that [`write`](Self::write) takes now.
    fn room(&mut self, now: Instant) -> usize;

    /// When to ask for room again if there is none; `None` if there is some.
    fn writable_at(&self, now: Instant) -> Option<Instant>;

    /// Takes interleaved samples, no more than there is room for. After a dry
    /// spell without a pause in it this is the end of a stall. Fails if the
    /// output can play no more; a device that is gone and may come back does
    /// not fail, it has no room.
    fn write(&mut self, samples: &[i16], now: Instant) -> Result<(), SoundError>;

    /// Frames heard in all since the opening. Never goes back, and does not
    /// count what was discarded.
    fn heard(&mut self, now: Instant) -> u64;

    /// When everything that was written will have been heard, or was. `None`
    /// where that is not known: before the first sound, after a discard, in a
    /// pause, while the device is gone.
    fn dry_at(&self) -> Option<Instant>;

    /// Drops what was written and not yet heard, at once; what had been heard
    /// in all. Frames written from now on count from there.
    fn discard(&mut self, now: Instant) -> u64;

    /// How often it ran dry with music to follow, and for how long in all.
    fn stalls(&self) -> (u32, Duration);

    /// Stops the sound at once and keeps what is queued. Time in a pause is no
    /// stall. Does nothing in a pause.
    fn pause(&mut self, now: Instant) -> Result<(), SoundError>;

    /// Ends a pause. Does nothing outside of one.
    fn resume(&mut self, now: Instant) -> Result<(), SoundError>;

    /// Nothing more follows: files are completed, a device plays what it has.
    fn finish(&mut self) -> Result<(), SoundError>;

    /// What happened to it since the last call.
    fn conditions(&mut self) -> Vec<Condition>;
}

/// Opens an output. Files and the null device consume `speed` times as fast as
/// music is heard.
pub(crate) fn open(kind: &SinkKind, speed: f64) -> Result<Box<dyn Output>, SoundError> {
    match kind {
        SinkKind::Null => Ok(Box::new(clocked::Clocked::null(speed))),
        SinkKind::Wav(path) => Ok(Box::new(clocked::Clocked::wav(path, speed)?)),
        SinkKind::Pcm(path) => Ok(Box::new(clocked::Clocked::pcm(path, speed)?)),
        SinkKind::Sound(device) => open_device(device.as_deref()),
    }
}

#[cfg(target_os = "linux")]
fn open_device(device: Option<&str>) -> Result<Box<dyn Output>, SoundError> {
    pulse::open(device)
}

/// Elsewhere a sound server that speaks PulseAudio's protocol is not to be found.
#[cfg(not(target_os = "linux"))]
fn open_device(_device: Option<&str>) -> Result<Box<dyn Output>, SoundError> {
    Err(SoundError::Unavailable { reason: "this system is not supported yet".to_owned() })
}
