//! What a file is, to those who run and to those who come after a power cut.

use crate::torture::draw::Draw;

/// What a disk writes at once.
pub(super) const SECTOR: usize = 512;
/// What a file system gives room by.
const PAGE: usize = 4096;

/// A change that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Empty,
}

/// A file: what it is now, and what of it is durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, oldest first.
    changes: Vec<Change>,
    /// Which pages take up room.
    pages: Vec<bool>,
    /// Which sectors were durable ever.
    settled: Vec<bool>,
    /// Sectors that cannot be read until they are written again.
    pub(super) unreadable: Vec<usize>,
    pub(super) names: usize,
    pub(super) handles: usize,
}

/// How a power cut treats what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsynced {
    Lost,
    Kept,
    /// The first of them are kept.
    Beginning,
    /// Each is lost, kept or torn, whatever becomes of the others.
    Torn,
}

impl Unsynced {
    pub(super) const ALL: [Self; 4] = [Self::Lost, Self::Kept, Self::Beginning, Self::Torn];
}

/// What became of the changes at a power cut.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub(super) lost: u64,
    pub(super) torn: u64,
    pub(super) emptied: u64,
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

fn mark(marks: &mut Vec<bool>, unit: usize, offset: usize, len: usize) {
    if len == 0 {
        return;
    }
    let (first, last) = (offset / unit, (offset + len - 1) / unit);
    if marks.len() <= last {
        marks.resize(last + 1, false);
    }
    marks[first..=last].fill(true);
}

impl Inode {
    /// An empty file with a name.
    pub(super) fn named() -> Self {
        Self { names: 1, ..Self::default() }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.now, offset, bytes);
        mark(&mut self.pages, PAGE, offset, bytes.len());
        let rewritten = offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR);
        self.unreadable.retain(|sector| !rewritten.contains(sector));
        self.changes.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn empty(&mut self) {
        self.now.clear();
        self.pages.clear();
        self.unreadable.clear();
        self.changes.push(Change::Empty);
    }

    /// Bytes of room that it takes.
    pub(super) fn room(&self) -> u64 {
        (self.pages.iter().filter(|taken| **taken).count() * PAGE) as u64
    }

    /// Bytes of room that a write would take beyond that.
    pub(super) fn more_room(&self, offset: usize, len: usize) -> u64 {
        let pages = offset / PAGE..(offset + len).div_ceil(PAGE);
        (pages.filter(|page| !self.pages.get(*page).copied().unwrap_or(false)).count() * PAGE)
            as u64
    }

    pub(super) fn is_synced(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            self.settle(&change);
        }
    }

    /// A failed sync: some of it reached the disk, the rest never will, and
    /// nobody is told again. If `forgotten`, what is read from now on is what
    /// is on the disk.
    pub(super) fn fail_sync(&mut self, draw: &mut Draw, forgotten: bool) {
        for change in std::mem::take(&mut self.changes) {
            if draw.coin() {
                self.settle(&change);
            }
        }
        if forgotten {
            self.now = self.durable.clone();
        }
    }

    fn settle(&mut self, change: &Change) {
        match change {
            Change::Empty => self.durable.clear(),
            Change::Write { offset, bytes } => {
                put(&mut self.durable, *offset, bytes);
                mark(&mut self.settled, SECTOR, *offset, bytes.len());
            }
        }
    }

    /// Flips a bit, now and for ever.
    pub(super) fn flip(&mut self, bit: usize) {
        for file in [&mut self.now, &mut self.durable] {
            if let Some(byte) = file.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        // What was not synced holds the good byte, and might cover the bad one.
        self.changes.clear();
        self.durable = self.now.clone();
        mark(&mut self.settled, SECTOR, 0, self.now.len());
    }

    /// Some sector becomes unreadable, if any can.
    pub(super) fn go_bad(&mut self, draw: &mut Draw) {
        let sectors = self.now.len() / SECTOR;
        if sectors > 0 {
            self.unreadable.push(draw.below(sectors));
        }
    }

    pub(super) fn is_readable(&self, offset: usize, len: usize) -> bool {
        let read = offset / SECTOR..(offset + len).div_ceil(SECTOR);
        !self.unreadable.iter().any(|sector| read.contains(sector))
    }

    /// Leaves what a power cut leaves.
    pub(super) fn cut(&mut self, draw: &mut Draw, how: Unsynced) -> Losses {
        let changes = std::mem::take(&mut self.changes);
        let mut losses = Losses::default();
        let first_lost = draw.below(changes.len() + 1);
        let (shortest, mut longest) = (self.durable.len(), self.durable.len());
        let mut was_emptied = false;
        for (number, change) in changes.iter().enumerate() {
            match change {
                Change::Write { offset, bytes } => longest = longest.max(offset + bytes.len()),
                Change::Empty => was_emptied = true,
            }
            match how {
                Unsynced::Kept => self.settle(change),
                Unsynced::Beginning if number < first_lost => self.settle(change),
                Unsynced::Torn if draw.coin() => {
                    match draw.coin() {
                        true => self.settle(change),
                        false => self.tear(draw, change),
                    }
                    losses.torn += 1;
                }
                _ => losses.lost += 1,
            }
        }
        if how == Unsynced::Torn && !changes.is_empty() && draw.coin() {
            // The length is kept in another place than the bytes.
            let shortest = if was_emptied { 0 } else { shortest };
            let len = shortest + draw.below(longest.saturating_sub(shortest) + 1);
            self.durable.resize(len, 0);
        }
        losses.emptied += u64::from(self.durable.is_empty() && longest > 0);
        self.now = self.durable.clone();
        self.pages.clear();
        for page in 0..self.now.len().div_ceil(PAGE) {
            let bytes = &self.now[page * PAGE..self.now.len().min((page + 1) * PAGE)];
            if bytes.iter().any(|byte| *byte != 0) {
                mark(&mut self.pages, PAGE, page * PAGE, 1);
            }
        }
        losses
    }

    /// Some sectors of a write are kept, or a part of them; one that held nothing
    /// durable may be zero or anything.
    fn tear(&mut self, draw: &mut Draw, change: &Change) {
        let Change::Write { offset, bytes } = change else { return };
        let end = offset + bytes.len();
        let mut at = *offset;
        while at < end {
            let next = end.min((at / SECTOR + 1) * SECTOR);
            let was_durable = self.settled.get(at / SECTOR).copied().unwrap_or(false);
            let new = &bytes[at - offset..next - offset];
            match draw.below(if was_durable { 3 } else { 5 }) {
                0 => {}
                1 => put(&mut self.durable, at, new),
                2 => put(&mut self.durable, at, &new[..draw.below(new.len())]),
                3 => put(&mut self.durable, at, &vec![0; next - at]),
                _ => {
                    let garbage: Vec<u8> =
                        (at..next).map(|_| draw.number().to_le_bytes()[0]).collect();
                    put(&mut self.durable, at, &garbage);
                }
            }
            at = next;
        }
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            mark(&mut self.settled, SECTOR, sector * SECTOR, 1);
        }
    }
}
