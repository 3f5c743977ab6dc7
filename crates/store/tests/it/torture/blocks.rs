//! Blocks that are not what they are said to be (B1, B2, B5).

use antiphon_store::{BlobTree, Config, ProofCursor, Put, PutError, Store, VerifyError};

use super::disk::SimDisk;
use super::samples::{self, Whole};
use super::world::FOLDER;

fn store() -> Store {
    let disk = SimDisk::new(0);
    Store::open_on(disk.arc(), FOLDER.as_ref(), Config::default()).unwrap()
}

/// A blob of ten blocks, begun.
fn begun(store: &Store) -> &'static Whole {
    let blob = &samples::all()[5];
    store.begin(blob.id(), blob.size()).unwrap();
    blob
}

fn put(store: &Store, blob: &Whole, block: u32) -> Put {
    store.put(blob.id(), block, blob.proof(block), blob.block(block)).unwrap()
}

#[test]
fn b1_wrong_bytes_are_refused_and_change_nothing() {
    let store = store();
    let blob = begun(&store);
    put(&store, blob, 2);
    let before = (store.status(), store.blocks(blob.id()));
    for bit in (0..blob.block(3).len() * 8).step_by(1001) {
        let mut data = blob.block(3).to_vec();
        data[bit / 8] ^= 1 << (bit % 8);
        let error = store.put(blob.id(), 3, blob.proof(3), &data).unwrap_err();
        assert!(matches!(error, PutError::Unverified), "{error}");
    }
    assert_eq!((store.status(), store.blocks(blob.id())), before);
    assert_eq!(store.read(blob.id(), 3).unwrap(), None);
    assert_eq!(put(&store, blob, 3), Put::Stored, "the next to send it is believed");
}

#[test]
fn b2_a_true_block_is_refused_at_another_place_or_by_another_proof() {
    let store = store();
    let blob = begun(&store);
    for block in 0..blob.blocks() {
        for other in (0..blob.blocks()).filter(|other| *other != block) {
            let moved = store.put(blob.id(), other, blob.proof(block), blob.block(block));
            assert!(matches!(moved, Err(PutError::Unverified | PutError::WrongLength)));
            let proofs = (blob.proof(other), blob.proof(block));
            if proofs.0 != proofs.1 {
                let proven = store.put(blob.id(), block, proofs.0, blob.block(block));
                assert!(matches!(proven, Err(PutError::Unverified)), "{block} by {other}");
            }
        }
        let beyond =
            store.put(blob.id(), block + blob.blocks(), blob.proof(block), blob.block(block));
        assert!(matches!(beyond, Err(PutError::OutOfRange)));
    }
    assert_eq!(store.blocks(blob.id()).unwrap().len(), 0);
}

#[test]
fn b2_every_bit_of_a_proof_counts() {
    let blob = &samples::all()[5];
    let proof = blob.proof(6);
    for bit in 0..proof.len() * 8 {
        let mut bad = proof.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut tree = BlobTree::new(blob.id(), blob.size());
        assert_eq!(tree.accept(6, &bad, blob.block(6)), Err(VerifyError::Unverified));
        // Nothing of it was believed.
        assert_eq!(tree.accept(6, &[], blob.block(6)), Err(VerifyError::Unverified));
        assert_eq!(tree.accept(6, proof, blob.block(6)), Ok(()));
    }
}

#[test]
fn b5_what_one_blob_proved_says_nothing_of_another() {
    let store = store();
    let blob = begun(&store);
    for block in 0..blob.blocks() {
        put(&store, blob, block);
    }
    // An id of the attacker's choice, with the same size and the same blocks.
    let chosen = antiphon_store::hash(b"chosen");
    store.begin(chosen, blob.size()).unwrap();
    for block in 0..blob.blocks() {
        let taken = store.put(chosen, block, blob.proof(block), blob.block(block));
        assert!(matches!(taken, Err(PutError::Unverified)));
        assert_eq!(store.read(chosen, block).unwrap(), None);
        assert_eq!(store.proof(chosen, block, &mut ProofCursor::new()).unwrap(), None);
    }
    assert!(store.is_complete(blob.id()) && !store.is_complete(chosen));
}
