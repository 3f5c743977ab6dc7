//! Who holds what: ours beside `aquatic_udp` and Redis, and ours alone.
//!
//! [`bare`] measures the index without any network. [`load`] asks a server
//! process over loopback, for whichever side, and counts the CPU time that the
//! process takes for it.

mod aquatic;
mod bare;
mod catalogue;
mod load;
mod meter;
mod ours;
mod redis;

use std::path::PathBuf;

use crate::{Result, machine};

/// Arguments of `bench-peers tracker`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, clap::Subcommand)]
enum Work {
    /// Fill an index in this process, announce and ask
    Bare(bare::Args),
    /// Write a catalogue of invented blobs for our server
    Catalogue {
        /// The server's data folder
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// How many
        #[arg(long, default_value_t = load::BLOBS)]
        blobs: u32,
    },
    /// Announce and ask at a server
    Load(load::Args),
}

/// Runs `bench-peers tracker`; prints figures, or nothing.
pub(crate) fn run(args: &Args) -> Result<()> {
    machine::raise_descriptor_limit()?;
    match &args.work {
        Work::Bare(args) => bare::run(args),
        Work::Catalogue { dir, blobs } => catalogue::write(dir, *blobs),
        Work::Load(args) => load::run(args),
    }
}

/// The name of blob `number`, spread as a hash would.
fn blob_id(number: u32) -> [u8; 32] {
    spread(1, number)
}

/// The name of peer `number`.
fn peer_id(number: u32) -> [u8; 32] {
    spread(2, number)
}

/// 32 bytes that follow from two numbers and look like none (splitmix64).
fn spread(kind: u64, number: u32) -> [u8; 32] {
    let mut state = kind << 32 | u64::from(number);
    let mut id = [0; 32];
    for chunk in id.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(word ^ word >> 31).to_le_bytes());
    }
    id
}
