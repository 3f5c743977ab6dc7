//! Blocks and their proofs from strangers.

use std::sync::OnceLock;

use antiphon_store::{BlobTree, ProofCursor};
use antiphon_types::BLOCK_BYTES;

use crate::script::Script;

/// Blobs of so many bytes: one block, an odd last one, a tree that is full and
/// one that is not.
const SIZES: [usize; 5] = [1, 16_384, 3 * 16_384 + 1, 4 * 16_384, 11 * 16_384 + 5_000];

/// A block is accepted only if it is the true one, whatever comes with it and
/// has come before; what was accepted can be proven to others; and nothing
/// that was refused keeps the true blocks out.
///
/// Input: which blob (one byte), then blocks, see `step`.
pub fn proofs(data: &[u8]) {
    let mut script = Script::new(data);
    let blob = script.choose(blobs());
    let mut receiver = BlobTree::new(blob.tree.blob(), blob.tree.size());
    let mut cursor = ProofCursor::new();
    while !script.is_over() {
        step(&mut script, blob, &mut receiver, &mut cursor);
    }
    for block in 0..blob.tree.size().block_count() {
        let proof = blob.proof(block, &mut ProofCursor::new());
        assert_eq!(receiver.accept(block, &proof, blob.block(block)), Ok(()), "poisoned");
    }
}

struct Blob {
    bytes: Vec<u8>,
    tree: BlobTree,
}

impl Blob {
    fn block(&self, block: u32) -> &[u8] {
        let start = (block * BLOCK_BYTES) as usize;
        &self.bytes[start..self.bytes.len().min(start + BLOCK_BYTES as usize)]
    }

    fn proof(&self, block: u32, cursor: &mut ProofCursor) -> Vec<u8> {
        self.tree.proof(block, cursor).expect("it knows all")
    }
}

fn blobs() -> &'static [&'static Blob] {
    static BLOBS: OnceLock<Vec<&Blob>> = OnceLock::new();
    BLOBS.get_or_init(|| SIZES.into_iter().map(|size| &*Box::leak(Box::new(blob(size)))).collect())
}

fn blob(size: usize) -> Blob {
    // Two blocks that are equal are a case of their own.
    let bytes: Vec<u8> = (0..size).map(|at| [1, 2, 1, 3][at / 16_384 % 4]).collect();
    let tree = BlobTree::of(&bytes).expect("it is not empty");
    Blob { bytes, tree }
}

/// One block, with its proof or another, whole or altered.
fn step(script: &mut Script<'_>, blob: &Blob, receiver: &mut BlobTree, cursor: &mut ProofCursor) {
    let block_count = blob.tree.size().block_count();
    let claimed = u32::from(script.byte()) % (block_count + 2);
    let sent = u32::from(script.byte()) % block_count;
    let how = script.byte();
    let mut proof = match how % 4 {
        0 => blob.proof(sent, &mut ProofCursor::new()),
        1 => blob.proof(sent, cursor),
        2 => script.piece().to_vec(),
        _ => Vec::new(),
    };
    let mut data = blob.block(sent).to_vec();
    match how / 4 % 8 {
        0 => data = script.long_piece().to_vec(),
        1 => alter(script, &mut data),
        2 => alter(script, &mut proof),
        3 => proof.truncate(script.below(proof.len())),
        4 => proof.extend(script.piece()),
        5 => {
            let first = 64.min(proof.len());
            proof.rotate_left(first);
        }
        _ => {}
    }
    let accepted = receiver.accept(claimed, &proof, &data).is_ok();
    if accepted {
        assert!(claimed < block_count && data == blob.block(claimed), "a false block was accepted");
        let proof = receiver.proof(claimed, &mut ProofCursor::new());
        assert_eq!(proof, Some(blob.proof(claimed, &mut ProofCursor::new())));
    }
}

fn alter(script: &mut Script<'_>, bytes: &mut [u8]) {
    let place = script.below(bytes.len());
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= script.byte();
    }
}
