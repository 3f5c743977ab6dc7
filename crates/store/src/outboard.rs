//! The whole hash tree of a blob beside it, in the form of `bao-tree`: the
//! blob's length in eight bytes, little-endian, then all pairs in pre-order.

use std::io::{self, Read};

use antiphon_types::{BlobId, BlobSize};
use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync;
use bao_tree::{BaoTree, BlockSize};

use crate::hashing::{PAIR_BYTES, Pair};
use crate::tree::BlobTree;

/// 16 chunks of 1 KiB, which is one block.
const CHUNK_GROUP: BlockSize = BlockSize::from_chunk_log(4);

/// The outboard of a blob was altered, or is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadOutboard;

/// The outboard of a blob of that size, which is read to its end, and its id.
pub(crate) fn encode_from(source: impl Read, size: BlobSize) -> io::Result<(BlobId, Vec<u8>)> {
    let tree = BaoTree::new(size.bytes(), CHUNK_GROUP);
    let bytes = usize::try_from(tree.outboard_size()).map_err(io::Error::other)?;
    let root = blake3::Hash::from([0; 32]);
    let mut outboard = PreOrderMemOutboard { root, tree, data: vec![0; bytes] };
    let root = sync::outboard(source, tree, &mut outboard)?;
    Ok((BlobId::new(root.into()), outboard.into_inner_with_prefix()))
}

/// The outboard of `bytes`; none if they are no blob.
pub(crate) fn encode(bytes: &[u8]) -> Option<Vec<u8>> {
    BlobSize::new(bytes.len() as u64).ok()?;
    Some(PreOrderMemOutboard::create(bytes, CHUNK_GROUP).into_inner_with_prefix())
}

/// The tree that an outboard holds, every pair of it checked.
pub(crate) fn decode(blob: BlobId, outboard: &[u8]) -> Result<BlobTree, BadOutboard> {
    let (length, pairs) = outboard.split_first_chunk::<8>().ok_or(BadOutboard)?;
    let size = BlobSize::new(u64::from_le_bytes(*length)).map_err(|_| BadOutboard)?;
    if pairs.len() as u64 != (u64::from(size.block_count()) - 1) * PAIR_BYTES as u64 {
        return Err(BadOutboard);
    }
    let mut tree = BlobTree::new(blob, size);
    let mut pairs = pairs.chunks_exact(PAIR_BYTES);
    tree.load(|_| pairs.next().and_then(Pair::from_slice));
    if tree.is_complete() { Ok(tree) } else { Err(BadOutboard) }
}
