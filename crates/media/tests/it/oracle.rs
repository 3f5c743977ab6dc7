//! Comparisons with FFmpeg, where it is installed.

use std::fs;

use antiphon_media::{Bitrate, DecodeError, DecodeLimits, decode_file, extend_i16};

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
