//! The three BLAKE3 operations that everything else is made of.

use antiphon_types::{BLOCK_BYTES, BlobId};
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// A chaining value of BLAKE3, or the root.
pub(crate) type Hash = [u8; 32];

/// Length of a pair of hashes in bytes.
pub(crate) const PAIR_BYTES: usize = 64;

/// The two hashes of which a node's hash is made: the left, then the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) left: Hash,
    pub(crate) right: Hash,
}

impl Pair {
    /// Takes exactly [`PAIR_BYTES`] bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (left, right) = bytes.split_at_checked(32)?;
        Some(Self { left: left.try_into().ok()?, right: right.try_into().ok()? })
    }

    /// The left hash, then the right.
    pub(crate) fn to_bytes(self) -> [u8; PAIR_BYTES] {
        let mut bytes = [0; PAIR_BYTES];
        bytes[..32].copy_from_slice(&self.left);
        bytes[32..].copy_from_slice(&self.right);
        bytes
    }

    /// The hash of the node that has this pair below it.
    pub(crate) fn parent(&self, is_root: bool) -> Hash {
        if is_root {
            merge_subtrees_root(&self.left, &self.right, Mode::Hash).into()
        } else {
            merge_subtrees_non_root(&self.left, &self.right, Mode::Hash)
        }
    }
}

/// The hash of a block where it stands: the only block of a blob is the root.
///
/// `data` must not be empty and not be longer than a block.
pub(crate) fn block_hash(block_count: u32, block: u32, data: &[u8]) -> Hash {
    if block_count == 1 {
        return blake3::hash(data).into();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(u64::from(block) * u64::from(BLOCK_BYTES));
    hasher.update(data);
    hasher.finalize_non_root()
}

/// The id of the blob that consists of these bytes.
///
/// ```
/// assert_eq!(antiphon_store::hash(b"abc").to_string()[..8], *"6437b3ac");
/// ```
pub fn hash(bytes: &[u8]) -> BlobId {
    BlobId::new(blake3::hash(bytes).into())
}
