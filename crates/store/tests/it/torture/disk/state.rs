//! The disk behind its lock: operations, crashes, the trace of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::faults::{Fault, Faults, Op};
use super::inode::{Inode, Unsynced};
use super::names::{Names, Node};
use super::tally::Tally;
use crate::torture::draw::Draw;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is gone, the machine is not.
    Kill,
    /// The machine is gone, and what was not synced with it.
    PowerCut { names: Unsynced, bytes: Unsynced },
}

impl Crash {
    pub(crate) fn draw(draw: &mut Draw) -> Self {
        if draw.per_mille(350) { Self::Kill } else { Self::power_cut(draw) }
    }

    pub(crate) fn power_cut(draw: &mut Draw) -> Self {
        let mut which = || draw.pick(&Unsynced::ALL);
        Self::PowerCut { names: which(), bytes: which() }
    }
}

/// What was done to a file that may cost its owner blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It could not be read.
    Unread,
    /// Bits of it were flipped, or cannot be read any more.
    Spoilt,
    /// What was not synced may never be.
    SyncFailed,
}

/// What becomes of an operation.
enum Verdict {
    Go,
    Fail(Fault),
    /// It is the one in which the life ends.
    Die,
}

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) draw: Draw,
    pub(super) folders: BTreeMap<PathBuf, Names>,
    pub(super) inodes: Vec<Inode>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) faults: Faults,
    /// Handles of earlier lives are of no use.
    pub(super) life: u64,
    pub(super) is_dead: bool,
    pub(super) mutations: u64,
    pub(super) last_mutation: u64,
    pub(super) errors: u64,
    pub(super) harmed: Vec<(String, Harm)>,
    pub(super) tally: Tally,
    trace: u64,
    /// Every operation is told.
    pub(super) is_told: bool,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let root = (PathBuf::from("/"), Names::default());
        Self {
            draw: Draw::new(seed),
            folders: BTreeMap::from([root]),
            inodes: Vec::new(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
            life: 0,
            is_dead: false,
            mutations: 0,
            last_mutation: u64::MAX,
            errors: 0,
            harmed: Vec::new(),
            tally: Tally::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            is_told: false,
        }
    }

    pub(super) fn trace(&self) -> u64 {
        self.trace
    }

    pub(super) fn note(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Names that differ from run to run count as the same.
    fn note_op(&mut self, op: Op, path: &Path) {
        self.note(op as u64);
        let name = name_of(path);
        let stem = name.strip_suffix(".new").and_then(|rest| rest.rsplit_once('.'));
        let shown = stem.map_or(name, |(stem, _)| stem);
        for byte in shown.bytes() {
            self.note(u64::from(byte));
        }
    }

    fn verdict(&mut self, op: Op, path: &Path) -> io::Result<Verdict> {
        if self.is_dead {
            return Err(off());
        }
        self.note_op(op, path);
        if op.is_mutating() {
            self.mutations += 1;
            if self.mutations >= self.last_mutation {
                self.is_dead = true;
                self.note(1);
                self.tally.count(&format!("crash in {op:?}"));
                self.tell(op, path, "the power goes off");
                return Ok(Verdict::Die);
            }
        }
        let Some(fault) = self.faults.judge(&mut self.draw, op) else {
            self.tell(op, path, "");
            return Ok(Verdict::Go);
        };
        self.tell(op, path, &format!("{fault:?}"));
        self.note(2 + fault as u64);
        self.errors += 1;
        self.tally.count(&format!("{op:?}: {fault:?}"));
        if fault == Fault::Broken && matches!(op, Op::Open | Op::Read | Op::Len) {
            self.harmed.push((name_of(path).to_owned(), Harm::Unread));
        }
        Ok(Verdict::Fail(fault))
    }

    fn tell(&self, op: Op, path: &Path, how: &str) {
        if self.is_told {
            let name = name_of(path);
            eprintln!("    {op:?} {}{} {how}", &name[..name.len().min(8)], kind(name));
        }
    }

    /// An operation that is done or not, never in part: in the one in which the
    /// life ends it may be done.
    fn whole(&mut self, op: Op, path: &Path) -> io::Result<Result<(), Error>> {
        Ok(match self.verdict(op, path)? {
            Verdict::Go => Ok(()),
            Verdict::Fail(fault) => return Err(fault.error()),
            Verdict::Die if self.draw.coin() => return Err(off()),
            Verdict::Die => Err(off()),
        })
    }

    fn names(&mut self, folder: &Path) -> io::Result<&mut Names> {
        self.folders.get_mut(folder).ok_or_else(|| ErrorKind::NotFound.into())
    }

    pub(super) fn parent(&mut self, path: &Path) -> io::Result<&mut Names> {
        self.names(path.parent().unwrap_or(Path::new("/")))
    }

    pub(super) fn file(&mut self, path: &Path) -> io::Result<usize> {
        match self.parent(path)?.get(name_of(path)) {
            Some(Node::File(inode)) => Ok(inode),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<usize> {
        self.whole(Op::Open, path)?.and_then(|()| self.file(path))
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        let end = self.whole(Op::Create, path)?;
        let inode = match self.file(path) {
            Ok(there) => {
                self.inodes[there].empty();
                there
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.make(path)?,
            Err(error) => return Err(error),
        };
        end.map(|()| inode)
    }

    pub(super) fn make(&mut self, path: &Path) -> io::Result<usize> {
        let inode = self.inodes.len();
        self.parent(path)?.add(name_of(path), Node::File(inode));
        self.inodes.push(Inode::named());
        Ok(inode)
    }

    pub(super) fn opened(&mut self, inode: usize) {
        self.inodes[inode].handles += 1;
    }

    pub(super) fn closed(&mut self, inode: usize, life: u64) {
        if life == self.life {
            self.inodes[inode].handles -= 1;
        }
    }

    pub(super) fn read(
        &mut self,
        path: &Path,
        inode: usize,
        buffer: &mut Vec<u8>,
        len: usize,
        offset: usize,
    ) -> io::Result<()> {
        self.whole(Op::Read, path)??;
        self.note((offset as u64) << 32 | len as u64);
        if !self.faults.are_paused && !self.inodes[inode].is_readable(offset, len) {
            self.errors += 1;
            self.tally.count("Read: bad sector");
            self.harmed.push((name_of(path).to_owned(), Harm::Unread));
            return Err(Fault::Broken.error());
        }
        let bytes = self.inodes[inode].now.get(offset..offset + len);
        buffer.extend_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(super) fn len(&mut self, path: &Path, inode: usize) -> io::Result<u64> {
        self.whole(Op::Len, path)??;
        Ok(self.inodes[inode].now.len() as u64)
    }

    pub(super) fn write(
        &mut self,
        path: &Path,
        inode: usize,
        bytes: &[u8],
        offset: usize,
    ) -> io::Result<()> {
        let verdict = self.verdict(Op::Write, path)?;
        self.note((offset as u64) << 32 | bytes.len() as u64);
        let error = match verdict {
            Verdict::Go if self.has_room(self.inodes[inode].more_room(offset, bytes.len())) => {
                self.inodes[inode].write(offset, bytes);
                return Ok(());
            }
            Verdict::Go => {
                self.errors += 1;
                self.tally.count("Write: no room");
                Fault::Full.error()
            }
            Verdict::Fail(Fault::ReadOnly) => return Err(Fault::ReadOnly.error()),
            Verdict::Fail(fault) => fault.error(),
            Verdict::Die => off(),
        };
        // The beginning may have been written all the same.
        let written = self.draw.below(bytes.len() + 1);
        if self.has_room(self.inodes[inode].more_room(offset, written)) {
            self.inodes[inode].write(offset, &bytes[..written]);
            self.tally.count("written in part");
        }
        Err(error)
    }

    fn has_room(&self, needed: u64) -> bool {
        let Some(capacity) = self.faults.capacity.filter(|_| !self.faults.are_paused) else {
            return true;
        };
        needed == 0 || self.used() + needed <= capacity
    }

    /// Bytes of room that are taken.
    pub(super) fn used(&self) -> u64 {
        let is_alive = |inode: &&Inode| inode.names > 0 || inode.handles > 0;
        self.inodes.iter().filter(is_alive).map(Inode::room).sum()
    }

    pub(super) fn sync(&mut self, path: &Path, inode: usize) -> io::Result<()> {
        if !self.is_dead && !self.inodes[inode].is_synced() {
            self.tally.count("synced something");
        }
        match self.verdict(Op::Sync, path)? {
            Verdict::Go => {
                self.inodes[inode].sync();
                Ok(())
            }
            Verdict::Fail(fault) => {
                let forgotten = self.draw.coin();
                if !self.inodes[inode].is_synced() {
                    self.harmed.push((name_of(path).to_owned(), Harm::SyncFailed));
                    self.inodes[inode].fail_sync(&mut self.draw, forgotten);
                }
                Err(fault.error())
            }
            Verdict::Die => {
                if self.draw.coin() {
                    self.inodes[inode].sync();
                }
                Err(off())
            }
        }
    }

    pub(super) fn list(&mut self, folder: &Path) -> io::Result<Vec<String>> {
        self.whole(Op::List, folder)??;
        Ok(self.names(folder)?.now().map(|(name, _)| name.clone()).collect())
    }

    pub(super) fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        if self.folders.contains_key(folder) && !self.is_dead {
            return Ok(());
        }
        if let Some(above) = folder.parent() {
            self.make_folder(above)?;
        }
        let end = self.whole(Op::MakeFolder, folder)?;
        self.parent(folder)?.add(name_of(folder), Node::Folder);
        self.folders.insert(folder.to_owned(), Names::default());
        end
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.file(from)?;
        let end = self.whole(Op::Rename, to)?;
        if let Ok(replaced) = self.file(to) {
            self.inodes[replaced].names -= 1;
        }
        self.parent(from)?.rename(name_of(from), name_of(to), Node::File(inode));
        end
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.file(path)?;
        let end = self.whole(Op::Remove, path)?;
        self.inodes[inode].names -= 1;
        self.parent(path)?.remove(name_of(path));
        end
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        let end = self.whole(Op::SyncFolder, folder)?;
        self.names(folder)?.sync();
        end
    }

    /// False if somebody else has it.
    pub(super) fn lock(&mut self, path: &Path) -> io::Result<bool> {
        self.whole(Op::Lock, path)??;
        if self.file(path).is_err() {
            self.make(path)?;
        }
        Ok(self.locks.insert(path.to_owned()))
    }

    pub(super) fn unlock(&mut self, path: &Path, life: u64) {
        if life == self.life {
            self.locks.remove(path);
        }
    }

    pub(super) fn free_bytes(&mut self, folder: &Path) -> io::Result<u64> {
        self.whole(Op::FreeBytes, folder)??;
        Ok(self.faults.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(self.used())))
    }
}

/// What comes behind the id in a blob's file's name.
fn kind(name: &str) -> &str {
    name.find('.').map_or("", |dot| &name[dot.max(8).min(name.len())..])
}

pub(super) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

/// What all operations say after the last.
fn off() -> Error {
    Error::other("the power is off")
}
