//! The budget, and what it may not touch.

use std::path::Path;

use antiphon_store::{BeginError, Config, Hold, PolicyKind, Put, PutError, RemoveError, Store};
use antiphon_types::BlobSize;

use crate::folder::{Sample, open_with, patiently};

/// Opens with the default policy.
fn open_default(folder: &Path) -> Store {
    patiently(|| Store::open(folder, Config { budget_bytes: Some(BUDGET), ..Config::default() }))
}

/// Room for three blobs of four blocks, not for four.
const BUDGET: u64 = 220_000;

fn samples(count: u64) -> Vec<Sample> {
    (0..count).map(|seed| Sample::new(seed, 4 * 16_384)).collect()
}

#[test]
fn the_least_recently_played_blob_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let samples = samples(4);
    samples[..3].iter().for_each(|sample| sample.put_all(&store));
    store.touch(samples[0].id());
    samples[3].put_all(&store);
    let kept: Vec<_> = store.list().iter().map(|entry| entry.blob).collect();
    assert_eq!(kept, [3, 0, 2].map(|i: usize| samples[i].id()));
    assert!(store.status().bytes <= BUDGET);
    assert_eq!(store.read(samples[1].id(), 0).unwrap(), None);
    let again = store.put(samples[1].id(), 0, &samples[1].proof(0), samples[1].block(0));
    assert!(matches!(again, Err(PutError::NotBegun)));
}

#[test]
fn by_default_what_was_played_again_stays_whatever_comes_unplayed() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(12);
    let store = open_default(folder.path());
    samples[0].put_all(&store);
    (0..2).for_each(|_| store.touch(samples[0].id()));
    samples[1..6].iter().for_each(|sample| sample.put_all(&store));
    assert!(store.is_complete(samples[0].id()));
    store.flush().unwrap();
    drop(store);
    let store = open_default(folder.path());
    samples[6..].iter().for_each(|sample| sample.put_all(&store));
    let kept: Vec<_> = [0, 10, 11].into_iter().map(|i: usize| samples[i].id()).collect();
    assert!(kept.iter().all(|blob| store.is_complete(*blob)), "also after opening");
    assert!(store.status().bytes <= BUDGET);
}

#[test]
fn by_default_a_play_of_what_went_is_remembered_until_the_store_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(10);
    let play = |store: &Store| {
        samples[0].put_all(store);
        store.touch(samples[0].id());
        samples[1..].iter().for_each(|sample| sample.put_all(store));
        store.flush().unwrap();
        store.is_complete(samples[0].id())
    };
    let store = open_default(folder.path());
    let pinned = Sample::new(20, 100);
    pinned.put_all(&store);
    store.pin(pinned.id()).unwrap();
    assert!(!play(&store), "played once");
    store.clear().unwrap();
    assert!(!play(&store), "as if for the first time");
    drop(store);
    assert!(play(&open_default(folder.path())), "and once more");
}

#[test]
fn by_default_what_is_pinned_takes_no_room_from_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_default(folder.path());
    let samples = samples(5);
    let loved = &samples[..2];
    for sample in loved {
        sample.put_all(&store);
        (0..2).for_each(|_| store.touch(sample.id()));
    }
    // The last of these makes the loved ones move to the main queue.
    samples[2..4].iter().for_each(|sample| sample.put_all(&store));
    assert_eq!(store.size(samples[2].id()), None);
    store.pin(samples[3].id()).unwrap();
    let small = Sample::new(20, 100);
    small.put_all(&store);
    samples[4].put_all(&store);
    assert!(store.is_complete(samples[3].id()), "pinned");
    assert!(store.is_complete(small.id()), "alone in the small queue, within its share");
}

#[test]
fn a_folder_opens_under_any_policy() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(3);
    let store = open_default(folder.path());
    samples.iter().for_each(|sample| sample.put_all(&store));
    store.touch(samples[1].id());
    store.flush().unwrap();
    drop(store);
    for policy in PolicyKind::ALL.into_iter().chain(PolicyKind::ALL) {
        let config = Config { budget_bytes: Some(BUDGET), policy, ..Config::default() };
        let store = patiently(|| Store::open(folder.path(), config));
        assert!(samples.iter().all(|sample| store.is_complete(sample.id())), "{policy}");
        store.touch(samples[2].id());
        store.flush().unwrap();
    }
}

#[test]
fn what_is_pinned_or_held_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let samples = samples(5);
    let hold = store.hold(samples[0].id());
    store.pin(samples[1].id()).unwrap();
    samples[..3].iter().for_each(|sample| sample.put_all(&store));
    samples[3].put_all(&store);
    assert_eq!(store.size(samples[2].id()), None, "neither pinned nor held");
    let second = store.hold(samples[3].id());
    let error = store.begin(samples[4].id(), samples[4].size()).unwrap_err();
    assert!(matches!(error, BeginError::NoRoom { budget: BUDGET, .. }));
    assert!(matches!(store.remove(samples[0].id()), Err(RemoveError::Held)));
    drop(hold);
    samples[4].put_all(&store);
    assert_eq!(store.size(samples[0].id()), None);
    drop(second);
    let pinned = store.list().into_iter().find(|entry| entry.pinned).unwrap();
    assert_eq!(pinned.blob, samples[1].id());
    assert!(store.status().pinned_bytes > 4 * 16_384);
}

#[test]
fn a_blob_that_can_never_fit_evicts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let sample = Sample::new(1, 50_000);
    sample.put_all(&store);
    let huge = BlobSize::new(1 << 36).unwrap();
    let error = store.begin(Sample::new(2, 1).id(), huge).unwrap_err();
    assert!(matches!(error, BeginError::NoRoom { .. }));
    assert!(store.is_complete(sample.id()));
}

/// Four blobs, all held, of which three fill the budget; blocks 0 to 2 of the
/// first take what is left.
fn crowd(store: &Store) -> (Vec<Sample>, Vec<Hold>) {
    let samples = samples(4);
    let holds = samples.iter().map(|sample| store.hold(sample.id())).collect();
    for sample in &samples {
        store.begin(sample.id(), sample.size()).unwrap();
    }
    samples[1..].iter().for_each(|sample| sample.put_all(store));
    (samples, holds)
}

#[test]
fn a_block_without_room_is_verified_and_what_it_proves_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { budget_bytes: Some(BUDGET), memory_bytes: 0, ..Config::default() };
    let store = patiently(|| Store::open(folder.path(), config));
    let (samples, holds) = crowd(&store);
    let put =
        |block, proof: &[u8]| store.put(samples[0].id(), block, proof, samples[0].block(block));
    let results: Vec<_> = (0..4).map(|block| put(block, &samples[0].proof(block))).collect();
    assert!(matches!(results[3], Err(PutError::NoRoom)), "{results:?}");
    drop(holds);
    store.remove(samples[1].id()).unwrap();
    assert!(put(3, &[]).is_ok(), "its proof is known by now");
    drop(store);
    let store = open_with(folder.path(), BUDGET);
    assert!(store.read(samples[0].id(), 3).unwrap().is_some(), "and reached the disk");
}

#[test]
fn a_block_without_room_is_in_memory_until_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let (samples, holds) = crowd(&store);
    let puts: Vec<_> = (0..4).map(|block| samples[0].put(&store, block)).collect();
    assert_eq!(puts[3], Put::InMemory);
    assert_eq!(samples[0].check(&store), 4, "read and proven from memory");
    assert!(store.status().bytes <= BUDGET);
    drop(holds);
    store.remove(samples[1].id()).unwrap();
    store.flush().unwrap();
    assert_eq!(store.status().memory_bytes, 0);
    drop(store);
    assert_eq!(samples[0].check(&open_with(folder.path(), BUDGET)), 4);
}

#[test]
fn what_fits_no_budget_may_be_begun_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let sample = Sample::new(9, 300_000);
    assert!(matches!(store.begin(sample.id(), sample.size()), Err(BeginError::NoRoom { .. })));
    store.begin_in_memory(sample.id(), sample.size()).unwrap();
    sample.put_all(&store);
    assert_eq!(sample.check(&store), sample.blocks());
    assert!(store.status().bytes <= BUDGET);
    assert!(store.status().memory_bytes > 0);
}

#[test]
fn memory_is_bounded_and_what_came_first_goes_first() {
    let config = Config { memory_bytes: 3 * 16_384, ..Config::default() };
    let store = Store::in_memory(config);
    let sample = Sample::new(1, 5 * 16_384);
    sample.put_all(&store);
    let there: Vec<_> = store.blocks(sample.id()).unwrap().ranges().collect();
    assert_eq!((there[0].start, there[0].end), (2, 5));
    assert_eq!(sample.check(&store), 3);
    assert!(store.status().trouble.is_some(), "it says that nothing is kept");
    store.remove(sample.id()).unwrap_err();
    assert_eq!(store.status().memory_bytes, 0);
}

#[test]
fn clearing_keeps_what_is_pinned_or_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let samples = samples(3);
    samples.iter().for_each(|sample| sample.put_all(&store));
    store.pin(samples[0].id()).unwrap();
    let _hold = store.hold(samples[1].id());
    let cleared = store.clear().unwrap();
    assert_eq!((cleared.blobs, cleared.kept), (1, 2));
    assert!(cleared.bytes > 4 * 16_384);
    store.unpin(samples[0].id()).unwrap();
    assert!(store.remove(samples[0].id()).unwrap());
    assert!(!store.remove(samples[0].id()).unwrap());
}

#[test]
fn a_smaller_budget_takes_effect_when_opened() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let samples = samples(3);
    samples.iter().for_each(|sample| sample.put_all(&store));
    store.touch(samples[0].id());
    store.flush().unwrap();
    drop(store);
    let store = open_with(folder.path(), 70_000);
    let kept: Vec<_> = store.list().iter().map(|entry| entry.blob).collect();
    assert_eq!(kept, [samples[0].id()]);
}

#[test]
fn who_only_looks_evicts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let samples = samples(3);
    samples.iter().for_each(|sample| sample.put_all(&store));
    drop(store);
    let config = Config { budget_bytes: Some(70_000), evict_on_open: false, ..Config::default() };
    let store = patiently(|| Store::open(folder.path(), config));
    assert_eq!(store.list().len(), 3);
    assert!(store.status().bytes > store.status().budget);
    // The next that wants room gets it.
    store.flush().unwrap();
    assert!(store.status().bytes <= store.status().budget);
}

#[test]
fn pins_are_told_also_of_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    let samples = samples(2);
    samples[0].put_all(&store);
    samples.iter().for_each(|sample| store.pin(sample.id()).unwrap());
    drop(store);
    let store = open_with(folder.path(), BUDGET);
    let mut pinned = [samples[0].id(), samples[1].id()];
    pinned.sort_unstable();
    assert_eq!(store.pins(), pinned);
    store.unpin(samples[1].id()).unwrap();
    assert_eq!(store.pins(), [samples[0].id()]);
}

#[test]
fn removing_and_evicting_give_all_bytes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(folder.path(), BUDGET);
    for sample in samples(6) {
        sample.put_all(&store);
    }
    store.clear().unwrap();
    assert_eq!(store.status().bytes, 0);
    let left = crate::folder::files(&folder.path().join("blobs"));
    assert!(left.is_empty(), "{left:?}");
}
