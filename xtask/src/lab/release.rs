//! `cargo xtask lab release`: a new track, and everybody wants it at once.
//!
//! One server with a narrow uplink, listeners behind mixed routers on ordinary
//! access links. Sessions are open; then all ask for a track that only the server
//! has, within a few seconds, and hear it to the end in real time.

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::internet::nat::Nat;
use super::internet::{Access, Internet};
use super::interrupt;
use super::nodes::{Bytes, Client, Play, Service, Start};
use super::units::parse_time;
use super::workshop::Workshop;
use crate::binaries::{self, Binaries};
use crate::demo::catalogue_of_lengths;
use crate::failure::{Context as _, Failure, Result};

/// Routers as one meets them, in turn: most filter by address and port, some
/// open ports on request, one in ten draws ports by chance.
const ROUTERS: [Nat; 10] = [
    Nat::Port,
    Nat::Upnp,
    Nat::Port,
    Nat::Address,
    Nat::Symmetric,
    Nat::Port,
    Nat::FullCone,
    Nat::Upnp,
    Nat::NoUdp,
    Nat::None,
];
/// What is heard before, in seconds: it opens the session.
const BEFORE: u32 = 5;
/// How much longer than the track everything may take.
const GRACE: Duration = Duration::from_secs(60);
/// How long sessions may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the network comes to rest before the release.
const REST: Duration = Duration::from_secs(3);
/// The server's port, and that of every listener.
const SERVER_PORT: u16 = 7700;
const LISTENER_PORT: u16 = 20_000;
/// First sounds later than this are too late.
const SOON_MS: f64 = 1_000.0;
/// The server may send less than so many copies.
const COPIES: f64 = 3.0;

/// Arguments of `cargo xtask lab release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// How many listen.
    #[arg(long, default_value_t = 20, value_name = "N")]
    listeners: usize,
    /// How long the track is.
    #[arg(long, default_value_t = 240)]
    seconds: u32,
    /// Its bitrate: 96, 160 or 320.
    #[arg(long, default_value_t = 160)]
    kbps: u32,
    /// All ask for it within this time.
    #[arg(long, value_parser = parse_time, default_value = "10s")]
    within: Duration,
    /// The server's uplink, in Mbit/s.
    #[arg(long, default_value_t = 4.0, value_name = "MBIT")]
    server_up: f64,
    /// The listeners' links, in Mbit/s.
    #[arg(long, default_value_t = 10.0, value_name = "MBIT")]
    down: f64,
    /// See `--down`.
    #[arg(long, default_value_t = 2.0, value_name = "MBIT")]
    up: f64,
    /// How long a packet travels on the shortest access link, each way; the
    /// longest takes twice as long.
    #[arg(long, value_parser = parse_time, default_value = "10ms")]
    delay: Duration,
    /// Over what listeners connect: auto, tcp, quic.
    #[arg(long, default_value = "auto")]
    transport: String,
    /// Start the programs with the click, instead of on open sessions.
    #[arg(long)]
    cold: bool,
    /// Write what was seen to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep folders and logs of all programs in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What one listener heard.
#[derive(Debug, Serialize)]
struct Heard {
    nat: Nat,
    first_byte_ms: f64,
    first_sound_ms: f64,
    stalls: u32,
    stalled_ms: f64,
    finished: bool,
    bytes: Bytes,
    /// Links to others that came about.
    links: usize,
}

/// What was seen in all.
#[derive(Debug, Serialize)]
struct Report {
    track_bytes: u64,
    /// What the server counts for, by the listeners' records.
    server_bytes: u64,
    /// What left the server over TCP and UDP, from the release on.
    server_payload: u64,
    /// The same in copies of the track.
    server_copies: f64,
    listeners: Vec<Heard>,
    /// Share of one core that the network itself took.
    lab_cores: f64,
}

/// Runs `cargo xtask lab release`. The exit code tells whether nobody waited and
/// the server sent little.
///
/// # Errors
///
/// The network cannot be made, or a program does not start or ends.
pub fn run(args: &ReleaseArgs) -> Result<ExitCode> {
    interrupt::watch()?;
    let workshop = Workshop::open(args.keep.as_deref())?;
    let folder = workshop.path();
    let binaries = binaries::build_for_release()?;
    let tracks = catalogue_of_lengths(&binaries, folder, &[args.seconds, BEFORE])?;
    let internet = build(args)?;
    let report = release(args, &binaries, &internet, folder, &tracks)?;
    print!("{report}");
    if let Some(path) = &args.json {
        let file = File::create(path).context(|| format!("create {}", path.display()))?;
        serde_json::to_writer_pretty(BufWriter::new(file), &report)?;
    }
    let faults = report.faults();
    faults.iter().for_each(|fault| println!("! {fault}"));
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(args: &ReleaseArgs) -> Result<Internet> {
    let server = Access::mbit(args.server_up, 100.0, Duration::ZERO);
    let mut internet = Internet::new(server, 1)?;
    for (number, nat) in ROUTERS.into_iter().cycle().take(args.listeners).enumerate() {
        interrupt::check()?;
        let further = number as f64 / args.listeners.max(1) as f64;
        let delay = args.delay.mul_f64(1.0 + further);
        internet.add_house(nat, Access::mbit(args.up, args.down, delay), 1)?;
    }
    Ok(internet)
}

fn release(
    args: &ReleaseArgs,
    binaries: &Binaries,
    internet: &Internet,
    folder: &Path,
    tracks: &[String],
) -> Result<Report> {
    let [track, before] = tracks else {
        return Err(Failure::new("the music was not ingested whole"));
    };
    let data = folder.join("server");
    let service = Service::start(binaries, &data, internet.server(), SERVER_PORT)?;
    let first = if args.cold { track } else { before };
    let start = |number: usize| {
        let folder = folder.join(format!("listener-{number:02}"));
        let start = Start {
            link: service.link(),
            folder: &folder,
            transport: &args.transport,
            port: LISTENER_PORT,
            track: first,
            kbps: args.kbps,
            speed: 1,
        };
        Client::start(binaries, internet.house(number).host(0), start)
    };
    let mut clients = Vec::new();
    if !args.cold {
        clients = (0..args.listeners).map(start).collect::<Result<Vec<_>>>()?;
        for client in &mut clients {
            let heard = client.wait_for(0, PATIENCE, |line| line.play().map(|_| ()))?;
            heard.ok_or_else(|| Failure::new(format!("{} has no session", client.name())))?;
        }
        interrupt::wait(REST)?;
    }
    let (sent_before, begun, cpu) = (internet.server_passed().0, Instant::now(), cpu_seconds()?);
    println!("{} listeners; the release", args.listeners);
    for number in 0..args.listeners {
        let at = args.within.mul_f64(number as f64 / args.listeners as f64);
        interrupt::wait(at.saturating_sub(begun.elapsed()))?;
        match clients.get_mut(number) {
            Some(client) => client.order(&format!("play {track}"))?,
            None => clients.push(start(number)?),
        }
    }
    let plays = hear(&mut clients, track, begun, args)?;
    let elapsed = begun.elapsed().as_secs_f64();
    let payload = internet.server_passed().0.payload - sent_before.payload;
    let lab_cores = (cpu_seconds()? - cpu) / elapsed;
    let listeners = plays
        .iter()
        .zip(&clients)
        .enumerate()
        .map(|(number, (play, client))| Heard::new(internet.house(number).nat(), play, client));
    let report = Report::new(listeners.collect(), payload, lab_cores);
    clients.into_iter().try_for_each(Client::stop)?;
    Ok(report)
}

/// Waits until all have heard the track.
fn hear(
    clients: &mut [Client],
    track: &str,
    begun: Instant,
    args: &ReleaseArgs,
) -> Result<Vec<Play>> {
    let until = Duration::from_secs(args.seconds.into()) + args.within + GRACE;
    let mut plays = Vec::new();
    for client in clients {
        let left = until.saturating_sub(begun.elapsed());
        let of_it = |play: &&Play| play.track == track;
        let heard = client.wait_for(0, left, |line| line.play().filter(of_it).cloned())?;
        plays.push(heard.ok_or_else(|| {
            Failure::new(format!("{} does not come to the end of the track", client.name()))
        })?);
    }
    Ok(plays)
}

/// CPU time of this process so far: the links.
fn cpu_seconds() -> Result<f64> {
    super::nodes::cpu_seconds(std::process::id())
}

impl Heard {
    fn new(nat: Nat, play: &Play, client: &Client) -> Self {
        Self {
            nat,
            first_byte_ms: play.first_byte_ms,
            first_sound_ms: play.first_sound_ms,
            stalls: play.stalls,
            stalled_ms: play.stalled_ms,
            finished: play.finished,
            bytes: play.bytes,
            links: client.events.iter().filter(|line| line.peer_up().is_some()).count(),
        }
    }
}

impl Report {
    fn new(listeners: Vec<Heard>, server_payload: u64, lab_cores: f64) -> Self {
        let track_bytes = listeners.iter().map(|heard| heard.bytes.total()).max().unwrap_or(0);
        let server_bytes = listeners.iter().map(|heard| heard.bytes.server).sum();
        let server_copies = server_payload as f64 / track_bytes.max(1) as f64;
        Self { track_bytes, server_bytes, server_payload, server_copies, listeners, lab_cores }
    }

    /// What should not have been.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, heard) in self.listeners.iter().enumerate() {
            if heard.stalls > 0 || !heard.finished {
                let stalled = heard.stalled_ms;
                faults.push(format!("listener {number}: {} stalls, {stalled:.0} ms", heard.stalls));
            }
            if heard.first_sound_ms > SOON_MS {
                let late = heard.first_sound_ms;
                faults.push(format!("listener {number}: first sound after {late:.0} ms"));
            }
        }
        if self.server_copies >= COPIES {
            faults.push(format!("the server sent {:.2} copies", self.server_copies));
        }
        faults
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["router", "sound", "stalls", "stalled", "peers", "server", "links"];
        let [router, sound, stalls, stalled, peers, server, links] = heading;
        writeln!(
            out,
            "{:4} {router:10} {sound:>9} {stalls:>7} {stalled:>9} {peers:>9} {server:>9} {links:>6}",
            ""
        )?;
        for (number, heard) in self.listeners.iter().enumerate() {
            writeln!(
                out,
                "{number:4} {:10} {:>6.0} ms {:>7} {:>6.0} ms {:>6} kB {:>6} kB {:>6}",
                heard.nat,
                heard.first_sound_ms,
                heard.stalls,
                heard.stalled_ms,
                heard.bytes.peers / 1_000,
                heard.bytes.server / 1_000,
                heard.links
            )?;
        }
        writeln!(
            out,
            "a track of {} kB; the server sent {:.2} copies ({} kB; {} kB by the listeners' records)",
            self.track_bytes / 1_000,
            self.server_copies,
            self.server_payload / 1_000,
            self.server_bytes / 1_000
        )?;
        writeln!(out, "the links took {:.0} % of a core", self.lab_cores * 100.0)
    }
}
