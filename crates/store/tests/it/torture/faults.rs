//! What a user meets when the disk fails: named cases (C4, C5, C6, C10, C13).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use antiphon_store::{Config, Put, Store};

use super::disk::{Crash, Damage, Fault, Op, Order, SimDisk, Unsynced};
use super::samples::{self, Whole};
use super::world::FOLDER;

const POWER_CUT: Crash = Crash::PowerCut { names: Unsynced::Lost, bytes: Unsynced::Lost };

fn open(disk: &SimDisk) -> Store {
    let config = Config { budget_bytes: Some(4 << 20), ..Config::default() };
    Store::open_on(disk.arc(), FOLDER.as_ref(), config).unwrap()
}

/// A blob of ten blocks, of five, of one.
fn blobs() -> [&'static Whole; 3] {
    [5, 4, 1].map(|number| &samples::all()[number])
}

fn put(store: &Store, blob: &Whole, block: u32) -> Put {
    store.put(blob.id(), block, blob.proof(block), blob.block(block)).unwrap()
}

/// Puts all blocks, and says where they are.
fn fill(store: &Store, blob: &Whole) -> Vec<Put> {
    store.begin(blob.id(), blob.size()).unwrap();
    (0..blob.blocks()).map(|block| put(store, blob, block)).collect()
}

/// All of it can be read and given on.
fn assert_whole(store: &Store, blob: &Whole) {
    for block in 0..blob.blocks() {
        let read = store.read(blob.id(), block).unwrap();
        assert_eq!(read.as_deref(), Some(blob.block(block)), "block {block}");
        assert!(store.proof(blob.id(), block, &mut Default::default()).unwrap().is_some());
    }
}

fn path(blob: &Whole) -> PathBuf {
    Path::new(FOLDER).join("blobs").join(format!("{}.blob", blob.id()))
}

#[test]
fn c4_a_full_disk_is_told_played_past_and_made_up_for() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let [first, second, _] = blobs();
    fill(&store, first);
    store.pin(first.id()).unwrap();
    store.flush().unwrap();
    let capacity = Some(disk.used());
    disk.faults(|faults| faults.capacity = capacity);

    assert_eq!(fill(&store, second), [Put::InMemory; 5]);
    assert_whole(&store, second);
    assert_whole(&store, first);
    let trouble = store.status().trouble.unwrap();
    assert!(trouble.contains("free some space"), "{trouble}");
    let error = store.flush().unwrap_err().to_string();
    assert!(error.contains("free some space"), "{error}");

    disk.faults(|faults| faults.capacity = None);
    store.flush().unwrap();
    let status = store.status();
    assert_eq!((status.trouble, status.memory_bytes), (None, 0));
    drop(store);
    disk.restart(POWER_CUT);
    let store = open(&disk);
    assert_whole(&store, first);
    assert_whole(&store, second);
}

#[test]
fn c4_a_full_disk_makes_room_by_what_may_go() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let [first, second, third] = blobs();
    fill(&store, first);
    fill(&store, third);
    store.flush().unwrap();
    let capacity = Some(disk.used());
    disk.faults(|faults| faults.capacity = capacity);
    assert_eq!(fill(&store, second), [Put::Stored; 5], "the oldest made room");
    assert_eq!(store.size(first.id()), None);
    assert_whole(&store, second);
    assert_eq!(store.status().trouble, None);
}

#[test]
fn c5_a_block_that_cannot_be_read_is_missing_and_can_be_put_again() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let blob = blobs()[0];
    fill(&store, blob);
    store.flush().unwrap();
    // Once, in the middle of playing.
    disk.faults(|faults| {
        faults.order(Order { op: Op::Read, fault: Fault::Broken, after: 0, times: 1 });
    });
    assert_eq!(store.read(blob.id(), 3).unwrap(), None);
    assert_eq!(store.status().unreadable_blocks, 1);
    assert_eq!(store.blocks(blob.id()).unwrap().first_missing(0), Some(3));
    assert_eq!(put(&store, blob, 3), Put::Stored);
    assert_whole(&store, blob);

    // For good, somewhere in the file.
    disk.damage(&path(blob), Damage::BadSector);
    let missing = |store: &Store| {
        let is_missing = |block: &u32| store.read(blob.id(), *block).unwrap().is_none();
        (0..blob.blocks()).filter(is_missing).collect::<Vec<_>>()
    };
    for block in missing(&store) {
        put(&store, blob, block);
    }
    assert_whole(&store, blob);
    drop(store);
    assert_whole(&open(&disk), blob);
}

#[test]
fn c5_the_want_of_files_drops_nothing() {
    let disk = SimDisk::new(4);
    let store = open(&disk);
    let blob = blobs()[0];
    fill(&store, blob);
    store.flush().unwrap();
    drop(store);
    let store = open(&disk);
    disk.faults(|faults| faults.has_no_files = true);
    let error = store.read(blob.id(), 0).unwrap_err().to_string();
    assert!(error.contains("more open files"), "{error}");
    assert!(store.is_complete(blob.id()));
    disk.faults(|faults| faults.has_no_files = false);
    assert_whole(&store, blob);
}

#[test]
fn c6_what_a_failed_sync_may_have_lost_is_written_again() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let store = open(&disk);
        let blob = blobs()[0];
        fill(&store, blob);
        disk.faults(|faults| {
            faults.order(Order { op: Op::Sync, fault: Fault::Broken, after: 0, times: 1 });
        });
        store.flush().unwrap_err();
        assert!(store.status().trouble.is_some());
        // What the disk forgot at once is missing; the rest is in memory.
        let missing: Vec<u32> = (0..blob.blocks())
            .filter(|block| store.read(blob.id(), *block).unwrap().is_none())
            .collect();
        let lost = missing.iter().map(|block| blob.block(*block).len() as u64).sum::<u64>();
        assert_eq!(store.status().memory_bytes, blob.bytes() - lost);
        store.flush().unwrap();
        drop(store);
        disk.restart(POWER_CUT);
        let store = open(&disk);
        for block in (0..blob.blocks()).filter(|block| !missing.contains(block)) {
            let read = store.read(blob.id(), block).unwrap();
            assert_eq!(read.as_deref(), Some(blob.block(block)), "block {block}, seed {seed}");
        }
    }
}

#[test]
fn c6_what_a_killed_process_wrote_is_not_believed_durable_after_a_failed_sync() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let blob = blobs()[0];
        fill(&open(&disk), blob);
        let store = open(&disk);
        assert_whole(&store, blob);
        disk.faults(|faults| {
            faults.order(Order { op: Op::Sync, fault: Fault::Broken, after: 0, times: 1 });
        });
        store.sync(blob.id()).unwrap_err();
        store.sync(blob.id()).unwrap();
        let durable = store.blocks(blob.id()).unwrap();
        drop(store);
        disk.restart(POWER_CUT);
        let store = open(&disk);
        for block in durable.ranges().flat_map(|range| range.iter()) {
            let read = store.read(blob.id(), block).unwrap();
            assert_eq!(read.as_deref(), Some(blob.block(block)), "block {block}, seed {seed}");
        }
    }
}

#[test]
fn c2_a_pin_that_one_copy_of_the_index_has_does_not_come_back() {
    let disk = SimDisk::new(5);
    let store = open(&disk);
    let blob = blobs()[2];
    fill(&store, blob);
    store.flush().unwrap();
    let second = Path::new(FOLDER).join("index.1");
    let files = disk.files();
    let (_, before) = files.iter().find(|(path, _)| *path == second).unwrap();
    store.pin(blob.id()).unwrap();
    drop(store);
    // As if it had been cut off between the two copies.
    disk.place(&second, before);
    disk.faults(|faults| {
        faults.order(Order { op: Op::Len, fault: Fault::Broken, after: 0, times: 1 });
    });
    let store = open(&disk);
    store.unpin(blob.id()).unwrap();
    drop(store);
    assert!(!open(&disk).list()[0].pinned, "it came back");
}

#[test]
#[cfg_attr(windows, ignore = "Windows deletes no file that is in use")]
fn c10_a_folder_that_is_deleted_while_in_use_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let store = Store::open(&cache, Config::default()).unwrap();
    let [first, second, third] = blobs();
    fill(&store, first);
    store.flush().unwrap();
    std::fs::remove_dir_all(&cache).unwrap();
    for blob in [first, second, third] {
        fill(&store, blob);
        for block in 0..blob.blocks() {
            if store.read(blob.id(), block).unwrap().is_none() {
                put(&store, blob, block);
            }
        }
        assert_whole(&store, blob);
    }
    // Whether or not it can be written, nobody is told that it was.
    let flushed = store.flush().is_ok();
    store.verify(&mut |_, _| {});
    drop(store);
    let store = Store::open(&cache, Config::default()).unwrap();
    for blob in [first, second, third] {
        assert!(!flushed || store.is_complete(blob.id()));
        fill(&store, blob);
        assert_whole(&store, blob);
    }
}

#[test]
fn c10_a_simulated_folder_that_is_deleted_is_no_panic() {
    let disk = SimDisk::new(6);
    let store = open(&disk);
    let [first, second, _] = blobs();
    fill(&store, first);
    store.flush().unwrap();
    disk.take_folder_away(FOLDER.as_ref());
    assert_eq!(fill(&store, second), [Put::InMemory; 5]);
    assert_whole(&store, second);
    assert!(store.flush().is_err() && store.pin(first.id()).is_err());
    assert!(store.status().trouble.is_some());
    drop(store);
    assert_eq!(open(&disk).list(), []);
}

#[test]
fn c10_a_folder_that_becomes_read_only_is_read_and_played_past() {
    let disk = SimDisk::new(7);
    let store = open(&disk);
    let [first, second, third] = blobs();
    fill(&store, first);
    fill(&store, third);
    store.flush().unwrap();
    disk.faults(|faults| faults.is_read_only = true);
    assert_eq!(fill(&store, second), [Put::InMemory; 5]);
    [first, second, third].into_iter().for_each(|blob| assert_whole(&store, blob));
    let trouble = store.status().trouble.unwrap();
    assert!(trouble.contains("how the disk is mounted"), "{trouble}");
    drop(store);
    // It opens so as well.
    let store = open(&disk);
    [first, third].into_iter().for_each(|blob| assert_whole(&store, blob));
    assert_eq!(fill(&store, second), [Put::InMemory; 5]);
    // And takes what it missed when it may be written again.
    disk.faults(|faults| faults.is_read_only = false);
    store.flush().unwrap();
    drop(store);
    disk.restart(POWER_CUT);
    let store = open(&disk);
    [first, second, third].into_iter().for_each(|blob| assert_whole(&store, blob));
}

#[test]
fn c13_nobody_waits_for_a_sync_that_is_stuck() {
    let disk = SimDisk::new(8);
    let store = open(&disk);
    let [first, second, third] = blobs();
    fill(&store, first);
    disk.shut_gate();
    let is_over = Arc::new(AtomicBool::new(false));
    let syncing = {
        let (store, is_over) = (store.clone(), Arc::clone(&is_over));
        let id = first.id();
        thread::spawn(move || {
            let synced = store.sync(id);
            is_over.store(true, Ordering::SeqCst);
            synced
        })
    };
    disk.await_visitor();
    // Others read, prove, begin, fill; also the blob that is being synced.
    let busy: Vec<_> = [first, second, third]
        .into_iter()
        .map(|blob| {
            let store = store.clone();
            thread::spawn(move || {
                fill(&store, blob);
                for _ in 0..20 {
                    assert_whole(&store, blob);
                }
                store.touch(blob.id());
                drop(store.hold(blob.id()));
                store.list();
                store.status();
            })
        })
        .collect();
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(!is_over.load(Ordering::SeqCst), "it was not stuck");
    disk.open_gate();
    syncing.join().unwrap().unwrap();
}

#[test]
fn c13_blocks_put_while_a_sync_is_stuck_are_covered_by_the_next() {
    let disk = SimDisk::new(9);
    let store = open(&disk);
    let blob = blobs()[0];
    store.begin(blob.id(), blob.size()).unwrap();
    put(&store, blob, 0);
    disk.shut_gate();
    let syncing = {
        let store = store.clone();
        let id = blob.id();
        thread::spawn(move || store.sync(id))
    };
    disk.await_visitor();
    for block in 1..blob.blocks() {
        put(&store, blob, block);
    }
    disk.open_gate();
    syncing.join().unwrap().unwrap();
    store.sync(blob.id()).unwrap();
    drop(store);
    disk.restart(POWER_CUT);
    assert_whole(&open(&disk), blob);
}
