//! What is heard is what the server has, bit for bit; and other decoders hear
//! in it what we hear.

use std::process::Command;

use xtask::tools::Tool;

use crate::support::listener::ended;
use crate::support::{Service, Track, music};

#[test]
fn wav_of_a_listener_fed_by_peers_equals_the_export() {
    let (service, track) = (Service::start(), &music().middle);
    let a = service.listener("a");
    let _holder = a.hold(track, &[]);
    let b = service.listener("b");
    let file = service.folder().join("heard.wav");
    let sink = format!("wav:{}", file.display());
    let mut play = b.click(track, 8, &["--sink", &sink]);
    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    assert!(play.bytes("peers") > play.bytes("server"), "{play:?}");

    let mut wav = hound::WavReader::open(&file).unwrap();
    let spec = wav.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 44_100, 16));
    let heard: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    assert!(heard == music().pcm(track), "the file holds other samples than the export");
}

#[test]
fn ffmpeg_hears_in_an_export_what_we_hear() {
    if Tool::Ffmpeg.present_or_skip() {
        let arguments = ["-v", "error", "-i", "-", "-f", "s16le", "-"];
        assert_same_music(&music().middle, Command::new("ffmpeg").args(arguments));
    }
}

#[test]
fn the_reference_decoder_hears_in_an_export_what_we_hear() {
    if Tool::Ogg123.present_or_skip() {
        let arguments = ["-q", "-d", "raw", "-f", "-", "-"];
        assert_same_music(&music().middle, Command::new("ogg123").args(arguments));
    }
}

/// Decoders round differently: a few samples in a thousand are one step apart.
fn assert_same_music(track: &Track, decoder: &mut Command) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exported.ogg");
    std::fs::write(&file, music().export(track)).unwrap();
    let output = decoder.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let theirs: Vec<i16> = output
        .stdout
        .chunks_exact(2)
        .map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]))
        .collect();
    let ours = music().pcm(track);
    assert_eq!(theirs.len(), ours.len());
    let apart = || ours.iter().zip(&theirs).map(|(ours, theirs)| ours.abs_diff(*theirs));
    assert_eq!(apart().filter(|steps| *steps > 1).count(), 0, "samples are far apart");
    let differing = apart().filter(|steps| *steps == 1).count();
    assert!(differing * 200 < ours.len(), "{differing} of {} samples differ", ours.len());
}
