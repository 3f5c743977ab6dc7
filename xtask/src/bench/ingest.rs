//! The group `ingest`: music into renditions, beside ffmpeg doing the same.
//!
//! Both get the same files and the same two cores, in turn. Ours is
//! `antiphon-server ingest` into an empty folder: it decodes, measures,
//! encodes, encrypts, hashes, writes and syncs. Theirs measures each file with
//! `ebur128`, then encodes it three times in one command, at the static gain
//! that follows; two files at a time, as ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use antiphon_media::{PEAK_CEILING_DBTP, TARGET_LUFS, synth};

use super::machine::{Cores, peak_memory_while};
use super::row::{Aim, Better, Measured, Row, Sides, median};
use super::{Outcome, Plan};
use crate::binaries;
use crate::failure::{Context as _, Failure, Result};
use crate::tools::Tool;
use crate::workspace::{self, cargo};

/// Arguments that only this group has.
#[derive(Debug, clap::Args)]
#[group(id = "ingest-options")]
pub(super) struct Options {
    /// `ingest`: music to ingest [default: four synthesised songs of two minutes]
    #[arg(long, value_name = "FOLDER")]
    music: Option<PathBuf>,
}

const PEER: &str = "ffmpeg";
/// Tracks in a minute, and the memory of all processes together at its highest.
const SPEED: &str = "ingest_vs_ffmpeg";
const MEMORY: &str = "ingest_memory_vs_ffmpeg";
/// Files that are worked on at once: one for each core.
const JOBS: usize = 2;
/// Songs that are made where there is no music, and their seconds.
const SONGS: u64 = 4;
const SONG_SECONDS: u32 = 120;
/// What libvorbis is asked for by ffmpeg, which has it vary the rate around that.
const BITRATES: [&str; 3] = ["96k", "160k", "320k"];

/// The names of all rows.
pub(super) fn rows() -> Vec<&'static str> {
    vec![SPEED, MEMORY]
}

/// One side's run over all files.
#[derive(Debug, Clone, Copy)]
struct Run {
    tracks_per_minute: f64,
    peak_megabytes: Option<f64>,
}

/// Measures both rows.
///
/// # Errors
///
/// The server does not build, there is no music, or a side fails.
pub(super) fn measure(plan: &Plan<'_>) -> Result<Outcome> {
    if plan.compare
        && let Some(absent) = Tool::Ffmpeg.absent()
    {
        let failures = vec![format!("{SPEED}, {MEMORY}: {absent}")];
        return Ok(Outcome { failures, ..Outcome::default() });
    }
    let server = build_server()?;
    let folder = tempfile::Builder::new()
        .prefix("bench-ingest-")
        .tempdir_in(workspace::target_folder()?)
        .context(|| "make a folder in target/".to_owned())?;
    let files = music(plan.ingest.music.as_deref(), folder.path())?;
    Cores::choose().pin_all();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 1..=plan.pairs {
        eprintln!("bench: ingest of {} files ({pair} of {})", files.len(), plan.pairs);
        ours.push(run(&files, folder.path(), |out| ingest(&server, &files, out))?);
        if plan.compare {
            theirs.push(run(&files, folder.path(), |out| encode_all(&files, out))?);
        }
    }
    Ok(Outcome { rows: table(plan, &ours, &theirs), failures: Vec::new() })
}

fn table(plan: &Plan<'_>, ours: &[Run], theirs: &[Run]) -> Vec<Measured> {
    let speed = row((SPEED, "tracks/min", Better::More), tracks_per_minute, ours, theirs);
    let memory = row((MEMORY, "MB", Better::Less), peak_megabytes, ours, theirs);
    let rows = [speed, memory].into_iter().flatten();
    rows.filter(|measured| plan.wants(measured.row.name)).collect()
}

fn tracks_per_minute(run: &Run) -> Option<f64> {
    Some(run.tracks_per_minute)
}

fn peak_megabytes(run: &Run) -> Option<f64> {
    run.peak_megabytes
}

/// A row; `None` if this system does not tell its figure.
fn row(
    (name, unit, better): (&'static str, &'static str, Better),
    of: fn(&Run) -> Option<f64>,
    ours: &[Run],
    theirs: &[Run],
) -> Option<Measured> {
    let all = |runs: &[Run]| -> Option<Vec<f64>> { runs.iter().map(of).collect() };
    let sides = Sides { ours: all(ours)?, theirs: all(theirs)? };
    let (ours, theirs) = sides.medians()?;
    let ratios = sides.ratios(better);
    let row = Row {
        name,
        ours,
        theirs,
        peer: theirs.map(|_| PEER),
        unit,
        ratio: median(&ratios),
        runs: sides.ours.len(),
    };
    let spread = ratios.first().copied().zip(ratios.last().copied());
    Some(Measured { row, aim: Some(Aim::Ratio(1.0)), spread, beside: Vec::new() })
}

/// The server as it is shipped.
fn build_server() -> Result<PathBuf> {
    eprintln!("bench: building antiphon-server");
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "-p", "antiphon-server"]);
    let built = binaries::executables(&mut build)?;
    built.into_iter().next().ok_or_else(|| Failure::new("cargo built nothing"))
}

/// The files of a folder that both sides can read, or songs that are made.
fn music(named: Option<&Path>, folder: &Path) -> Result<Vec<PathBuf>> {
    let Some(named) = named else {
        return (0..SONGS)
            .map(|seed| {
                let path = folder.join(format!("{seed}.wav"));
                synth::write_wav(&path, seed, SONG_SECONDS)
                    .context(|| format!("write {}", path.display()))?;
                Ok(path)
            })
            .collect();
    };
    let entries = fs::read_dir(named).context(|| format!("read {}", named.display()))?;
    let endings = ["ogg", "flac", "mp3", "m4a", "wav"];
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| endings.iter().any(|e| it == *e)))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(format!("there is no music in {}", named.display())));
    }
    Ok(files)
}

/// Runs a side into an empty folder.
fn run(
    files: &[PathBuf],
    folder: &Path,
    work: impl FnOnce(&Path) -> Result<()> + Send,
) -> Result<Run> {
    let out = tempfile::tempdir_in(folder).context(|| "make a folder".to_owned())?;
    let start = Instant::now();
    let (done, peak) = peak_memory_while(|| work(out.path()));
    let seconds = start.elapsed().as_secs_f64();
    done?;
    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    let run = Run {
        tracks_per_minute: files.len() as f64 * 60.0 / seconds,
        peak_megabytes: peak.map(|bytes| bytes as f64 / 1e6),
    };
    Ok(run)
}

fn ingest(server: &Path, files: &[PathBuf], out: &Path) -> Result<()> {
    let mut command = Command::new(server);
    command.arg("--data-dir").arg(out).args(["ingest", "--jobs", &JOBS.to_string()]).args(files);
    finish(&mut command).map(|_| ())
}

/// Theirs, two files at a time.
fn encode_all(files: &[PathBuf], out: &Path) -> Result<()> {
    let next = AtomicUsize::new(0);
    let job = || {
        while let Some((number, file)) = {
            let number = next.fetch_add(1, Ordering::Relaxed);
            files.get(number).map(|file| (number, file))
        } {
            encode(file, &out.join(number.to_string()))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..JOBS).map(|_| scope.spawn(job)).collect();
        jobs.into_iter()
            .try_for_each(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Both passes over one file.
fn encode(file: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).context(|| format!("make {}", out.display()))?;
    let mut measure = ffmpeg(file);
    measure.args(["-map", "0:a:0", "-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"]);
    let said = finish(&mut measure)?;
    let (lufs, peak) = summary(&said)
        .ok_or_else(|| Failure::new(format!("ffmpeg measured nothing of {}", file.display())))?;
    let gain = (TARGET_LUFS - lufs).min(PEAK_CEILING_DBTP - peak);
    let filter = format!("volume={gain:.2}dB");
    let mut encode = ffmpeg(file);
    for bitrate in BITRATES {
        encode.args(["-map", "0:a:0", "-af", &filter, "-ar", "44100", "-ac", "2"]);
        encode.args(["-c:a", "libvorbis", "-b:a", bitrate]).arg(out.join(format!("{bitrate}.ogg")));
    }
    finish(&mut encode).map(|_| ())
}

fn ffmpeg(file: &Path) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-nostats", "-y", "-i"]).arg(file);
    command
}

/// Integrated loudness and true peak, in what `ebur128` says at its end.
fn summary(said: &str) -> Option<(f64, f64)> {
    let last = |name: &str| {
        let line = said.lines().rev().find(|line| line.trim_start().starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    Some((last("I:")?, last("Peak:")?))
}

/// Runs a command to its end; what it said besides its output.
fn finish(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output().context(|| format!("start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    Err(Failure::new(format!("{command:?} failed: {}", last.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_and_not_what_stands_before_it() {
        let said = "[x] t: 1  I: -70.0 LUFS\n  Integrated loudness:\n    I:         -13.4 LUFS\n    \
                    Threshold: -23.9 LUFS\n  True peak:\n    Peak:       -0.3 dBFS\n";
        assert_eq!(summary(said), Some((-13.4, -0.3)));
        assert_eq!(summary("nothing"), None);
    }

    #[test]
    fn less_memory_is_better_and_more_tracks_are() {
        let run = |tracks_per_minute, megabytes| Run {
            tracks_per_minute,
            peak_megabytes: Some(megabytes),
        };
        let (ours, theirs) = ([run(20.0, 50.0)], [run(10.0, 100.0)]);
        for (name, better, of) in [
            (SPEED, Better::More, tracks_per_minute as fn(&Run) -> Option<f64>),
            (MEMORY, Better::Less, peak_megabytes),
        ] {
            let row = row((name, "", better), of, &ours, &theirs).unwrap();
            assert_eq!(row.row.ratio, Some(2.0));
        }
    }
}
