//! Gain at playback: on top of ingest's, never twice, never a click.

use antiphon_media::{
    GAIN_RAMP_SAMPLES, GainRamp, Loudness, Normalise, PEAK_CEILING_DBTP, TrackLevel, Volume,
    gain_factor, measure, playback_gain_db,
};
use proptest::prelude::*;

use crate::support::music;

fn gain(level: TrackLevel, normalise: Normalise) -> f64 {
    playback_gain_db(&level, normalise, Volume::FULL).unwrap()
}

#[test]
fn a_rendition_as_ingested_gets_no_second_gain() {
    // A loud master whose tags ask for -8 dB: ingest applied them in effect.
    let level = TrackLevel::from_manifest(-6.0, 0.5, -8.0);
    assert_eq!(level, TrackLevel { lufs: Some(-14.0), true_peak_dbtp: -7.5 });
    assert_eq!(gain(level, Normalise::AsIngested), 0.0);
    assert_eq!(gain(level, Normalise::To(-14.0)), 0.0);
    assert_eq!(gain(level, Normalise::To(-18.0)), -4.0);
    assert_eq!(gain(level, Normalise::To(-10.0)), 4.0);
    assert_eq!(gain(level, Normalise::To(-5.0)), 6.5, "the peak's headroom");
}

#[test]
fn what_ingest_could_not_raise_is_not_raised_here_either() {
    let measured =
        Loudness { lufs: -24.0, true_peak_dbtp: -3.0, gain_db: 2.0, achieved_lufs: -22.0 };
    let level = TrackLevel::from(&measured);
    assert_eq!(gain(level, Normalise::To(-14.0)), 0.0);
    assert_eq!(gain(level, Normalise::To(-23.0)), -1.0);
}

#[test]
fn gained_music_has_the_loudness_that_was_asked_for() {
    let measured = measure(music()).unwrap();
    let ingested: Vec<f32> = music().iter().map(|sample| sample * measured.factor()).collect();
    for target in [-14.0, -20.0, -23.0] {
        let db = playback_gain_db(&(&measured).into(), Normalise::To(target), Volume::FULL);
        let mut played = ingested.clone();
        GainRamp::new(gain_factor(db)).apply(&mut played);
        let heard = measure(&played).unwrap();
        let reachable = target.min(measured.achieved_lufs);
        assert!((heard.lufs - reachable).abs() < 0.05, "{target}: {heard:?}");
        assert!(heard.true_peak_dbtp < PEAK_CEILING_DBTP + 0.01, "{heard:?}");
    }
}

#[test]
fn volumes_are_read_as_they_are_written() {
    let db = |text: &str| text.parse::<Volume>().map(Volume::db);
    assert_eq!(db("100%"), Ok(Some(0.0)));
    assert_eq!(db("0%"), Ok(None));
    assert_eq!(db("-6dB"), Ok(Some(-6.0)));
    assert_eq!(db(" 3 dB "), Ok(Some(3.0)));
    assert!((db("50").unwrap().unwrap() + 18.06).abs() < 0.01);
    for text in ["", "%", "dB", "loud", "-1%", "201%", "21dB", "NaN", "inf", "NaNdB", "1e9%"] {
        assert!(db(text).is_err(), "{text:?}");
    }
    assert_eq!(Volume::MUTE.to_string(), "mute");
    assert_eq!(Volume::from_db(-6.0).to_string(), "-6.0 dB");
}

#[test]
fn silence_and_unknown_levels_are_left_alone() {
    for lufs in [f64::NEG_INFINITY, -70.0, f64::NAN] {
        let level = TrackLevel::from_manifest(lufs, -80.0, 0.0);
        assert_eq!(level.lufs, None);
        assert_eq!(gain(level, Normalise::To(-14.0)), 0.0);
    }
    let level = TrackLevel::from_manifest(-20.0, -6.0, 0.0);
    assert_eq!(playback_gain_db(&level, Normalise::AsIngested, Volume::MUTE), None);
    assert_eq!(gain_factor(None), 0.0);
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -120.0..40.0_f64,
        1 => prop::num::f64::ANY,
    ]
}

proptest! {
    #[test]
    fn no_manifest_makes_anything_louder_than_its_peak_allows(
        lufs in any_number(), peak in any_number(), gain in any_number(),
        target in any_number(), volume in any_number(),
    ) {
        let level = TrackLevel::from_manifest(lufs, peak, gain);
        for normalise in [Normalise::AsIngested, Normalise::To(target)] {
            let db = playback_gain_db(&level, normalise, Volume::from_db(volume)).unwrap();
            let highest = level.true_peak_dbtp.max(PEAK_CEILING_DBTP) + 1e-9;
            prop_assert!(db.is_finite() && (db <= 0.0 || level.true_peak_dbtp + db <= highest));
            prop_assert!(gain_factor(Some(db)).is_finite());
        }
    }

    #[test]
    fn a_ramp_moves_by_small_steps_and_arrives(
        from in 0.0_f32..4.0, to in 0.0_f32..4.0, again in 0.0_f32..4.0,
        cut in 1_usize..2_000, step in 1_usize..700,
    ) {
        let mut ramp = GainRamp::new(from);
        ramp.set(to);
        let mut ones = vec![1.0_f32; 2 * 4_000];
        for (index, piece) in ones.chunks_mut(2 * step).enumerate() {
            if index * step > cut {
                ramp.set(again);
            }
            ramp.apply(piece);
        }
        let most = 4.0 / GAIN_RAMP_SAMPLES as f32 + 1e-5;
        let mut last = from;
        for frame in ones.chunks_exact(2) {
            prop_assert_eq!(frame[0], frame[1]);
            prop_assert!((frame[0] - last).abs() <= most);
            last = frame[0];
        }
        prop_assert_eq!(last, again);
        prop_assert!(ramp.is_settled());
    }
}

#[test]
fn full_volume_leaves_every_bit_as_it_is() {
    let mut samples = vec![0.1, -0.0, f32::MIN_POSITIVE / 2.0, -1.5];
    let before: Vec<u32> = samples.iter().map(|sample: &f32| sample.to_bits()).collect();
    let mut ramp = GainRamp::default();
    ramp.set(1.0);
    ramp.apply(&mut samples);
    assert_eq!(samples.iter().map(|sample| sample.to_bits()).collect::<Vec<_>>(), before);
}
