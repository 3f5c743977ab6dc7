//! The blobs that all keepers are given: what they are, and which there are.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use antiphon_store::{BlobTree, ProofCursor};
use antiphon_types::{BLOCK_BYTES, BlobId, BlobSize};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::Result;

/// Seed of the sizes and bytes of all blobs, each with its number added.
const SEED: u64 = 0x73_746f_7265;
/// A track has at most so many bytes.
const MOST_BYTES: u64 = 12_000_000;
/// The shortest and the longest track, in seconds.
const SECONDS: (u64, u64) = (120, 480);
/// Bytes of a second of a track, at 96, 160 and 320 kbit/s.
const BYTES_PER_SECOND: [u64; 3] = [12_000, 20_000, 40_000];

/// A blob that is to be kept: random bytes, as ciphertext is.
pub(super) struct Source {
    pub(super) id: BlobId,
    pub(super) size: BlobSize,
    pub(super) bytes: Vec<u8>,
    /// The proof of each block, as one response would carry them.
    pub(super) proofs: Vec<Vec<u8>>,
}

impl Source {
    /// The blob of a number, the same each time; of a given size, or of one
    /// that tracks have.
    pub(super) fn make(number: usize, bytes: Option<u64>) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(SEED + number as u64);
        let track = track_bytes(&mut random);
        let mut bytes = vec![0; usize::try_from(bytes.unwrap_or(track))?];
        random.fill_bytes(&mut bytes);

        let tree = BlobTree::of(&bytes).ok_or("a blob has bytes")?;
        let mut cursor = ProofCursor::new();
        let blocks = tree.size().all().iter();
        let proofs = blocks.map(|block| tree.proof(block, &mut cursor).ok_or("the tree is whole"));
        let proofs = proofs.collect::<std::result::Result<_, _>>()?;
        Ok(Self { id: tree.blob(), size: tree.size(), bytes, proofs })
    }

    /// The bytes of a block.
    pub(super) fn block(&self, block: u32) -> &[u8] {
        let start = block as usize * BLOCK_BYTES as usize;
        &self.bytes[start..self.bytes.len().min(start + BLOCK_BYTES as usize)]
    }
}

fn track_bytes(random: &mut StdRng) -> u64 {
    let per_second = BYTES_PER_SECOND[random.random_range(0..BYTES_PER_SECOND.len())];
    let longest = SECONDS.1.min(MOST_BYTES / per_second);
    // Less than a second more or less: hardly any track ends where a block does.
    per_second * random.random_range(SECONDS.0..=longest) - random.random_range(0..per_second)
}

/// A blob that the set has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) id: BlobId,
    pub(super) size: BlobSize,
}

/// The blobs of a folder, in the order in which they were filled.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) members: Vec<Member>,
}

impl Set {
    /// The set that was saved in a folder.
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let text = match fs::read_to_string(list(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err("there are no blobs in the folder: fill it first".into());
            }
            text => text?,
        };
        let members = text.lines().map(|line| {
            let (id, size) = line.split_once(' ').ok_or("the list of blobs is no such list")?;
            Ok(Member { id: id.parse()?, size: BlobSize::new(size.parse()?)? })
        });
        Ok(Self { members: members.collect::<Result<_>>()? })
    }

    /// Adds a blob that all keepers now have.
    pub(super) fn add(&mut self, source: &Source) {
        self.members.push(Member { id: source.id, size: source.size });
    }

    /// Writes the list of the blobs, an id and a size in each line.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let lines = self.members.iter();
        let lines: String =
            lines.map(|Member { id, size }| format!("{id} {}\n", size.bytes())).collect();
        Ok(fs::write(list(folder), lines)?)
    }

    /// Bytes of all blobs.
    pub(super) fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.size.bytes()).sum()
    }

    /// Blocks of all blobs.
    pub(super) fn block_count(&self) -> u64 {
        self.members.iter().map(|member| u64::from(member.size.block_count())).sum()
    }
}

fn list(folder: &Path) -> PathBuf {
    folder.join("set")
}
