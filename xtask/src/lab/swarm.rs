//! `cargo xtask lab swarm`: how well one listener downloads from a few others.
//!
//! Seeds hold all tracks; nobody is behind a router. Every figure is what the
//! client records or what passes its link; each group of figures has a client
//! with an empty cache of its own, whose session and links stand before anything
//! is measured.

mod report;
mod stage;

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::report::{Report, Row};
use self::stage::{Listening, Measured, Stage};
use super::internet::Access;
use super::interrupt;
use super::nodes::{cpu_seconds, peak_memory};
use super::units::parse_time;
use super::workshop::Workshop;
use crate::binaries;
use crate::failure::{Context as _, Failure, Result};

/// How many seeds there are, and the uplinks of unequal ones, in Mbit/s.
const SEEDS: usize = 4;
const UNEQUAL: [f64; SEEDS] = [8.0, 2.0, 1.0, 0.2];
/// The client's downlink beside unequal seeds, in Mbit/s.
const WIDE_DOWN: f64 = 20.0;
/// How far into a download a seed fails, and for how long is listened then.
const MID_PLAY: Duration = Duration::from_millis(300);
const AFTERMATH: Duration = Duration::from_secs(10);

/// Arguments of `cargo xtask lab swarm`.
#[derive(Debug, clap::Args)]
pub struct SwarmArgs {
    /// Tracks of 50 to 100 s, which is 1 to 2 MB; all are fetched for CPU and
    /// memory, the first ones for times.
    #[arg(long, default_value_t = 50, value_name = "N")]
    tracks: usize,
    /// Tracks that are fetched for each time.
    #[arg(long, default_value_t = 9, value_name = "N")]
    times: usize,
    /// What to measure: one-peer, peers, help, cost, unequal, failing; default:
    /// all.
    #[arg(long, value_delimiter = ',', value_name = "WHAT,...")]
    only: Vec<String>,
    /// How long a packet travels on each access link, each way.
    #[arg(long, value_parser = parse_time, default_value = "10ms")]
    delay: Duration,
    /// Uplink of each seed, in Mbit/s.
    #[arg(long, default_value_t = 2.0, value_name = "MBIT")]
    seed_up: f64,
    /// Uplink of the server.
    #[arg(long, default_value_t = 10.0, value_name = "MBIT")]
    server_up: f64,
    /// Downlink of everybody.
    #[arg(long, default_value_t = 10.0, value_name = "MBIT")]
    down: f64,
    /// Uplink of the client.
    #[arg(long, default_value_t = 2.0, value_name = "MBIT")]
    up: f64,
    /// Over what all connect: auto, tcp, quic.
    #[arg(long, default_value = "auto")]
    transport: String,
    /// Write what was seen to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep folders and logs of all programs in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl SwarmArgs {
    fn wants(&self, what: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == what)
    }

    fn client(&self) -> Access {
        Access::mbit(self.up, self.down, self.delay)
    }

    fn server(&self) -> Access {
        Access::mbit(self.server_up, 100.0, self.delay)
    }

    fn seed(&self, up: f64) -> Access {
        Access::mbit(up, self.down, self.delay)
    }
}

/// Runs `cargo xtask lab swarm`. The exit code tells whether every figure is as
/// good as it is meant to be.
///
/// # Errors
///
/// The network cannot be made, or a program does not start or ends.
pub fn run(args: &SwarmArgs) -> Result<ExitCode> {
    interrupt::watch()?;
    if args.tracks < args.times.max(2 * SEEDS) || args.times == 0 {
        return Err(Failure::new("too few tracks").hint("give 8, and no fewer than --times"));
    }
    let workshop = Workshop::open(args.keep.as_deref())?;
    let folder = workshop.path();
    let binaries = binaries::build_for_release()?;
    let mut stage = Stage::build(&binaries, folder, args.tracks, &args.transport)?;
    stage.shape(args.server(), args.client(), &[args.seed(args.seed_up); SEEDS])?;
    let mut report = Report::default();
    stage.start_seeds(1)?;
    if args.wants("one-peer") {
        let alone = without_server(&mut stage, "one-peer", args.times)?;
        report.times("first 16 KiB, one peer alone", &alone, |play| play.first_block_ms, 121.0);
    }
    stage.start_seeds(SEEDS)?;
    if args.wants("peers") {
        let peers = without_server(&mut stage, "peers", args.times)?;
        report.times("15 s of music, 4 peers", &peers, |play| play.first_15s_ms, 500.0);
    }
    if args.wants("help") {
        let help = with_server(&mut stage, "help", args.times)?;
        report.times("first 16 KiB, server and 4 peers", &help, |play| play.first_block_ms, 63.0);
        report.times("15 s of music, server and 4 peers", &help, |play| play.first_15s_ms, 322.0);
        report.add(Row::most("server's share", "%", 25.0, share(&help)));
        report.add(Row::most("payload in and out over audio", "%", 105.0, overhead(&help)));
    }
    if args.wants("cost") {
        cost(&mut stage, args.tracks, &mut report)?;
    }
    if args.wants("failing") {
        failing(&mut stage, &mut report)?;
    }
    if args.wants("unequal") {
        let seeds = UNEQUAL.map(|up| args.seed(up));
        let client = Access::mbit(args.up, WIDE_DOWN, args.delay);
        stage.shape(args.server(), client, &seeds)?;
        // What they learned of their links does not hold any more.
        for seed in 0..SEEDS {
            stage.kill_seed(seed);
            stage.restart_seed(seed)?;
        }
        unequal(&mut stage, &mut report)?;
    }
    print!("{report}");
    if let Some(path) = &args.json {
        let file = File::create(path).context(|| format!("create {}", path.display()))?;
        serde_json::to_writer_pretty(BufWriter::new(file), &report)?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fetches tracks that are known from before while there is no server.
fn without_server(stage: &mut Stage, name: &str, times: usize) -> Result<Vec<Measured>> {
    let mut listening = Listening::start_knowing(stage, name)?;
    stage.stop_service()?;
    listening.until_server_is_gone()?;
    let mut measured = Vec::new();
    for track in 0..times {
        measured.push(listening.fetch(stage, track)?);
        listening.rest()?;
    }
    listening.stop()?;
    stage.restart_service()?;
    Ok(measured)
}

/// Fetches tracks that were never heard.
fn with_server(stage: &mut Stage, name: &str, times: usize) -> Result<Vec<Measured>> {
    let mut listening = Listening::start(stage, name)?;
    let fetched = (0..times).map(|track| listening.fetch(stage, track)).collect();
    listening.stop()?;
    fetched
}

/// What the server gave, of all, in percent.
fn share(measured: &[Measured]) -> Option<f64> {
    let all: u64 = measured.iter().map(|one| one.play.bytes.total()).sum();
    let server: u64 = measured.iter().map(|one| one.play.bytes.server).sum();
    (all > 0).then(|| server as f64 * 100.0 / all as f64)
}

/// What passed the client's link, of the audio, in percent.
fn overhead(measured: &[Measured]) -> Option<f64> {
    let audio: u64 = measured.iter().map(|one| one.play.bytes.total()).sum();
    let payload: u64 = measured.iter().map(|one| one.payload).sum();
    (audio > 0).then(|| payload as f64 * 100.0 / audio as f64)
}

/// CPU and memory of the client for all tracks: what fetching costs beyond hearing
/// the same from the cache.
fn cost(stage: &mut Stage, tracks: usize, report: &mut Report) -> Result<()> {
    let mut listening = Listening::start(stage, "cost")?;
    let process = listening.process();
    let for_fifty = |seconds: f64| seconds * 50.0 / tracks as f64;
    let begun = cpu_seconds(process)?;
    let fetched = (0..tracks).map(|track| listening.fetch(stage, track));
    let fetched = fetched.collect::<Result<Vec<_>>>()?;
    let fetching = cpu_seconds(process)?;
    let memory = peak_memory(process)? as f64 / 1e6;
    for (track, fetched) in fetched.iter().enumerate() {
        listening.hear_again(stage, track, fetched.heard_for)?;
    }
    let hearing = for_fifty(cpu_seconds(process)? - fetching);
    let fetching = for_fifty(fetching - begun);
    listening.stop()?;
    report.add(Row::told("CPU for 50 tracks, with hearing them", "s", fetching));
    report.add(Row::most("CPU for fetching 50 tracks", "s", 0.6, Some(fetching - hearing)));
    report.add(Row::most("memory of the client at its peak", "MB", 25.0, Some(memory)));
    Ok(())
}

/// Freezes each seed in the middle of a download, and kills one.
fn failing(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let mut listening = Listening::start(stage, "failing")?;
    let (mut stalls, mut stalled_ms) = (0, 0.0);
    for (track, seed) in (0..SEEDS).chain([0]).enumerate() {
        listening.click(stage, track)?;
        interrupt::wait(MID_PLAY)?;
        let kills = track >= SEEDS;
        if kills {
            stage.kill_seed(seed);
        } else {
            stage.freeze_seed(seed, true)?;
        }
        interrupt::wait(AFTERMATH)?;
        let measured = listening.leave(stage, track)?;
        if kills {
            stage.restart_seed(seed)?;
        } else {
            stage.freeze_seed(seed, false)?;
        }
        stalls += measured.play.stalls;
        stalled_ms += measured.play.stalled_ms;
        listening.rest()?;
    }
    listening.stop()?;
    report.add(Row::most("stalls, a seed frozen or killed", "", 0.0, Some(stalls.into())));
    report.add(Row::most("silence, a seed frozen or killed", "ms", 0.0, Some(stalled_ms)));
    Ok(())
}

/// What the client gets of what unequal seeds have together.
fn unequal(stage: &mut Stage, report: &mut Report) -> Result<()> {
    let mut listening = Listening::start(stage, "unequal")?;
    let fetched = listening.fetch(stage, stage.long_track())?;
    listening.stop()?;
    let seconds = fetched.play.whole_ms / 1_000.0;
    let mbit = fetched.play.bytes.peers as f64 * 8.0 / 1e6;
    let sum: f64 = UNEQUAL.iter().sum();
    let got = (seconds > 0.0).then(|| mbit / seconds * 100.0 / sum);
    report.add(Row::least("from unequal seeds, of their uplinks", "%", 90.0, got));
    Ok(())
}
