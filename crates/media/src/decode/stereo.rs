//! Collects decoded samples as stereo, within the limits.

use symphonia::core::audio::Channels;

use super::mix::StereoMix;
use super::{DecodeError, DecodeLimits, Pcm};

pub(crate) struct StereoCollector {
    limits: DecodeLimits,
    format: Option<(u32, Channels, StereoMix)>,
    samples: Vec<f32>,
}

impl StereoCollector {
    pub(crate) fn new(limits: DecodeLimits) -> Self {
        Self { limits, format: None, samples: Vec::new() }
    }

    /// Refuses a format that is out of bounds, or differs from the one so far.
    pub(crate) fn set_format(&mut self, rate: u32, channels: &Channels) -> Result<(), DecodeError> {
        if let Some((known_rate, known_channels, _)) = &self.format {
            let same = *known_rate == rate && known_channels == channels;
            return if same { Ok(()) } else { Err(DecodeError::FormatChange) };
        }
        self.check(Some(rate), Some(channels.count()))?;
        self.format = Some((rate, channels.clone(), StereoMix::for_channels(channels)));
        Ok(())
    }

    /// Refuses what a container states beforehand and what is out of bounds.
    pub(crate) fn check(
        &self,
        rate: Option<u32>,
        channels: Option<usize>,
    ) -> Result<(), DecodeError> {
        if let Some(rate) = rate
            && !(self.limits.min_rate..=self.limits.max_rate).contains(&rate)
        {
            return Err(DecodeError::Rate(rate));
        }
        if let Some(channels) = channels
            && !(1..=usize::from(self.limits.max_channels)).contains(&channels)
        {
            return Err(DecodeError::Channels(channels));
        }
        Ok(())
    }

    /// Refuses a stated length, in samples of one channel, beyond the limit.
    pub(crate) fn check_length(&self, frames: u64, rate: u32) -> Result<(), DecodeError> {
        let limit_seconds = self.limits.max_seconds;
        if frames > u64::from(limit_seconds) * u64::from(rate) {
            return Err(DecodeError::TooLong { limit_seconds });
        }
        Ok(())
    }

    /// Appends interleaved samples of the format that was set.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<(), DecodeError> {
        let Some((rate, _, mix)) = &self.format else { return Err(DecodeError::FormatChange) };
        mix.extend(&mut self.samples, samples);
        self.check_length(self.frames(), *rate)
    }

    /// Samples of one channel so far.
    pub(crate) fn frames(&self) -> u64 {
        self.samples.len() as u64 / 2
    }

    /// Seconds so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.format.as_ref().map_or(0.0, |(rate, ..)| seconds(self.frames(), *rate))
    }

    /// Cuts what an encoder added: that many samples of one channel at the
    /// start, and all beyond `length`.
    pub(crate) fn trim(&mut self, start: u64, length: Option<u64>) {
        let count = |frames: u64| usize::try_from(frames).unwrap_or(usize::MAX).saturating_mul(2);
        let start = count(start).min(self.samples.len());
        self.samples.drain(..start);
        if let Some(length) = length {
            self.samples.truncate(count(length));
        }
    }

    pub(crate) fn finish(mut self) -> Result<Pcm, DecodeError> {
        let Some((rate, ..)) = self.format.filter(|_| !self.samples.is_empty()) else {
            return Err(DecodeError::NoSamples);
        };
        // Floating-point files can say anything; an encoder needs numbers.
        for sample in &mut self.samples {
            *sample = if sample.is_finite() { sample.clamp(-MAX_SAMPLE, MAX_SAMPLE) } else { 0.0 };
        }
        Ok(Pcm { rate, samples: self.samples })
    }
}

/// The loudest sample that is believed: 24 dB above full scale.
const MAX_SAMPLE: f32 = 16.0;

/// How long that many samples of one channel last.
#[expect(clippy::cast_precision_loss, reason = "a figure for messages")]
pub(crate) fn seconds(frames: u64, rate: u32) -> f64 {
    frames as f64 / f64::from(rate.max(1))
}
