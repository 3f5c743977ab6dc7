//! Our proofs and trees against `bao-tree`'s encoder, decoder and outboard.

use antiphon_store::{BlobTree, Origin, ProofCursor};
use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::{decode_ranges, encode_ranges_validated};
use bao_tree::{BlockSize, ChunkNum, ChunkRanges};
use proptest::prelude::*;

use crate::folder::Sample;

const BLOCK: BlockSize = BlockSize::from_chunk_log(4);

fn chunks(blocks: &[u32]) -> ChunkRanges {
    blocks.iter().fold(ChunkRanges::empty(), |ranges, &block| {
        let start = u64::from(block) * 16;
        ranges | ChunkRanges::from(ChunkNum(start)..ChunkNum(start + 16))
    })
}

/// Proofs and data as one response carries them.
fn response(sample: &Sample, blocks: &[u32]) -> Vec<u8> {
    let mut cursor = ProofCursor::new();
    let mut stream = Vec::new();
    for &block in blocks {
        stream.extend(sample.tree.proof(block, &mut cursor).unwrap());
        stream.extend_from_slice(sample.block(block));
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn blocks_in_order_are_the_encoding_of_bao_tree(
        len in 1_usize..40 * 16_384,
        seed: u64,
        chosen: u64,
    ) {
        let sample = Sample::new(seed, len);
        let blocks: Vec<u32> =
            (0..sample.blocks()).filter(|block| chosen >> (block % 64) & 1 == 1).collect();
        prop_assume!(!blocks.is_empty());
        let outboard = PreOrderMemOutboard::create(&sample.bytes, BLOCK);
        prop_assert_eq!(antiphon_types::BlobId::new(outboard.root.into()), sample.id());
        let mut theirs = Vec::new();
        encode_ranges_validated(&sample.bytes[..], &outboard, &chunks(&blocks), &mut theirs)
            .unwrap();
        let ours = response(&sample, &blocks);
        prop_assert!(ours == theirs);

        let mut decoded = vec![0; len];
        let mut filled = PreOrderMemOutboard { data: vec![0; outboard.data.len()], ..outboard };
        decode_ranges(&ours[..], &chunks(&blocks), &mut decoded[..], &mut filled).unwrap();
        for block in blocks {
            let start = block as usize * 16_384;
            prop_assert_eq!(&decoded[start..][..sample.block(block).len()], sample.block(block));
        }
    }
}

#[test]
fn the_origin_keeps_the_outboard_of_bao_tree() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 123_456);
    Origin::open(folder.path()).unwrap().add(&sample.bytes).unwrap();
    let kept = std::fs::read(folder.path().join(format!("{}.obao4", sample.id()))).unwrap();
    let theirs = PreOrderMemOutboard::create(&sample.bytes, BLOCK);
    assert_eq!(kept, theirs.into_inner_with_prefix());
}

#[test]
fn plain_hashing_gives_the_same_root_for_every_shape() {
    for blocks in 1..70_usize {
        for len in [blocks * 16_384 - 16_383, blocks * 16_384 - 1, blocks * 16_384] {
            let bytes = vec![blocks as u8; len];
            let tree = BlobTree::of(&bytes).unwrap();
            assert_eq!(tree.blob().as_bytes(), blake3::hash(&bytes).as_bytes());
        }
    }
}
