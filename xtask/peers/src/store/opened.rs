//! A store that was filled: how long it takes to open, and what it keeps in
//! memory.

use std::path::Path;
use std::time::Instant;

use super::set::Set;
use super::{Figures, ours};
use crate::{Result, machine};

/// Opens the store of a folder. Whether what it reads is in memory is up to
/// whoever calls.
pub(super) fn open(folder: &Path) -> Result<Figures> {
    let start = Instant::now();
    let store = ours::open(folder)?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes = Some(store.status().bytes);
    Ok(Figures { bytes, seconds: Some(seconds), ..Figures::default() })
}

/// Opens the store of a folder and reads one block of every blob, so that it
/// has all their trees.
pub(super) fn memory(folder: &Path) -> Result<Figures> {
    let set = Set::load(folder)?;
    let before = machine::resident_bytes();
    let store = ours::open(folder)?;
    for member in &set.members {
        store.read(member.id, 0)?.ok_or("the store lacks a block")?;
    }
    let after = machine::resident_bytes();
    let grown = after.zip(before).map(|(after, before)| after.saturating_sub(before));
    let blocks = set.block_count();
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let resident_bytes_each = grown.map(|grown| grown as f64 / blocks as f64);
    Ok(Figures { bytes: Some(set.bytes()), resident_bytes_each, ..Figures::default() })
}
