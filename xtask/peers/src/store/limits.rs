//! What the machine itself takes, which no keeper can undercut.

use std::fs::{self, File};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use antiphon_types::BLOCK_BYTES;

use super::Figures;
use super::raw::positional;
use crate::Result;
use crate::times::Times;

/// How often a block is hashed.
const HASHES: usize = 50_000;
/// Blocks that are appended and made durable one by one.
const APPENDS: usize = 300;

/// BLAKE3 of a block that lies in the processor's cache.
pub(super) fn hash() -> Result<Figures> {
    let block = vec![0x5a; BLOCK_BYTES as usize];
    repeat(HASHES, |_| {
        black_box(antiphon_store::hash(black_box(&block)));
        Ok(())
    })
}

/// Writing a block to the end of a file and making it durable.
pub(super) fn append(folder: &Path) -> Result<Figures> {
    let block = vec![0x5a; BLOCK_BYTES as usize];
    let path = folder.join("appended");
    let file = File::create(&path)?;
    let figures = repeat(APPENDS, |number| {
        positional::write_all_at(&file, &block, number as u64 * u64::from(BLOCK_BYTES))?;
        Ok(file.sync_data()?)
    })?;
    fs::remove_file(&path)?;
    Ok(figures)
}

fn repeat(times: usize, mut work: impl FnMut(usize) -> Result<()>) -> Result<Figures> {
    let mut taken = Times::default();
    for number in 0..times {
        let start = Instant::now();
        work(number)?;
        taken.push(start.elapsed());
    }
    let (median_us, p99_us) = taken.median_and_p99_us();
    Ok(Figures { median_us: Some(median_us), p99_us: Some(p99_us), ..Figures::default() })
}
