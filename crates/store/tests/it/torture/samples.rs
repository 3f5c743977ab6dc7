//! The blobs of the torture: made once, with the proof of every block.

use std::sync::OnceLock;

use antiphon_types::{BLOCK_BYTES, BlobId, BlobSize};

use crate::folder::Sample;

/// From a byte to forty blocks.
const LENGTHS: [usize; 8] = [1, 100, 16_384, 16_385, 70_000, 150_000, 330_000, 655_000];

/// A blob, with what is needed to put it.
pub(crate) struct Whole {
    sample: Sample,
    proofs: Vec<Vec<u8>>,
}

/// All of them.
pub(crate) fn all() -> &'static [Whole] {
    static SAMPLES: OnceLock<Vec<Whole>> = OnceLock::new();
    SAMPLES.get_or_init(|| (100..).zip(LENGTHS).map(|(seed, len)| Whole::new(seed, len)).collect())
}

impl Whole {
    pub(crate) fn new(seed: u64, len: usize) -> Self {
        let sample = Sample::new(seed, len);
        let proofs = (0..sample.blocks()).map(|block| sample.proof(block)).collect();
        Self { sample, proofs }
    }

    pub(crate) fn id(&self) -> BlobId {
        self.sample.id()
    }

    pub(crate) fn size(&self) -> BlobSize {
        self.sample.size()
    }

    /// The name of its file.
    pub(crate) fn file(&self) -> String {
        format!("{}.blob", self.id())
    }

    pub(crate) fn blocks(&self) -> u32 {
        self.sample.blocks()
    }

    pub(crate) fn block(&self, block: u32) -> &[u8] {
        self.sample.block(block)
    }

    pub(crate) fn proof(&self, block: u32) -> &[u8] {
        &self.proofs[block as usize]
    }

    /// Bytes on disk that come before the blocks in its file (`FORMAT.md`).
    pub(crate) fn head_bytes(&self) -> u64 {
        let blocks = u64::from(self.blocks());
        ((64 + blocks.div_ceil(8)).next_multiple_of(64) + 64 * (blocks - 1)).next_multiple_of(4096)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.size().bytes()
    }

    /// Bytes of some of its blocks.
    pub(crate) fn bytes_of(&self, blocks: impl Iterator<Item = u32>) -> u64 {
        blocks.map(|block| self.block(block).len() as u64).sum()
    }
}

/// Bytes that a block has at most.
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;
