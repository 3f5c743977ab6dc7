//! What holds, and when.

use super::{AMPLE, World};
use crate::torture::disk::Crash;
use crate::torture::model::{Level, Pin};
use crate::torture::step::Step;

impl World {
    /// Nothing that is owed is missing, nothing that is there is false.
    pub(super) fn check_after_opening(&mut self, crash: Crash, may_lack: usize) {
        let store = self.store();
        let owed: Vec<(usize, Vec<u32>)> = self
            .model
            .owed()
            .map(|(blob, blocks)| (blob, blocks.keys().copied().collect()))
            .collect();
        let what =
            if crash == Crash::Kill { "owed after a kill" } else { "owed after a power cut" };
        self.disk.faults(|faults| faults.are_paused = true);
        for (blob, mut blocks) in owed {
            let Some(claimed) = store.blocks(self.blobs[blob].id()) else {
                let is_pinned = self.model.pin(blob) == Pin::Is(true);
                assert!(self.has_clutter && !is_pinned, "blob {blob} is owed and gone");
                self.model.forget(blob);
                continue;
            };
            let is_there =
                |block| claimed.contains(block) && (!self.reads_all || self.has(blob, block));
            let there: Vec<u32> = blocks.iter().copied().filter(|b| is_there(*b)).collect();
            let is_sure = self.reads_all || may_lack == 0;
            let lacking = self.model.opened(blob, &there, is_sure);
            assert!(lacking <= may_lack, "{lacking} blocks of blob {blob} are owed");
            blocks.retain(|block| self.model.level(blob, *block).is_some());
            for block in &blocks {
                assert!(claimed.contains(*block), "block {block} of blob {blob} is owed");
            }
            self.disk.tally(|tally| tally.add(what, blocks.len() as u64));
        }
        if !self.has_faults {
            let mut files = self.disk.files().into_iter();
            let unfinished = files.find(|(path, _)| path.to_string_lossy().ends_with(".new"));
            assert_eq!(unfinished, None, "it was not cleared away");
        }
        if self.reads_all {
            self.read_all();
        }
        self.disk.faults(|faults| faults.are_paused = false);
        let back = (0..self.blobs.len())
            .find(|blob| self.model.was_removed(*blob) && self.is_there(*blob));
        assert_eq!(back, None, "a removed blob came back");
        self.check_pins();
    }

    /// Whether a block is there and true.
    pub(super) fn has(&self, blob: usize, block: u32) -> bool {
        let whole = self.blobs[blob];
        let read = self.store().read(whole.id(), block);
        read.unwrap().is_some_and(|bytes| bytes == whole.block(block))
    }

    pub(super) fn read_all(&mut self) {
        for blob in 0..self.blobs.len() {
            for block in 0..self.blobs[blob].blocks() {
                self.read(blob, block);
            }
        }
    }

    pub(super) fn check_pins(&self) {
        for entry in self.store().list() {
            let Some(blob) = self.blobs.iter().position(|blob| blob.id() == entry.blob) else {
                panic!("a blob that nobody put: {}", entry.blob);
            };
            if let Pin::Is(is_pinned) = self.model.pin(blob) {
                assert_eq!(entry.pinned, is_pinned, "the pin of blob {blob}");
            }
        }
    }

    /// What holds after every step.
    pub(super) fn check(&mut self, step: Step) {
        let store = self.store();
        let (mut gone, mut displaced) = (Vec::new(), Vec::new());
        let is_dead = self.disk.is_dead();
        for (blob, blocks) in self.model.owed() {
            let Some(claimed) = store.blocks(self.blobs[blob].id()) else {
                let is_held = self.holds.iter().any(|(_, held)| *held == blob);
                let is_pinned = self.model.pin(blob) == Pin::Is(true);
                assert!(!is_held && !is_pinned, "blob {blob} had to stay");
                assert!(step.may_evict() || self.has_faults, "blob {blob} went for nothing");
                gone.push(blob);
                continue;
            };
            let went = blocks.iter().filter(|(block, _)| !claimed.contains(**block));
            for (block, level) in went.filter(|_| !is_dead) {
                let may_go = *level == Level::Memory && self.config.memory_bytes < AMPLE;
                assert!(may_go, "block {block} of blob {blob} went ({level:?})");
                displaced.push((blob, *block));
            }
        }
        for (blob, block) in displaced {
            self.disk.tally(|tally| tally.count("displaced from memory"));
            self.model.forget_block(blob, block);
        }
        for blob in gone {
            self.disk.tally(|tally| tally.count("blob let go"));
            self.model.forget(blob);
            self.has_clutter = true;
        }
        drop(store);
        if is_dead {
            let crash = self.cause_of_death();
            self.end_life(crash, false);
        }
        self.check_pins();
        self.check_figures();
    }

    pub(super) fn check_figures(&self) {
        let (store, mut whole_blobs, mut most, mut least) = (self.store(), 0, 0, 0);
        for entry in store.list() {
            let whole = self.blobs.iter().find(|blob| blob.id() == entry.blob).unwrap();
            let blocks = store.blocks(entry.blob).unwrap();
            let bytes = whole.bytes_of(blocks.ranges().flat_map(|range| range.iter()));
            whole_blobs += whole.head_bytes() + whole.bytes();
            most += whole.head_bytes() + bytes;
            least += bytes;
        }
        let status = store.status();
        assert!(status.memory_bytes <= self.config.memory_bytes);
        let told = status.bytes;
        assert!(told <= most && told + status.memory_bytes >= least, "{told} of {least} to {most}");
        let is_over = told > status.budget;
        assert!(
            !is_over || self.has_faults || self.model.has_pins(),
            "over the budget: {status:?}"
        );
        if !self.has_faults {
            // A page for the end of each blob, and for each copy of the index,
            // one of them being written. A crash may leave blocks that nobody
            // knows of, in the files of blobs that are there.
            let pages = 4096 * (status.blobs as u64 + 8);
            let used = self.disk.used();
            let most = if self.has_crashed { whole_blobs } else { told };
            assert!(used <= most + pages, "{used} bytes on disk, {told} told");
        }
    }

    /// The disk is well again: all can be filled, and stays.
    pub(super) fn heal(&mut self) {
        self.disk.mend();
        let flushed = self.store().flush();
        assert!(flushed.is_ok(), "the disk is well, and {flushed:?}");
        self.flush();
        self.check(Step::Flush);
        self.end_life(Crash::Kill, true);
        self.model.none_is_spoilt();
        for blob in 0..self.blobs.len() {
            self.pin(blob, false);
        }
        for blob in 0..self.blobs.len() {
            self.fill(blob);
        }
        assert_eq!(self.store().status().trouble, None);
        self.flush();
        self.check(Step::Flush);
        let complete = self.complete();
        assert!(!complete.is_empty());
        let may_lack = self.has_clutter || self.model.has_distrusted();
        let crash = Crash::draw(&mut self.draw);
        self.end_life(crash, false);
        self.read_all();
        if !may_lack {
            assert_eq!(self.complete(), complete);
        }
    }

    pub(super) fn fill(&mut self, blob: usize) {
        self.begin(blob);
        let whole = self.blobs[blob];
        // A claim may turn out to be false; then it is put again.
        for _ in 0..2 {
            for block in 0..whole.blocks() {
                self.put(blob, block);
                self.read(blob, block);
            }
        }
        assert!(self.store().is_complete(whole.id()), "blob {blob} cannot be filled");
        for block in 0..whole.blocks() {
            let read = self.store().read(whole.id(), block);
            assert_eq!(read.unwrap().as_deref(), Some(whole.block(block)));
        }
        self.check(Step::Begin(blob));
    }

    pub(super) fn complete(&self) -> Vec<usize> {
        let store = self.store();
        (0..self.blobs.len()).filter(|blob| store.is_complete(self.blobs[*blob].id())).collect()
    }
}
