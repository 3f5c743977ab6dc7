//! The group `tracker`: who holds what, beside a tracker of BitTorrent and a
//! database.
//!
//! Each server is a process of its own, pinned to a core, and is asked over
//! loopback by 1,000 peers; what counts is the CPU time that it takes for an
//! announcement with a query. Ours is the program as it is shipped, over
//! encrypted sessions, with a catalogue in which the blobs stand; theirs are
//! `aquatic_udp`, by UDP, one announcement in a datagram, and `redis-server`
//! with a set for each blob. The index itself is measured in one process, with
//! a million blobs and peers.

mod servers;

use std::path::Path;

use super::duel::{Figure, Runs, Spec};
use super::machine::Cores;
use super::program::{Figures, Primitives, Program};
use super::row::{Aim, Better, Measured, Row};
use super::{Outcome, Plan};
use crate::failure::{Context as _, Result};
use crate::workspace;
use servers::{Server, Servers, Side};

const PAIRS: Figure = Figure {
    name: "pairs",
    unit: "pairs/CPU s",
    better: Better::More,
    of: Figures::pairs_per_cpu_second,
};
const RATE: Figure =
    Figure { name: "rate", unit: "pairs/s", better: Better::More, of: Figures::pairs_per_second };
const MEMORY: Figure = Figure {
    name: "server, resident",
    unit: "MB",
    better: Better::Less,
    of: Figures::resident_megabytes,
};

/// Two sides that are measured in turn, and the row that comes of it.
struct Duel {
    /// What ours is asked with, beside what all are.
    ours: &'static [&'static str],
    theirs: Side,
    peer: &'static str,
    row: Spec,
}

const SINGLE: &[&str] = &["--window", "16"];
const BATCH: &[&str] = &["--window", "2", "--batch", "20"];

const fn duel(
    name: &'static str,
    ours: &'static [&'static str],
    (theirs, peer): (Side, &'static str),
    target: f64,
) -> Duel {
    let row = Spec { name, figure: PAIRS, target, beside: &[RATE, MEMORY] };
    Duel { ours, theirs, peer, row }
}

const AQUATIC: (Side, &str) = (Side::Aquatic, "aquatic_udp 0.9");
const REDIS: (Side, &str) = (Side::Redis, "redis-server");

const DUELS: &[Duel] = &[
    duel("tracker_net_vs_aquatic", SINGLE, AQUATIC, 1.0),
    duel("tracker_batch_vs_aquatic", BATCH, AQUATIC, 2.0),
    duel("tracker_vs_redis", SINGLE, REDIS, 2.0),
];

/// Of the index alone.
const BARE_ROWS: [&str; 3] = ["tracker_announces", "tracker_finds", "tracker_memory"];
/// Bytes of memory for an entry.
const MOST_BYTES: f64 = 100.0;

/// The names of all rows.
pub(super) fn rows() -> Vec<&'static str> {
    BARE_ROWS.into_iter().chain(DUELS.iter().map(|duel| duel.row.name)).collect()
}

/// Measures the rows that are wanted; one that fails does not stop the others.
///
/// # Errors
///
/// A program does not build.
pub(super) fn measure(plan: &Plan<'_>) -> Result<Outcome> {
    let cores = Cores::choose();
    let program = Program::build(Primitives::AwsLcRs, cores)?;
    cores.tell();
    let mut outcome = Outcome::default();
    if BARE_ROWS.iter().any(|row| plan.wants(row)) {
        eprintln!("bench: tracker, the index alone");
        match program.tracker(&["bare"]) {
            Ok(figures) => outcome.rows.extend(bare(plan, &figures)),
            Err(failure) => outcome.failures.push(format!("{}: {failure}", BARE_ROWS.join(", "))),
        }
    }
    let duels: Vec<&Duel> = DUELS.iter().filter(|duel| plan.wants(duel.row.name)).collect();
    if duels.is_empty() {
        return Ok(outcome);
    }
    let folder = tempfile::Builder::new()
        .prefix("bench-tracker-")
        .tempdir_in(workspace::target_folder()?)
        .context(|| "make a folder in target/".to_owned())?;
    let servers = Servers::build(cores, &program, folder.path())?;
    for duel in duels {
        match fight(plan, &program, &servers, duel) {
            Ok(row) => outcome.rows.extend(row),
            Err(failure) => outcome.failures.push(format!("{}: {failure}", duel.row.name)),
        }
    }
    Ok(outcome)
}

fn fight(
    plan: &Plan<'_>,
    program: &Program,
    servers: &Servers,
    duel: &Duel,
) -> Result<Option<Measured>> {
    let mut runs = Runs::default();
    for pair in 1..=plan.pairs {
        eprintln!("bench: {} ({pair} of {})", duel.row.name, plan.pairs);
        runs.ours.push(ask(program, &servers.start(Side::Ours)?, duel.ours)?);
        if plan.compare {
            runs.theirs.push(ask(program, &servers.start(duel.theirs)?, SINGLE)?);
        }
    }
    Ok(duel.row.row(duel.peer, &runs))
}

/// Has a server asked by all peers.
fn ask(program: &Program, server: &Server, how: &[&str]) -> Result<Figures> {
    let process = server.process().to_string();
    let mut arguments = vec!["load", "--side", server.side.name()];
    arguments.extend(["--server", &server.address, "--process", &process, "--key", &server.key]);
    arguments.extend(how);
    program.tracker(&arguments)
}

/// The rows of the index alone.
fn bare(plan: &Plan<'_>, figures: &Figures) -> Vec<Measured> {
    let [announces, finds, memory] = BARE_ROWS;
    let row = |name, unit, ours: Option<f64>, aim| {
        let row = Row { name, ours: ours?, theirs: None, peer: None, unit, ratio: None, runs: 1 };
        Some(Measured { row, aim, spread: None, beside: Vec::new() })
    };
    let all = [
        row(announces, "/s", figures.announces_per_second(), None),
        row(finds, "/s", figures.finds_per_second(), None),
        row(memory, "bytes/entry", figures.resident_bytes_each(), Some(Aim::AtMost(MOST_BYTES))),
    ];
    all.into_iter().flatten().filter(|measured| plan.wants(measured.row.name)).collect()
}

/// Writes what our server has to know of the blobs that are announced.
fn write_catalogue(program: &Program, folder: &Path) -> Result<()> {
    let folder = folder.to_string_lossy();
    program.run_tracker(&["catalogue", "--dir", &folder]).map(|_| ())
}
