//! Any sample rate to 44.1 kHz.

use std::borrow::Cow;

use antiphon_types::{CHANNELS, SAMPLE_RATE};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Least samples per block of the filter: at 44.1 kHz a transition band of
/// some hundred hertz below the Nyquist frequency, and a delay of 12 ms, which
/// is compensated.
const BLOCK_SAMPLES: u32 = 1024;

const STEREO: usize = CHANNELS as usize;

/// The resampler refused; says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rate} Hz cannot be resampled to 44100 Hz: {reason}")]
pub struct ResampleError {
    /// Samples per second of what was given.
    pub rate: u32,
    /// What the resampler says.
    pub reason: String,
}

/// Samples of one channel that `samples` at `rate` become: the nearest number.
pub fn resampled_length(samples: u64, rate: u32) -> u64 {
    let rate = u128::from(rate.max(1));
    let scaled = u128::from(samples) * u128::from(SAMPLE_RATE);
    u64::try_from((scaled + rate / 2) / rate).unwrap_or(u64::MAX)
}

/// Resamples interleaved stereo to 44.1 kHz.
///
/// The filter's delay is compensated, and the length is exactly
/// [`resampled_length`]. What is at 44.1 kHz already is given back as it is.
pub fn to_44100(samples: Cow<'_, [f32]>, rate: u32) -> Result<Cow<'_, [f32]>, ResampleError> {
    if rate == SAMPLE_RATE || samples.is_empty() {
        return Ok(samples);
    }
    let mut stream = ResampleStream::new(rate)?;
    let mut output = Vec::new();
    stream.push(&samples, &mut output)?;
    stream.finish(&mut output)?;
    Ok(Cow::Owned(output))
}

/// Resamples as samples come, in memory that does not grow with them.
pub(crate) struct ResampleStream {
    rate: u32,
    filter: Option<Filter>,
}

struct Filter {
    fft: Fft<f32>,
    /// Interleaved samples that do not fill a block yet.
    waiting: Vec<f32>,
    /// What comes out of a block.
    block: Vec<f32>,
    /// Samples of one channel that are the filter's delay and still to come.
    delay: usize,
    /// Samples of one channel, in and out.
    taken: u64,
    given: u64,
}

impl ResampleStream {
    pub(crate) fn new(rate: u32) -> Result<Self, ResampleError> {
        if rate == SAMPLE_RATE {
            return Ok(Self { rate, filter: None });
        }
        let fft = Fft::<f32>::new_custom(
            rate as usize,
            SAMPLE_RATE as usize,
            block_samples(rate) as usize,
            1,
            STEREO,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|error| ResampleError { rate, reason: error.to_string() })?;
        let delay = fft.output_delay();
        let block = vec![0.0; fft.output_frames_max() * STEREO];
        let filter = Filter { fft, waiting: Vec::new(), block, delay, taken: 0, given: 0 };
        Ok(Self { rate, filter: Some(filter) })
    }

    /// Appends to `out` what the next interleaved samples become.
    pub(crate) fn push(
        &mut self,
        samples: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), ResampleError> {
        let Some(filter) = &mut self.filter else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        filter.taken += (samples.len() / STEREO) as u64;
        filter.waiting.extend_from_slice(samples);
        filter
            .run(out)
            .map_err(|error| ResampleError { rate: self.rate, reason: error.to_string() })
    }

    /// Appends what is still in the filter.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), ResampleError> {
        let Some(filter) = &mut self.filter else { return Ok(()) };
        let refuse = |reason: String| ResampleError { rate: self.rate, reason };
        let wanted = resampled_length(filter.taken, self.rate);
        let start = out.len();
        let given = filter.given;
        while filter.given < wanted {
            let short = filter.fft.input_frames_next() * STEREO - filter.waiting.len();
            filter.waiting.extend(std::iter::repeat_n(0.0, short));
            filter.run(out).map_err(|error| refuse(error.to_string()))?;
        }
        let rest = usize::try_from(wanted.saturating_sub(given)).unwrap_or(usize::MAX);
        out.truncate(start.saturating_add(rest.saturating_mul(STEREO)));
        Ok(())
    }
}

impl Filter {
    /// Filters all whole blocks that wait.
    fn run(&mut self, out: &mut Vec<f32>) -> Result<(), rubato::ResampleError> {
        let frames = self.fft.input_frames_next();
        let mut used = 0;
        while let Some(block) = self.waiting.get(used..used + frames * STEREO) {
            let input = InterleavedSlice::new(block, STEREO, frames).expect("a whole block");
            let room = self.block.len() / STEREO;
            let mut output = InterleavedSlice::new_mut(&mut self.block, STEREO, room)
                .expect("room for whole samples");
            let (_, made) = self.fft.process_into_buffer(&input, &mut output, None)?;
            let skipped = self.delay.min(made);
            self.delay -= skipped;
            out.extend_from_slice(&self.block[skipped * STEREO..made * STEREO]);
            self.given += (made - skipped) as u64;
            used += frames * STEREO;
        }
        self.waiting.drain(..used);
        Ok(())
    }
}

/// Samples per block at that rate.
///
/// Blocks are whole multiples of the shortest stretch that has a whole number
/// of samples at both rates. The filter delays by half a block; an even
/// multiple makes that a whole number of samples, else the result would be off
/// by half a sample.
fn block_samples(rate: u32) -> u32 {
    let (mut divisor, mut rest) = (rate, SAMPLE_RATE);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let shortest = rate / divisor.max(1);
    shortest * BLOCK_SAMPLES.div_ceil(shortest.max(1)).next_multiple_of(2)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;

    fn sine(rate: u32, frames: usize) -> Vec<f32> {
        let step = 997.0 * std::f64::consts::TAU / f64::from(rate);
        (0..frames).flat_map(|i| [(i as f64 * step).sin() as f32 * 0.5; 2]).collect()
    }

    #[test]
    fn length_is_exact_and_delay_is_compensated() {
        for rate in [8_000, 22_050, 32_000, 44_101, 48_000, 96_000, 192_000, 384_000] {
            for frames in [1, 700, 60_011] {
                let resampled = to_44100(sine(rate, frames).into(), rate).unwrap();
                let wanted = resampled_length(frames as u64, rate) as usize;
                assert_eq!(resampled.len(), wanted * 2, "{frames} at {rate}");
                let truth = sine(SAMPLE_RATE, wanted);
                let edge = 2 * 12_000;
                for i in edge..resampled.len().saturating_sub(edge) {
                    let error = (resampled[i] - truth[i]).abs();
                    assert!(error < 2e-3, "{rate} Hz, sample {i}: off by {error}");
                }
            }
        }
    }

    #[test]
    fn the_target_rate_passes_untouched() {
        let samples = sine(SAMPLE_RATE, 100);
        assert!(matches!(to_44100(samples.as_slice().into(), SAMPLE_RATE), Ok(Cow::Borrowed(_))));
    }
}
