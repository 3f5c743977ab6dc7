//! What the demo says at its end.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use antiphon_media::{PcmHasher, StreamDecoder, extend_i16};
use antiphon_types::Bitrate;
use serde::Serialize;

use super::listeners::{Bytes, Heard, Play};
use super::processes::server_folder;
use crate::binaries::Binaries;
use crate::failure::{Context as _, Failure, Result};

/// The figures, as `--json` writes them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    listeners: Vec<ListenerReport>,
    totals: Totals,
}

#[derive(Debug, Serialize)]
struct ListenerReport {
    name: String,
    plays: Vec<PlayReport>,
}

#[derive(Debug, Serialize)]
struct PlayReport {
    track: String,
    bitrate_kbps: u32,
    first_byte_ms: f64,
    first_sound_ms: f64,
    clicked: bool,
    stalls: u32,
    stalled_ms: f64,
    bytes: Bytes,
    pcm_blake3: String,
    pcm_ok: bool,
    #[serde(skip)]
    finished: bool,
    #[serde(skip)]
    bad_blocks: u64,
}

#[derive(Debug, Serialize)]
struct Totals {
    plays: usize,
    bytes: Bytes,
    median_first_sound_ms: f64,
    worst_first_sound_ms: f64,
    stalled_plays: usize,
    bad_blocks: u64,
}

/// A play in one line.
pub(super) fn play_line(play: &Play) -> String {
    let begun = match play.clicked {
        true => format!("first sound {:.0} ms", play.first_sound_ms),
        false => "no gap".to_owned(),
    };
    format!("{}: {begun}, {}", play.name, shares(&play.bytes))
}

impl Report {
    /// Compares what was heard with what the server's own renditions decode
    /// to.
    pub(super) fn new(
        binaries: &Binaries,
        folder: &Path,
        bitrate: Bitrate,
        heard: Vec<Heard>,
    ) -> Result<Self> {
        let mut expected: BTreeMap<String, String> = BTreeMap::new();
        let mut listeners = Vec::new();
        for Heard { name, plays } in heard {
            let mut reports = Vec::new();
            for play in plays {
                if !expected.contains_key(&play.track) {
                    let hash = pcm_hash(binaries, folder, &play.track, bitrate)?;
                    expected.insert(play.track.clone(), hash);
                }
                let pcm_ok = expected.get(&play.track) == Some(&play.pcm_blake3);
                reports.push(PlayReport {
                    track: play.track,
                    bitrate_kbps: play.bitrate_kbps,
                    first_byte_ms: play.first_byte_ms,
                    first_sound_ms: play.first_sound_ms,
                    clicked: play.clicked,
                    stalls: play.stalls,
                    stalled_ms: play.stalled_ms,
                    bytes: play.bytes,
                    pcm_blake3: play.pcm_blake3,
                    pcm_ok,
                    finished: play.finished,
                    bad_blocks: play.bad_blocks,
                });
            }
            listeners.push(ListenerReport { name, plays: reports });
        }
        let totals = Totals::of(listeners.iter().flat_map(|listener| &listener.plays));
        Ok(Self { listeners, totals })
    }

    pub(super) fn print(&self, seconds: f64) {
        println!(
            "{:<12} {:>5}  {:>9} {:>9} {:>9}  {:>15}  {:>15}  {:>6}  pcm",
            "",
            "plays",
            "cache kB",
            "peers kB",
            "server kB",
            "first byte ms",
            "first sound ms",
            "stalls"
        );
        println!(
            "{:<12} {:>5}  {:>29}  {:>15}  {:>15}",
            "", "", "", "median / worst", "median / worst"
        );
        for listener in &self.listeners {
            print_row(&listener.name, &listener.plays.iter().collect::<Vec<_>>());
        }
        let all: Vec<&PlayReport> =
            self.listeners.iter().flat_map(|listener| &listener.plays).collect();
        print_row("all", &all);
        println!("\n{} plays in {seconds:.1} s; {}", self.totals.plays, shares(&self.totals.bytes));
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(file, json + "\n").context(|| format!("write {}", file.display()))
    }

    /// Whether the demo showed what it is there to show.
    pub(super) fn check(&self, playlists: &[Vec<usize>]) -> Result<()> {
        for listener in &self.listeners {
            for play in &listener.plays {
                let (who, track) = (&listener.name, &play.track);
                if !play.finished {
                    return Err(Failure::new(format!("{who} did not hear {track} to its end")));
                }
                if !play.pcm_ok {
                    let what = format!("{who} heard something else than the server has of {track}");
                    return Err(Failure::new(what));
                }
            }
        }
        let expected: usize = playlists.iter().map(Vec::len).sum();
        if self.totals.plays != expected {
            let plays = self.totals.plays;
            return Err(Failure::new(format!("{plays} plays are recorded, not {expected}")));
        }
        let replay = self.listeners.first().and_then(|listener| listener.plays.last());
        if replay.is_some_and(|play| play.bytes.peers + play.bytes.server + play.bytes.edge > 0) {
            return Err(Failure::new("the replay did not come wholly from the cache"));
        }
        if self.listeners.len() > 1 && self.totals.bytes.peers <= self.totals.bytes.server {
            println!("note: the server gave more than the listeners gave each other");
        }
        Ok(())
    }
}

impl Totals {
    fn of<'a>(plays: impl Iterator<Item = &'a PlayReport>) -> Self {
        let plays: Vec<&PlayReport> = plays.collect();
        let mut bytes = Bytes::default();
        for play in &plays {
            bytes.cache += play.bytes.cache;
            bytes.peers += play.bytes.peers;
            bytes.edge += play.bytes.edge;
            bytes.server += play.bytes.server;
        }
        // What follows without a gap was there before its turn came.
        let clicked = plays.iter().filter(|play| play.clicked);
        let (median, worst) = median_and_worst(clicked.map(|play| play.first_sound_ms));
        Self {
            plays: plays.len(),
            bytes,
            median_first_sound_ms: median,
            worst_first_sound_ms: worst,
            stalled_plays: plays.iter().filter(|play| play.stalls > 0).count(),
            bad_blocks: plays.iter().map(|play| play.bad_blocks).sum(),
        }
    }
}

fn print_row(name: &str, plays: &[&PlayReport]) {
    let totals = Totals::of(plays.iter().copied());
    let byte = median_and_worst(
        plays.iter().map(|play| play.first_byte_ms).filter(|first_byte| *first_byte > 0.0),
    );
    let pair = |(median, worst): (f64, f64)| format!("{median:.1} / {worst:.1}");
    println!(
        "{name:<12} {:>5}  {:>9} {:>9} {:>9}  {:>15}  {:>15}  {:>6}  {}",
        totals.plays,
        totals.bytes.cache / 1000,
        totals.bytes.peers / 1000,
        totals.bytes.server / 1000,
        pair(byte),
        pair((totals.median_first_sound_ms, totals.worst_first_sound_ms)),
        plays.iter().map(|play| play.stalls).sum::<u32>(),
        if plays.iter().all(|play| play.pcm_ok) { "ok" } else { "WRONG" },
    );
}

fn shares(bytes: &Bytes) -> String {
    let total = (bytes.cache + bytes.peers + bytes.edge + bytes.server).max(1);
    let share = |part: u64| part * 100 / total;
    format!(
        "cache {} %, peers {} %, server {} %",
        share(bytes.cache),
        share(bytes.peers),
        share(bytes.server + bytes.edge)
    )
}

fn median_and_worst(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => (0.0, 0.0),
        n if n % 2 == 1 => (values[n / 2], values[n - 1]),
        n => ((values[n / 2 - 1] + values[n / 2]) / 2.0, values[n - 1]),
    }
}

/// The hash of what a rendition on the server decodes to.
fn pcm_hash(binaries: &Binaries, folder: &Path, track: &str, bitrate: Bitrate) -> Result<String> {
    let file = folder.join("exported.ogg");
    let mut export = Command::new(&binaries.server);
    export.arg("--data-dir").arg(server_folder(folder)).args(["export", track]);
    export.args(["--bitrate", &bitrate.to_string()]).arg(&file);
    let status = export.stdout(Stdio::null()).status().context(|| format!("export {track}"))?;
    if !status.success() {
        return Err(Failure::new(format!("{track} could not be exported")));
    }
    let mut decoder = StreamDecoder::new();
    decoder.push(&std::fs::read(&file)?);
    let mut hasher = PcmHasher::new();
    let mut pcm = Vec::new();
    while let Some(chunk) = decoder.next_chunk()? {
        pcm.clear();
        extend_i16(&mut pcm, chunk.samples);
        hasher.update(&pcm);
    }
    decoder.finish()?;
    Ok(hasher.finish().iter().map(|byte| format!("{byte:02x}")).collect())
}
