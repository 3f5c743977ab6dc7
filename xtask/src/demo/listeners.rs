//! The listeners of the demo.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::catalogue::Catalogue;
use super::processes::{Process, Server, log};
use super::{Args, report};
use crate::binaries::Binaries;
use crate::failure::{Context as _, Failure, Result};

/// A play without an end after this much more than it should take is a
/// failure.
const GRACE: Duration = Duration::from_secs(120);

/// How much music the one before has heard of her second track when the next
/// listener joins: people do not all click at the same moment.
const APART: Duration = Duration::from_secs(20);

/// Bytes of audio payload by source.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bytes {
    pub(super) cache: u64,
    pub(super) peers: u64,
    pub(super) edge: u64,
    pub(super) server: u64,
}

/// A play as a listener recorded it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Play {
    pub(super) track: String,
    pub(super) name: String,
    pub(super) bitrate_kbps: u32,
    pub(super) first_byte_ms: f64,
    pub(super) first_sound_ms: f64,
    /// She asked for it; else it followed the track before without a gap.
    pub(super) clicked: bool,
    pub(super) stalls: u32,
    pub(super) stalled_ms: f64,
    pub(super) bytes: Bytes,
    pub(super) bad_blocks: u64,
    pub(super) pcm_blake3: String,
    pub(super) finished: bool,
}

/// What one listener heard.
pub(super) struct Heard {
    pub(super) name: String,
    pub(super) plays: Vec<Play>,
}

/// A line of a listener's records; other kinds are passed over.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Play(Play),
    Failed {
        track: String,
        reason: String,
    },
    #[serde(other)]
    Other,
}

struct Listener {
    name: String,
    folder: PathBuf,
    playlist: PathBuf,
    process: Option<Process>,
    ended: usize,
    expected: usize,
}

/// Has all listeners play their playlists. Each joins a while after the one
/// before has heard her first track, and stays online to the end.
pub(super) fn play_all(
    args: &Args,
    binaries: &Binaries,
    folder: &Path,
    server: &Server,
    catalogue: &Catalogue,
    playlists: &[Vec<usize>],
) -> Result<Vec<Heard>> {
    let mut listeners = Vec::new();
    for (number, playlist) in playlists.iter().enumerate() {
        listeners.push(Listener::prepare(binaries, folder, server, catalogue, number, playlist)?);
    }
    let (ended, endings) = mpsc::channel();
    let apart = APART.div_f64(args.speed);
    let mut joined = 0;
    let mut join_at = Some(Instant::now());
    let mut last_news = Instant::now();
    let begun = Instant::now();
    loop {
        if join_at.is_some_and(|at| at <= Instant::now()) && joined < listeners.len() {
            listeners[joined].join(args, binaries, joined, ended.clone())?;
            println!("{} joins", listeners[joined].name);
            joined += 1;
            join_at = None;
            continue;
        }
        if listeners.iter().all(|listener| listener.ended >= listener.expected) {
            break;
        }
        match endings.recv_timeout(Duration::from_millis(100)) {
            Ok(Ending::Play(number, play)) => {
                last_news = Instant::now();
                listeners[number].ended += 1;
                if number + 1 == joined && listeners[number].ended == 1 {
                    join_at = Some(Instant::now() + apart);
                }
                println!(
                    "{:>6.1} s  {}  {}",
                    begun.elapsed().as_secs_f64(),
                    listeners[number].name,
                    report::play_line(&play)
                );
            }
            Ok(Ending::Failed(number, track, reason)) => {
                let name = &listeners[number].name;
                return Err(Failure::new(format!("{name} could not play {track}: {reason}")));
            }
            Ok(Ending::Process(number)) => {
                let listener = &listeners[number];
                let log = folder.join(format!("{}.log", listener.name)).display().to_string();
                return Err(Failure::new(format!("{} ended too early", listener.name))
                    .hint(format!("look into {log}; --keep DIR keeps it")));
            }
            Err(_) if last_news.elapsed() > GRACE => {
                return Err(Failure::new("no track has ended for two minutes"));
            }
            Err(_) => {}
        }
    }
    listeners.into_iter().map(Listener::finish).collect()
}

enum Ending {
    Play(usize, Box<Play>),
    Failed(usize, String, String),
    Process(usize),
}

impl Listener {
    fn prepare(
        binaries: &Binaries,
        folder: &Path,
        server: &Server,
        catalogue: &Catalogue,
        number: usize,
        tracks: &[usize],
    ) -> Result<Self> {
        let name = format!("listener-{}", number + 1);
        let data = folder.join(&name);
        let playlist = folder.join(format!("{name}.playlist"));
        let ids: Vec<&str> =
            tracks.iter().map(|track| catalogue.tracks[*track].0.as_str()).collect();
        std::fs::write(&playlist, ids.join("\n"))?;
        let mut login = Command::new(&binaries.client);
        login.arg("--data-dir").arg(&data).args(["--peers", "on", "login", server.link()]);
        let status = login.stdout(Stdio::null()).status().context(|| format!("log {name} in"))?;
        if !status.success() {
            return Err(Failure::new(format!("{name} could not log in")));
        }
        Ok(Self { name, folder: data, playlist, process: None, ended: 0, expected: ids.len() })
    }

    fn join(
        &mut self,
        args: &Args,
        binaries: &Binaries,
        number: usize,
        ended: mpsc::Sender<Ending>,
    ) -> Result<()> {
        let mut command = Command::new(&binaries.client);
        command.arg("--data-dir").arg(&self.folder).args(["--json", "--listen", "127.0.0.1:0"]);
        command.arg("play").arg(&self.playlist).arg("--stay");
        command.args(["--sink", "null", "--bitrate", &args.bitrate.to_string()]);
        command.args(["--speed", &args.speed.to_string()]);
        let parent = self.folder.parent().unwrap_or(&self.folder);
        command.stdout(Stdio::piped()).stderr(log(parent, &self.name)?);
        let mut process = Process::spawn(&self.name, &mut command)?;
        let stdout = process.take_stdout();
        self.process = Some(process);
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|stdout| stdout.lines()) {
                let ending = match serde_json::from_str(&line.unwrap_or_default()) {
                    Ok(Line::Play(play)) => Ending::Play(number, Box::new(play)),
                    Ok(Line::Failed { track, reason }) => Ending::Failed(number, track, reason),
                    Ok(Line::Other) | Err(_) => continue,
                };
                let _ = ended.send(ending);
            }
            let _ = ended.send(Ending::Process(number));
        });
        Ok(())
    }

    /// Ends the process and reads the listener's own records.
    fn finish(mut self) -> Result<Heard> {
        if let Some(process) = self.process.take() {
            process.stop()?;
        }
        let path = self.folder.join("events.jsonl");
        let text = std::fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
        let plays = text.lines().filter_map(|line| match serde_json::from_str(line) {
            Ok(Line::Play(play)) => Some(play),
            _ => None,
        });
        Ok(Heard { name: self.name, plays: plays.collect() })
    }
}
