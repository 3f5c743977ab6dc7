//! 16-bit samples: how they are made from floating point, and their hash.

/// One sample as 16-bit PCM: scaled by 32768, rounded to the nearest (halves
/// to even) and clipped, as libvorbisfile and FFmpeg do it. Not-a-number is 0.
pub fn to_i16(sample: f32) -> i16 {
    let scaled = (sample * 32_768.0).round_ties_even().clamp(-32_768.0, 32_767.0);
    #[expect(clippy::cast_possible_truncation, reason = "clamped; not-a-number becomes 0")]
    let rounded = scaled as i16;
    rounded
}

/// Appends samples as 16-bit PCM.
pub fn extend_i16(out: &mut Vec<i16>, samples: &[f32]) {
    out.extend(samples.iter().map(|sample| to_i16(*sample)));
}

/// Hashes PCM as 16-bit little-endian interleaved samples, the way
/// `ffmpeg -f s16le` would write them.
#[derive(Debug, Clone, Default)]
pub struct PcmHasher {
    hasher: blake3::Hasher,
    samples: u64,
}

impl PcmHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds interleaved samples.
    pub fn update(&mut self, samples: &[i16]) {
        let mut bytes = [0; 2048];
        for piece in samples.chunks(bytes.len() / 2) {
            for (pair, sample) in bytes.chunks_exact_mut(2).zip(piece) {
                pair.copy_from_slice(&sample.to_le_bytes());
            }
            self.hasher.update(&bytes[..piece.len() * 2]);
        }
        self.samples += samples.len() as u64;
    }

    /// How many samples were added, all channels counted.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The BLAKE3 hash of what was added.
    pub fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}
