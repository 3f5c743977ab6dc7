//! Passes decoded samples on as stereo, within the limits.

use symphonia::core::audio::Channels;

use super::mix::StereoMix;
use super::{DecodeError, DecodeLimits};

/// Takes samples at the rate that is given with them; says whether it wants
/// more.
pub(crate) type Sink<'a> = dyn FnMut(u32, &[f32]) -> bool + 'a;

pub(crate) struct StereoFeed<'a> {
    limits: DecodeLimits,
    format: Option<(u32, Channels, StereoMix)>,
    /// Samples of one channel that came.
    frames: u64,
    /// Those that are left out at the start, and those kept after them.
    skip: u64,
    keep: u64,
    given: u64,
    mixed: Vec<f32>,
    sink: &'a mut Sink<'a>,
}

impl<'a> StereoFeed<'a> {
    pub(crate) fn new(limits: DecodeLimits, sink: &'a mut Sink<'a>) -> Self {
        Self {
            limits,
            format: None,
            frames: 0,
            skip: 0,
            keep: u64::MAX,
            given: 0,
            mixed: Vec::new(),
            sink,
        }
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

    /// Leaves out what an encoder added: that many samples of one channel at
    /// the start, and all beyond `length` after them.
    pub(crate) fn trim(&mut self, start: u64, length: Option<u64>) {
        self.skip = start;
        self.keep = length.unwrap_or(u64::MAX);
    }

    /// Passes on interleaved samples of the format that was set.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<(), DecodeError> {
        let Some((rate, _, mix)) = &self.format else { return Err(DecodeError::FormatChange) };
        let rate = *rate;
        self.mixed.clear();
        mix.extend(&mut self.mixed, samples);
        self.frames += self.mixed.len() as u64 / 2;
        self.check_length(self.frames, rate)?;
        self.pass_on(rate)
    }

    fn pass_on(&mut self, rate: u32) -> Result<(), DecodeError> {
        let frames = self.mixed.len() as u64 / 2;
        let skipped = self.skip.min(frames);
        let kept = self.keep.min(frames - skipped);
        self.skip -= skipped;
        self.keep -= kept;
        let place = |frames: u64| usize::try_from(frames * 2).unwrap_or(usize::MAX);
        let wanted = &mut self.mixed[place(skipped)..place(skipped + kept)];
        // Floating-point files can say anything; an encoder needs numbers.
        for sample in &mut *wanted {
            *sample = if sample.is_finite() { sample.clamp(-MAX_SAMPLE, MAX_SAMPLE) } else { 0.0 };
        }
        self.given += kept;
        if kept > 0 && !(self.sink)(rate, wanted) {
            return Err(DecodeError::Stopped);
        }
        Ok(())
    }

    /// Samples of one channel that came so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Seconds so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.format.as_ref().map_or(0.0, |(rate, ..)| seconds(self.frames, *rate))
    }

    /// Refuses what held nothing.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.given == 0 { Err(DecodeError::NoSamples) } else { Ok(()) }
    }
}

/// The loudest sample that is believed: 24 dB above full scale.
const MAX_SAMPLE: f32 = 16.0;

/// How long that many samples of one channel last.
#[expect(clippy::cast_precision_loss, reason = "a figure for messages")]
pub(crate) fn seconds(frames: u64, rate: u32) -> f64 {
    frames as f64 / f64::from(rate.max(1))
}
