//! Every bit of every file flipped, every file deleted or emptied (C7, C2).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use antiphon_store::{Config, Put, Store};

use super::disk::{Damage, SimDisk};
use super::samples::{self, Whole};
use super::world::FOLDER;

/// Where the blocks begin in the files of small blobs, and what is before them
/// and used at most (`FORMAT.md`).
const DATA_AT: usize = 16_384;
const HEAD_BYTES: usize = 192;

/// A blob of one small block, and one of two of which the first block is there.
fn blobs() -> [&'static Whole; 2] {
    [&samples::all()[1], &samples::all()[3]]
}

fn open(disk: &SimDisk) -> Store {
    let config = Config { budget_bytes: Some(1 << 20), ..Config::default() };
    Store::open_on(disk.arc(), FOLDER.as_ref(), config).unwrap()
}

fn fill(store: &Store, blob: &Whole) {
    store.begin(blob.id(), blob.size()).unwrap();
    for block in 0..blob.blocks() {
        store.put(blob.id(), block, blob.proof(block), blob.block(block)).unwrap();
    }
}

/// A small cache, whole, with one of its blobs pinned; used by nobody.
fn cache() -> SimDisk {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    blobs().into_iter().for_each(|blob| fill(&store, blob));
    store.pin(blobs()[1].id()).unwrap();
    store.flush().unwrap();
    drop(store);
    disk
}

/// Reads all that is there; how many blocks, none of them false.
fn read(store: &Store, blob: &Whole) -> u32 {
    let is_there = |block: &u32| {
        let read = store.read(blob.id(), *block).unwrap();
        assert!(read.as_deref().is_none_or(|bytes| bytes == blob.block(*block)), "a false byte");
        read.is_some()
    };
    (0..blob.blocks()).filter(is_there).count() as u32
}

/// No false byte is served, no pin is lost, and all can be filled again.
fn check_and_heal(disk: &SimDisk) {
    let store = open(disk);
    for blob in blobs() {
        read(&store, blob);
        fill(&store, blob);
    }
    drop(store);
    let store = open(disk);
    for blob in blobs() {
        assert_eq!(read(&store, blob), blob.blocks(), "it is whole again");
    }
    let mut pinned = store.list().into_iter().filter(|entry| entry.pinned);
    assert_eq!(pinned.next().map(|entry| entry.blob), Some(blobs()[1].id()), "a pin was lost");
    assert_eq!(pinned.next(), None, "a pin came from nowhere");
}

/// Does the same to many things, on all processors.
fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < count) {
            work(number);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
}

#[test]
fn c7_every_bit_of_every_file_may_flip() {
    let cache = cache();
    let files = cache.files();
    let bits: Vec<(&Path, usize)> = files
        .iter()
        .flat_map(|(path, bytes)| (0..bytes.len() * 8).map(move |bit| (path.as_path(), bit)))
        // Of each byte in the hole between head and blocks, one is as good as eight.
        .filter(|(_, bit)| !(HEAD_BYTES..DATA_AT).contains(&(bit / 8)) || bit % 8 == 3)
        .collect();
    assert!(bits.len() > 8 * (16_385 + 100 + 2 * HEAD_BYTES), "{} bits", bits.len());
    in_parallel(bits.len(), |number| {
        let (path, bit) = bits[number];
        let disk = cache.copy();
        disk.damage(path, Damage::Flip(bit));
        check_and_heal(&disk);
    });
}

#[test]
fn c2_any_file_may_be_deleted_emptied_or_cut_anywhere() {
    let cache = cache();
    let files = cache.files();
    let cuts: Vec<(&PathBuf, &[u8])> = files
        .iter()
        .flat_map(|(path, bytes)| (0..bytes.len()).step_by(7).map(move |len| (path, &bytes[..len])))
        .collect();
    in_parallel(cuts.len(), |number| {
        let disk = cache.copy();
        disk.place(cuts[number].0, cuts[number].1);
        check_and_heal(&disk);
    });
    for (path, _) in &files {
        let disk = cache.copy();
        disk.take_away(path);
        check_and_heal(&disk);
    }
}

#[test]
fn c7_scrubbing_finds_what_is_damaged_and_filling_mends_it() {
    let cache = cache();
    let store = open(&cache);
    let (blob, path) = {
        let blob = blobs()[1];
        (blob, Path::new(FOLDER).join(format!("blobs/{}.blob", blob.id())))
    };
    cache.damage(&path, Damage::Flip((DATA_AT + 5) * 8));
    let report = store.verify(&mut |_, _| {});
    assert_eq!((report.blocks, report.damaged, report.unreadable), (3, 1, 0));
    assert_eq!(store.blocks(blob.id()).unwrap().first_missing(0), Some(0));
    let put = store.put(blob.id(), 0, &[], blob.block(0)).unwrap();
    assert_eq!(put, Put::Stored, "its proof is still known");
    let report = store.verify(&mut |_, _| {});
    assert_eq!((report.blocks, report.damaged, report.unreadable), (3, 0, 0));
}
