//! A cache's folder after crashes, bad disks and other people's programs.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use antiphon_store::{BlobTree, Config, ProofCursor, Store, hash};
use antiphon_types::{BLOCK_BYTES, BlobId};

use crate::script::Script;

/// What a file's header is, and where its checksum stands (`FORMAT.md`).
const HEADER_BYTES: usize = 64;
const CHECKSUM_AT: usize = 56;

/// Whatever the files hold, a folder opens, gives no byte that is not the
/// blob's, and can be filled again; or says why it cannot be opened.
///
/// Input: changes of the files of a store with a whole blob and a part of
/// another, see `change`.
pub fn folder(data: &[u8]) {
    let mut script = Script::new(data);
    let place = tempfile::tempdir().expect("there is room for temporary files");
    let sample = Sample::get();
    let mut files = sample.files.clone();
    while !script.is_over() {
        change(&mut script, &mut files);
    }
    for (name, bytes) in &files {
        fs::write(place.path().join(name), bytes).expect("there is room");
    }
    let Ok(store) = Store::open(place.path(), Config::default()) else { return };
    for blob in &sample.blobs {
        blob.check(&store);
        blob.put(&store);
        blob.check(&store);
    }
    store.verify(&mut |_, _| {});
}

struct Sample {
    blobs: [Blob; 2],
    /// Names and bytes of all files.
    files: Vec<(String, Vec<u8>)>,
}

impl Sample {
    /// Made once.
    fn get() -> &'static Self {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(|| {
            let blobs = [Blob::new(1, 20_000), Blob::new(2, 70_000)];
            let place = tempfile::tempdir().expect("there is room for temporary files");
            let store = Store::open(place.path(), Config::default()).expect("it is empty");
            blobs[0].put(&store);
            store.begin(blobs[1].id(), blobs[1].tree.size()).expect("there is room");
            blobs[1].put_block(&store, 3);
            store.pin(blobs[1].id()).expect("it can be written");
            store.flush().expect("it can be written");
            drop(store);
            Self { blobs, files: files(place.path()) }
        })
    }
}

/// All files of a folder, in the order of their names.
fn files(place: &Path) -> Vec<(String, Vec<u8>)> {
    let entries =
        fs::read_dir(place).expect("it is there").map(|entry| entry.expect("it is there"));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("it is there");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}

struct Blob {
    bytes: Vec<u8>,
    tree: BlobTree,
}

impl Blob {
    fn new(salt: usize, length: usize) -> Self {
        let byte = |at: usize| ((at * salt) ^ (at >> 8)).to_le_bytes()[0];
        let bytes: Vec<u8> = (0..length).map(byte).collect();
        let tree = BlobTree::of(&bytes).expect("it is not empty");
        Self { bytes, tree }
    }

    fn id(&self) -> BlobId {
        self.tree.blob()
    }

    fn block(&self, block: u32) -> &[u8] {
        let start = (block * BLOCK_BYTES) as usize;
        &self.bytes[start..self.bytes.len().min(start + BLOCK_BYTES as usize)]
    }

    /// What the store gives is true.
    fn check(&self, store: &Store) {
        for block in 0..self.tree.size().block_count() {
            if let Ok(Some(data)) = store.read(self.id(), block) {
                assert_eq!(data, self.block(block), "a false byte was read");
            }
            if let Ok(Some(proof)) = store.proof(self.id(), block, &mut ProofCursor::new()) {
                let mut other = BlobTree::new(self.id(), self.tree.size());
                assert_eq!(other.accept(block, &proof, self.block(block)), Ok(()));
            }
        }
    }

    /// The store takes all of it, unless it has said that it cannot.
    fn put(&self, store: &Store) {
        if store.begin(self.id(), self.tree.size()).is_err() {
            return;
        }
        for block in 0..self.tree.size().block_count() {
            self.put_block(store, block);
        }
        assert!(store.is_complete(self.id()), "it cannot be made whole again");
    }

    fn put_block(&self, store: &Store, block: u32) {
        let proof = self.tree.proof(block, &mut ProofCursor::new()).expect("it knows all");
        store.put(self.id(), block, &proof, self.block(block)).expect("a true block is taken");
    }
}

/// One change of one file: bytes, length, name, existence; or the checksum of
/// its header put right, so that what is behind it is reached.
fn change(script: &mut Script<'_>, files: &mut Vec<(String, Vec<u8>)>) {
    let index = script.below(files.len());
    let operation = script.byte();
    let Some((name, bytes)) = files.get_mut(index) else {
        script.rest();
        return;
    };
    match operation % 8 {
        0 | 1 => {
            let at = script.below(bytes.len().min(200));
            for (byte, new) in bytes.iter_mut().skip(at).zip(script.piece()) {
                *byte = *new;
            }
        }
        2 => bytes.truncate(script.below(bytes.len())),
        3 => bytes.resize(bytes.len() + usize::from(script.byte()), 0xff),
        4 => {
            let end = script.below(bytes.len());
            bytes[..end].fill(0);
        }
        5 => {
            files.remove(index);
        }
        6 => name.push_str(["~", ".new", ".tmp", ".meta"][usize::from(script.byte() % 4)]),
        _ => {
            if let Some((head, rest)) = bytes.split_at_mut_checked(CHECKSUM_AT) {
                let sum = hash(head);
                for (byte, new) in
                    rest.iter_mut().take(HEADER_BYTES - CHECKSUM_AT).zip(sum.as_bytes())
                {
                    *byte = *new;
                }
            }
        }
    }
}
