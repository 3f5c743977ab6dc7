//! Every track is equally loud, as another program measures it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_media::{PEAK_CEILING_DBTP, TARGET_LUFS, synth};
use xtask::tools::Tool;

use crate::support::music::ingest;
use crate::support::{beside_others, programs};

/// How far the loudness may be from the target, in LU.
const LOUDNESS_APART: f64 = 0.3;
/// How far the true peak may be from its ceiling where that was the limit, in
/// dB: the encoder moves peaks.
const PEAK_APART: f64 = 0.5;

#[test]
fn ffmpeg_measures_what_ingest_aims_at() {
    let _beside_others = beside_others();
    if !Tool::Ffmpeg.present_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let songs = folder.path().join("songs");
    fs::create_dir(&songs).unwrap();
    for seed in 1..4 {
        synth::write_wav(&songs.join(format!("{seed}.wav")), seed, 20).unwrap();
    }
    let quiet = songs.join("quiet.flac");
    let loud = songs.join("loud.flac");
    convert(&songs.join("1.wav"), &quiet, "volume=-20dB");
    // So dense that its loudness is the limit, and not its peak.
    convert(&songs.join("2.wav"), &loud, "volume=30dB,alimiter=level=false:limit=0.9");
    let server = folder.path().join("server");
    let (lines, well) = ingest(&server, &songs);
    assert!(well, "{lines:?}");

    let mut at_target = 0;
    for line in &lines {
        let exported = export(&server, line["track"].as_str().unwrap(), folder.path());
        let (lufs, peak) = measure(&exported);
        eprintln!("{}: {lufs} LUFS, {peak} dBTP", line["path"]);
        let near = (lufs - TARGET_LUFS).abs() <= LOUDNESS_APART;
        let limited = lufs < TARGET_LUFS && (peak - PEAK_CEILING_DBTP).abs() <= PEAK_APART;
        assert!(near || limited, "{line}: {lufs} LUFS, {peak} dBTP");
        at_target += usize::from(near);
    }
    assert!(at_target >= 1, "the peak was the limit of all");
}

fn convert(from: &Path, to: &Path, filter: &str) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(from).args(["-af", filter]).arg(to);
    let output = ffmpeg.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn export(server: &Path, track: &str, folder: &Path) -> PathBuf {
    let file = folder.join(format!("{track}.ogg"));
    let mut export = Command::new(&programs().server);
    export.arg("--data-dir").arg(server).args(["export", track, "--bitrate", "320"]).arg(&file);
    let output = export.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    file
}

/// Integrated loudness in LUFS and true peak in dBTP.
fn measure(file: &Path) -> (f64, f64) {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-nostats", "-i"]).arg(file);
    ffmpeg.args(["-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"]);
    let said = String::from_utf8(ffmpeg.output().unwrap().stderr).unwrap();
    let last = |name: &str| {
        let line = said.lines().rev().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (last("I:"), last("Peak:"))
}
