//! Arbitrary sequences of operations against a model of a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use antiphon_store::{BeginError, Hold, Put, PutError, RemoveError, Store};
use proptest::prelude::*;

use crate::folder::{Sample, copy, open_with};

/// Room for some of the blobs, never for all.
const BUDGET: u64 = 250_000;
const LENGTHS: [usize; 6] = [1, 16_384, 16_385, 70_000, 100_000, 140_000];

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(usize),
    /// The number of the block is taken modulo the blocks there are and one.
    Put(usize, u32),
    PutWrong(usize, u32),
    Read(usize, u32),
    Touch(usize),
    Pin(usize),
    Unpin(usize),
    Hold(usize),
    LetGo,
    Remove(usize),
    Clear,
    Flush,
    Sync(usize),
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let blob = || 0..LENGTHS.len();
    prop_oneof![
        4 => blob().prop_map(Step::Begin),
        12 => (blob(), 0..10_u32).prop_map(|(blob, block)| Step::Put(blob, block)),
        1 => (blob(), 0..10_u32).prop_map(|(blob, block)| Step::PutWrong(blob, block)),
        4 => (blob(), 0..10_u32).prop_map(|(blob, block)| Step::Read(blob, block)),
        2 => blob().prop_map(Step::Touch),
        1 => blob().prop_map(Step::Pin),
        1 => blob().prop_map(Step::Unpin),
        1 => blob().prop_map(Step::Hold),
        1 => Just(Step::LetGo),
        1 => blob().prop_map(Step::Remove),
        1 => Just(Step::Clear),
        1 => Just(Step::Flush),
        1 => blob().prop_map(Step::Sync),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Model {
    /// Blobs in order of use, the least recent first, with their blocks.
    blobs: Vec<(usize, BTreeSet<u32>)>,
    pins: BTreeSet<usize>,
    holds: Vec<usize>,
}

impl Model {
    fn blocks(&mut self, blob: usize) -> Option<&mut BTreeSet<u32>> {
        self.blobs.iter_mut().find(|(other, _)| *other == blob).map(|(_, blocks)| blocks)
    }

    fn used(&self, samples: &[Sample]) -> u64 {
        self.blobs.iter().map(|(blob, blocks)| charge(&samples[*blob], blocks)).sum()
    }

    fn must_stay(&self, blob: usize) -> bool {
        self.pins.contains(&blob) || self.holds.contains(&blob)
    }

    /// Makes room, or says that there is none and changes nothing.
    fn evict_for(&mut self, samples: &[Sample], needed: u64, spare: Option<usize>) -> bool {
        let mut used = self.used(samples);
        let mut victims = Vec::new();
        for (blob, blocks) in &self.blobs {
            if used + needed > BUDGET && !self.must_stay(*blob) && Some(*blob) != spare {
                used -= charge(&samples[*blob], blocks);
                victims.push(*blob);
            }
        }
        let fits = used + needed <= BUDGET;
        if fits {
            self.blobs.retain(|(blob, _)| !victims.contains(blob));
        }
        fits
    }
}

fn charge(sample: &Sample, blocks: &BTreeSet<u32>) -> u64 {
    let data = blocks.iter().map(|block| sample.block(*block).len() as u64).sum::<u64>();
    sample.head_bytes() + data
}

/// The blocks that a store has.
fn there(store: &Store, sample: &Sample) -> BTreeSet<u32> {
    let there = store.blocks(sample.id()).unwrap();
    there.ranges().flat_map(|range| range.iter()).collect()
}

struct Run {
    root: PathBuf,
    generation: u32,
    samples: Vec<Sample>,
    store: Option<Store>,
    holds: Vec<Hold>,
    model: Model,
    /// Blocks that a crash may not take.
    synced: BTreeSet<(usize, u32)>,
}

impl Run {
    fn new(root: &Path) -> Self {
        let samples = (0..).zip(LENGTHS).map(|(seed, len)| Sample::new(seed, len)).collect();
        let mut run = Self {
            root: root.to_owned(),
            generation: 0,
            samples,
            store: None,
            holds: Vec::new(),
            model: Model::default(),
            synced: BTreeSet::new(),
        };
        run.store = Some(open_with(&run.folder(), BUDGET));
        run
    }

    fn folder(&self) -> PathBuf {
        self.root.join(self.generation.to_string())
    }

    fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(blob) => self.begin(blob),
            Step::Put(blob, block) => self.put(blob, block),
            Step::PutWrong(blob, block) => self.put_wrong(blob, block),
            Step::Read(blob, block) => self.read(blob, block),
            Step::Touch(blob) => {
                self.store().touch(self.samples[blob].id());
                if let Some(at) = self.model.blobs.iter().position(|(other, _)| *other == blob) {
                    let touched = self.model.blobs.remove(at);
                    self.model.blobs.push(touched);
                }
            }
            Step::Pin(blob) => {
                self.store().pin(self.samples[blob].id()).unwrap();
                self.model.pins.insert(blob);
            }
            Step::Unpin(blob) => {
                self.store().unpin(self.samples[blob].id()).unwrap();
                self.model.pins.remove(&blob);
            }
            Step::Hold(blob) => {
                self.holds.push(self.store().hold(self.samples[blob].id()));
                self.model.holds.push(blob);
            }
            Step::LetGo => {
                self.holds.pop();
                self.model.holds.pop();
            }
            Step::Remove(blob) => self.remove(blob),
            Step::Clear => {
                self.store().clear().unwrap();
                let blobs = std::mem::take(&mut self.model.blobs);
                self.model.blobs =
                    blobs.into_iter().filter(|(blob, _)| self.model.must_stay(*blob)).collect();
            }
            Step::Flush => self.flush(),
            Step::Sync(blob) => {
                self.store().sync(self.samples[blob].id()).unwrap();
                self.note_synced(Some(blob));
            }
            Step::Reopen => {
                self.flush();
                self.reopen();
            }
            Step::Crash => {
                let before = self.folder();
                self.generation += 1;
                copy(&before, &self.folder());
                self.reopen();
                self.learn_what_is_left();
            }
        }
    }

    fn flush(&mut self) {
        self.store().flush().unwrap();
        self.note_synced(None);
    }

    /// What is there of a blob, or of all, is durable.
    fn note_synced(&mut self, only: Option<usize>) {
        for (blob, blocks) in &self.model.blobs {
            if only.is_none_or(|only| only == *blob) {
                self.synced.extend(blocks.iter().map(|block| (*blob, *block)));
            }
        }
    }

    fn forget_what_is_gone(&mut self) {
        let blobs = &self.model.blobs;
        self.synced.retain(|(blob, _)| blobs.iter().any(|(other, _)| other == blob));
    }

    fn begin(&mut self, blob: usize) {
        let sample = &self.samples[blob];
        let begun = self.store().begin(sample.id(), sample.size());
        if self.model.blocks(blob).is_some() {
            return begun.unwrap();
        }
        let needed = sample.bytes.len() as u64 + sample.head_bytes();
        if self.model.evict_for(&self.samples, needed, None) {
            begun.unwrap();
            self.model.blobs.push((blob, BTreeSet::new()));
        } else {
            assert!(matches!(begun, Err(BeginError::NoRoom { .. })));
        }
    }

    fn put(&mut self, blob: usize, block: u32) {
        let sample = &self.samples[blob];
        let block = block % sample.blocks();
        let data = sample.block(block);
        let put = self.store().put(sample.id(), block, &sample.proof(block), data);
        let Some(blocks) = self.model.blocks(blob) else {
            return assert!(matches!(put, Err(PutError::NotBegun)));
        };
        if blocks.contains(&block) {
            assert_eq!(put.unwrap(), Put::AlreadyThere);
        } else if self.model.evict_for(&self.samples, data.len() as u64, Some(blob)) {
            assert_eq!(put.unwrap(), Put::Stored);
            self.model.blocks(blob).unwrap().insert(block);
        } else {
            assert!(matches!(put, Err(PutError::NoRoom)));
        }
    }

    fn put_wrong(&mut self, blob: usize, block: u32) {
        let sample = &self.samples[blob];
        let block = block % (sample.blocks() + 1);
        let mut data = sample.block(block.min(sample.blocks() - 1)).to_vec();
        data[0] ^= 0x80;
        let proof = sample.proof(block.min(sample.blocks() - 1));
        assert!(self.store().put(sample.id(), block, &proof, &data).is_err());
    }

    fn read(&mut self, blob: usize, block: u32) {
        let sample = &self.samples[blob];
        let block = block % (sample.blocks() + 1);
        let read = self.store().read(sample.id(), block).unwrap();
        let there = self.model.blocks(blob).is_some_and(|blocks| blocks.contains(&block));
        assert_eq!(read.as_deref(), there.then(|| sample.block(block)));
    }

    fn remove(&mut self, blob: usize) {
        let removed = self.store().remove(self.samples[blob].id());
        if self.model.holds.contains(&blob) {
            return assert!(matches!(removed, Err(RemoveError::Held)));
        }
        assert_eq!(removed.unwrap(), self.model.blocks(blob).is_some());
        self.model.blobs.retain(|(other, _)| *other != blob);
        self.model.pins.remove(&blob);
    }

    fn reopen(&mut self) {
        self.holds.clear();
        self.model.holds.clear();
        self.store = None;
        self.store = Some(open_with(&self.folder(), BUDGET));
    }

    /// A crash may forget the latest order and the latest blocks, nothing else.
    fn learn_what_is_left(&mut self) {
        let store = self.store();
        let order: BTreeMap<_, _> =
            store.list().iter().rev().map(|entry| entry.blob).zip(0..).collect();
        let samples = &self.samples;
        self.model.blobs.sort_by_key(|(blob, _)| order.get(&samples[*blob].id()).copied());
        for (blob, blocks) in &mut self.model.blobs {
            let left = there(&store, &samples[*blob]);
            assert!(left.is_subset(blocks), "{left:?} {blocks:?}");
            let lost = blocks.difference(&left);
            assert!(lost.clone().count() < 16, "{lost:?}");
            assert!(lost.clone().all(|block| !self.synced.contains(&(*blob, *block))), "{lost:?}");
            *blocks = left;
        }
    }

    fn check(&self) {
        let store = self.store();
        let listed = store.list();
        assert_eq!(listed.len(), self.model.blobs.len());
        for (entry, (blob, blocks)) in listed.iter().rev().zip(&self.model.blobs) {
            let sample = &self.samples[*blob];
            assert_eq!((entry.blob, entry.size), (sample.id(), sample.size()));
            assert_eq!(entry.pinned, self.model.pins.contains(blob));
            assert_eq!(entry.complete, blocks.len() as u32 == sample.blocks());
            assert_eq!(&there(&store, sample), blocks);
        }
        let status = store.status();
        assert_eq!(status.bytes, self.model.used(&self.samples));
        assert!(status.bytes <= BUDGET);
        assert_eq!(status.damaged_blocks, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_store_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let root = tempfile::tempdir().unwrap();
        let mut run = Run::new(root.path());
        for step in steps {
            run.take(step);
            run.forget_what_is_gone();
            run.check();
        }
        let store = run.store();
        for sample in &run.samples {
            sample.check(&store);
        }
    }
}
