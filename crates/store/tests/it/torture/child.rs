//! A process that fills a store and says what it was told, until it is ended.
//!
//! The test binary runs itself: the test [`child`] does nothing unless the
//! environment names a folder.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use antiphon_store::{Config, OpenError, Put, PutError, Store};

use crate::folder::patiently;

use super::draw::Draw;
use super::model::{Model, Pin};
use super::samples;
use crate::torture::model::Level;

const FOLDER: &str = "ANTIPHON_TORTURE_CHILD_FOLDER";
const ROLE: &str = "ANTIPHON_TORTURE_CHILD_ROLE";
const SEED: &str = "ANTIPHON_TORTURE_CHILD_SEED";
/// What is said begins so; the rest is the test harness's.
const MARK: &str = "@ ";
/// Room for all blobs.
const BUDGET: u64 = 16 << 20;
/// Blocks of a blob that a kill may take at most (`FORMAT.md`).
const UNNOTED: usize = 15;

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Whatever the seed says, without end.
    Endless,
    /// A short script.
    Script,
    /// Opens the store, and waits for the end of its input.
    Open,
}

impl Role {
    const ALL: [(Self, &str); 3] =
        [(Self::Endless, "endless"), (Self::Script, "script"), (Self::Open, "open")];
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(role, _)| role == self).unwrap().1;
        out.write_str(name)
    }
}

/// What a child says, a line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Ready,
    Stored(usize, u32),
    InMemory(usize, u32),
    /// A sync or flush returned; whether nothing is in memory alone.
    Synced(usize, bool),
    /// A call follows that may change a pin, or remove the blob.
    Changing(usize),
    Removing(usize),
    Pinned(usize, bool),
    /// A call failed that makes something durable.
    Failed,
    InUse,
}

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ready => write!(out, "ready"),
            Self::Stored(blob, block) => write!(out, "stored {blob} {block}"),
            Self::InMemory(blob, block) => write!(out, "memory {blob} {block}"),
            Self::Synced(blob, all) => write!(out, "synced {blob} {}", u32::from(all)),
            Self::Changing(blob) => write!(out, "changing {blob}"),
            Self::Removing(blob) => write!(out, "removing {blob}"),
            Self::Pinned(blob, is) => write!(out, "pinned {blob} {}", u32::from(is)),
            Self::Failed => write!(out, "failed"),
            Self::InUse => write!(out, "in-use"),
        }
    }
}

impl Said {
    /// What a whole line says; none if it is the test harness's.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(MARK)?.split(' ');
        let kind = words.next()?;
        let mut number = || words.next().and_then(|word| word.parse::<u32>().ok());
        Some(match kind {
            "ready" => Self::Ready,
            "stored" => Self::Stored(number()? as usize, number()?),
            "memory" => Self::InMemory(number()? as usize, number()?),
            "synced" => Self::Synced(number()? as usize, number()? == 1),
            "changing" => Self::Changing(number()? as usize),
            "removing" => Self::Removing(number()? as usize),
            "pinned" => Self::Pinned(number()? as usize, number()? == 1),
            "failed" => Self::Failed,
            "in-use" => Self::InUse,
            _ => return None,
        })
    }

    /// What it lets the store owe.
    pub(crate) fn note(self, model: &mut Model) {
        match self {
            Self::Stored(blob, block) => model.put(blob, block, Level::Stored),
            Self::InMemory(blob, block) => model.put(blob, block, Level::Memory),
            Self::Synced(blob, all) => model.synced(blob, all),
            Self::Changing(blob) => model.set_pin(blob, Pin::Unsure),
            Self::Removing(blob) => {
                model.set_pin(blob, Pin::Unsure);
                model.forget(blob);
            }
            Self::Pinned(blob, is_pinned) => model.set_pin(blob, Pin::Is(is_pinned)),
            Self::Ready | Self::Failed | Self::InUse => {}
        }
    }
}

fn say(said: Said) {
    // In one piece: a line is whole, or it was not said.
    let line = format!("{MARK}{said}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// The command that becomes a child; `before` stands before it.
pub(crate) fn command(before: &[&str], folder: &Path, role: Role, seed: u64) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match before {
        [] => Command::new(&this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
    };
    command
        .args(["--exact", "torture::child::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(ROLE, role.to_string())
        .env(SEED, seed.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// What a child says.
pub(crate) struct Listener(BufReader<ChildStdout>);

impl Listener {
    pub(crate) fn new(stdout: ChildStdout) -> Self {
        Self(BufReader::new(stdout))
    }
}

impl Iterator for Listener {
    type Item = Said;

    fn next(&mut self) -> Option<Said> {
        loop {
            let mut line = String::new();
            // A line without an end was cut off.
            if self.0.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            if let Some(said) = Said::parse(line.trim_end()) {
                return Some(said);
            }
        }
    }
}

/// Opens the store that a child left: nothing owed is missing, nothing false is
/// there. The model then knows what survived.
pub(crate) fn check(folder: &Path, model: &mut Model) -> Store {
    let store = patiently(|| open(folder));
    let owed: Vec<(usize, Vec<u32>)> =
        model.owed().map(|(blob, blocks)| (blob, blocks.keys().copied().collect())).collect();
    for (number, blob) in samples::all().iter().enumerate() {
        let mut there = Vec::new();
        for block in 0..blob.blocks() {
            if let Some(bytes) = store.read(blob.id(), block).unwrap() {
                assert_eq!(bytes, blob.block(block), "a false byte was served");
                there.push(block);
            }
        }
        let lacking = model.opened(number, &there, true);
        assert!(lacking <= UNNOTED, "{lacking} blocks of blob {number} are owed");
        let owed = owed.iter().filter(|(owed, _)| *owed == number).flat_map(|(_, all)| all);
        for block in owed.filter(|block| model.level(number, **block).is_some()) {
            assert!(there.contains(block), "block {block} of blob {number} is owed");
        }
    }
    for entry in store.list() {
        let number = samples::all().iter().position(|blob| blob.id() == entry.blob).unwrap();
        if let Pin::Is(is_pinned) = model.pin(number) {
            assert_eq!(entry.pinned, is_pinned, "the pin of blob {number}");
        }
    }
    store
}

/// Fills all blobs, and finds them whole after opening again.
pub(crate) fn heal(folder: &Path, store: Store) {
    for _ in 0..2 {
        for blob in samples::all() {
            store.begin(blob.id(), blob.size()).unwrap();
            for block in 0..blob.blocks() {
                store.put(blob.id(), block, blob.proof(block), blob.block(block)).unwrap();
                store.read(blob.id(), block).unwrap();
            }
        }
    }
    store.flush().unwrap();
    drop(store);
    let store = patiently(|| open(folder));
    for blob in samples::all() {
        assert!(store.is_complete(blob.id()));
        for block in 0..blob.blocks() {
            let read = store.read(blob.id(), block).unwrap();
            assert_eq!(read.as_deref(), Some(blob.block(block)));
        }
    }
}

pub(crate) fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(folder, Config { budget_bytes: Some(BUDGET), ..Config::default() })
}

/// Not a test of its own: what the other tests run as a process.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let role = std::env::var(ROLE).unwrap();
    let (role, _) = Role::ALL.into_iter().find(|(_, name)| *name == role).unwrap();
    let draw = Draw::new(std::env::var(SEED).unwrap().parse().unwrap());
    // The harness's line is over.
    std::io::stdout().lock().write_all(b"\n").unwrap();
    let store = match open(&folder) {
        Err(OpenError::InUse(_)) => return say(Said::InUse),
        opened => opened.unwrap(),
    };
    say(Said::Ready);
    let mut filler = Filler { store, draw, used: BTreeSet::new() };
    match role {
        Role::Endless => loop {
            filler.step();
        },
        Role::Script => filler.script(),
        Role::Open => drop(std::io::stdin().read_to_end(&mut Vec::new()).unwrap()),
    }
}

struct Filler {
    store: Store,
    draw: Draw,
    /// Blobs that a flush is for.
    used: BTreeSet<usize>,
}

impl Filler {
    fn step(&mut self) {
        let blob = self.draw.below(samples::all().len());
        let first = self.draw.below(64) as u32;
        match self.draw.weighed(&[60, 4, 1, 2, 2, 1, 20]) {
            0 => (first..first + 4).for_each(|block| self.put(blob, block)),
            1 => self.sync(blob),
            2 => self.flush(),
            3 => self.pin(blob, true),
            4 => self.pin(blob, false),
            5 => self.remove(blob),
            _ => self.read(blob, first),
        }
    }

    /// Every kind of call, in few of the system's.
    fn script(&mut self) {
        for blob in [1, 4] {
            (0..samples::all()[blob].blocks()).for_each(|block| self.put(blob, block));
            self.flush();
        }
        self.pin(4, true);
        self.remove(1);
        self.put(3, 1);
        self.sync(3);
        self.put(3, 0);
        for (blob, block) in [(4, 0), (4, 4), (3, 1), (3, 0)] {
            let whole = &samples::all()[blob];
            let read = self.store.read(whole.id(), block).unwrap();
            assert_eq!(read.as_deref(), Some(whole.block(block)), "it cannot be played");
        }
    }

    fn put(&mut self, blob: usize, block: u32) {
        let whole = &samples::all()[blob];
        let block = block % whole.blocks();
        let put = || self.store.put(whole.id(), block, whole.proof(block), whole.block(block));
        let done = match put() {
            Err(PutError::NotBegun) => {
                self.store.begin(whole.id(), whole.size()).unwrap();
                put()
            }
            done => done,
        };
        match done.unwrap() {
            Put::Stored => say(Said::Stored(blob, block)),
            Put::InMemory => say(Said::InMemory(blob, block)),
            Put::AlreadyThere => {}
        }
        self.used.insert(blob);
    }

    fn read(&self, blob: usize, block: u32) {
        let whole = &samples::all()[blob];
        let block = block % whole.blocks();
        if let Ok(Some(bytes)) = self.store.read(whole.id(), block) {
            assert_eq!(bytes, whole.block(block), "a false byte was served");
        }
    }

    fn sync(&self, blob: usize) {
        let synced = self.store.sync(samples::all()[blob].id()).is_ok();
        self.say_synced(&[blob], synced);
    }

    fn flush(&self) {
        let flushed = self.store.flush().is_ok();
        self.say_synced(&self.used.iter().copied().collect::<Vec<_>>(), flushed);
    }

    fn say_synced(&self, blobs: &[usize], is_ok: bool) {
        if !is_ok {
            return say(Said::Failed);
        }
        let memory_is_empty = self.store.status().memory_bytes == 0;
        blobs.iter().for_each(|blob| say(Said::Synced(*blob, memory_is_empty)));
    }

    fn pin(&self, blob: usize, is_pinned: bool) {
        let id = samples::all()[blob].id();
        say(Said::Changing(blob));
        let done = if is_pinned { self.store.pin(id) } else { self.store.unpin(id) };
        say(if done.is_ok() { Said::Pinned(blob, is_pinned) } else { Said::Failed });
    }

    fn remove(&self, blob: usize) {
        say(Said::Removing(blob));
        let removed = self.store.remove(samples::all()[blob].id()).is_ok();
        say(if removed { Said::Pinned(blob, false) } else { Said::Failed });
    }
}
