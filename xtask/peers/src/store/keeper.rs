//! What every keeper of blobs does, so that all are measured alike.

use std::ops::Range;

use super::set::{Member, Source};
use crate::Result;

/// Keeps blobs in a folder of its own.
pub(super) trait Keeper {
    /// Prepares for the blocks of a blob.
    fn begin(&mut self, source: &Source) -> Result<()>;

    /// Takes some blocks of the blob that was begun last.
    fn put(&mut self, source: &Source, blocks: Range<u32>) -> Result<()>;

    /// Makes all that was put outlive a power cut.
    fn sync(&mut self, source: &Source) -> Result<()>;

    /// Prepares for reading any of these blobs, by their place in the list.
    fn ready_to_read(&mut self, members: &[Member]) -> Result<()>;

    /// The bytes of a block, in memory.
    fn read(&mut self, member: usize, block: u32) -> Result<&[u8]>;
}
