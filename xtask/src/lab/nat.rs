//! `cargo xtask lab nat`: which listeners behind which routers find each other,
//! and how soon, beside what theory allows.
//!
//! For each pair of kinds a holder has a track and tells the server; an asker
//! plays it on an open session. Counted is from then until a link between the
//! two stands. First the routers themselves are proven.

mod lane;
mod report;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;

use self::lane::{Attempt, Lane, Outcome};
use self::report::Report;
use super::internet::nat::{Nat, Transport};
use super::internet::{Access, Internet, prove};
use super::interrupt;
use super::shape::Shape;
use super::units::parse_time;
use super::workshop::Workshop;
use crate::binaries::{self, Binaries};
use crate::demo::catalogue_of_lengths;
use crate::failure::{Context as _, Failure, Result};

/// The track that is asked for, and the one before it, in seconds.
const TRACKS: [u32; 2] = [20, 5];
/// The first port that listeners use; each pair has others, so that no router
/// remembers anything of the pair before.
const FIRST_PORT: u16 = 20_000;

/// Arguments of `cargo xtask lab nat`.
#[derive(Debug, clap::Args)]
pub struct NatArgs {
    /// Pairs HOLDER:ASKER to try; default: every kind with every kind. Kinds:
    /// none, full-cone, address, port, symmetric, upnp, no-udp.
    #[arg(long, value_delimiter = ',', value_name = "KIND:KIND,...")]
    pairs: Vec<Pair>,
    /// Over what: tcp, quic. Default: both, one after the other.
    #[arg(long, value_delimiter = ',')]
    transport: Vec<Transport>,
    /// How often each pair is tried.
    #[arg(long, default_value_t = 1, value_name = "N")]
    times: usize,
    /// How long a packet travels on each access link, each way.
    #[arg(long, value_parser = parse_time, default_value = "10ms")]
    delay: Duration,
    /// For how long a pair that can meet is waited for; others half as long.
    #[arg(long, value_parser = parse_time, default_value = "12s")]
    patience: Duration,
    /// Only prove that the routers are what they are said to be.
    #[arg(long)]
    prove: bool,
    /// Do not prove it again.
    #[arg(long, conflicts_with = "prove")]
    unproven: bool,
    /// Write what was seen to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep folders and logs of all programs in this folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// A holder and an asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    holder: Nat,
    asker: Nat,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (holder, asker) = text.split_once(':').ok_or("expected HOLDER:ASKER")?;
        Ok(Self { holder: Nat::from_str(holder, true)?, asker: Nat::from_str(asker, true)? })
    }
}

/// Runs `cargo xtask lab nat`. The exit code tells whether every pair that can
/// meet did.
///
/// # Errors
///
/// The network cannot be made, a program does not start, or a router is not what
/// it is said to be.
pub fn run(args: &NatArgs) -> Result<ExitCode> {
    interrupt::watch()?;
    let begun = Instant::now();
    let internet = build(args.delay)?;
    println!("{} households stand after {:.1} s", internet.houses().len(), seconds(begun));
    if !args.unproven {
        prove_routers(&internet)?;
        println!("routers proven after {:.1} s", seconds(begun));
    }
    if args.prove {
        return Ok(ExitCode::SUCCESS);
    }
    let binaries = binaries::build()?;
    let workshop = Workshop::open(args.keep.as_deref())?;
    let folder = workshop.path();
    let begun = Instant::now();
    let outcomes = run_rounds(args, &binaries, &internet, folder)?;
    let report = Report::new(&outcomes);
    print!("{report}");
    println!("{} attempts in {:.0} s", outcomes.len(), seconds(begun));
    if let Some(path) = &args.json {
        let file = File::create(path).context(|| format!("create {}", path.display()))?;
        serde_json::to_writer_pretty(BufWriter::new(file), &report)?;
    }
    Ok(if report.misses() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// Two households of each kind: those of holders, then those of askers.
fn build(delay: Duration) -> Result<Internet> {
    let shape = Shape { delay, ..Shape::default() };
    let access = Access { up: shape, down: shape };
    let mut internet = Internet::new(Access::default(), 1)?;
    for nat in Nat::ALL.into_iter().chain(Nat::ALL) {
        interrupt::check()?;
        internet.add_house(nat, access, 1)?;
    }
    Ok(internet)
}

fn prove_routers(internet: &Internet) -> Result<()> {
    let lies = prove::all(internet, &Nat::ALL)?;
    for lie in &lies {
        eprintln!("lab: {}", lie.what);
    }
    match lies.is_empty() {
        true => Ok(()),
        false => Err(Failure::new("routers are not what they are said to be")),
    }
}

/// Everything that is asked for, in rounds in which no household is used twice.
fn run_rounds(
    args: &NatArgs,
    binaries: &Binaries,
    internet: &Internet,
    folder: &Path,
) -> Result<Vec<Outcome>> {
    let wanted = |pair: &Pair| args.pairs.is_empty() || args.pairs.contains(pair);
    let transports = match args.transport.as_slice() {
        [] => vec![Transport::Tcp, Transport::Quic],
        some => some.to_vec(),
    };
    let mut lanes = start_lanes(binaries, internet, folder)?;
    let mut outcomes = Vec::new();
    let mut ports = (FIRST_PORT..30_000).step_by(2);
    for transport in transports {
        for _ in 0..args.times {
            for shift in 0..Nat::ALL.len() {
                let mut round = Vec::new();
                for (holder, lane) in lanes.iter_mut().enumerate() {
                    let asker = (holder + shift) % Nat::ALL.len();
                    let pair = Pair { holder: Nat::ALL[holder], asker: Nat::ALL[asker] };
                    if wanted(&pair) {
                        let port = ports.next().ok_or_else(|| Failure::new("no port is left"))?;
                        let can_meet = pair.holder.can_meet(pair.asker, transport);
                        let patience = if can_meet { args.patience } else { args.patience / 2 };
                        let houses =
                            [internet.house(holder), internet.house(Nat::ALL.len() + asker)];
                        round.push((lane, Attempt { houses, transport, port, patience }));
                    }
                }
                outcomes.extend(run_round(binaries, round)?);
            }
        }
    }
    Ok(outcomes)
}

fn run_round(binaries: &Binaries, round: Vec<(&mut Lane, Attempt<'_>)>) -> Result<Vec<Outcome>> {
    thread::scope(|scope| {
        let running: Vec<_> = round
            .into_iter()
            .map(|(lane, attempt)| scope.spawn(move || lane.attempt(binaries, &attempt)))
            .collect();
        let ended = running
            .into_iter()
            .map(|lane| lane.join().unwrap_or_else(|_| Err(Failure::new("an attempt panicked"))));
        ended.collect()
    })
}

/// A server for each holder, with the same music: who meets on one is a pair.
fn start_lanes(binaries: &Binaries, internet: &Internet, folder: &Path) -> Result<Vec<Lane>> {
    let music = folder.join("catalogue");
    let tracks = catalogue_of_lengths(binaries, &music, &TRACKS)?;
    let [track, before] = tracks.as_slice() else {
        return Err(Failure::new("the music was not ingested whole"));
    };
    let lanes = (0_u16..).zip(Nat::ALL).map(|(number, nat)| {
        let folder = folder.join(format!("{nat}"));
        Lane::start(
            binaries,
            internet.server(),
            &music.join("server"),
            &folder,
            number,
            [track.clone(), before.clone()],
        )
    });
    lanes.collect()
}
