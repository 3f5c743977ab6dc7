//! Making room: in the budget, and on a disk that is full.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use antiphon_types::{BlobId, BlobSize};

use super::Inner;
use crate::blob::{Blob, Room};
use crate::budget::automatic_budget;
use crate::error::BeginError;
use crate::head;
use crate::sync::write;

/// The room that a blob asks for, for itself.
pub(super) struct RoomFor<'a> {
    pub(super) blob: &'a Arc<Blob>,
    pub(super) inner: &'a Inner,
}

impl Room for RoomFor<'_> {
    fn charge(&self, bytes: u64) -> bool {
        while !self.blob.charge().try_add(bytes, self.inner.budget()) {
            if !self.inner.evict_for(bytes, Some(self.blob.id())) {
                return false;
            }
        }
        true
    }

    fn free_disk(&self, bytes: u64) -> bool {
        self.inner.free_disk(bytes, self.blob.id())
    }
}

impl Inner {
    /// Bytes that may be kept.
    pub(super) fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// An automatic budget follows the disk. If that cannot be asked, it stays.
    pub(super) fn look_up_budget(&self) {
        if !self.automatic {
            return;
        }
        let free = self.common.disk.free_bytes(&self.folder);
        let used = self.common.ledger.used();
        match free {
            Ok(free) => self.budget.store(automatic_budget(free, used), Ordering::Relaxed),
            Err(_) if self.budget() == 0 => {
                self.budget.store(automatic_budget(0, 0), Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }

    /// Makes the file of a blob; where the disk does not take it, the blob is
    /// in memory.
    pub(super) fn create(&self, blob: BlobId, size: BlobSize) -> Result<Arc<Blob>, BeginError> {
        let health = &self.common.health;
        if health.may_try() {
            let mut created = Blob::create(&self.common, blob, size);
            if matches!(&created, Err(error) if error.is_full())
                && self.free_disk(size.bytes() + head::disk_bytes(size), blob)
            {
                created = Blob::create(&self.common, blob, size);
            }
            match created {
                Ok(created) => {
                    health.succeeded();
                    return Ok(created);
                }
                Err(error) if self.common.memory.limit() == 0 => return Err(error.into()),
                Err(error) => health.failed(&error),
            }
        }
        write(&self.catalog).forget_empty();
        Ok(Blob::without_file(&self.common, blob, size, false))
    }

    /// Evicts until `needed` more bytes are within the budget; false, and
    /// nothing is evicted, if that cannot be.
    pub(super) fn evict_for(&self, needed: u64, spare: Option<BlobId>) -> bool {
        let wanted = self.common.ledger.used().saturating_add(needed);
        let surplus = wanted.saturating_sub(self.budget());
        surplus == 0 || self.evict(surplus, spare)
    }

    /// Evicts what is over the budget, or as much of it as may go.
    pub(super) fn shrink(&self) {
        while self.common.ledger.used() > self.budget() && self.evict(1, None) {}
    }

    /// Makes room on a disk that is full though the budget is not. Tried once:
    /// if the next write fails too, others are filling the disk.
    pub(super) fn free_disk(&self, bytes: u64, spare: BlobId) -> bool {
        if self.common.health.is_ill() {
            return false;
        }
        self.look_up_budget();
        self.shrink();
        self.evict(bytes, Some(spare))
    }

    /// Evicts so many bytes; false, and nothing is evicted, if that cannot be.
    fn evict(&self, surplus: u64, spare: Option<BlobId>) -> bool {
        if self.common.health.is_refusing() {
            // Nothing can be removed, so nothing is gained.
            return false;
        }
        let victims = write(&self.catalog).evict(surplus, spare, &self.turns);
        let Some(victims) = victims else { return false };
        for (victim, _turn) in victims {
            // Files that cannot be removed are found again at the next opening.
            if let Err(error) = victim.destroy()
                && error.is_refusal()
            {
                self.common.health.failed(&error);
            }
        }
        true
    }
}
