//! Blobs and their blocks.

use std::ops::Range;

/// Size of a block in bytes; the last block of a blob may be shorter (B23).
pub const BLOCK_BYTES: u32 = 16 * 1024;

/// The largest blob: 2^31 blocks would overflow nothing, but a rendition of
/// 24 hours at 320 kbit/s has 3.5 GB, and whatever claims more is hostile.
const MAX_BLOB_BYTES: u64 = 1 << 36;

/// Why a length is not the length of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a blob has 1 to {MAX_BLOB_BYTES} bytes, not {0}")]
pub struct BlobSizeError(pub u64);

/// The length of a blob, and with it its division into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobSize(u64);

impl BlobSize {
    /// A blob of `bytes` bytes, 1 to 2^36.
    pub const fn new(bytes: u64) -> Result<Self, BlobSizeError> {
        if bytes == 0 || bytes > MAX_BLOB_BYTES {
            return Err(BlobSizeError(bytes));
        }
        Ok(Self(bytes))
    }

    /// Length in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Number of blocks, at least 1.
    #[expect(clippy::cast_possible_truncation, reason = "2^36 / 2^14 fits")]
    pub const fn block_count(self) -> u32 {
        self.0.div_ceil(BLOCK_BYTES as u64) as u32
    }

    /// The `index`-th block, if there is one.
    pub const fn block(self, index: u32) -> Option<BlockIndex> {
        if index < self.block_count() { Some(BlockIndex(index)) } else { None }
    }

    /// The block that holds the byte at `offset`, if there is one.
    pub fn block_at(self, offset: u64) -> Option<BlockIndex> {
        u32::try_from(offset / u64::from(BLOCK_BYTES)).ok().and_then(|index| self.block(index))
    }

    /// Length of a block in bytes: [`BLOCK_BYTES`], or less for the last.
    #[expect(clippy::cast_possible_truncation, reason = "at most BLOCK_BYTES")]
    pub fn block_bytes(self, block: BlockIndex) -> u32 {
        self.0.saturating_sub(block.offset()).min(u64::from(BLOCK_BYTES)) as u32
    }

    /// All blocks in order.
    pub fn blocks(self) -> impl DoubleEndedIterator<Item = BlockIndex> + ExactSizeIterator {
        (0..self.block_count()).map(BlockIndex)
    }

    /// All blocks as a range.
    pub const fn all(self) -> BlockRange {
        BlockRange { start: 0, end: self.block_count() }
    }
}

/// A block of a blob. Only a [`BlobSize`] issues one, so it was in range for
/// that blob when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(u32);

impl BlockIndex {
    /// The number of blocks before this one.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Offset of its first byte in the blob.
    pub const fn offset(self) -> u64 {
        self.0 as u64 * BLOCK_BYTES as u64
    }
}

/// Consecutive blocks, `start..end`; empty if `start >= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRange {
    /// The first block.
    pub start: u32,
    /// One past the last block.
    pub end: u32,
}

impl BlockRange {
    /// The blocks `start..end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// How many blocks it has.
    pub const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `block` is one of them.
    pub const fn contains(self, block: u32) -> bool {
        self.start <= block && block < self.end
    }

    /// The indices in order.
    pub fn iter(self) -> Range<u32> {
        self.start..self.end
    }
}

/// A set of blocks of one blob: one bit for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSet {
    words: Vec<u64>,
    block_count: u32,
    len: u32,
}

impl BlockSet {
    /// No block of a blob of `size`.
    pub fn empty(size: BlobSize) -> Self {
        let block_count = size.block_count();
        Self { words: vec![0; block_count.div_ceil(64) as usize], block_count, len: 0 }
    }

    /// Every block of a blob of `size`.
    pub fn full(size: BlobSize) -> Self {
        let mut set = Self::empty(size);
        for block in 0..set.block_count {
            set.insert(block);
        }
        set
    }

    /// Adds a block; false if it was there already or is no block of the blob.
    pub fn insert(&mut self, block: u32) -> bool {
        if block >= self.block_count || self.contains(block) {
            return false;
        }
        self.words[block as usize / 64] |= 1 << (block % 64);
        self.len += 1;
        true
    }

    /// Removes a block; false if it was not there.
    pub fn remove(&mut self, block: u32) -> bool {
        if !self.contains(block) {
            return false;
        }
        self.words[block as usize / 64] &= !(1 << (block % 64));
        self.len -= 1;
        true
    }

    /// Whether a block is in the set.
    pub fn contains(&self, block: u32) -> bool {
        block < self.block_count && self.words[block as usize / 64] >> (block % 64) & 1 == 1
    }

    /// How many blocks are in the set.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no block is in the set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every block of the blob is in the set.
    pub fn is_full(&self) -> bool {
        self.len == self.block_count
    }

    /// How many blocks the blob has.
    pub fn block_count(&self) -> u32 {
        self.block_count
    }

    /// The first block at or after `from` that is not in the set.
    pub fn first_missing(&self, from: u32) -> Option<u32> {
        let mut block = from;
        while block < self.block_count {
            let ahead = (self.words[block as usize / 64] >> (block % 64)).trailing_ones();
            if ahead == 0 {
                return Some(block);
            }
            // Bits above the shifted word read as zero, so never leap past it.
            block += ahead.min(64 - block % 64);
        }
        None
    }

    /// The first block at or after `from` that is in the set.
    pub fn first_held(&self, from: u32) -> Option<u32> {
        let mut block = from;
        while block < self.block_count {
            let word = self.words[block as usize / 64] >> (block % 64);
            if word != 0 {
                return Some(block + word.trailing_zeros());
            }
            block += 64 - block % 64;
        }
        None
    }

    /// The blocks in the set, as maximal ranges in order.
    pub fn ranges(&self) -> impl Iterator<Item = BlockRange> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let start = self.first_held(next)?;
            let end = self.first_missing(start).unwrap_or(self.block_count);
            next = end;
            Some(BlockRange { start, end })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_as_long_as_what_is_left() {
        for (bytes, blocks, last) in
            [(1, 1, 1), (16_384, 1, 16_384), (16_385, 2, 1), (163_840, 10, 16_384)]
        {
            let size = BlobSize::new(bytes).unwrap();
            assert_eq!(size.block_count(), blocks);
            assert_eq!(size.block_bytes(size.block(blocks - 1).unwrap()), last);
            assert_eq!(size.block(blocks), None);
            assert_eq!(size.block_at(bytes - 1), size.block(blocks - 1));
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(BlobSize::new(0), Err(BlobSizeError(0)));
        assert_eq!(BlobSize::new(u64::MAX), Err(BlobSizeError(u64::MAX)));
        assert!(BlobSize::new(MAX_BLOB_BYTES).is_ok());
    }

    #[test]
    fn a_set_counts_what_is_in_it() {
        let size = BlobSize::new(200 * u64::from(BLOCK_BYTES)).unwrap();
        let mut set = BlockSet::empty(size);
        assert!(set.insert(63) && set.insert(64) && set.insert(199));
        assert!(!set.insert(64), "twice");
        assert!(!set.insert(200), "beyond the blob");
        assert_eq!(set.len(), 3);
        assert_eq!(
            set.ranges().collect::<Vec<_>>(),
            [BlockRange::new(63, 65), BlockRange::new(199, 200)]
        );
        assert_eq!(set.first_missing(63), Some(65));
        assert!(set.remove(63) && !set.remove(63));
        let full = BlockSet::full(size);
        assert!(full.is_full());
        assert_eq!(full.first_missing(0), None);
        assert_eq!(full.ranges().collect::<Vec<_>>(), [size.all()]);
    }
}
