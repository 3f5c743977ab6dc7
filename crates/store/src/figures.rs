//! What a store is told, and what it tells of itself.

use std::time::SystemTime;

use antiphon_types::{BlobId, BlobSize};

/// How much a [`Store`](crate::Store) may take.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bytes on disk, blobs and their hashes together. Default: none, which is a
    /// tenth of the disk that is free but for the store, at least 50 MB and at
    /// most 10 GB, looked up anew whenever a blob is begun (B50).
    pub budget_bytes: Option<u64>,
    /// Blobs whose files stay open. Default: 256, since a process often may have
    /// no more than 1024 files, sockets included; opening one again costs some
    /// ten microseconds.
    pub open_blobs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { budget_bytes: None, open_blobs: 256 }
    }
}

/// A blob in a [`Store`](crate::Store).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub blob: BlobId,
    /// Its size when complete.
    pub size: BlobSize,
    /// How many of its blocks are there.
    pub blocks_held: u32,
    /// Whether all of them are.
    pub complete: bool,
    /// Whether it is pinned.
    pub pinned: bool,
    /// When it was last played, by the clock of then; it has no say in what is
    /// evicted.
    pub last_play: Option<SystemTime>,
}

/// A [`Store`](crate::Store) in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Bytes on disk, blobs and their hashes together.
    pub bytes: u64,
    /// How many it may have.
    pub budget: u64,
    /// Blobs, whole or in part.
    pub blobs: usize,
    /// Bytes of those that are pinned.
    pub pinned_bytes: u64,
    /// Blocks dropped since opening, because they were found damaged or
    /// without proof, or could not be made durable.
    pub damaged_blocks: u64,
    /// Blobs left alone because a later version of this crate wrote them.
    pub refused_blobs: usize,
}

/// What [`Store::verify`](crate::Store::verify) found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks that were claimed to be there.
    pub blocks: u64,
    /// Of these, how many were damaged. They are dropped.
    pub damaged: u64,
    /// Of these, how many could not be read. They are kept.
    pub unreadable: u64,
}

/// What [`Store::clear`](crate::Store::clear) did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Blobs removed.
    pub blobs: usize,
    /// Bytes they took up.
    pub bytes: u64,
    /// Blobs kept because they are pinned, played or served.
    pub kept: usize,
}
