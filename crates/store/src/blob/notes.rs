//! What is to be noted in a blob's head: written for several blocks at once,
//! since a small write costs about as much as a block's hash.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Blob, Fill};
use crate::disk::{DiskFile, FileError};
use crate::hashing::PAIR_BYTES;
use crate::head;
use crate::sync::read;

/// Blocks after which they are noted, without a sync: so many of a blob, 256 KiB
/// of it, are lost at most when the process is killed.
pub(crate) const NOTED_AFTER: u32 = 16;

/// Pairs that lie between two that are to be written are written too, if they
/// are no more.
const GAP: u32 = 16;

/// What the head on disk lacks. Guarded by `fill`.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Nodes whose pair was learnt.
    middles: BTreeSet<u32>,
    /// Blocks that came or went are among these.
    blocks: Range<u32>,
    /// Blocks that came.
    count: u32,
    /// The whole head is to be written, whatever else is noted.
    pub(super) everything: bool,
}

impl Notes {
    /// Whether the head on disk lacks nothing.
    pub(super) fn is_empty(&self) -> bool {
        !self.everything && self.blocks.is_empty() && self.middles.is_empty()
    }

    /// Whether it is time to write them.
    pub(super) fn are_due(&self) -> bool {
        self.everything || self.count >= NOTED_AFTER
    }

    /// A block is on disk, proven by pairs of which these are new.
    pub(super) fn block_came(&mut self, block: u32, middles: impl Iterator<Item = u32>) {
        self.middles.extend(middles);
        self.count += 1;
        self.block_changed(block);
    }

    /// The bit of a block is no longer true.
    pub(super) fn block_changed(&mut self, block: u32) {
        self.blocks = match self.blocks.is_empty() {
            true => block..block + 1,
            false => self.blocks.start.min(block)..self.blocks.end.max(block + 1),
        };
    }

    /// The places of the pairs, as few runs of neighbours.
    fn runs(&self) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for &middle in &self.middles {
            match runs.last_mut() {
                Some(run) if middle - run.end <= GAP => run.end = middle + 1,
                _ => runs.push(middle..middle + 1),
            }
        }
        runs
    }
}

impl Blob {
    /// Writes to the head what it lacks.
    pub(super) fn write_notes(
        self: &Arc<Self>,
        fill: &mut Fill,
        file: &dyn DiskFile,
    ) -> Result<(), FileError> {
        if fill.notes.is_empty() {
            return Ok(());
        }
        let written = match fill.notes.everything {
            true => self.write_head(file),
            false => self.write_parts(&fill.notes, file),
        };
        match written {
            Ok(()) => fill.notes = Notes::default(),
            Err(_) => fill.notes.everything = true,
        }
        written
    }

    fn write_parts(&self, notes: &Notes, file: &dyn DiskFile) -> Result<(), FileError> {
        let write =
            |bytes: &[u8], offset| file.write_at(bytes, offset).map_err(self.failed("write to"));
        for run in notes.runs() {
            let pairs = self.pairs(run.clone());
            write(&pairs, head::pair_offset(self.size, run.start))?;
        }
        let first = notes.blocks.start / 8 * 8;
        let bits: Vec<u8> = {
            let state = read(&self.state);
            let firsts = (first..notes.blocks.end).step_by(8);
            firsts.map(|first| head::bitmap_byte(|block| state.is_on_disk(block), first)).collect()
        };
        write(&bits, head::bit_offset(first))
    }

    /// The pairs of these nodes as they stand in the head; zeros if unknown.
    fn pairs(&self, middles: Range<u32>) -> Vec<u8> {
        let state = read(&self.state);
        let mut bytes = Vec::with_capacity(middles.len() * PAIR_BYTES);
        for middle in middles {
            let pair = state.tree.as_ref().and_then(|tree| tree.pair_of(middle));
            bytes.extend(pair.map_or([0; PAIR_BYTES], |pair| pair.to_bytes()));
        }
        bytes
    }

    /// Writes the whole head anew, in place.
    fn write_head(&self, file: &dyn DiskFile) -> Result<(), FileError> {
        let head = {
            let state = read(&self.state);
            let is_there = |block| state.is_on_disk(block);
            head::whole(self.layout, self.id, self.size, is_there, state.tree.as_ref())
        };
        file.write_at(&head, 0).map_err(self.failed("write to"))
    }

    /// Writes what its head lacks, as far as that can be; nothing is synced.
    pub(crate) fn note(self: &Arc<Self>) {
        let mut fill = crate::sync::lock(&self.fill);
        if !fill.gone && fill.home == super::Home::Disk && !fill.notes.is_empty() {
            // What is not noted is fetched again.
            let _ = self.file_to_write().and_then(|file| self.write_notes(&mut fill, &*file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run_and_strangers_are_not() {
        let mut notes = Notes::default();
        assert!(notes.is_empty());
        notes.block_came(9, [1, 2, 18, 40].into_iter());
        notes.block_came(3, [64].into_iter());
        assert_eq!(notes.runs(), [1..19, 40..41, 64..65]);
        assert_eq!(
            (notes.blocks.clone(), notes.is_empty(), notes.are_due()),
            (3..10, false, false)
        );
        (0..NOTED_AFTER).for_each(|block| notes.block_came(block, [].into_iter()));
        assert!(notes.are_due());
    }
}
