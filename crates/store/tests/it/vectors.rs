//! The official BLAKE3 test vectors (CC0): roots of our trees are the hashes.

use antiphon_store::{BlobTree, ProofCursor};
use antiphon_types::{BlobId, BlobSize};
use serde_json::Value;

const VECTORS: &str = include_str!("../vectors/blake3-official-test-vectors.json");

#[test]
fn every_block_leads_to_the_published_hash() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 35);
    for case in cases {
        let len = case["input_len"].as_u64().unwrap();
        let hash: BlobId = case["hash"].as_str().unwrap()[..64].parse().unwrap();
        let input: Vec<u8> = (0..=250).cycle().take(len as usize).collect();
        assert_eq!(antiphon_store::hash(&input), hash);
        let Ok(size) = BlobSize::new(len) else {
            assert!(BlobTree::of(&input).is_none(), "the empty input is no blob");
            continue;
        };
        let source = BlobTree::of(&input).unwrap();
        let mut tree = BlobTree::new(hash, size);
        let mut cursor = ProofCursor::new();
        for (block, data) in (0..).zip(input.chunks(16_384)) {
            let proof = source.proof(block, &mut cursor).unwrap();
            assert_eq!(tree.accept(block, &proof, data), Ok(()), "{len} bytes, block {block}");
        }
    }
}
