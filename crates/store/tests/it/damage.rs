//! Files altered, cut short or deleted behind the store's back (C5, C7).

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use antiphon_store::{Affected, Store, VerifyReport};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::folder::{Sample, copy, files, open};

/// A whole blob, a partial one and a small one, the second pinned.
fn samples() -> Vec<Sample> {
    vec![Sample::new(1, 70_000), Sample::new(2, 150_000), Sample::new(3, 100)]
}

fn fill(store: &Store, samples: &[Sample]) {
    samples[0].put_all(store);
    store.begin(samples[1].id(), samples[1].size()).unwrap();
    for block in [0, 2, 3, 8] {
        samples[1].put(store, block);
    }
    samples[2].put_all(store);
    store.pin(samples[1].id()).unwrap();
    store.touch(samples[0].id());
    store.flush().unwrap();
}

/// Opens what is left, finds no wrong byte in it and no pin lost, and makes it
/// whole again.
fn check_and_heal(folder: &Path, samples: &[Sample]) {
    let store = open(folder);
    for sample in samples {
        sample.check(&store);
        sample.put_all(&store);
    }
    let pinned = |store: &Store| {
        store.list().iter().any(|entry| entry.pinned && entry.blob == samples[1].id())
    };
    assert!(pinned(&store), "a pin was lost");
    drop(store);
    let store = open(folder);
    for sample in samples {
        assert_eq!(sample.check(&store), sample.blocks(), "it is whole again");
    }
    assert!(pinned(&store));
    assert_eq!(store.status().damaged_blocks, 0);
}

/// Fills a store, and lets `damage` do its work on one file of each of many
/// copies of it, at a place between 0 and 1.
fn damage_files(damage: impl Fn(&Path, f64)) {
    let folder = tempfile::tempdir().unwrap();
    let (samples, original) = (samples(), folder.path().join("original"));
    fill(&open(&original), &samples);
    let names: Vec<_> = files(&original)
        .iter()
        .map(|path| path.strip_prefix(&original).unwrap().to_owned())
        .filter(|name| !name.ends_with("lock"))
        .collect();
    let config = ProptestConfig { cases: 80, failure_persistence: None, ..Default::default() };
    let cases = (prop::sample::select(names), 0.0..1.0);
    let case = |(name, place): (PathBuf, f64)| {
        let victim = tempfile::tempdir().unwrap();
        copy(&original, victim.path());
        damage(&victim.path().join(name), place);
        check_and_heal(victim.path(), &samples);
        Ok(())
    };
    TestRunner::new(config).run(&cases, case).unwrap();
}

/// The place among `len` things.
#[allow(clippy::cast_sign_loss, reason = "neither is negative")]
fn index(place: f64, len: usize) -> usize {
    (place * len as f64) as usize
}

/// Writes without cutting the file short first, which some file systems sync.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Flips a bit of some bytes of a blob in its file.
fn alter(sample: &Sample, folder: &Path, offsets: &[usize]) {
    let path = sample.path(folder);
    let mut file = fs::read(&path).unwrap();
    for offset in offsets {
        file[sample.data_offset() + offset] ^= 1;
    }
    overwrite(&path, &file);
}

#[test]
fn a_flipped_bit_in_any_file_never_yields_a_wrong_byte() {
    damage_files(|path, place| {
        let mut bytes = fs::read(path).unwrap();
        let bit = index(place, bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        overwrite(path, &bytes);
    });
}

#[test]
fn a_file_cut_short_never_yields_a_wrong_byte() {
    damage_files(|path, place| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let len = index(place, file.metadata().unwrap().len() as usize);
        file.set_len(len as u64).unwrap();
    });
}

#[test]
fn every_bit_of_a_small_head_may_flip() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 40_000);
    sample.put_all(&open(folder.path()));
    let path = sample.path(folder.path());
    let good = fs::read(&path).unwrap();
    assert_eq!(good.len(), sample.data_offset() + 40_000);
    for bit in 0..(128 + 2 * 64) * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        overwrite(&path, &bad);
        sample.check(&open(folder.path()));
    }
}

#[test]
fn any_file_may_be_deleted() {
    let samples = samples();
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    fill(&open(&original), &samples);
    for path in files(&original) {
        let name = path.strip_prefix(&original).unwrap();
        let victim = folder.path().join("victim");
        copy(&original, &victim);
        fs::remove_file(victim.join(name)).unwrap();
        check_and_heal(&victim, &samples);
        fs::remove_dir_all(&victim).unwrap();
    }
}

#[test]
fn a_block_damaged_while_open_is_dropped_counted_and_healed() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 70_000);
    let store = open(folder.path());
    sample.put_all(&store);
    alter(&sample, folder.path(), &[20_000]);
    let used = store.status().bytes;
    assert_eq!(store.read(sample.id(), 1).unwrap(), None);
    assert_eq!((store.status().damaged_blocks, store.status().bytes), (1, used - 16_384));
    assert_eq!(store.blocks(sample.id()).unwrap().first_missing(0), Some(1));
    assert_eq!(sample.check(&store), 4);
    sample.put(&store, 1);
    assert_eq!(sample.check(&store), 5);
    drop(store);
    assert_eq!(sample.check(&open(folder.path())), 5);
}

#[test]
fn files_deleted_while_open_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 70_000);
    let store = open(folder.path());
    sample.put_all(&store);
    drop(store);
    let store = open(folder.path());
    fs::remove_file(sample.path(folder.path())).unwrap();
    sample.check(&store);
    sample.put_all(&store);
    store.flush().unwrap();
    assert_eq!(sample.check(&store), 5);
    drop(store);
    assert_eq!(sample.check(&open(folder.path())), 5);
}

#[test]
fn scrubbing_tells_and_drops_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    let store = open(folder.path());
    fill(&store, &samples);
    alter(&samples[0], folder.path(), &[0, 69_999]);
    let mut told = Vec::new();
    let report = store.verify(&mut |done, total| told.push((done, total)));
    assert_eq!((report.blocks, report.damaged, report.unreadable), (10, 2, 0));
    let affected = Affected { blob: samples[0].id(), damaged: 2, unreadable: 0 };
    assert_eq!(report.affected, [affected]);
    assert_eq!((told.first(), told.last(), told.len()), (Some(&(0, 10)), Some(&(10, 10)), 11));
    assert_eq!(store.verify(&mut |_, _| {}).damaged, 0);
}

#[test]
fn a_file_that_cannot_be_read_is_not_called_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    let store = open(folder.path());
    fill(&store, &samples);
    drop(store);
    let store = open(folder.path());
    // Neither missing nor full nor forbidden: no file at all.
    let path = samples[0].path(folder.path());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let report = store.verify(&mut |_, _| {});
    let affected = Affected { blob: samples[0].id(), damaged: 0, unreadable: 5 };
    assert_eq!((report.damaged, report.unreadable, report.affected), (0, 5, vec![affected]));
    assert_eq!(store.verify(&mut |_, _| {}), VerifyReport { blocks: 5, ..Default::default() });
}
