//! Blobs on disk: `antiphon-store` beside raw files and a database.
//!
//! Every side keeps the same blobs in a folder of its own. All of them have
//! their turns in one process, so that what else the machine and its disk do
//! falls on all; see [`fill`] and [`read`].

mod fill;
mod keeper;
mod limits;
mod meter;
mod opened;
mod ours;
mod raw;
mod read;
mod redb;
mod set;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Result, machine};
use keeper::Keeper;

/// Arguments of `bench-peers store`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the blobs are
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, clap::Subcommand)]
enum Work {
    /// Fill an empty folder with blobs, durable 64 blocks at a time
    Fill {
        /// Bytes of all blobs, at least
        #[arg(long, default_value_t = 2 << 30)]
        bytes: u64,
        /// Bytes of each blob; like tracks if not given
        #[arg(long, value_name = "BYTES")]
        each: Option<u64>,
        #[command(flatten)]
        sides: Sides,
    },
    /// Read blocks of a filled folder at random
    Read {
        /// How many
        #[arg(long, default_value_t = 40_000)]
        reads: usize,
        /// Seed of their order
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[command(flatten)]
        sides: Sides,
    },
    /// Open our store in a filled folder
    Open,
    /// Have the hash trees of all blobs of a filled folder in memory
    Memory,
    /// Hash one block, over and over
    Hash,
    /// Append one block to a file and make it durable, over and over
    Append,
}

#[derive(Debug, clap::Args)]
struct Sides {
    /// Who has a turn
    #[arg(long, value_delimiter = ',', value_name = "SIDES", default_value = "ours,raw,redb")]
    sides: Vec<Side>,
}

/// Who keeps the blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    Ours,
    /// Ordinary files
    Raw,
    Redb,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Raw => "raw",
            Self::Redb => "redb",
        }
    }

    fn open(self, folder: &Path) -> Result<Box<dyn Keeper>> {
        Ok(match self {
            Self::Ours => Box::new(ours::Ours::open(folder)?),
            Self::Raw => Box::new(raw::Raw::open(folder)?),
            Self::Redb => Box::new(redb::Redb::open(folder)?),
        })
    }
}

/// What was measured of one side; which fields there are depends on the work.
#[derive(Debug, Default, Serialize)]
struct Figures {
    bytes: Option<u64>,
    seconds: Option<f64>,
    cpu_seconds: Option<f64>,
    /// Of single operations: one read, or making one batch durable.
    median_us: Option<f64>,
    p99_us: Option<f64>,
    /// Memory for each block.
    resident_bytes_each: Option<f64>,
}

/// Runs `bench-peers store`; prints the figures of each side by its name.
pub(crate) fn run(args: &Args) -> Result<()> {
    machine::raise_descriptor_limit()?;
    std::fs::create_dir_all(&args.dir)?;
    let folder = &args.dir;
    let (sides, figures) = match &args.work {
        Work::Fill { bytes, each, sides: Sides { sides } } => {
            (&sides[..], fill::fill(folder, *bytes, *each, sides)?)
        }
        Work::Read { reads, seed, sides: Sides { sides } } => {
            (&sides[..], read::read(folder, *reads, *seed, sides)?)
        }
        Work::Open => (&[Side::Ours][..], vec![opened::open(folder)?]),
        Work::Memory => (&[Side::Ours][..], vec![opened::memory(folder)?]),
        Work::Hash => (&[Side::Ours][..], vec![limits::hash()?]),
        Work::Append => (&[Side::Raw][..], vec![limits::append(folder)?]),
    };
    let named: BTreeMap<_, _> = sides.iter().map(|side| side.name()).zip(figures).collect();
    println!("{}", serde_json::to_string(&named)?);
    Ok(())
}
