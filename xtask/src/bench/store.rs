//! The group `store`: blobs on disk, beside raw files and a database.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::duel::{Figure, Runs, Spec};
use super::machine::{Cores, drop_caches};
use super::program::{Figures, Primitives, Program};
use super::row::{Aim, Better, Measured, Row, median};
use super::{Outcome, Plan};
use crate::failure::{Context as _, Result};
use crate::workspace;

/// Arguments that only this group has.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// `store`: in which folder; what is put there is removed [default: in target/]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// `store`: bytes of the blobs that are read; each run fills a quarter of that
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 30, value_parser = clap::value_parser!(u64).range(64 << 20..))]
    blob_bytes: u64,
    /// `store`: open a cache of 10 GB too; fills it, and drops the system's file cache if it may
    #[arg(long)]
    full_cache: bool,
}

const READS: Figure =
    Figure { name: "reads", unit: "MB/s", better: Better::More, of: Figures::megabytes_per_second };
const FILL: Figure =
    Figure { name: "fill", unit: "MB/s", better: Better::More, of: Figures::megabytes_per_second };
const MEDIAN: Figure =
    Figure { name: "median", unit: "us", better: Better::Less, of: Figures::median_us };
const P99: Figure =
    Figure { name: "99th percentile", unit: "us", better: Better::Less, of: Figures::p99_us };
const SYNC_MEDIAN: Figure = Figure { name: "sync of 64 blocks, median", ..MEDIAN };
const SYNC_P99: Figure = Figure { name: "sync of 64 blocks, 99th perc.", ..P99 };
const CPU: Figure = Figure {
    name: "CPU",
    unit: "CPU s/GB",
    better: Better::Less,
    of: Figures::own_cpu_seconds_per_gigabyte,
};
const OPEN: Figure = Figure { name: "open", unit: "s", better: Better::Less, of: Figures::seconds };
const MEMORY: Figure = Figure {
    name: "memory",
    unit: "bytes",
    better: Better::Less,
    of: Figures::resident_bytes_each,
};
const MEMORY_OF_BLOCK: Figure = Figure { name: "memory for each block", ..MEMORY };
const HASH: Figure = Figure { name: "BLAKE3 of a block, alone", ..MEDIAN };
const APPEND: Figure = Figure { name: "append and sync of a block, alone", ..MEDIAN };

const OURS: &str = "ours";
/// Files with `pread`, `pwrite` and `fdatasync`, and nothing above.
const RAW: Peer = Peer { side: "raw", name: "raw files" };
const REDB: Peer = Peer { side: "redb", name: "redb 4.6" };

/// With whom ours is compared.
#[derive(Debug, Clone, Copy)]
struct Peer {
    /// Its name in the program.
    side: &'static str,
    name: &'static str,
}

const fn read_row(name: &'static str, target: f64) -> Spec {
    Spec { name, figure: READS, target, beside: &[MEDIAN, P99, CPU] }
}

const fn fill_row(name: &'static str, target: f64) -> Spec {
    Spec { name, figure: FILL, target, beside: &[SYNC_MEDIAN, SYNC_P99, CPU] }
}

const READ_ROWS: &[(Peer, Spec)] =
    &[(RAW, read_row("store_read_vs_pread", 0.5)), (REDB, read_row("store_read_vs_redb", 1.5))];
const FILL_ROWS: &[(Peer, Spec)] =
    &[(RAW, fill_row("store_fill_vs_pwrite", 0.85)), (REDB, fill_row("store_fill_vs_redb", 3.0))];

/// Bytes of memory for each block of the cache, all hash trees loaded.
const MEMORY_ROW: (&str, f64) = ("store_memory_per_block", 64.0);
/// Seconds to open a full cache, what it reads being in memory or not.
const OPEN_ROW: (&str, f64) = ("store_open_10gb", 1.0);
const COLD_ROW: (&str, f64) = ("store_open_10gb_cold", 1.0);

/// A full cache of the default budget, of tracks of three and a half minutes
/// at 160 kbit/s.
const FULL_BYTES: u64 = 10_000_000_000;
const FULL_BLOB_BYTES: u64 = 4_200_000;

/// The names of all rows.
pub(super) fn rows() -> Vec<&'static str> {
    let duels = FILL_ROWS.iter().chain(READ_ROWS).map(|(_, spec)| spec.name);
    duels.chain([MEMORY_ROW.0, OPEN_ROW.0, COLD_ROW.0]).collect()
}

/// Measures the rows that are wanted; one that fails does not stop the others.
///
/// # Errors
///
/// The program does not build, or there is no folder to be had.
pub(super) fn measure(plan: &Plan<'_>) -> Result<Outcome> {
    let program = Program::build(Primitives::AwsLcRs, Cores::choose())?;
    let parent = match &plan.store.dir {
        Some(parent) => parent.clone(),
        None => workspace::target_folder()?,
    };
    fs::create_dir_all(&parent).context(|| format!("make {}", parent.display()))?;
    let folder = tempfile::Builder::new()
        .prefix("bench-store-")
        .tempdir_in(&parent)
        .context(|| format!("make a folder in {}", parent.display()))?;
    let bench = Bench { plan, program, folder: folder.path() };

    let mut outcome = Outcome::default();
    for (names, measure) in Bench::parts() {
        if !names.iter().any(|name| plan.wants(name)) {
            continue;
        }
        match measure(&bench) {
            Ok(rows) => outcome.rows.extend(rows),
            Err(failure) => outcome.failures.push(format!("{}: {failure}", names.join(", "))),
        }
    }
    outcome.rows.retain(|measured| plan.wants(measured.row.name));
    Ok(outcome)
}

/// Rows that are measured together, and how.
type Part<'a> = (Vec<&'static str>, fn(&Bench<'a>) -> Result<Vec<Measured>>);

struct Bench<'a> {
    plan: &'a Plan<'a>,
    program: Program,
    folder: &'a Path,
}

/// What each side did in each of the runs.
type Turns = Vec<BTreeMap<String, Figures>>;

impl<'a> Bench<'a> {
    fn parts() -> [Part<'a>; 4] {
        let names = |rows: &[(Peer, Spec)]| rows.iter().map(|(_, spec)| spec.name).collect();
        [
            (names(FILL_ROWS), Self::fill),
            (names(READ_ROWS), Self::read),
            (vec![MEMORY_ROW.0], Self::memory),
            (vec![OPEN_ROW.0, COLD_ROW.0], Self::open),
        ]
    }

    /// Each run fills a folder that is then removed. The first one is not
    /// counted: on a virtual machine, memory that was never used before is slow.
    fn fill(&self) -> Result<Vec<Measured>> {
        let folder = self.folder.join("fill");
        let bytes = (self.plan.store.blob_bytes / 4).to_string();
        let sides = self.sides(FILL_ROWS);
        let mut turns = Turns::new();
        for pair in 0..=self.plan.pairs {
            eprintln!("bench: store, fill ({pair} of {})", self.plan.pairs);
            let filled =
                self.program.store(&folder, &["fill", "--bytes", &bytes, "--sides", &sides])?;
            remove(&folder)?;
            if pair > 0 {
                turns.push(filled);
            }
        }
        let mut rows = rows_of(FILL_ROWS, &turns);
        self.set_beside(&mut rows, APPEND, &["append"], RAW.side)?;
        Ok(rows)
    }

    /// Each run reads the same blobs in another order.
    fn read(&self) -> Result<Vec<Measured>> {
        let folder = self.blobs()?;
        let sides = self.sides(READ_ROWS);
        let mut turns = Turns::new();
        for pair in 1..=self.plan.pairs {
            eprintln!("bench: store, read ({pair} of {})", self.plan.pairs);
            let seed = pair.to_string();
            let work = ["read", "--seed", &seed, "--sides", &sides];
            turns.push(self.program.store(&folder, &work)?);
        }
        let mut rows = rows_of(READ_ROWS, &turns);
        self.set_beside(&mut rows, HASH, &["hash"], OURS)?;
        Ok(rows)
    }

    fn memory(&self) -> Result<Vec<Measured>> {
        let opened = self.program.store(&self.blobs()?, &["memory"])?;
        Ok(at_most(MEMORY_ROW, MEMORY, &side(&[opened], OURS)).into_iter().collect())
    }

    fn open(&self) -> Result<Vec<Measured>> {
        if !self.plan.store.full_cache {
            eprintln!("bench: a cache of 10 GB is opened with --full-cache only");
            return Ok(Vec::new());
        }
        let folder = self.folder.join("full");
        eprintln!("bench: store, filling 10 GB");
        let (bytes, each) = (FULL_BYTES.to_string(), FULL_BLOB_BYTES.to_string());
        self.program
            .store(&folder, &["fill", "--bytes", &bytes, "--each", &each, "--sides", OURS])?;
        if !drop_caches() {
            eprintln!("bench: only root on Linux drops the file cache: it is opened warm only");
        }
        let (mut cold, mut warm) = (Turns::new(), Turns::new());
        for _ in 0..self.plan.pairs {
            if drop_caches() {
                cold.push(self.program.store(&folder, &["open"])?);
            }
            warm.push(self.program.store(&folder, &["open"])?);
        }
        let mut rows: Vec<_> = at_most(OPEN_ROW, OPEN, &side(&warm, OURS)).into_iter().collect();
        let memory = side(&[self.program.store(&folder, &["memory"])?], OURS);
        if let Some(row) = rows.first_mut() {
            row.beside.extend(MEMORY_OF_BLOCK.beside(&Runs { ours: memory, theirs: Vec::new() }));
        }
        rows.extend(at_most(COLD_ROW, OPEN, &side(&cold, OURS)));
        remove(&folder)?;
        Ok(rows)
    }

    /// The folder of blobs that are read; fills it first, if it is not there.
    fn blobs(&self) -> Result<PathBuf> {
        let folder = self.folder.join("blobs");
        if !folder.exists() {
            eprintln!("bench: store, filling what is read");
            let bytes = self.plan.store.blob_bytes.to_string();
            let sides = self.sides(READ_ROWS);
            self.program.store(&folder, &["fill", "--bytes", &bytes, "--sides", &sides])?;
        }
        Ok(folder)
    }

    /// Ours, and the peers of the rows that are wanted.
    fn sides(&self, rows: &[(Peer, Spec)]) -> String {
        let wanted = rows.iter().filter(|(_, spec)| self.plan.wants(spec.name));
        let peers = wanted.filter(|_| self.plan.compare).map(|(peer, _)| peer.side);
        [OURS].into_iter().chain(peers).collect::<Vec<_>>().join(",")
    }

    /// Sets what the machine itself takes beside the first row.
    fn set_beside(
        &self,
        rows: &mut [Measured],
        figure: Figure,
        work: &[&str],
        name: &str,
    ) -> Result<()> {
        let Some(first) = rows.first_mut() else { return Ok(()) };
        let ours = side(&[self.program.store(self.folder, work)?], name);
        first.beside.extend(figure.beside(&Runs { ours, theirs: Vec::new() }));
        Ok(())
    }
}

/// The figures of one side; none if it had no turn.
fn side(turns: &[BTreeMap<String, Figures>], name: &str) -> Vec<Figures> {
    turns.iter().filter_map(|turn| turn.get(name)).cloned().collect()
}

/// The rows that these runs tell. Those with a peer that had no turn are of
/// ours alone.
fn rows_of(rows: &[(Peer, Spec)], turns: &Turns) -> Vec<Measured> {
    let row = |(peer, spec): &(Peer, Spec)| {
        let runs = Runs { ours: side(turns, OURS), theirs: side(turns, peer.side) };
        spec.row(peer.name, &runs)
    };
    rows.iter().filter_map(row).collect()
}

/// The row of a figure that is to be no more than something.
fn at_most(
    (name, most): (&'static str, f64),
    figure: Figure,
    runs: &[Figures],
) -> Option<Measured> {
    let figures: Vec<f64> = runs.iter().map(figure.of).collect::<Option<_>>()?;
    let row = Row {
        name,
        ours: median(&figures)?,
        theirs: None,
        peer: None,
        unit: figure.unit,
        ratio: None,
        runs: figures.len(),
    };
    Some(Measured { row, aim: Some(Aim::AtMost(most)), spread: None, beside: Vec::new() })
}

fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).context(|| format!("remove {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_a_bound_and_no_ratio() {
        let opened = |seconds| Figures::of_seconds(seconds);
        let row = at_most(OPEN_ROW, OPEN, &[opened(0.5), opened(2.0), opened(0.25)]).unwrap();
        assert_eq!((row.row.ours, row.row.ratio, row.row.runs), (0.5, None, 3));
        assert_eq!(row.aim, Some(Aim::AtMost(1.0)));
        assert_eq!(at_most(OPEN_ROW, OPEN, &[]), None);
    }
}
