//! A disk in memory that loses, tears and fails as a seed says.
//!
//! What was not synced is kept, lost or torn by a power cut, each change
//! whatever becomes of the others; so are names, those of folders among them,
//! until the folder that holds them is synced. Each byte of a sector of 512 that
//! had been durable is then old or new; one that had not may hold anything.

mod fate;
mod faults;
mod inode;
mod names;
mod state;
mod tally;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use antiphon_store::disk::{Access, Disk, DiskFile, DiskLock};

pub(crate) use faults::{Fault, Faults, Op, Order};
pub(crate) use inode::Unsynced;
use state::State;
pub(crate) use state::{Crash, Harm};
pub(crate) use tally::Tally;

/// After so long a wait something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The disk; clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    gate: Mutex<Gate>,
    moved: Condvar,
}

/// Where those who sync files wait while it is shut.
#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    waiting: usize,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SimDisk")
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(State::new(seed))
    }

    fn of(state: State) -> Self {
        let (gate, moved) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { state: Mutex::new(state), gate, moved }))
    }

    /// Another disk with the same bytes on it, used by nobody.
    pub(crate) fn copy(&self) -> Self {
        let mut state = self.state().clone();
        state.restart(Crash::Kill);
        Self::of(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// The life ends in the `number`th operation from now that changes
    /// something, counted from 1.
    pub(crate) fn die_in(&self, number: u64) {
        let mut state = self.state();
        state.last_mutation = state.mutations + number;
    }

    /// The life is over.
    pub(crate) fn cut_off(&self) {
        self.state().is_dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Tells every operation from now on.
    pub(crate) fn tell(&self) {
        self.state().is_told = true;
    }

    /// Errors that were given so far.
    pub(crate) fn errors(&self) -> u64 {
        self.state().errors
    }

    pub(crate) fn restart(&self, crash: Crash) {
        self.state().restart(crash);
    }

    /// What files were harmed since this was asked last, by name.
    pub(crate) fn take_harmed(&self) -> Vec<(String, Harm)> {
        std::mem::take(&mut self.state().harmed)
    }

    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// All files with their bytes.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut state = self.state();
        let files = state.files();
        files.into_iter().map(|(path, inode)| (path, state.inode(inode).now.clone())).collect()
    }

    /// Flips a bit of a file for good, or lets a sector of it go bad.
    pub(crate) fn damage(&self, path: &Path, damage: Damage) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some((_, inode)) = state.files().into_iter().find(|(other, _)| other == path) else {
            return;
        };
        match damage {
            Damage::Flip(bit) => state.inode(inode).flip(bit),
            Damage::BadSector => {
                let mut draw = state.draw.clone();
                state.inode(inode).go_bad(&mut draw);
                state.draw = draw;
            }
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        state.harmed.push((name, Harm::Spoilt));
    }

    /// All is well from now on.
    pub(crate) fn mend(&self) {
        self.state().mend();
    }

    pub(crate) fn place(&self, path: &Path, bytes: &[u8]) {
        self.state().place(path, bytes).unwrap();
    }

    pub(crate) fn take_away(&self, path: &Path) {
        self.state().take_away(path).unwrap();
    }

    pub(crate) fn take_folder_away(&self, folder: &Path) {
        self.state().take_folder_away(folder).unwrap();
    }

    /// A number that two runs share only if they did the same.
    pub(crate) fn trace(&self) -> u64 {
        self.state().trace()
    }

    pub(crate) fn note(&self, number: u64) {
        self.state().note(number);
    }

    pub(crate) fn tally(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.state().tally);
    }

    /// Whoever syncs a file waits from now on.
    pub(crate) fn shut_gate(&self) {
        self.0.gate.lock().unwrap().is_shut = true;
    }

    pub(crate) fn open_gate(&self) {
        self.0.gate.lock().unwrap().is_shut = false;
        self.0.moved.notify_all();
    }

    /// Waits until somebody waits at the gate.
    pub(crate) fn await_visitor(&self) {
        let gate = self.0.gate.lock().unwrap();
        let is_empty = |gate: &mut Gate| gate.waiting == 0;
        let (gate, waited) = self.0.moved.wait_timeout_while(gate, PATIENCE, is_empty).unwrap();
        drop(gate);
        assert!(!waited.timed_out(), "nobody syncs a file");
    }

    fn pass_gate(&self) {
        let mut gate = self.0.gate.lock().unwrap();
        gate.waiting += 1;
        self.0.moved.notify_all();
        let mut gate = self.0.moved.wait_while(gate, |gate| gate.is_shut).unwrap();
        gate.waiting -= 1;
    }
}

/// What happens to a file behind everyone's back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    Flip(usize),
    BadSector,
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let inode = match access {
            Access::Read => state.open(path)?,
            // What may not be written may not be opened to be written.
            Access::Write if state.faults.is_read_only && !state.faults.are_paused => {
                state.errors += 1;
                return Err(Fault::ReadOnly.error());
            }
            Access::Write => state.open(path)?,
            Access::Create => state.create(path)?,
        };
        state.opened(inode);
        let life = state.life;
        let (disk, path) = (self.clone(), path.to_owned());
        Ok(Arc::new(SimFile { disk, path, access, inode, life }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.state().list(folder)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        self.state().make_folder(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.state().sync_folder(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut state = self.state();
        let (is_ours, life) = (state.lock(path)?, state.life);
        let lock = || SimLock { disk: self.clone(), path: path.to_owned(), life };
        Ok(is_ours.then(|| -> Box<dyn DiskLock> { Box::new(lock()) }))
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.state().free_bytes(folder)
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    access: Access,
    inode: usize,
    life: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life {
            Ok(state)
        } else {
            Err(io::Error::other("a file of an earlier life"))
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().closed(self.inode, self.life);
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<()> {
        self.state()?.read(&self.path, self.inode, buffer, len, offset as usize)
    }

    fn read_at_once(&self, buffer: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<bool> {
        let mut state = self.state()?;
        if state.draw.coin() {
            return Ok(false);
        }
        let start = buffer.len();
        let read = state.read(&self.path, self.inode, buffer, len, offset as usize);
        if read.is_err() {
            buffer.truncate(start);
        }
        read.map(|()| true)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert_ne!(self.access, Access::Read, "a file opened to be read is written to");
        self.state()?.write(&self.path, self.inode, bytes, offset as usize)
    }

    fn len(&self) -> io::Result<u64> {
        self.state()?.len(&self.path, self.inode)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass_gate();
        self.state()?.sync(&self.path, self.inode)
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().unlock(&self.path, self.life);
    }
}
