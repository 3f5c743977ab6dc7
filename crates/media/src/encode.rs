//! 44.1 kHz stereo to an Ogg Vorbis rendition, the same bytes every time.

use std::num::{NonZeroU8, NonZeroU32};

use antiphon_types::{Bitrate, BlobId, BlobSize, Rendition, RenditionError, SAMPLE_RATE, Segment};
use vorbis_rs::{VorbisBitrateManagementStrategy as Strategy, VorbisEncoderBuilder};

use crate::layout::{LayoutError, lay_out};

/// A mean bitrate this close to its name is taken as it is.
const CLOSE_ENOUGH: f64 = 0.07;
/// Encodings that are tried before the closest one is taken.
const MAX_PASSES: u32 = 4;
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

/// Encodes interleaved 44.1 kHz stereo.
///
/// The encoder works at constant quality and lets the rate follow the music.
/// At a fixed quality, quiet or simple music misses the nominal rate by 20 %
/// and more, so the quality is adjusted and the track encoded again until its
/// mean rate is near. libvorbis' own average-bitrate mode would hit the rate
/// in one pass, but that pass costs four of these, and it evens out what the
/// music asks for. Silence has nothing to fill a rate with and stays small.
pub fn encode(samples: &[f32], bitrate: Bitrate) -> Result<Encoded, EncodeError> {
    let goal = f64::from(bitrate.kbps()) * 1000.0;
    let mut ask = goal;
    let mut best: Option<(f64, Encoded)> = None;
    for _ in 0..MAX_PASSES {
        let encoded = encode_at(samples, bitrate, ask)?;
        let ratio = encoded.mean_bits_per_second() / goal;
        let miss = ratio.ln().abs();
        if best.as_ref().is_none_or(|(least, _)| miss < *least) {
            best = Some((miss, encoded));
        }
        let next = (ask / ratio).clamp(*ASKABLE.start(), *ASKABLE.end());
        // Clips of a second are mostly header: nothing to be gained there.
        if miss <= CLOSE_ENOUGH || next == ask || samples.len() < 4 * SAMPLE_RATE as usize {
            break;
        }
        ask = next;
    }
    best.map(|(_, encoded)| encoded).ok_or(EncodeError::Empty)
}

/// One pass at the quality that libvorbis thinks fit for that rate.
fn encode_at(samples: &[f32], bitrate: Bitrate, ask: f64) -> Result<Encoded, EncodeError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within ASKABLE")]
    let target_bitrate = NonZeroU32::new(ask as u32).ok_or(EncodeError::Empty)?;
    let frames = samples.len() / 2;
    if frames == 0 {
        return Err(EncodeError::Empty);
    }
    let mut builder = VorbisEncoderBuilder::new_with_serial(
        NonZeroU32::new(SAMPLE_RATE).expect("not zero"),
        NonZeroU8::new(2).expect("not zero"),
        Vec::new(),
        0,
    );
    builder.bitrate_management_strategy(Strategy::Vbr { target_bitrate });
    let mut encoder = builder.build()?;
    let mut planes = [Vec::new(), Vec::new()];
    for block in samples.chunks(2 * BLOCK_SAMPLES) {
        for (channel, plane) in planes.iter_mut().enumerate() {
            plane.clear();
            plane.extend(block.iter().skip(channel).step_by(2));
            plane.truncate(block.len() / 2);
        }
        encoder.encode_audio_block(&planes)?;
    }
    Ok(lay_out(&encoder.finish()?, bitrate, frames as u64)?)
}
