//! A music file to everything that a server keeps of it.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_types::Bitrate;

use crate::decode::{DecodeError, DecodeLimits, decode_file};
use crate::encode::{EncodeError, Encoded, encode};
use crate::loudness::{Loudness, LoudnessError, measure};
use crate::resample::{ResampleError, to_44100};
use crate::tags::{self, Cover, Tags};

/// Why a file is not ingested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// It cannot be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It cannot be brought to 44.1 kHz.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// Its loudness cannot be measured.
    #[error(transparent)]
    Loudness(#[from] LoudnessError),
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A track, ready to be encrypted, named and signed.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedTrack {
    /// What its tags say.
    pub tags: Tags,
    /// Its cover, if it has a usable one.
    pub cover: Option<Cover>,
    /// What was measured, and the gain that is in the renditions.
    pub loudness: Loudness,
    /// Length in samples of one channel at 44.1 kHz.
    pub duration_samples: u64,
    /// 96, 160 and 320 kbit/s, in this order.
    pub renditions: [Encoded; 3],
}

/// Decodes a file, brings it to 44.1 kHz and to the common loudness, and
/// encodes all renditions, three at a time on threads of their own.
///
/// `progress` is called, from several threads, with the share that is done.
///
/// All samples are in memory: about 0.35 MB per second of a 44.1 kHz file,
/// and that of both rates while another rate is converted. A track of five
/// minutes takes some 100 MB, one of an hour 1.3 GB.
pub fn encode_file(
    path: &Path,
    limits: &DecodeLimits,
    progress: &(dyn Fn(f32) + Sync),
) -> Result<EncodedTrack, IngestError> {
    let decoded = decode_file(path, limits, &|share| progress(share * 0.2))?;
    let mut samples = to_44100(Cow::Owned(decoded.samples), decoded.rate)?.into_owned();
    progress(0.25);
    let loudness = measure(&samples)?;
    let factor = loudness.factor();
    if loudness.gain_db != 0.0 {
        samples.iter_mut().for_each(|sample| *sample *= factor);
    }
    progress(0.3);
    let renditions = encode_all(&samples, progress)?;
    let (tags, cover) = tags::read(path);
    progress(1.0);
    Ok(EncodedTrack {
        tags,
        cover,
        loudness,
        duration_samples: samples.len() as u64 / 2,
        renditions,
    })
}

fn encode_all(
    samples: &[f32],
    progress: &(dyn Fn(f32) + Sync),
) -> Result<[Encoded; 3], EncodeError> {
    let done = AtomicUsize::new(0);
    let one = |bitrate: Bitrate| {
        let encoded = encode(samples, bitrate);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress([0.3, 0.5, 0.75, 0.95][done.min(3)]);
        encoded
    };
    let one = &one;
    let [low, middle, high] = std::thread::scope(|scope| {
        Bitrate::ALL
            .map(|bitrate| scope.spawn(move || one(bitrate)))
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Ok([low?, middle?, high?])
}
