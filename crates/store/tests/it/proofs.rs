//! Whatever is not the block is refused, and changes nothing (threats B2, B5).

use antiphon_store::{BlobTree, ProofCursor, Put, PutError, Store, VerifyError};
use antiphon_types::{BlobId, BlobSize};
use proptest::prelude::*;

use crate::folder::{Sample, open};

fn begun(folder: &std::path::Path, sample: &Sample) -> Store {
    let store = open(folder);
    store.begin(sample.id(), sample.size()).unwrap();
    store
}

#[test]
fn another_blocks_data_or_proof_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 9 * 16_384);
    let store = begun(folder.path(), &sample);
    for block in 0..9 {
        for other in (0..9).filter(|&other| other != block) {
            for (proof, data) in [(other, block), (block, other), (other, other)] {
                if data == block && sample.proof(proof) == sample.proof(block) {
                    continue; // the two halves of one pair have the same proof
                }
                let (proof, data) = (sample.proof(proof), sample.block(data));
                let refused = store.put(sample.id(), block, &proof, data);
                assert!(matches!(refused, Err(PutError::Unverified)));
            }
        }
    }
    assert!(store.blocks(sample.id()).unwrap().is_empty());
}

#[test]
fn a_block_already_there_is_verified_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 40_000);
    let store = begun(folder.path(), &sample);
    assert_eq!(sample.put(&store, 1), Put::Stored);
    assert_eq!(sample.put(&store, 1), Put::AlreadyThere);
    let wrong = store.put(sample.id(), 1, &sample.proof(1), sample.block(0));
    assert!(matches!(wrong, Err(PutError::Unverified)));
}

#[test]
fn true_bytes_under_an_id_that_is_not_theirs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let chosen = BlobId::new([0x66; 32]);
    for len in [10_000, 40_000] {
        let sample = Sample::new(1, len);
        store.begin(chosen, sample.size()).unwrap();
        let refused = store.put(chosen, 0, &sample.proof(0), sample.block(0));
        assert!(matches!(refused, Err(PutError::Unverified)));
    }
}

#[test]
fn wrong_numbers_and_lengths_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 40_000);
    let store = begun(folder.path(), &sample);
    let data = sample.block(2);
    let put = |block, data: &[u8]| store.put(sample.id(), block, &sample.proof(2), data);
    assert!(matches!(put(3, data), Err(PutError::OutOfRange)));
    assert!(matches!(put(u32::MAX, data), Err(PutError::OutOfRange)));
    assert!(matches!(put(2, &data[1..]), Err(PutError::WrongLength)));
    assert!(matches!(put(2, &[]), Err(PutError::WrongLength)));
    let other = store.put(BlobId::new([0; 32]), 2, &[], data);
    assert!(matches!(other, Err(PutError::NotBegun)));
    assert!(put(2, data).is_ok());
}

#[test]
fn a_lie_about_the_size_proves_nothing_at_the_wrong_place() {
    let sample = Sample::new(1, 8 * 16_384);
    for blocks in [4, 5, 7, 9, 16] {
        let size = BlobSize::new(blocks * 16_384).unwrap();
        let mut tree = BlobTree::new(sample.id(), size);
        for (at, block) in (0..8).flat_map(|at| (0..8).map(move |block| (at, block))) {
            let accepted = tree.accept(at, &sample.proof(block), sample.block(block));
            assert!(accepted.is_err() || at == block);
        }
        assert_eq!(sample.proof(7).len(), 3 * 64);
        assert!(tree.accept(7, &sample.proof(7), sample.block(7)).is_err() || blocks == 8);
    }
}

#[test]
fn what_was_sent_is_not_sent_again() {
    let sample = Sample::new(1, 64 * 16_384);
    let mut cursor = ProofCursor::new();
    let proofs: Vec<_> =
        (0..64).map(|block| sample.tree.proof(block, &mut cursor).unwrap()).collect();
    assert_eq!(proofs.concat().len(), 63 * 64, "each pair once");
    let mut receiver = BlobTree::new(sample.id(), sample.size());
    for (block, proof) in (0..).zip(&proofs) {
        receiver.accept(block, proof, sample.block(block)).unwrap();
    }
    let mut stranger = BlobTree::new(sample.id(), sample.size());
    let lacking = stranger.accept(63, &proofs[63], sample.block(63));
    assert_eq!(lacking, Err(VerifyError::Unverified), "it has not got what was left out");
}

#[test]
fn a_cursor_of_another_blob_begins_anew() {
    let (one, two) = (Sample::new(1, 100_000), Sample::new(2, 100_000));
    let mut cursor = ProofCursor::new();
    one.tree.proof(0, &mut cursor).unwrap();
    assert_eq!(two.tree.proof(0, &mut cursor).unwrap(), two.proof(0));
}

#[test]
fn a_partial_blob_proves_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 200_000);
    let store = begun(folder.path(), &sample);
    sample.put(&store, 5);
    let proof = store.proof(sample.id(), 5, &mut ProofCursor::new()).unwrap();
    assert_eq!(proof, Some(sample.proof(5)));
    // The hash of block 4 came with the proof of 5; the block itself did not.
    assert_eq!(store.proof(sample.id(), 4, &mut ProofCursor::new()).unwrap(), None);
    assert_eq!(store.proof(sample.id(), 99, &mut ProofCursor::new()).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_order_with_one_cursor_fills_the_tree(
        len in 1_usize..40 * 16_384,
        seed: u64,
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..80),
    ) {
        let sample = Sample::new(seed, len);
        let mut receiver = BlobTree::new(sample.id(), sample.size());
        let mut cursor = ProofCursor::new();
        for block in order {
            let block = block.index(sample.blocks() as usize) as u32;
            let proof = sample.tree.proof(block, &mut cursor).unwrap();
            prop_assert_eq!(receiver.accept(block, &proof, sample.block(block)), Ok(()));
            let proof = receiver.proof(block, &mut ProofCursor::new());
            prop_assert_eq!(proof, Some(sample.proof(block)));
        }
    }

    #[test]
    fn no_altered_proof_or_data_is_accepted(
        len in 1_usize..20 * 16_384,
        known: prop::sample::Index,
        block: prop::sample::Index,
        bit: prop::sample::Index,
        cut in 0_usize..200,
        in_data: bool,
    ) {
        let sample = Sample::new(7, len);
        let block = block.index(sample.blocks() as usize) as u32;
        let known = known.index(sample.blocks() as usize) as u32;
        let mut tree = BlobTree::new(sample.id(), sample.size());
        tree.accept(known, &sample.proof(known), sample.block(known)).unwrap();

        let (mut proof, mut data) = (sample.proof(block), sample.block(block).to_vec());
        let altered = if in_data || proof.is_empty() { &mut data } else { &mut proof };
        let bit = bit.index(altered.len() * 8);
        altered[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(tree.accept(block, &proof, &data), Err(VerifyError::Unverified));

        // Of a proof whose beginning is left out, only what is not known is missed.
        let proof = sample.proof(block);
        let cut = cut.min(proof.len());
        if tree.accept(block, &proof[cut..], sample.block(block)).is_ok() {
            prop_assert_eq!(cut % 64, 0);
        }
        let long = [&proof[..], &[0; 64]].concat();
        prop_assert_eq!(
            tree.accept(block, &long, sample.block(block)),
            Err(VerifyError::Unverified)
        );
    }
}
