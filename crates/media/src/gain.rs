//! How loud a track is played: a gain on top of the one that is in its
//! renditions already.
//!
//! Ingest brings every track to -14 LUFS, or as near as its true peak allows,
//! and the manifest says with what gain. ReplayGain and R128 tags of the
//! original file were about samples that no listener gets, so they play no
//! part here: applying them would apply a gain twice.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use antiphon_types::SAMPLE_RATE;

use crate::loudness::{Loudness, PEAK_CEILING_DBTP, SILENCE_LUFS};

/// How long a [`GainRamp`] takes from one gain to another, in samples of one
/// channel: 20 ms.
pub const GAIN_RAMP_SAMPLES: u32 = SAMPLE_RATE / 50;
/// The quietest a listener can ask for without silence, in dB.
const QUIETEST_DB: f64 = -100.0;
/// The loudest, in dB.
const LOUDEST_DB: f64 = 20.0;
/// Loudness targets that make sense, in LUFS.
const TARGETS: RangeInclusive<f64> = SILENCE_LUFS..=0.0;
/// What a rendition's loudness can be, in LUFS, and its true peak, in dBTP. A
/// manifest that says otherwise is not believed.
const PLAUSIBLE: RangeInclusive<f64> = -160.0..=20.0;
/// The most that a track is raised to a target, in dB. Ingest leaves little to
/// raise; a manifest that lies must not blast anyone's ears.
const MOST_RAISED_DB: f64 = 12.0;

/// What a rendition sounds like: loudness and peak with ingest's gain in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackLevel {
    /// Integrated loudness, in LUFS; `None` if it is silence or not known.
    pub lufs: Option<f64>,
    /// True peak, in dBTP; 0 if it is not known.
    pub true_peak_dbtp: f64,
}

impl TrackLevel {
    /// From the three figures of a manifest (`Loudness`): of the source, in
    /// LUFS and dBTP, and the gain of ingest, in dB. Figures that cannot be,
    /// which only a careless or hostile server sends, count as unknown.
    pub fn from_manifest(source_lufs: f64, source_true_peak_dbtp: f64, gain_db: f64) -> Self {
        let lufs = Some(source_lufs + gain_db)
            .filter(|lufs| PLAUSIBLE.contains(lufs) && source_lufs > SILENCE_LUFS);
        let peak = source_true_peak_dbtp + gain_db;
        Self { lufs, true_peak_dbtp: if PLAUSIBLE.contains(&peak) { peak } else { 0.0 } }
    }
}

impl From<&Loudness> for TrackLevel {
    fn from(loudness: &Loudness) -> Self {
        Self::from_manifest(loudness.lufs, loudness.true_peak_dbtp, loudness.gain_db)
    }
}

/// What a listener wants of loudness.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Normalise {
    /// Renditions as they are: at ingest's common loudness.
    #[default]
    AsIngested,
    /// This integrated loudness, in LUFS from -70 to 0, as far as the true
    /// peak allows.
    To(f64),
}

/// How loud a listener wants it: from silence to 20 dB more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Volume {
    /// In dB; `None` is silence.
    db: Option<f64>,
}

/// Why a text is not a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a volume is 0% to 200% or -100dB to 20dB, such as 80% or -6dB")]
pub struct ParseVolumeError;

impl Volume {
    /// 100 %: no change.
    pub const FULL: Self = Self { db: Some(0.0) };
    /// Silence.
    pub const MUTE: Self = Self { db: None };

    /// That many dB, clamped to -100 to 20; not-a-number is no change.
    pub fn from_db(db: f64) -> Self {
        let db = if db.is_nan() { 0.0 } else { db };
        Self { db: Some(db.clamp(QUIETEST_DB, LOUDEST_DB)) }
    }

    /// That many percent, on the cubic scale that PulseAudio's volume controls
    /// have: half is 18 dB less, which sounds about half as loud or a little
    /// less. Clamped to 0 to 200; 0 and not-a-number are silence.
    pub fn from_percent(percent: f64) -> Self {
        if percent.is_nan() || percent <= 0.0 {
            return Self::MUTE;
        }
        Self::from_db(60.0 * (percent.min(200.0) / 100.0).log10())
    }

    /// In dB; `None` is silence.
    pub fn db(self) -> Option<f64> {
        self.db
    }
}

impl Default for Volume {
    fn default() -> Self {
        Self::FULL
    }
}

impl FromStr for Volume {
    type Err = ParseVolumeError;

    /// Reads `80%`, `80` or `-6dB`.
    fn from_str(text: &str) -> Result<Self, ParseVolumeError> {
        let text = text.trim();
        let number = |text: &str, range: RangeInclusive<f64>| {
            let number = text.trim().parse::<f64>().ok();
            number.filter(|number| range.contains(number)).ok_or(ParseVolumeError)
        };
        if let Some(db) = text.strip_suffix("dB").or_else(|| text.strip_suffix("db")) {
            return number(db, QUIETEST_DB..=LOUDEST_DB).map(Self::from_db);
        }
        let percent = text.strip_suffix('%').unwrap_or(text);
        number(percent, 0.0..=200.0).map(Self::from_percent)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.db {
            None => f.write_str("mute"),
            Some(db) => write!(f, "{db:.1} dB"),
        }
    }
}

/// The gain to play a track with, in dB; `None` is silence.
///
/// Nothing is made louder than a true peak of -1 dBTP allows, nor raised to a
/// target by more than 12 dB; nothing that is
/// to be as it is, or quieter, is touched by that limit.
pub fn playback_gain_db(level: &TrackLevel, normalise: Normalise, volume: Volume) -> Option<f64> {
    let change = match (normalise, level.lufs) {
        (Normalise::To(target), Some(lufs)) if !target.is_nan() => {
            (target.clamp(*TARGETS.start(), *TARGETS.end()) - lufs).min(MOST_RAISED_DB)
        }
        _ => 0.0,
    };
    let wanted = change + volume.db()?;
    let headroom = (PEAK_CEILING_DBTP - level.true_peak_dbtp).max(0.0);
    Some(wanted.min(headroom))
}

/// The factor for each sample of a gain in dB; `None` is 0.
pub fn gain_factor(gain_db: Option<f64>) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "samples are 32-bit floats")]
    let factor = gain_db.map_or(0.0, |db| 10_f64.powf(db / 20.0)) as f32;
    factor
}

/// Applies a gain, and goes from one to another without a click, in a straight
/// line over [`GAIN_RAMP_SAMPLES`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GainRamp {
    factor: f32,
    target: f32,
    /// Frames until the target is reached.
    left: u32,
}

impl Default for GainRamp {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl GainRamp {
    /// Begins with that factor.
    pub const fn new(factor: f32) -> Self {
        Self { factor, target: factor, left: 0 }
    }

    /// Goes to that factor from wherever it is.
    pub fn set(&mut self, factor: f32) {
        if factor != self.target {
            (self.target, self.left) = (factor, GAIN_RAMP_SAMPLES);
        }
    }

    /// The factor that it goes to.
    pub fn target(&self) -> f32 {
        self.target
    }

    /// Whether it is there.
    pub fn is_settled(&self) -> bool {
        self.left == 0
    }

    /// Applies it to interleaved stereo. A settled factor of 1 leaves samples
    /// as they are, to the bit.
    pub fn apply(&mut self, samples: &mut [f32]) {
        let mut frames = samples.chunks_exact_mut(2);
        while self.left > 0 {
            let Some(frame) = frames.next() else { return };
            #[expect(clippy::cast_precision_loss, reason = "at most 882")]
            let step = (self.target - self.factor) / self.left as f32;
            self.left -= 1;
            self.factor = if self.left == 0 { self.target } else { self.factor + step };
            frame.iter_mut().for_each(|sample| *sample *= self.factor);
        }
        if self.factor != 1.0 {
            frames.flatten().for_each(|sample| *sample *= self.factor);
        }
    }
}
