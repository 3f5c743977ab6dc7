//! What may be done to a store, and what it may answer.

use std::io::ErrorKind;
use std::path::Path;

use antiphon_store::{BeginError, BlobTree, ProofCursor, Put, PutError, RemoveError, Store};

use antiphon_types::BlockSet;

use super::{AMPLE, World};
use crate::torture::disk::Damage;
use crate::torture::model::{Level, Pin};

impl World {
    pub(super) fn begin(&mut self, blob: usize) {
        let whole = self.blobs[blob];
        let was_there = self.is_there(blob);
        self.model.set_removed(blob, false);
        let (begun, has_failed) = self.ask(|store| store.begin(whole.id(), whole.size()));
        match begun {
            Ok(()) => assert!(self.store().size(whole.id()).is_some() || self.disk.is_dead()),
            Err(BeginError::NoRoom { .. }) => {
                assert!(!was_there && (has_failed || self.may_lack_room()), "{begun:?}");
            }
            Err(BeginError::Io(_)) => assert!(has_failed, "{begun:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether blobs may be there that cannot be let go.
    pub(super) fn may_lack_room(&self) -> bool {
        self.model.has_pins() || !self.holds.is_empty() || self.store().status().trouble.is_some()
    }

    pub(super) fn put(&mut self, blob: usize, block: u32) {
        let whole = self.blobs[blob];
        let was_claimed = self.store().blocks(whole.id()).map(|blocks| blocks.contains(block));
        let (put, has_failed) =
            self.ask(|store| store.put(whole.id(), block, whole.proof(block), whole.block(block)));
        match put {
            Ok(Put::Stored) => {
                self.disk.tally(|tally| tally.count("put: stored"));
                self.used.insert(blob);
                self.model.put(blob, block, Level::Stored);
            }
            Ok(Put::AlreadyThere) => {
                self.used.insert(blob);
                assert_eq!(was_claimed, Some(true));
            }
            Ok(Put::InMemory) => {
                self.disk.tally(|tally| tally.count("put: in memory"));
                assert!(has_failed || self.may_lack_room() || self.has_faults);
                self.used.insert(blob);
                self.model.put(blob, block, Level::Memory);
            }
            Err(PutError::NotBegun) => assert_eq!(was_claimed, None),
            Err(PutError::NoRoom) => assert!(self.config.memory_bytes < AMPLE),
            Err(PutError::Io(error)) => {
                assert!(has_failed && self.config.memory_bytes < AMPLE, "{error}");
            }
            // What the process lacks: then a blob cannot be read that was not used yet.
            Err(PutError::NotChecked(error)) => {
                let is_passing = error.source.kind() == ErrorKind::OutOfMemory
                    || error.source.raw_os_error() == Some(24);
                assert!(has_failed && is_passing, "{error}");
            }
            Err(error) => panic!("a true block was refused: {error}"),
        }
    }

    pub(super) fn put_wrong(&mut self, blob: usize, block: u32) {
        let whole = self.blobs[blob];
        let place = block % whole.blocks();
        let mut data = whole.block(place).to_vec();
        let mut proof = whole.proof(place).to_vec();
        let mut place = place;
        match self.draw.below(4) {
            0 => data[0] ^= 0x80,
            1 => data.push(0),
            2 => place += 1 + whole.blocks(),
            _ if proof.is_empty() => data[0] ^= 1,
            _ => {
                let byte = self.draw.below(proof.len());
                proof[byte] ^= 1;
            }
        }
        let before = self.store().blocks(whole.id());
        let (put, _) = self.ask(|store| store.put(whole.id(), place, &proof, &data));
        assert!(put.is_err(), "a false block was taken");
        // What turns out to be missing may go; nothing comes.
        let after = self.store().blocks(whole.id());
        let has = |blocks: &Option<BlockSet>, block| {
            blocks.as_ref().is_some_and(|blocks| blocks.contains(block))
        };
        let came = (0..whole.blocks()).find(|block| has(&after, *block) && !has(&before, *block));
        assert_eq!(came, None, "a block came of a false one");
    }

    pub(super) fn read(&mut self, blob: usize, block: u32) {
        let whole = self.blobs[blob];
        let (read, has_failed) = self.ask(|store| store.read(whole.id(), block));
        match read {
            Ok(Some(bytes)) => {
                self.used.insert(blob);
                assert_eq!(bytes, whole.block(block), "a false byte was served");
                self.disk.tally(|tally| tally.count("read: true"));
                self.prove(blob, block);
            }
            Ok(None) => {
                let level = self.model.level(blob, block);
                let may_go = level.is_none()
                    || (level == Some(Level::Memory) && self.config.memory_bytes < AMPLE);
                assert!(may_go, "block {block} of blob {blob} is owed ({level:?}) and not there");
            }
            Err(error) => assert!(has_failed, "{error}"),
        }
    }

    pub(super) fn prove(&mut self, blob: usize, block: u32) {
        let whole = self.blobs[blob];
        let (proof, has_failed) =
            self.ask(|store| store.proof(whole.id(), block, &mut ProofCursor::new()));
        match proof {
            Ok(Some(proof)) => {
                let mut other = BlobTree::new(whole.id(), whole.size());
                assert_eq!(other.accept(block, &proof, whole.block(block)), Ok(()));
            }
            Ok(None) => panic!("a block that was just read has no proof"),
            Err(error) => assert!(has_failed, "{error}"),
        }
    }

    pub(super) fn pin(&mut self, blob: usize, is_pinned: bool) {
        let id = self.blobs[blob].id();
        let (done, has_failed) =
            self.ask(|store| if is_pinned { store.pin(id) } else { store.unpin(id) });
        let pin = match done {
            Ok(()) => Pin::Is(is_pinned),
            Err(error) => {
                assert!(has_failed, "{error}");
                Pin::Unsure
            }
        };
        self.model.set_pin(blob, pin);
    }

    pub(super) fn remove(&mut self, blob: usize) {
        let id = self.blobs[blob].id();
        let is_held = self.holds.iter().any(|(_, held)| *held == blob);
        let was_there = self.is_there(blob);
        let (removed, has_failed) = self.ask(|store| store.remove(id));
        let pin = match removed {
            Err(RemoveError::Held) => return assert!(is_held),
            Ok(_) => Pin::Is(false),
            Err(RemoveError::Io(error)) => {
                assert!(has_failed, "{error}");
                Pin::Unsure
            }
        };
        assert!(!is_held);
        self.model.set_pin(blob, pin);
        // A file that could not be read when the store was opened is not known of.
        let is_sure = was_there && pin == Pin::Is(false) && !self.has_faults;
        self.model.set_removed(blob, is_sure);
        self.model.forget(blob);
        self.has_clutter = true;
    }

    pub(super) fn clear(&mut self) {
        let (cleared, has_failed) = self.ask(Store::clear);
        assert!(cleared.is_ok() || has_failed, "{cleared:?}");
    }

    pub(super) fn sync(&mut self, blob: usize) {
        let id = self.blobs[blob].id();
        let (synced, has_failed) = self.ask(|store| store.sync(id));
        match synced {
            Ok(()) => {
                let memory_is_empty = self.store().status().memory_bytes == 0;
                if self.is_there(blob) {
                    self.model.synced(blob, memory_is_empty);
                }
            }
            Err(error) => assert!(has_failed, "{error}"),
        }
    }

    pub(super) fn is_there(&self, blob: usize) -> bool {
        self.store().size(self.blobs[blob].id()).is_some()
    }

    pub(super) fn flush(&mut self) {
        let (flushed, has_failed) = self.ask(Store::flush);
        match flushed {
            Ok(()) => {
                let memory_is_empty = self.store().status().memory_bytes == 0;
                for blob in 0..self.blobs.len() {
                    if self.used.contains(&blob) && self.is_there(blob) {
                        self.model.synced(blob, memory_is_empty);
                    }
                }
            }
            Err(error) => assert!(has_failed, "{error}"),
        }
    }

    pub(super) fn damage(&mut self, is_rot: bool) {
        let files = self.disk.files();
        let index = |path: &Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("index"))
        };
        let eligible: Vec<_> = files
            .iter()
            .filter(|(path, bytes)| {
                // Two copies of the index bear one fault.
                !bytes.is_empty() && (!index(path) || (is_rot && !self.index_was_damaged))
            })
            .collect();
        if eligible.is_empty() {
            return;
        }
        let (path, bytes) = eligible[self.draw.below(eligible.len())];
        self.index_was_damaged |= index(path);
        let damage = if is_rot {
            // The beginning as often as all the rest.
            let end = if self.draw.coin() { bytes.len().min(400) } else { bytes.len() };
            Damage::Flip(self.draw.below(end * 8))
        } else {
            Damage::BadSector
        };
        self.disk.damage(path, damage);
        self.disk.tally(|tally| tally.count(if is_rot { "bit flipped" } else { "sector bad" }));
        self.note_harm();
    }
}
