//! What people have (FLAC, MP3, AAC, Ogg Vorbis, WAV) to stereo samples.
//!
//! Files are strangers: every quantity in them is bounded by [`DecodeLimits`],
//! a decoder's panic becomes an error of that file, and a file that ends
//! before its stated length is refused instead of being ingested in part.

mod error;
mod mix;
mod ogg_vorbis;
mod probe;
mod stereo;
mod trim;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub use error::DecodeError;
use stereo::{Sink, StereoFeed};

/// Bounds on what a file may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Longest duration in seconds; see [`DecodeLimits::seconds_for`] for that of
    /// small files. Default 6 h: the longest single works;
    /// 6 h are 7.6 GB of samples, in a temporary file while they are encoded.
    pub max_seconds: u32,
    /// Lowest sample rate in hertz. Default 8000: telephone speech.
    pub min_rate: u32,
    /// Highest sample rate in hertz. Default 384 000: the highest that is sold.
    pub max_rate: u32,
    /// Most channels. Default 8: 7.1 surround.
    pub max_channels: u16,
    /// Largest file in bytes. Default 8 GiB: an hour of the largest WAV of all.
    pub max_file_bytes: u64,
}

impl DecodeLimits {
    /// The longest duration of a file of so many bytes, in seconds: ten minutes,
    /// and what 4 kbit/s would be. Speech has more; years of silence have less.
    pub fn seconds_for(&self, file_bytes: u64) -> u32 {
        let seconds = (file_bytes / 500).saturating_add(600);
        self.max_seconds.min(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_seconds: 6 * 3600,
            min_rate: 8_000,
            max_rate: 384_000,
            max_channels: 8,
            max_file_bytes: 8 << 30,
        }
    }
}

/// Decoded audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    /// Samples per second.
    pub rate: u32,
    /// Interleaved stereo; full scale is -1.0 to 1.0.
    pub samples: Vec<f32>,
}

/// Decodes a file to interleaved stereo at its own rate, all in memory: 8
/// bytes for each sample of both channels, 0.35 MB per second at 44.1 kHz.
///
/// One channel is doubled, more than two are mixed down. Delay and padding
/// that an encoder added are cut where the file tells them. `progress` is
/// called with the share that is done, 0 to 1, where the length is known.
pub fn decode_file(
    path: &Path,
    limits: &DecodeLimits,
    progress: &dyn Fn(f32),
) -> Result<Pcm, DecodeError> {
    let mut pcm = Pcm { rate: 0, samples: Vec::new() };
    let mut collect = |rate, samples: &[f32]| {
        pcm.rate = rate;
        pcm.samples.extend_from_slice(samples);
        true
    };
    let file = File::open(path).map_err(DecodeError::Read)?;
    let ending = path.extension().and_then(|ending| ending.to_str());
    decode_stream(&file, ending, limits, progress, &mut collect)?;
    Ok(pcm)
}

/// Decodes an open file piece by piece, in memory that does not grow with it:
/// `sink` takes the rate, and interleaved stereo, and says whether it wants
/// more. `ending` is that of the file's name, which helps to tell formats.
pub(crate) fn decode_stream(
    mut file: &File,
    ending: Option<&str>,
    limits: &DecodeLimits,
    progress: &dyn Fn(f32),
    sink: &mut Sink<'_>,
) -> Result<(), DecodeError> {
    let metadata = file.metadata().map_err(DecodeError::Read)?;
    if !metadata.is_file() {
        return Err(DecodeError::NotAFile);
    }
    if metadata.len() == 0 {
        return Err(DecodeError::Empty);
    }
    if metadata.len() > limits.max_file_bytes {
        return Err(DecodeError::FileTooLarge {
            bytes: metadata.len(),
            limit: limits.max_file_bytes,
        });
    }
    file.seek(SeekFrom::Start(0)).map_err(DecodeError::Read)?;
    let head = read_head(file).map_err(DecodeError::Read)?;
    let max_seconds = limits.seconds_for(metadata.len());
    let mut feed = StereoFeed::new(DecodeLimits { max_seconds, ..*limits }, sink);
    let decode = || {
        if ogg_vorbis::recognises(&head) {
            ogg_vorbis::decode(file, metadata.len(), &mut feed, progress)
        } else {
            probe::decode(file, ending, &head, &mut feed, progress)
        }
    };
    // A malformed file that trips an assertion in a decoder is reported like
    // any other malformed file.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(DecodeError::Crashed))?;
    feed.finish()
}

/// The first bytes, for what must be known before a decoder is chosen.
fn read_head(mut file: &File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(4096).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(head)
}
