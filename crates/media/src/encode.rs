//! 44.1 kHz stereo to an Ogg Vorbis rendition, the same bytes every time.

use std::cell::RefCell;
use std::io::{self, Write};
use std::num::{NonZeroU8, NonZeroU32};
use std::rc::Rc;

use antiphon_types::{Bitrate, BlobId, BlobSize, Rendition, RenditionError, SAMPLE_RATE, Segment};
use vorbis_rs::{VorbisBitrateManagementStrategy as Strategy, VorbisEncoder, VorbisEncoderBuilder};

use crate::layout::{Layout, LayoutError};
use crate::spool::Samples;

/// Excerpts of a track at most, and at least where it is long enough.
const EXCERPTS: std::ops::RangeInclusive<u64> = 4..=12;
/// Samples of one channel between their beginnings, about: 22 s.
const EXCERPT_EVERY: u64 = 22 * SAMPLE_RATE as u64;
/// Excerpts begin at a multiple of this: the long block of libvorbis. A track
/// that was Vorbis before costs up to a quarter less where the blocks are
/// those of its first encoding, and in the whole they are.
const GRID: u64 = 2048;
/// Samples of one channel in an excerpt: 2 s.
const EXCERPT_SAMPLES: u64 = 44 * GRID;
/// A forecast this close to the name is not made again: what is asked for and
/// what comes are nearly proportional.
const CLOSE_ENOUGH: f64 = 0.15;
/// What a forecast comes out too high by, for where excerpts meet the sound
/// jumps, which costs: the median over 38 pieces of music at three bitrates.
const JUMPS: f64 = 1.03;
/// Forecasts that are made at most.
const MAX_FORECASTS: u32 = 3;
/// Shorter tracks, in samples of one channel, are mostly header: there is
/// nothing to be gained.
const SHORTEST: u64 = 2 * SAMPLE_RATE as u64;
/// What libvorbis can be asked for at 44.1 kHz stereo, in bits per second.
const ASKABLE: std::ops::RangeInclusive<f64> = 48_000.0..=480_000.0;
/// Samples of one channel that are handed to the encoder at a time.
const BLOCK_SAMPLES: usize = 4096;

/// Why audio cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// There are no samples.
    #[error("there is no audio to encode")]
    Empty,
    /// libvorbis refused.
    #[error("the Vorbis encoder failed: {0}")]
    Encoder(#[from] vorbis_rs::VorbisError),
    /// What libvorbis wrote cannot be laid out as a rendition.
    #[error("the encoded stream cannot be laid out: {0}")]
    Layout(#[from] LayoutError),
    /// The samples cannot be read back.
    #[error("the decoded samples cannot be read back: {0}")]
    Spool(#[source] io::Error),
}

/// What is known of a rendition whose bytes were written elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Nominal bitrate.
    pub bitrate: Bitrate,
    /// Bytes of the Ogg Vorbis file.
    pub bytes: u64,
    /// Bytes of the three Vorbis headers, which come first.
    pub header_bytes: u32,
    /// Samples of one channel, exactly as many as were encoded.
    pub samples: u64,
    /// Where decoding can begin, every 10 s.
    pub segments: Vec<Segment>,
}

/// One rendition in plain text, with its seek table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Nominal bitrate.
    pub bitrate: Bitrate,
    /// The Ogg Vorbis file.
    pub bytes: Vec<u8>,
    /// Bytes of the three Vorbis headers, which come first.
    pub header_bytes: u32,
    /// Samples of one channel, exactly as many as were encoded.
    pub samples: u64,
    /// Where decoding can begin, every 10 s.
    pub segments: Vec<Segment>,
}

impl Encoded {
    /// Mean bitrate of the whole file, in bits per second.
    #[expect(clippy::cast_precision_loss, reason = "a figure to compare, far below 2^52")]
    pub fn mean_bits_per_second(&self) -> f64 {
        let seconds = self.samples as f64 / f64::from(SAMPLE_RATE);
        self.bytes.len() as f64 * 8.0 / seconds
    }

    /// The rendition as all other parts see it, given the name of the blob
    /// that its ciphertext makes.
    pub fn rendition(&self, blob: BlobId) -> Result<Rendition, RenditionError> {
        let size = BlobSize::new(self.bytes.len() as u64).map_err(|_| RenditionError::Empty)?;
        let segments = self.segments.clone();
        Rendition::new(self.bitrate, blob, size, self.header_bytes, self.samples, segments)
    }
}

/// Encodes interleaved 44.1 kHz stereo, in memory.
///
/// The encoder works at constant quality and lets the rate follow the music.
/// At a fixed quality, quiet or simple music misses the nominal rate by 20 %
/// and more, so the quality is chosen for each track by encoding excerpts of
/// it first: 4 to 12 of 2 s. libvorbis' own average-bitrate mode would hit the
/// rate, but it costs four times as much, and it evens out what the music asks
/// for. Silence has nothing to fill
/// a rate with and stays small.
pub fn encode(samples: &[f32], bitrate: Bitrate) -> Result<Encoded, EncodeError> {
    let (bytes, rendered) = encode_to(&samples, bitrate, Vec::new(), &|_| {})?;
    let Rendered { bitrate, header_bytes, samples, segments, .. } = rendered;
    Ok(Encoded { bitrate, bytes, header_bytes, samples, segments })
}

/// Encodes to a writer; gives it back. `progress` is told the share that is
/// done.
pub(crate) fn encode_to<W: Write>(
    samples: &dyn Samples,
    bitrate: Bitrate,
    out: W,
    progress: &dyn Fn(f32),
) -> Result<(W, Rendered), EncodeError> {
    let frames = samples.frames();
    if frames == 0 {
        return Err(EncodeError::Empty);
    }
    let mut layout = Layout::new(bitrate, frames, out);
    let mut encoder = Encoder::new(choose(samples, bitrate)?)?;
    let mut first = 0;
    layout.push(&encoder.take())?;
    while first < frames {
        encoder.encode(samples, first, BLOCK_SAMPLES)?;
        layout.push(&encoder.take())?;
        first += BLOCK_SAMPLES as u64;
        progress(share(first, frames));
    }
    layout.push(&encoder.finish()?)?;
    Ok(layout.finish()?)
}

/// What to ask libvorbis for, in bits per second, so that the mean rate of the
/// whole is near its name.
fn choose(samples: &dyn Samples, bitrate: Bitrate) -> Result<f64, EncodeError> {
    let goal = f64::from(bitrate.kbps()) * 1000.0;
    let mut ask = goal;
    if samples.frames() < SHORTEST {
        return Ok(ask);
    }
    let excerpts = excerpts(samples.frames());
    for _ in 0..MAX_FORECASTS {
        let ratio = forecast(samples, &excerpts, ask)? / goal;
        let next = (ask / ratio).clamp(*ASKABLE.start(), *ASKABLE.end());
        if ratio.ln().abs() <= CLOSE_ENOUGH || next == ask {
            return Ok(next);
        }
        ask = next;
    }
    Ok(ask)
}

/// Where the excerpts begin: spread evenly.
fn excerpts(frames: u64) -> Vec<u64> {
    let room = (frames / EXCERPT_SAMPLES).max(1);
    let count = (frames / EXCERPT_EVERY).clamp(*EXCERPTS.start(), *EXCERPTS.end()).min(room);
    let last = frames.saturating_sub(EXCERPT_SAMPLES);
    (0..count).map(|i| last * (2 * i + 1) / (2 * count) / GRID * GRID).collect()
}

/// The mean rate that the whole is likely to have, in bits per second.
#[expect(clippy::cast_precision_loss, reason = "lengths far below 2^52")]
fn forecast(samples: &dyn Samples, excerpts: &[u64], ask: f64) -> Result<f64, EncodeError> {
    let mut encoder = Encoder::new(ask)?;
    let headers = encoder.take().len();
    let mut frames = 0;
    let mut bytes = 0;
    for first in excerpts {
        let mut at = *first;
        let end = at + EXCERPT_SAMPLES;
        while at < end {
            let count = usize::try_from(end - at).map_or(BLOCK_SAMPLES, |n| n.min(BLOCK_SAMPLES));
            frames += encoder.encode(samples, at, count)?;
            at += count as u64;
        }
        bytes += encoder.take().len();
    }
    bytes += encoder.finish()?.len();
    let rate = f64::from(SAMPLE_RATE) * 8.0;
    let audio = bytes as f64 * rate / (frames as f64 * JUMPS);
    Ok(audio + headers as f64 * rate / samples.frames() as f64)
}

/// libvorbis at the quality that it thinks fit for a rate.
struct Encoder {
    vorbis: VorbisEncoder<Outbox>,
    outbox: Outbox,
    block: Vec<f32>,
    planes: [Vec<f32>; 2],
}

/// Holds what libvorbis wrote until it is fetched: the encoder keeps its
/// writer to itself.
#[derive(Clone, Default)]
struct Outbox(Rc<RefCell<Vec<u8>>>);

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    fn new(ask: f64) -> Result<Self, EncodeError> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within ASKABLE"
        )]
        let target_bitrate = NonZeroU32::new(ask as u32).ok_or(EncodeError::Empty)?;
        let outbox = Outbox::default();
        let mut builder = VorbisEncoderBuilder::new_with_serial(
            NonZeroU32::new(SAMPLE_RATE).expect("not zero"),
            NonZeroU8::new(2).expect("not zero"),
            outbox.clone(),
            0,
        );
        builder.bitrate_management_strategy(Strategy::Vbr { target_bitrate });
        let vorbis = builder.build()?;
        Ok(Self { vorbis, outbox, block: Vec::new(), planes: [Vec::new(), Vec::new()] })
    }

    /// Encodes up to `count` frames; how many there were.
    fn encode(
        &mut self,
        samples: &dyn Samples,
        first: u64,
        count: usize,
    ) -> Result<usize, EncodeError> {
        samples.read(first, count, &mut self.block).map_err(EncodeError::Spool)?;
        for (channel, plane) in self.planes.iter_mut().enumerate() {
            plane.clear();
            plane.extend(self.block.iter().skip(channel).step_by(2));
        }
        self.vorbis.encode_audio_block(&self.planes)?;
        Ok(self.block.len() / 2)
    }

    /// What was written since it was last asked.
    fn take(&self) -> Vec<u8> {
        self.outbox.0.take()
    }

    /// Ends the stream; the rest of what was written.
    fn finish(self) -> Result<Vec<u8>, EncodeError> {
        self.vorbis.finish()?;
        Ok(self.outbox.0.take())
    }
}

/// Which part of the whole, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a figure for a progress bar")]
fn share(part: u64, whole: u64) -> f32 {
    (part as f32 / whole.max(1) as f32).min(1.0)
}
