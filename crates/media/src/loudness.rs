//! Loudness after EBU R128 / ITU-R BS.1770, and the one gain per track that
//! brings it to the target. Dynamics are left alone.

use antiphon_types::{CHANNELS, SAMPLE_RATE};
use ebur128::{EbuR128, Mode};

/// Integrated loudness to aim for, in LUFS.
pub const TARGET_LUFS: f64 = -14.0;
/// The true peak that the gain must not pass, in dBTP.
pub const PEAK_CEILING_DBTP: f64 = -1.0;
/// What is reported for silence: the absolute gate of EBU R128, in LUFS.
pub const SILENCE_LUFS: f64 = -70.0;
/// The lowest true peak that is reported, in dBTP: below one step of 24 bits.
const PEAK_FLOOR_DBTP: f64 = -150.0;

/// What was measured, and the gain that follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness before the gain, in LUFS, at least [`SILENCE_LUFS`].
    pub lufs: f64,
    /// True peak before the gain, in dBTP.
    pub true_peak_dbtp: f64,
    /// The gain to apply, in dB; 0 for silence.
    pub gain_db: f64,
    /// Integrated loudness after the gain, in LUFS.
    pub achieved_lufs: f64,
}

impl Loudness {
    /// The gain as the factor for each sample.
    pub fn factor(&self) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "samples are 32-bit floats")]
        let factor = 10_f64.powf(self.gain_db / 20.0) as f32;
        factor
    }
}

/// The samples could not be measured; says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("loudness cannot be measured: {0}")]
pub struct LoudnessError(ebur128::Error);

/// Measures interleaved 44.1 kHz stereo.
pub fn measure(samples: &[f32]) -> Result<Loudness, LoudnessError> {
    let mut meter = LoudnessMeter::new()?;
    meter.add(samples)?;
    meter.finish()
}

/// Measures samples as they come. Keeps eight bytes for each tenth of a second.
pub(crate) struct LoudnessMeter(EbuR128);

impl LoudnessMeter {
    pub(crate) fn new() -> Result<Self, LoudnessError> {
        let mode = Mode::I | Mode::TRUE_PEAK;
        Ok(Self(EbuR128::new(u32::from(CHANNELS), SAMPLE_RATE, mode).map_err(LoudnessError)?))
    }

    /// Takes the next interleaved samples.
    pub(crate) fn add(&mut self, samples: &[f32]) -> Result<(), LoudnessError> {
        // A second at a time keeps the meter's scratch buffers small.
        for second in samples.chunks(SAMPLE_RATE as usize * usize::from(CHANNELS)) {
            self.0.add_frames_f32(second).map_err(LoudnessError)?;
        }
        Ok(())
    }

    /// What was measured.
    pub(crate) fn finish(self) -> Result<Loudness, LoudnessError> {
        let lufs = self.0.loudness_global().map_err(LoudnessError)?;
        let mut peak: f64 = 0.0;
        for channel in 0..u32::from(CHANNELS) {
            peak = peak.max(self.0.true_peak(channel).map_err(LoudnessError)?);
        }
        Ok(plan(lufs, 20.0 * peak.log10()))
    }
}

/// The gain for a track of that loudness and true peak.
fn plan(lufs: f64, true_peak_dbtp: f64) -> Loudness {
    let true_peak_dbtp = true_peak_dbtp.max(PEAK_FLOOR_DBTP);
    let headroom = PEAK_CEILING_DBTP - true_peak_dbtp;
    if lufs.is_nan() || lufs <= SILENCE_LUFS {
        // Nothing to bring to a level; a lone click may still be too high.
        let gain_db = headroom.min(0.0);
        return Loudness {
            lufs: SILENCE_LUFS,
            true_peak_dbtp,
            gain_db,
            achieved_lufs: SILENCE_LUFS,
        };
    }
    let gain_db = (TARGET_LUFS - lufs).min(headroom);
    Loudness { lufs, true_peak_dbtp, gain_db, achieved_lufs: lufs + gain_db }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gain_stops_where_the_true_peak_would_pass_the_ceiling() {
        let free = plan(-20.0, -9.0);
        assert_eq!((free.gain_db, free.achieved_lufs), (6.0, -14.0));
        let limited = plan(-20.0, -3.0);
        assert_eq!((limited.gain_db, limited.achieved_lufs), (2.0, -18.0));
        let loud = plan(-6.0, 1.5);
        assert_eq!((loud.gain_db, loud.achieved_lufs), (-8.0, -14.0));
    }

    #[test]
    fn silence_gets_no_gain() {
        let silence = measure(&vec![0.0; 88_200]).unwrap();
        assert_eq!((silence.gain_db, silence.lufs), (0.0, SILENCE_LUFS));
        assert_eq!(measure(&[]).unwrap().gain_db, 0.0);
        assert_eq!(silence.factor(), 1.0);
    }

    #[test]
    fn the_reference_tone_measures_as_the_standard_says() {
        // EBU Tech 3341 case 1: a stereo 1 kHz sine at -23 dBFS is -23 LUFS.
        let amplitude = 10_f32.powf(-23.0 / 20.0);
        let step = 1000.0 * std::f32::consts::TAU / 44_100.0;
        let tone: Vec<f32> = (0..44_100_u16)
            .cycle()
            .take(441_000)
            .flat_map(|i| [amplitude * (f32::from(i) * step).sin(); 2])
            .collect();
        let measured = measure(&tone).unwrap();
        assert!((measured.lufs + 23.0).abs() < 0.1, "{measured:?}");
        assert!((measured.achieved_lufs + 14.0).abs() < 0.1, "{measured:?}");
    }
}
