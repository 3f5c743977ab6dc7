//! The folder of whole blobs.

use std::fs;
use std::io::Cursor;

use antiphon_store::{AddError, Origin, OriginReadError, ProofCursor};

use crate::folder::{Sample, files, open};

#[test]
fn a_blob_is_served_block_by_block_with_proofs() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 250_000);
    let origin = Origin::open(&folder.path().join("origin")).unwrap();
    assert_eq!(origin.add(&sample.bytes).unwrap(), (sample.id(), sample.size()));
    let blob = origin.get(sample.id()).unwrap();
    let store = open(&folder.path().join("store"));
    store.begin(blob.blob(), blob.size()).unwrap();
    let mut cursor = ProofCursor::new();
    for block in 0..sample.blocks() {
        let (proof, data) = (blob.proof(block, &mut cursor), blob.read(block).unwrap());
        store.put(blob.blob(), block, &proof, &data).unwrap();
    }
    assert_eq!(sample.check(&store), sample.blocks());
    let beyond = sample.blocks();
    assert!(
        matches!(blob.read(beyond), Err(OriginReadError::OutOfRange(block)) if block == beyond)
    );
    assert!(blob.proof(beyond, &mut cursor).is_empty());
}

#[test]
fn adding_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 50_000);
    let origin = Origin::open(folder.path()).unwrap();
    let first = origin.add(&sample.bytes).unwrap();
    let modified = |path| fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = files(folder.path()).into_iter().map(modified).collect();
    assert_eq!(origin.add(&sample.bytes).unwrap(), first);
    let after: Vec<_> = files(folder.path()).into_iter().map(modified).collect();
    assert_eq!((after.len(), after), (2, before));
}

#[test]
fn a_blob_out_of_a_file_is_the_same_as_one_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let origin = |name: &str| Origin::open(&folder.path().join(name)).unwrap();
    for bytes in [1, 16 * 1024, 16 * 1024 + 1, 700_000] {
        let sample = Sample::new(bytes as u64, bytes);
        let (memory, file) = (origin("memory"), origin("file"));
        let added = file.add_from(Cursor::new(&sample.bytes)).unwrap();
        assert_eq!(added, memory.add(&sample.bytes).unwrap());
        assert_eq!(added, file.add_from(Cursor::new(&sample.bytes)).unwrap());
        assert!(file.is_whole(sample.id()));
        for ending in ["blob", "obao4"] {
            let name = format!("{}.{ending}", sample.id());
            let read = |place: &str| fs::read(folder.path().join(place).join(&name)).unwrap();
            assert!(read("file") == read("memory"), "{name}");
        }
        let path = folder.path().join("file").join(format!("{}.blob", sample.id()));
        fs::write(&path, b"altered").unwrap();
        file.add_from(Cursor::new(&sample.bytes)).unwrap();
        assert!(fs::read(&path).unwrap() == sample.bytes, "a damaged blob is replaced");
    }
    assert!(matches!(origin("file").add_from(Cursor::new([])), Err(AddError::Size(_))));
}

#[test]
fn the_empty_blob_is_refused_and_an_unknown_one_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::open(folder.path()).unwrap();
    assert!(matches!(origin.add(&[]), Err(AddError::Size(_))));
    assert!(origin.get(Sample::new(1, 10).id()).is_none());
    assert!(files(folder.path()).is_empty());
}

#[test]
fn no_altered_byte_of_a_blob_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 40_000);
    Origin::open(folder.path()).unwrap().add(&sample.bytes).unwrap();
    let path = folder.path().join(format!("{}.blob", sample.id()));
    let mut altered = sample.bytes.clone();
    altered[20_000] ^= 1;
    for (content, bad) in [(&altered[..], vec![1]), (&sample.bytes[..20_000], vec![1, 2])] {
        fs::write(&path, content).unwrap();
        let blob = Origin::open(folder.path()).unwrap().get(sample.id()).unwrap();
        for block in 0..3 {
            match blob.read(block) {
                Ok(data) => assert_eq!(data, sample.block(block)),
                Err(OriginReadError::Damaged(damaged)) => assert!(bad.contains(&damaged)),
                Err(error) => panic!("{error}"),
            }
        }
    }
    let origin = Origin::open(folder.path()).unwrap();
    origin.add(&sample.bytes).unwrap();
    assert_eq!(origin.get(sample.id()).unwrap().read(1).unwrap(), sample.block(1));
}

#[test]
fn a_lost_or_altered_outboard_is_computed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 90_000);
    Origin::open(folder.path()).unwrap().add(&sample.bytes).unwrap();
    let path = folder.path().join(format!("{}.obao4", sample.id()));
    let good = fs::read(&path).unwrap();
    let check = || {
        let blob = Origin::open(folder.path()).unwrap().get(sample.id()).unwrap();
        assert_eq!(blob.proof(4, &mut ProofCursor::new()), sample.proof(4));
        assert_eq!(fs::read(&path).unwrap(), good);
    };
    fs::remove_file(&path).unwrap();
    check();
    for bit in (0..good.len() * 8).step_by(37) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        check();
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    check();
}
