//! Blocks that the disk would not take.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::blob::Blob;
use crate::sync::{Mutex, lock};

/// How much of all blobs is in memory alone, within a bound: what came first
/// goes first, since it was played first.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    used: u64,
    next: Ticket,
    blocks: BTreeMap<Ticket, Block>,
}

#[derive(Debug)]
struct Block {
    blob: Weak<Blob>,
    block: u32,
    bytes: u64,
}

/// What a block in memory is released by; tickets grow.
pub(crate) type Ticket = u64;

/// A block that had to go, and has been released.
#[derive(Debug)]
pub(crate) struct Displaced {
    pub(crate) blob: Arc<Blob>,
    pub(crate) block: u32,
    pub(crate) ticket: Ticket,
}

impl Memory {
    /// Room for `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// Bytes that there is room for.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        lock(&self.kept).used
    }

    /// Room for a block, with the blocks that have to go for it; none if there
    /// can be no room.
    pub(crate) fn admit(
        &self,
        blob: &Arc<Blob>,
        block: u32,
        bytes: u64,
    ) -> Option<(Ticket, Vec<Displaced>)> {
        if bytes > self.limit {
            return None;
        }
        let mut kept = lock(&self.kept);
        let mut gone = Vec::new();
        while kept.used + bytes > self.limit {
            let (ticket, oldest) = kept.blocks.pop_first()?;
            kept.used -= oldest.bytes;
            let blob = oldest.blob.upgrade();
            gone.extend(blob.map(|blob| Displaced { blob, block: oldest.block, ticket }));
        }
        let ticket = kept.next;
        kept.next += 1;
        kept.used += bytes;
        kept.blocks.insert(ticket, Block { blob: Arc::downgrade(blob), block, bytes });
        Some((ticket, gone))
    }

    /// Whether a block still has its room.
    pub(crate) fn has(&self, ticket: Ticket) -> bool {
        lock(&self.kept).blocks.contains_key(&ticket)
    }

    /// Gives the room of a block back.
    pub(crate) fn release(&self, ticket: Ticket) {
        let mut kept = lock(&self.kept);
        if let Some(block) = kept.blocks.remove(&ticket) {
            kept.used -= block.bytes;
        }
    }
}
