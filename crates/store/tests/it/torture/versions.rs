//! Folders of earlier and of later versions (C12).

use std::path::{Path, PathBuf};

use antiphon_store::{BeginError, BlobTree, Config, OpenError, Store, hash};

use super::disk::{Crash, SimDisk, Unsynced};
use super::samples::{self, Whole};
use super::world::FOLDER;

fn blob_path(blob: &Whole, kind: &str) -> PathBuf {
    Path::new(FOLDER).join("blobs").join(format!("{}.{kind}", blob.id()))
}

/// The head of a blob with some of its blocks, as `FORMAT.md` has it.
fn head(version: u32, blob: &Whole, blocks: &[u32]) -> Vec<u8> {
    let mut head = b"antiphon".to_vec();
    head.extend(version.to_le_bytes());
    head.extend(16_384_u32.to_le_bytes());
    head.extend(blob.size().bytes().to_le_bytes());
    head.extend(blob.id().as_bytes());
    head.extend(&hash(&head).as_bytes()[..8]);
    let count = blob.blocks();
    head.resize(64 + count.div_ceil(8) as usize, 0);
    for block in blocks {
        head[64 + (block / 8) as usize] |= 1 << (block % 8);
    }
    let pairs = head.len().next_multiple_of(64);
    head.resize(pairs + 64 * (count - 1) as usize, 0);
    for block in blocks {
        for (middle, pair) in middles(*block, count).into_iter().zip(blob.proof(*block).chunks(64))
        {
            let at = pairs + 64 * (middle - 1) as usize;
            head[at..at + 64].copy_from_slice(pair);
        }
    }
    head
}

/// The middles of the nodes above a block, the root's first.
fn middles(block: u32, count: u32) -> Vec<u32> {
    let (mut start, mut end, mut middles) = (0, count, Vec::new());
    while end - start > 1 {
        let middle = start + (end - start).next_power_of_two() / 2;
        middles.push(middle);
        if block < middle { end = middle } else { start = middle }
    }
    middles
}

/// The blocks in their places, zeros for the others.
fn data(blob: &Whole, blocks: &[u32]) -> Vec<u8> {
    let mut data = vec![0; blob.bytes() as usize];
    for block in blocks {
        let at = (block * 16_384) as usize;
        let bytes = blob.block(*block);
        data[at..at + bytes.len()].copy_from_slice(bytes);
    }
    data
}

/// An index that lists blobs, the least recently used first, and pins some.
fn index(version: u32, records: &[(&Whole, bool)]) -> Vec<u8> {
    let mut index = b"antindex".to_vec();
    index.extend(version.to_le_bytes());
    index.extend([0; 4]);
    index.extend(7_u64.to_le_bytes());
    for (blob, is_pinned) in records {
        index.extend(blob.id().as_bytes());
        index.extend(1_700_000_000_u64.to_le_bytes());
        index.extend(u64::from(*is_pinned).to_le_bytes());
    }
    let checksum = hash(&index);
    index.extend(checksum.as_bytes());
    index
}

const PART: [u32; 4] = [0, 3, 4, 9];

/// A folder of version 1: a whole blob, a pinned part of one, one of one block.
fn old_folder() -> (SimDisk, [&'static Whole; 3]) {
    let blobs = [4, 5, 1].map(|number| &samples::all()[number]);
    let disk = SimDisk::new(3);
    // Only to make the folders.
    drop(open(&disk));
    let all: Vec<u32> = (0..blobs[0].blocks()).collect();
    for (blob, blocks) in blobs.iter().zip([&all[..], &PART, &[0]]) {
        disk.place(&blob_path(blob, "meta"), &head(1, blob, blocks));
        disk.place(&blob_path(blob, "data"), &data(blob, blocks));
    }
    let index = index(1, &[(blobs[1], true), (blobs[2], false), (blobs[0], false)]);
    for name in ["index.0", "index.1"] {
        disk.place(&Path::new(FOLDER).join(name), &index);
    }
    (disk, blobs)
}

fn open(disk: &SimDisk) -> Store {
    try_open(disk).unwrap()
}

fn try_open(disk: &SimDisk) -> Result<Store, OpenError> {
    let config = Config { budget_bytes: Some(2_000_000), ..Config::default() };
    Store::open_on(disk.arc(), FOLDER.as_ref(), config)
}

/// The blocks of a blob that are there, read and proven.
fn blocks(store: &Store, blob: &Whole) -> Vec<u32> {
    let is_there = |block: &u32| {
        let Some(bytes) = store.read(blob.id(), *block).unwrap() else { return false };
        let proof = store.proof(blob.id(), *block, &mut Default::default()).unwrap().unwrap();
        BlobTree::new(blob.id(), blob.size()).accept(*block, &proof, &bytes).unwrap();
        bytes == blob.block(*block)
    };
    (0..blob.blocks()).filter(is_there).collect()
}

#[test]
fn c12_a_folder_of_version_1_is_used_as_it_is() {
    let (disk, blobs) = old_folder();
    let store = open(&disk);
    let order: Vec<_> = store.list().iter().map(|entry| (entry.blob, entry.pinned)).collect();
    let expected = [(blobs[0], false), (blobs[2], false), (blobs[1], true)];
    assert_eq!(order, expected.map(|(blob, pinned)| (blob.id(), pinned)));
    assert!(store.is_complete(blobs[0].id()) && store.is_complete(blobs[2].id()));
    assert_eq!(blocks(&store, blobs[1]), PART);

    // It can be filled, and survives a power cut.
    for block in 0..blobs[1].blocks() {
        let put = store.put(blobs[1].id(), block, blobs[1].proof(block), blobs[1].block(block));
        put.unwrap();
    }
    store.flush().unwrap();
    drop(store);
    disk.restart(Crash::PowerCut { names: Unsynced::Lost, bytes: Unsynced::Lost });
    let store = open(&disk);
    for blob in blobs {
        assert_eq!(blocks(&store, blob).len() as u32, blob.blocks());
    }
    assert!(store.list().iter().any(|entry| entry.blob == blobs[1].id() && entry.pinned));

    // And let go of, with both its files.
    assert!(store.remove(blobs[1].id()).unwrap());
    let left = disk.files();
    let id = blobs[1].id().to_string();
    assert!(!left.iter().any(|(path, _)| path.to_string_lossy().contains(&id)), "{left:?}");
}

#[test]
fn c12_a_later_blob_is_refused_and_kept() {
    let (disk, blobs) = old_folder();
    let path = blob_path(blobs[0], "blob");
    let later = head(3, blobs[0], &[]);
    disk.place(&path, &later);
    let store = open(&disk);
    assert_eq!((store.status().refused_blobs, store.size(blobs[0].id())), (1, None));
    let begun = store.begin(blobs[0].id(), blobs[0].size());
    assert!(matches!(begun, Err(BeginError::UnknownVersion(3))), "{begun:?}");
    store.clear().unwrap();
    store.flush().unwrap();
    drop(store);
    drop(open(&disk));
    assert!(disk.files().contains(&(path, later)), "it was altered");
}

#[test]
fn c12_a_later_index_is_refused_and_nothing_is_touched() {
    let (disk, blobs) = old_folder();
    for name in ["index.0", "index.1"] {
        disk.place(&Path::new(FOLDER).join(name), &index(2, &[(blobs[0], true)]));
        let before = disk.files();
        let error = try_open(&disk).unwrap_err();
        assert!(matches!(error, OpenError::UnknownVersion { version: 2, .. }), "{error}");
        assert_eq!(disk.files(), before);
    }
}
