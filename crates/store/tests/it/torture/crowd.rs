//! Many threads on one store whose disk fails now and then: nobody is served a
//! false byte, nobody waits for ever, and in the end the books are right.
//!
//! What the threads do and what the disk does follows from a seed; in which order
//! does not, so a failure may take several runs to come back.

use std::thread;

use antiphon_store::{Config, PutError, RemoveError, Store};

use super::disk::{Crash, Op, SimDisk, Unsynced};
use super::draw::Draw;
use super::samples::{self, Whole};
use super::world::FOLDER;

const THREADS: u64 = 6;
const STEPS: usize = 300;
/// Room for about half of the blobs.
const BUDGET: u64 = 700_000;
/// Room for a few blocks.
const MEMORY: u64 = 10 * samples::BLOCK;

fn open(disk: &SimDisk, open_blobs: usize) -> Store {
    let config = Config {
        budget_bytes: Some(BUDGET),
        memory_bytes: MEMORY,
        open_blobs,
        ..Config::default()
    };
    Store::open_on(disk.arc(), FOLDER.as_ref(), config).unwrap()
}

/// One step of one thread.
fn step(store: &Store, draw: &mut Draw) {
    let blobs = samples::all();
    let blob = &blobs[draw.below(blobs.len())];
    let block = draw.below(blob.blocks() as usize) as u32;
    match draw.weighed(&[40, 40, 5, 4, 4, 3, 3, 2, 1, 1]) {
        0 => put(store, blob, block),
        1 => read(store, blob, block),
        2 => drop(store.begin(blob.id(), blob.size())),
        3 => drop(store.sync(blob.id())),
        4 => store.touch(blob.id()),
        5 => drop(store.begin_in_memory(blob.id(), blob.size())),
        6 => {
            let _hold = store.hold(blob.id());
            put(store, blob, block);
            read(store, blob, block);
        }
        7 => match store.remove(blob.id()) {
            Ok(_) | Err(RemoveError::Held | RemoveError::Io(_)) => {}
        },
        8 => drop(store.flush()),
        _ => drop(store.clear()),
    }
}

fn put(store: &Store, blob: &Whole, block: u32) {
    match store.put(blob.id(), block, blob.proof(block), blob.block(block)) {
        Ok(_)
        | Err(PutError::NotBegun | PutError::NoRoom | PutError::Io(_) | PutError::NotChecked(_)) => {
        }
        Err(error) => panic!("a true block was refused: {error}"),
    }
}

fn read(store: &Store, blob: &Whole, block: u32) {
    if let Ok(Some(bytes)) = store.read(blob.id(), block) {
        assert_eq!(bytes, blob.block(block), "a false byte was served");
    }
}

fn live(seed: u64) {
    let mut draw = Draw::new(seed);
    let disk = SimDisk::new(seed);
    let store = open(&disk, 1 + draw.below(4));
    if draw.coin() {
        disk.faults(|faults| {
            // Not of removing: what is left behind is in nobody's books.
            for op in [Op::Create, Op::Write, Op::Read, Op::Sync, Op::Open] {
                faults.odds[op as usize] = 20;
            }
        });
    }
    if draw.coin() {
        disk.faults(|faults| faults.capacity = Some(400_000));
    }
    thread::scope(|scope| {
        for number in 0..THREADS {
            let store = store.clone();
            let mut draw = Draw::new(seed * THREADS + number);
            scope.spawn(move || {
                for _ in 0..STEPS {
                    step(&store, &mut draw);
                    let status = store.status();
                    assert!(status.bytes <= BUDGET, "{status:?}");
                    assert!(status.memory_bytes <= MEMORY, "{status:?}");
                }
            });
        }
    });
    disk.faults(super::disk::Faults::mend);
    settle(&disk, store);
}

/// The disk is well again: all can be made durable, and nothing is left behind.
fn settle(disk: &SimDisk, store: Store) {
    store.flush().unwrap();
    let listed = store.list();
    let bytes: u64 = listed
        .iter()
        .map(|entry| {
            let blob = samples::all().iter().find(|blob| blob.id() == entry.blob).unwrap();
            let there = store.blocks(blob.id()).unwrap();
            let in_blocks = blob.bytes_of(there.ranges().flat_map(|range| range.iter()));
            let has_file = disk.files().iter().any(|(path, _)| path.ends_with(blob.file()));
            in_blocks + if has_file { blob.head_bytes() } else { 0 }
        })
        .sum();
    let status = store.status();
    assert_eq!(status.bytes + status.memory_bytes, bytes, "the books are wrong: {status:?}");
    store.clear().unwrap();
    let status = store.status();
    assert_eq!((status.bytes, status.memory_bytes, status.blobs), (0, 0, 0));
    drop(store);
    disk.restart(Crash::PowerCut { names: Unsynced::Lost, bytes: Unsynced::Lost });
    let store = open(disk, 8);
    for blob in samples::all().iter().take(5) {
        store.begin(blob.id(), blob.size()).unwrap();
        (0..blob.blocks()).for_each(|block| put(&store, blob, block));
        assert!(store.is_complete(blob.id()));
    }
}

#[test]
fn many_threads_and_a_failing_disk() {
    let seeds = std::env::var("ANTIPHON_TORTURE_CROWDS").ok();
    let seeds = seeds.map_or(12, |text| text.parse().expect("a number"));
    for seed in 0..seeds {
        eprintln!("SEED={seed}");
        live(seed);
    }
}
