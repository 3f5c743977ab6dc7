//! `cargo xtask demo`: the main job. A server, several listeners, each a real
//! process, encrypted sockets on loopback; and at the end, where every byte
//! came from and how long each click took.

mod catalogue;
mod listeners;
mod processes;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use antiphon_types::Bitrate;

use crate::binaries;
use crate::failure::{Context as _, Failure, Result};
use catalogue::Catalogue;
#[cfg(target_os = "linux")]
pub(crate) use catalogue::{of_lengths as catalogue_of_lengths, of_one as catalogue_of_one};
pub(crate) use processes::Server;

/// Arguments of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder of music to play; default: 8 tracks of 60 s, synthesised
    #[arg(long, value_name = "DIR")]
    music: Option<PathBuf>,
    /// How many listeners
    #[arg(long, default_value_t = 4, value_name = "N")]
    listeners: usize,
    /// How many tracks each of them plays; default: 3, or with --music enough
    /// that every track is heard by three of them
    #[arg(long, value_name = "N")]
    tracks: Option<usize>,
    /// How many times faster than music the listeners consume
    #[arg(long, default_value_t = 8.0, value_name = "X")]
    speed: f64,
    /// 96, 160 or 320
    #[arg(long, default_value = "160", value_name = "KBPS")]
    bitrate: Bitrate,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Work in this folder and keep it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Runs `cargo xtask demo`.
///
/// # Errors
///
/// Something did not start, a track was not heard to its end, or what was
/// heard is not what the server has.
pub fn run(args: &Args) -> Result<()> {
    if args.listeners == 0 || args.tracks == Some(0) {
        return Err(Failure::new("a demo needs a listener and a track"));
    }
    let binaries = binaries::build()?;
    let temporary = tempfile::tempdir().context(|| "make a temporary folder".to_owned())?;
    let folder = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;

    let catalogue = match &args.music {
        Some(music) => Catalogue::ingest(&binaries, &folder, music)?,
        None => Catalogue::of_all(&binaries, &folder)?,
    };
    let server = Server::start(&binaries, &folder)?;
    println!("\nserver     {}", server.link());

    let playlists = match args.tracks {
        Some(count) => overlapping(args.listeners, catalogue.tracks.len(), count),
        None if args.music.is_some() => covering(args.listeners, catalogue.tracks.len()),
        None => overlapping(args.listeners, catalogue.tracks.len(), 3),
    };
    let begun = Instant::now();
    let heard = listeners::play_all(args, &binaries, &folder, &server, &catalogue, &playlists)?;
    let seconds = begun.elapsed().as_secs_f64();
    let report = report::Report::new(&binaries, &folder, args.bitrate, heard)?;
    server.stop()?;

    println!();
    report.print(seconds);
    for (path, reason) in &catalogue.skipped {
        println!("not ingested: {path}: {reason}");
    }
    if let Some(file) = &args.json {
        report.write(file)?;
    }
    report.check(&playlists)
}

/// Which tracks each listener plays: pairs of listeners share their playlist,
/// and each pair's overlaps with the next. The first of all plays her first
/// track again at the end.
fn overlapping(listeners: usize, tracks: usize, count: usize) -> Vec<Vec<usize>> {
    let playlist = |i: usize| (0..count).map(|j| (i / 2 + j) % tracks).collect();
    with_replay((0..listeners).map(playlist).collect())
}

/// Playlists by which every track is heard by three listeners, or by all if
/// there are fewer. Each begins elsewhere, so that what one has heard others
/// come to later.
fn covering(listeners: usize, tracks: usize) -> Vec<Vec<usize>> {
    let count = (tracks * listeners.min(3)).div_ceil(listeners);
    let playlist = |i: usize| {
        let begin = i * tracks / listeners;
        (0..count).map(|j| (begin + j) % tracks).collect()
    };
    with_replay((0..listeners).map(playlist).collect())
}

fn with_replay(mut playlists: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let again = playlists[0][0];
    playlists[0].push(again);
    playlists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_overlap_and_end_with_a_replay() {
        let playlists = overlapping(4, 8, 3);
        assert_eq!(playlists, [vec![0, 1, 2, 0], vec![0, 1, 2], vec![1, 2, 3], vec![1, 2, 3]]);
    }

    #[test]
    fn every_track_of_a_folder_is_heard_by_several() {
        for (listeners, tracks) in [(4, 17), (2, 3), (6, 4), (5, 9), (1, 5)] {
            let mut heard = vec![0; tracks];
            for track in covering(listeners, tracks).into_iter().flatten() {
                heard[track] += 1;
            }
            let several = listeners.min(3);
            assert!(heard.iter().all(|count| *count >= several), "{listeners} {tracks}: {heard:?}");
        }
    }
}
