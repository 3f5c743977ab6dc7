//! Comparisons with FFmpeg, where it is installed.

use std::fs;
use std::path::Path;

use antiphon_media::{
    Bitrate, DecodeError, DecodeLimits, PEAK_CEILING_DBTP, TARGET_LUFS, decode_file, encode,
    extend_i16, measure, synth,
};

use crate::support::{decoded, encoded, ffmpeg, text, write_wav};

#[test]
fn ffmpeg_hears_what_we_hear() {
    let folder = tempfile::tempdir().unwrap();
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        let path = folder.path().join("a.ogg");
        fs::write(&path, &encoded.bytes).unwrap();
        let Some(theirs) = ffmpeg(&["-i", text(&path), "-f", "s16le", "-"]) else { return };
        let theirs: Vec<i16> =
            theirs.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        let mut ours = Vec::new();
        extend_i16(&mut ours, &decoded(encoded));
        assert_eq!(ours.len(), theirs.len(), "{bitrate}");
        let apart = |(a, b): (&i16, &i16)| a.abs_diff(*b);
        // Floating-point decoders differ in the last bit where a sample falls
        // on the edge between two steps.
        let worst = ours.iter().zip(&theirs).map(apart).max();
        assert!(worst <= Some(1), "{bitrate}: {worst:?} steps apart");
        let differing = ours.iter().zip(&theirs).filter(|pair| apart(*pair) > 0).count();
        assert!(differing * 200 < ours.len(), "{bitrate}: {differing} of {}", ours.len());
    }
}

#[test]
fn every_format_is_decoded_at_its_true_length() {
    let folder = tempfile::tempdir().unwrap();
    let source = write_wav(folder.path(), 8, 7);
    for (name, codec, worst) in [
        ("a.flac", &["-c:a", "flac"][..], 0.001),
        ("a.mp3", &["-c:a", "libmp3lame", "-b:a", "256k"], 0.2),
        ("a.m4a", &["-c:a", "aac", "-b:a", "256k"], 0.2),
        ("a.ogg", &["-c:a", "libvorbis", "-q:a", "8"], 0.2),
        ("a.wav", &["-c:a", "pcm_s24le"], 0.001),
    ] {
        let path = folder.path().join(name);
        let arguments = [&["-i", text(&source)], codec, &[text(&path)]].concat();
        if ffmpeg(&arguments).is_none() {
            return;
        }
        let pcm = decode_file(&path, &DecodeLimits::default(), &|_| {}).unwrap();
        let truth = decode_file(&source, &DecodeLimits::default(), &|_| {}).unwrap();
        let frames = pcm.samples.len() / 2;
        // AAC states its length only to the millisecond, so padding stays.
        let slack = if name == "a.m4a" { 1_024 } else { 0 };
        assert!((7 * 44_100..=7 * 44_100 + slack).contains(&frames), "{name}: {frames}");
        let energy: f32 = truth.samples.iter().map(|a| a * a).sum();
        let error: f32 =
            truth.samples.iter().zip(&pcm.samples).map(|(a, b)| (a - b) * (a - b)).sum();
        assert!(error / energy < worst, "{name}: error {} of the energy", error / energy);

        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() * 6 / 10]).unwrap();
        let refused = decode_file(&path, &DecodeLimits::default(), &|_| {});
        assert!(
            matches!(
                refused,
                Err(DecodeError::Truncated { .. }
                    | DecodeError::Cut { .. }
                    | DecodeError::Damaged { .. })
            ),
            "{name} cut short: {:?}",
            refused.map(|pcm| pcm.samples.len())
        );
    }
}

/// Integrated loudness and true peak as FFmpeg's meter has them.
fn heard_by_ffmpeg(path: &Path) -> Option<(f64, f64)> {
    let meter = "ebur128=metadata=1:peak=true,ametadata=mode=print:file=-";
    let said = ffmpeg(&["-i", text(path), "-af", meter, "-f", "null", "-"])?;
    let said = String::from_utf8(said).unwrap();
    let last = |key: &str| {
        let mut values =
            said.lines().filter_map(|line| line.strip_prefix(key)?.parse::<f64>().ok());
        values.next_back().unwrap()
    };
    let peaks = ["lavfi.r128.true_peaks_ch0=", "lavfi.r128.true_peaks_ch1="].map(last);
    Some((last("lavfi.r128.I="), 20.0 * peaks[0].max(peaks[1]).log10()))
}

#[test]
fn ffmpegs_meter_finds_the_common_loudness_or_the_ceiling() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ogg");
    let mut limited = 0;
    for seed in 0..6_u16 {
        // Some are loud, some quiet, and some have peaks far above the rest.
        let mut music = synth::synthesise(u64::from(seed), 20);
        let gain = 1.4_f32.powi(i32::from(seed) - 3);
        music.iter_mut().for_each(|sample| *sample *= gain);
        if seed % 2 == 1 {
            music[400_000..400_040].fill(0.95);
        }
        let plan = measure(&music).unwrap();
        music.iter_mut().for_each(|sample| *sample *= plan.factor());
        fs::write(&path, encode(&music, Bitrate::Kbps320).unwrap().bytes).unwrap();
        let Some((lufs, peak)) = heard_by_ffmpeg(&path) else { return };
        assert!((lufs - plan.achieved_lufs).abs() < 0.3, "{seed}: {lufs} LUFS, {plan:?}");
        if plan.achieved_lufs < TARGET_LUFS - 0.1 {
            limited += 1;
            assert!((peak - PEAK_CEILING_DBTP).abs() < 0.5, "{seed}: {peak} dBTP, {plan:?}");
        }
    }
    assert!((1..6).contains(&limited), "both kinds are there: {limited}");
}

#[test]
fn codecs_that_are_not_supported_are_named_so() {
    let folder = tempfile::tempdir().unwrap();
    let source = write_wav(folder.path(), 8, 1);
    let path = folder.path().join("a.ogg");
    if ffmpeg(&["-i", text(&source), "-ar", "48000", "-c:a", "libopus", text(&path)]).is_none() {
        return;
    }
    let refused = decode_file(&path, &DecodeLimits::default(), &|_| {});
    assert!(matches!(refused, Err(DecodeError::UnsupportedCodec(_))), "{refused:?}");
}
