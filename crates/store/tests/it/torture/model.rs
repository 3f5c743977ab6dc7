//! What a store owes, as far as it has said so.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::{Crash, Harm};

/// What is owed of a block that was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// It is there until the process ends.
    Memory,
    /// It is there until the machine fails, but for the last few of each blob if
    /// the process is killed.
    Stored,
    /// It is there until the machine fails.
    Noted,
    /// It is there.
    Durable,
}

/// What is known of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pin {
    Is(bool),
    /// The call that was to change it failed or never returned.
    Unsure,
}

/// What is owed of each blob, by its number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    blocks: BTreeMap<usize, BTreeMap<u32, Level>>,
    pins: BTreeMap<usize, Pin>,
    /// Blobs that were removed, and not begun since.
    removed: BTreeSet<usize>,
    /// Files in which bits were flipped: what is put meanwhile may go with them.
    spoilt: BTreeSet<usize>,
    /// Files of which a sync failed, with none since that did not: what this
    /// process does next makes up for it.
    doubtful: BTreeSet<usize>,
    /// Those whose process ended before it could. Reads find what may not be on
    /// the disk, and no sync will say so.
    distrusted: BTreeSet<usize>,
}

impl Model {
    pub(crate) fn level(&self, blob: usize, block: u32) -> Option<Level> {
        self.blocks.get(&blob)?.get(&block).copied()
    }

    /// Blocks that are owed, of blobs of which any is.
    pub(crate) fn owed(&self) -> impl Iterator<Item = (usize, &BTreeMap<u32, Level>)> {
        self.blocks.iter().filter(|(_, blocks)| !blocks.is_empty()).map(|(b, l)| (*b, l))
    }

    pub(crate) fn put(&mut self, blob: usize, block: u32, level: Level) {
        self.blocks.entry(blob).or_default().insert(block, level);
    }

    /// A sync returned: what was written is durable; what was in memory, too, if
    /// nothing is in memory any more.
    pub(crate) fn synced(&mut self, blob: usize, memory_is_empty: bool) {
        self.doubtful.remove(&blob);
        if self.distrusted.contains(&blob) {
            return;
        }
        let least = if memory_is_empty { Level::Memory } else { Level::Stored };
        for level in self.blocks.entry(blob).or_default().values_mut() {
            if *level >= least {
                *level = Level::Durable;
            }
        }
    }

    pub(crate) fn blobs(&self) -> Vec<usize> {
        self.blocks.keys().copied().collect()
    }

    /// The blob was let go.
    pub(crate) fn forget(&mut self, blob: usize) {
        self.blocks.remove(&blob);
    }

    pub(crate) fn was_removed(&self, blob: usize) -> bool {
        self.removed.contains(&blob)
    }

    pub(crate) fn set_removed(&mut self, blob: usize, is_removed: bool) {
        match is_removed {
            true => self.removed.insert(blob),
            false => self.removed.remove(&blob),
        };
    }

    /// All files were read and found well.
    pub(crate) fn none_is_spoilt(&mut self) {
        self.spoilt.clear();
    }

    /// A block had to make room in memory.
    pub(crate) fn forget_block(&mut self, blob: usize, block: u32) {
        if let Some(blocks) = self.blocks.get_mut(&blob) {
            blocks.remove(&block);
        }
    }

    pub(crate) fn harm(&mut self, blob: usize, harm: Harm) {
        match harm {
            Harm::Unread => {
                self.forget(blob);
                // Its file may be left alone from now on.
                if self.doubtful.remove(&blob) {
                    self.distrusted.insert(blob);
                }
            }
            Harm::Spoilt => {
                self.forget(blob);
                self.spoilt.insert(blob);
            }
            Harm::SyncFailed => {
                self.keep_from(blob, Level::Durable);
                self.doubtful.insert(blob);
            }
        }
    }

    fn keep_from(&mut self, blob: usize, least: Level) {
        if let Some(blocks) = self.blocks.get_mut(&blob) {
            blocks.retain(|_, level| *level >= least);
        }
    }

    pub(crate) fn crash(&mut self, crash: Crash) {
        match crash {
            Crash::Kill => self.distrusted.append(&mut self.doubtful),
            Crash::PowerCut { .. } => {
                self.doubtful.clear();
                self.distrusted.clear();
            }
        }
        let least = if crash == Crash::Kill { Level::Stored } else { Level::Durable };
        for blob in self.blobs() {
            match self.spoilt.contains(&blob) {
                true => self.forget(blob),
                false => self.keep_from(blob, least),
            }
        }
    }

    /// The store was opened and has these blocks of a blob: what it has was
    /// noted, and of the last ones it may have forgotten some. How many. Unless
    /// that is sure, what it has may still be without proof.
    pub(crate) fn opened(&mut self, blob: usize, has: &[u32], is_sure: bool) -> usize {
        let Some(blocks) = self.blocks.get_mut(&blob) else { return 0 };
        let before = blocks.len();
        blocks.retain(|block, level| *level != Level::Stored || has.contains(block));
        let lacking = before - blocks.len();
        if !is_sure {
            blocks.retain(|_, level| *level != Level::Stored);
        }
        for level in blocks.values_mut().filter(|level| **level == Level::Stored) {
            *level = Level::Noted;
        }
        lacking
    }

    pub(crate) fn pin(&self, blob: usize) -> Pin {
        self.pins.get(&blob).copied().unwrap_or(Pin::Is(false))
    }

    pub(crate) fn set_pin(&mut self, blob: usize, pin: Pin) {
        self.pins.insert(blob, pin);
    }

    pub(crate) fn has_distrusted(&self) -> bool {
        !self.distrusted.is_empty()
    }

    /// Whether any blob may be pinned.
    pub(crate) fn has_pins(&self) -> bool {
        self.pins.values().any(|pin| *pin != Pin::Is(false))
    }
}
