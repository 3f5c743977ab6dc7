//! A store on a simulated disk, and what is checked at every step.

mod acts;
mod checks;

use std::collections::BTreeSet;
use std::path::Path;

use antiphon_store::{Config, Hold, PolicyKind, Store};

use super::disk::{Crash, Op, SimDisk};
use super::draw::Draw;
use super::model::Model;
use super::samples::{self, BLOCK, Whole};
use super::step::{self, Step};

/// Where the store is on the disk.
pub(crate) const FOLDER: &str = "/cache";
/// Memory that holds all blobs there are.
const AMPLE: u64 = 8 << 20;
/// Blocks of a blob that a kill may take at most (`FORMAT.md`).
const UNNOTED: usize = 15;

/// A store under torture.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    model: Model,
    draw: Draw,
    blobs: Vec<&'static Whole>,
    config: Config,
    store: Option<Store>,
    holds: Vec<(Hold, usize)>,
    has_faults: bool,
    /// After a crash all blocks are read, or left to be found out about.
    reads_all: bool,
    /// Files of blobs that were let go may come back.
    has_clutter: bool,
    has_crashed: bool,
    index_was_damaged: bool,
    is_told: bool,
    /// Blobs that were used in this life: a flush leaves the others alone.
    used: BTreeSet<usize>,
    /// How the next lives end, the last first; then it is drawn.
    ends: Vec<(u64, Crash)>,
    pub(crate) deaths: u64,
}

impl World {
    /// A world and what happens in it, all drawn from the seed.
    pub(crate) fn drawn(seed: u64, is_told: bool) -> (Self, Vec<Step>) {
        let mut draw = Draw::new(seed);
        let has_faults = draw.per_mille(650);
        let mut blobs: Vec<&Whole> = samples::all().iter().collect();
        while blobs.len() > 3 && draw.per_mille(700) {
            blobs.remove(draw.below(blobs.len()));
        }
        let largest = blobs.iter().map(|blob| blob.bytes() + blob.head_bytes()).max().unwrap();
        let budget_bytes = Some(largest + draw.below(700_000) as u64);
        let memory_bytes = draw.pick(&[AMPLE, AMPLE, AMPLE, 3 * BLOCK, 0]);
        let open_blobs = draw.pick(&[1, 2, 256]);
        let policy = draw.pick(&PolicyKind::ALL);
        let config = Config { budget_bytes, memory_bytes, open_blobs, policy, ..Config::default() };
        let mut world = Self::new(draw, blobs, config, has_faults);
        world.is_told = is_told;
        if is_told {
            world.disk.tell();
        }
        if has_faults {
            world.draw_odds();
        }
        let weights = step::weights(&mut world.draw, has_faults);
        let count = 20 + world.draw.below(120);
        let blobs = world.blobs.len();
        let steps = (0..count).map(|_| Step::draw(&mut world.draw, &weights, blobs)).collect();
        (world, steps)
    }

    /// A world for a script, without faults but those that the script has.
    pub(crate) fn scripted(
        seed: u64,
        blobs: Vec<&'static Whole>,
        budget_bytes: u64,
        has_faults: bool,
    ) -> Self {
        let config =
            Config { budget_bytes: Some(budget_bytes), memory_bytes: AMPLE, ..Config::default() };
        Self::new(Draw::new(seed), blobs, config, has_faults)
    }

    fn new(mut draw: Draw, blobs: Vec<&'static Whole>, config: Config, has_faults: bool) -> Self {
        Self {
            disk: SimDisk::new(draw.number()),
            model: Model::default(),
            reads_all: draw.coin(),
            draw,
            blobs,
            config,
            store: None,
            holds: Vec::new(),
            has_faults,
            has_clutter: false,
            has_crashed: false,
            index_was_damaged: false,
            is_told: false,
            used: BTreeSet::new(),
            ends: Vec::new(),
            deaths: 0,
        }
    }

    /// Some operations fail now and then, others never.
    fn draw_odds(&mut self) {
        for op in Op::ALL {
            if self.draw.per_mille(250) {
                let odds = self.draw.pick(&[3, 20, 100, 500]);
                self.disk.faults(|faults| faults.odds[op as usize] = odds);
            }
        }
    }

    /// The life ends so, in so many operations; the next likewise, and so on.
    pub(crate) fn end_by(&mut self, ends: &[(u64, Crash)]) {
        self.ends = ends.iter().rev().copied().collect();
        self.arm();
    }

    fn arm(&mut self) {
        if let Some((operations, _)) = self.ends.last() {
            self.disk.die_in(*operations);
        }
    }

    /// What ends the life that ended in an operation.
    fn cause_of_death(&mut self) -> Crash {
        self.deaths += 1;
        match self.ends.pop() {
            Some((_, crash)) => crash,
            None => Crash::draw(&mut self.draw),
        }
    }

    /// Lives through the steps, and heals.
    pub(crate) fn run(&mut self, steps: &[Step]) {
        if self.ends.is_empty() && self.draw.per_mille(150) {
            self.disk.die_in(1 + self.draw.below(6) as u64);
        }
        self.open();
        for (number, step) in steps.iter().enumerate() {
            if self.is_told {
                eprintln!("{number}: {step:?}");
            }
            self.disk.note(number as u64);
            self.take(*step);
            self.check(*step);
        }
        self.heal();
    }

    fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    /// What an operation gave, and whether the disk failed in it.
    fn ask<T>(&mut self, operation: impl FnOnce(&Store) -> T) -> (T, bool) {
        let before = self.disk.errors();
        let answer = operation(&self.store());
        let has_failed = self.disk.errors() > before || self.disk.is_dead();
        self.note_harm();
        (answer, has_failed)
    }

    /// Nothing is owed of what the disk has spoilt.
    fn note_harm(&mut self) {
        for (name, harm) in self.disk.take_harmed() {
            let is_of = |blob: &&Whole| name.starts_with(&blob.id().to_string());
            if let Some(blob) = self.blobs.iter().position(is_of) {
                self.model.harm(blob, harm);
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(blob) => self.begin(blob),
            Step::BeginInMemory(blob) => {
                self.model.set_removed(blob, false);
                let (id, size) = (self.blobs[blob].id(), self.blobs[blob].size());
                let (begun, has_failed) = self.ask(|store| store.begin_in_memory(id, size));
                assert!(begun.is_ok() || has_failed, "{begun:?}");
            }
            Step::Put { blob, block, count } => {
                for block in block..block + count {
                    self.put(blob, block % self.blobs[blob].blocks());
                }
            }
            Step::PutWrong(blob, block) => self.put_wrong(blob, block),
            Step::Read(blob, block) => self.read(blob, block % self.blobs[blob].blocks()),
            Step::Touch(blob) => self.store().touch(self.blobs[blob].id()),
            Step::Pin(blob) => self.pin(blob, true),
            Step::Unpin(blob) => self.pin(blob, false),
            Step::Hold(blob) => {
                self.holds.push((self.store().hold(self.blobs[blob].id()), blob));
            }
            Step::LetGo => drop(self.holds.pop()),
            Step::Remove(blob) => self.remove(blob),
            Step::Clear => self.clear(),
            Step::Sync(blob) => self.sync(blob),
            Step::Flush => self.flush(),
            Step::Verify => drop(self.ask(|store| store.verify(&mut |_, _| {}))),
            Step::Reopen => self.end_life(Crash::Kill, true),
            Step::Crash => self.crash(),
            Step::DieIn(operations) => self.disk.die_in(operations),
            Step::Rot => self.damage(true),
            Step::BadSector => self.damage(false),
            Step::Full(room) => {
                let capacity = Some(self.disk.used() + room);
                self.disk.faults(|faults| faults.capacity = capacity);
            }
            Step::ReadOnly => self.disk.faults(|faults| faults.is_read_only = true),
            Step::NoFiles => self.disk.faults(|faults| faults.has_no_files = true),
            Step::Fail(order) => self.disk.faults(|faults| faults.order(order)),
            Step::Mend => self.disk.faults(|faults| {
                faults.capacity = None;
                faults.is_read_only = false;
                faults.has_no_files = false;
            }),
        }
    }

    fn crash(&mut self) {
        let crash = Crash::draw(&mut self.draw);
        self.end_life(crash, false);
    }

    /// Ends the life of the store, or finds that it has ended, and opens what is
    /// left.
    fn end_life(&mut self, crash: Crash, is_closed: bool) {
        if self.is_told {
            eprintln!("  ends by {crash:?}");
        }
        self.holds.clear();
        if !is_closed {
            self.disk.cut_off();
        }
        let before = self.disk.errors();
        self.store = None;
        let is_noted = is_closed && self.disk.errors() == before && !self.disk.is_dead();
        self.used.clear();
        self.has_crashed |= !is_closed || self.disk.is_dead();
        self.disk.restart(crash);
        self.arm();
        self.note_harm();
        self.model.crash(crash);
        self.open();
        self.check_after_opening(crash, if is_noted { 0 } else { UNNOTED });
    }

    /// Opens the store; if the disk fails in it, once it does not.
    fn open(&mut self) {
        loop {
            if self.disk.is_dead() {
                let crash = self.cause_of_death();
                self.disk.tally(|tally| tally.count("crash while opening"));
                self.disk.restart(crash);
                self.arm();
                self.model.crash(crash);
            }
            let before = self.disk.errors();
            let opened = Store::open_on(self.disk.arc(), Path::new(FOLDER), self.config);
            let has_failed = self.disk.errors() > before;
            self.note_harm();
            match opened {
                _ if self.disk.is_dead() => {}
                Ok(store) => {
                    self.store = Some(store);
                    self.disk.faults(|faults| faults.are_paused = false);
                    return;
                }
                Err(error) => {
                    assert!(
                        has_failed,
                        "it does not open, with a disk that does not fail: {error}"
                    );
                    self.disk.tally(|tally| tally.count("not opened"));
                    self.disk.faults(|faults| faults.are_paused = true);
                }
            }
        }
    }
}
