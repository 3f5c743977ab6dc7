//! An index in 256 parts, each behind a lock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::hash::IdHash;
use crate::slab::{MAX_SLOTS, Slab};
use crate::table::Table;

/// How many parts there are: many more than a machine has cores, so that two
/// seldom meet, and few enough that an empty index is small (25 KiB).
const SHARDS: usize = 256;

/// Values found by hash, and named by numbers that are good in all shards.
pub(crate) struct Shards<T> {
    shards: Box<[Mutex<Shard<T>>]>,
}

/// Names a value in [`Shards`]: its shard and its slot there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(u32);

/// One part.
pub(crate) struct Shard<T> {
    table: Table,
    slab: Slab<T>,
}

impl Name {
    fn new(shard: u8, slot: u32) -> Self {
        Self(u32::from(shard) << MAX_SLOTS.ilog2() | slot)
    }

    fn shard(self) -> usize {
        (self.0 >> MAX_SLOTS.ilog2()) as usize
    }

    fn slot(self) -> u32 {
        self.0 & ((1 << MAX_SLOTS.ilog2()) - 1)
    }
}

impl<T> Shards<T> {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(Shard { table: Table::default(), slab: Slab::default() });
        Self { shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    /// The shard where what has this hash belongs.
    pub(crate) fn of_hash(&self, hash: IdHash) -> MutexGuard<'_, Shard<T>> {
        self.lock(usize::from(hash.shard()))
    }

    /// The shard where this value is, or was.
    pub(crate) fn of_name(&self, name: Name) -> MutexGuard<'_, Shard<T>> {
        self.lock(name.shard())
    }

    /// How many values there are; takes one lock after the other.
    pub(crate) fn count(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).slab.len()).sum()
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard<T>> {
        // Nothing in here panics half way.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shard<T> {
    pub(crate) fn find(&self, hash: IdHash, is_it: impl Fn(&T) -> bool) -> Option<Name> {
        let slab = &self.slab;
        let slot = self.table.get(hash.fragment(), |slot| slab.get(slot).is_some_and(&is_it))?;
        Some(Name::new(hash.shard(), slot))
    }

    /// Puts a value under a hash of this shard; `None` when all numbers are taken.
    pub(crate) fn insert(&mut self, hash: IdHash, value: T) -> Option<Name> {
        let slot = self.slab.insert(value)?;
        self.table.insert(hash.fragment(), slot);
        Some(Name::new(hash.shard(), slot))
    }

    /// Lets a value be found by its hash no more. Its name stays its own.
    pub(crate) fn hide(&mut self, hash: IdHash, name: Name) -> bool {
        self.table.remove(hash.fragment(), name.slot())
    }

    /// Removes a value that is hidden; its name may be given to another.
    pub(crate) fn free(&mut self, name: Name) -> Option<T> {
        self.slab.remove(name.slot())
    }

    pub(crate) fn get(&self, name: Name) -> Option<&T> {
        self.slab.get(name.slot())
    }

    pub(crate) fn get_mut(&mut self, name: Name) -> Option<&mut T> {
        self.slab.get_mut(name.slot())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_shard_and_slot() {
        for (shard, slot) in [(0, 0), (255, 0), (0, (1 << 24) - 1), (255, (1 << 24) - 1), (3, 9)] {
            let name = Name::new(shard, slot);
            assert_eq!((name.shard(), name.slot()), (usize::from(shard), slot));
        }
    }
}
