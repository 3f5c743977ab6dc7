//! What a store is told, and what it tells of itself.

use std::time::SystemTime;

use antiphon_types::{BlobId, BlobSize};

use crate::policy::PolicyKind;

/// How much a [`Store`](crate::Store) may take.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bytes on disk, blobs and their hashes together. Default: none, which is a
    /// tenth of the disk that is free but for the store, at least 50 MB and at
    /// most 10 GB, looked up anew whenever a blob is begun (B50).
    pub budget_bytes: Option<u64>,
    /// Whether opening evicts what is over the budget. Default: true. Without,
    /// it stays until room is made for something new, or until the next flush:
    /// for those who only look.
    pub evict_on_open: bool,
    /// Blobs whose files stay open. Default: half of the files that the process
    /// may have open, between 64 and 4096; opening one again costs some ten
    /// microseconds.
    pub open_blobs: usize,
    /// Bytes of blocks that are kept in memory while the disk is full, may not
    /// be written or fails. Default: 64 MiB, which is 27 minutes at 320 kbit/s.
    /// With 0 such blocks are not kept.
    pub memory_bytes: u64,
    /// Which blobs go when room is needed. A folder may be opened with another
    /// than it was made with. Default: that of [`PolicyKind`].
    pub policy: PolicyKind,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget_bytes: None,
            evict_on_open: true,
            open_blobs: files_to_have_open(),
            memory_bytes: 64 << 20,
            policy: PolicyKind::default(),
        }
    }
}

#[cfg(unix)]
fn files_to_have_open() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = limit.map_or(u64::MAX, |limit| limit / 2).clamp(64, 4096);
    usize::try_from(half).unwrap_or(64)
}

#[cfg(not(unix))]
fn files_to_have_open() -> usize {
    // The C library of Windows has 512; files opened without it have no limit.
    512
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Bytes on disk, blobs and their hashes together.
    pub bytes: u64,
    /// How many it may have.
    pub budget: u64,
    /// Blobs, whole or in part.
    pub blobs: usize,
    /// Bytes of those that are pinned.
    pub pinned_bytes: u64,
    /// Bytes of blocks that are in memory alone.
    pub memory_bytes: u64,
    /// What is wrong with the disk, if the last that was to be written was not:
    /// what happened, to which file, and what to do.
    pub trouble: Option<String>,
    /// Blocks dropped since opening, because they were found damaged or
    /// without proof, or could not be made durable.
    pub damaged_blocks: u64,
    /// Blocks that the disk did not give since opening. They count as missing
    /// until they are put again or the store is opened again.
    pub unreadable_blocks: u64,
    /// Blobs left alone because a later version of this crate wrote them.
    pub refused_blobs: usize,
}

/// What [`Store::verify`](crate::Store::verify) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks that were claimed to be there.
    pub blocks: u64,
    /// Of these, how many were damaged. They are dropped.
    pub damaged: u64,
    /// Of these, how many could not be read. They count as missing until the
    /// store is opened again.
    pub unreadable: u64,
    /// The blobs that these are of, the most recently used first.
    pub affected: Vec<Affected>,
}

/// A blob of which [`Store::verify`](crate::Store::verify) found blocks damaged
/// or unreadable; one of the two counts is greater than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affected {
    /// Its id.
    pub blob: BlobId,
    /// How many of its blocks were damaged.
    pub damaged: u64,
    /// How many could not be read.
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
