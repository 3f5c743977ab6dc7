//! `antiphon-store`.

use std::ops::Range;
use std::path::Path;

use antiphon_store::{Config, Store};
use bytes::Bytes;

use super::keeper::Keeper;
use super::set::{Member, Source};
use crate::Result;

/// The folder of the store in that of a set.
pub(super) const FOLDER: &str = "ours";

/// The store, as its default is but for the budget: no set is evicted.
pub(super) fn open(folder: &Path) -> Result<Store> {
    let config = Config { budget_bytes: Some(u64::MAX / 2), ..Config::default() };
    Ok(Store::open(&folder.join(FOLDER), config)?)
}

/// Ours: every block is verified on its way in and on its way out.
pub(super) struct Ours {
    store: Store,
    members: Vec<Member>,
    last: Bytes,
}

impl Ours {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self { store: open(folder)?, members: Vec::new(), last: Bytes::new() })
    }
}

impl Keeper for Ours {
    fn begin(&mut self, source: &Source) -> Result<()> {
        Ok(self.store.begin(source.id, source.size)?)
    }

    fn put(&mut self, source: &Source, blocks: Range<u32>) -> Result<()> {
        for block in blocks {
            let proof = &source.proofs[block as usize];
            self.store.put(source.id, block, proof, source.block(block))?;
        }
        Ok(())
    }

    fn sync(&mut self, source: &Source) -> Result<()> {
        Ok(self.store.sync(source.id)?)
    }

    fn ready_to_read(&mut self, members: &[Member]) -> Result<()> {
        self.members = members.to_vec();
        Ok(())
    }

    fn read(&mut self, member: usize, block: u32) -> Result<&[u8]> {
        let found = self.store.read(self.members[member].id, block)?;
        self.last = found.ok_or("the store lacks a block")?;
        Ok(&self.last)
    }
}
