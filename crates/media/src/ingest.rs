//! A music file to everything that a server keeps of it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use antiphon_types::Bitrate;

use crate::decode::{DecodeError, DecodeLimits, decode_stream};
use crate::encode::{EncodeError, Rendered, encode_to};
use crate::loudness::{Loudness, LoudnessError, LoudnessMeter};
use crate::resample::{ResampleError, ResampleStream};
use crate::spool::{Spool, SpoolWriter};
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
    /// Its samples cannot be kept in the temporary file.
    #[error("its decoded samples cannot be written to a temporary file: {0}")]
    Spool(#[source] io::Error),
}

/// A track whose renditions are written, ready to be encrypted, named and
/// signed.
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
    pub renditions: [Rendered; 3],
}

/// A file to be ingested.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file, open for reading.
    pub file: &'a File,
    /// What it is called: its ending helps to tell formats, and the rest is
    /// the title of what has no tags. Nothing is opened by it.
    pub name: &'a Path,
}

/// Decodes a file, brings it to 44.1 kHz and to the common loudness, and
/// encodes all renditions at once, each on a thread of its own, to `outputs`
/// (96, 160 and 320 kbit/s, in this order).
///
/// `progress` is called, from several threads, with the share that is done.
///
/// Memory does not grow with the track's length. Its decoded samples are
/// written to `spool`, an empty file open for reading and writing, 0.35 MB for
/// each second: an hour takes 1.3 GB. The same file gives the same bytes.
pub fn encode_file<W: Write + Send>(
    source: Source<'_>,
    limits: &DecodeLimits,
    spool: File,
    outputs: [W; 3],
    progress: &(dyn Fn(f32) + Sync),
) -> Result<EncodedTrack, IngestError> {
    let (tags, cover) = tags::read_open(source.file, source.name);
    let (samples, loudness) = decode(source, limits, spool, &|share| progress(share * DECODED))?;
    let renditions = encode_all(&samples, outputs, progress)?;
    progress(1.0);
    let duration_samples = renditions[0].samples;
    Ok(EncodedTrack { tags, cover, loudness, duration_samples, renditions })
}

/// The share of the work that is done when a file is decoded.
const DECODED: f32 = 0.25;

/// The first pass: all samples at 44.1 kHz in a file, and their loudness.
fn decode(
    source: Source<'_>,
    limits: &DecodeLimits,
    spool: File,
    progress: &dyn Fn(f32),
) -> Result<(Spool, Loudness), IngestError> {
    let mut intake = Intake {
        resampler: None,
        samples: Vec::new(),
        meter: LoudnessMeter::new()?,
        spool: SpoolWriter::new(spool),
    };
    let mut failure = None;
    let mut sink = |rate, samples: &[f32]| {
        let taken = intake.take(rate, samples);
        taken.map_err(|error| failure = Some(error)).is_ok()
    };
    let ending = source.name.extension().and_then(|ending| ending.to_str());
    let decoded = decode_stream(source.file, ending, limits, progress, &mut sink);
    if let Some(failure) = failure {
        return Err(failure);
    }
    decoded?;
    intake.finish()
}

/// What becomes of decoded samples.
struct Intake {
    resampler: Option<ResampleStream>,
    samples: Vec<f32>,
    meter: LoudnessMeter,
    spool: SpoolWriter,
}

impl Intake {
    fn take(&mut self, rate: u32, samples: &[f32]) -> Result<(), IngestError> {
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(ResampleStream::new(rate)?),
        };
        resampler.push(samples, &mut self.samples)?;
        self.pass_on()
    }

    fn pass_on(&mut self) -> Result<(), IngestError> {
        self.meter.add(&self.samples)?;
        self.spool.write(&self.samples).map_err(IngestError::Spool)?;
        self.samples.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(Spool, Loudness), IngestError> {
        if let Some(mut resampler) = self.resampler.take() {
            resampler.finish(&mut self.samples)?;
        }
        self.pass_on()?;
        let loudness = self.meter.finish()?;
        let spool = self.spool.finish(loudness.factor()).map_err(IngestError::Spool)?;
        Ok((spool, loudness))
    }
}

/// The second pass: all renditions, each on a thread of its own.
fn encode_all<W: Write + Send>(
    samples: &Spool,
    outputs: [W; 3],
    progress: &(dyn Fn(f32) + Sync),
) -> Result<[Rendered; 3], EncodeError> {
    let shares = Mutex::new([0.0_f32; 3]);
    let one = |bitrate: Bitrate, out: W| {
        let told = |share| {
            let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
            shares[bitrate as usize] = share;
            progress(DECODED + (1.0 - DECODED) * shares.iter().sum::<f32>() / 3.0);
        };
        encode_to(samples, bitrate, out, &told).map(|(_, rendered)| rendered)
    };
    let one = &one;
    let mut outputs = outputs.into_iter();
    let [low, middle, high] = std::thread::scope(|scope| {
        Bitrate::ALL
            .map(|bitrate| {
                let out = outputs.next().expect("three outputs");
                scope.spawn(move || one(bitrate, out))
            })
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    Ok([low?, middle?, high?])
}
