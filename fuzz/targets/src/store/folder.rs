//! A cache's folder after crashes, bad disks and other people's programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use antiphon_store::{BlobTree, Config, ProofCursor, Store, hash};
use antiphon_types::{BLOCK_BYTES, BlobId};

use crate::script::Script;

/// What a blob's header is, where its version and its checksum stand, and where
/// the blocks begin in a small blob's file (`FORMAT.md`).
const HEADER_BYTES: usize = 64;
const VERSION_AT: usize = 8;
const CHECKSUM_AT: usize = 56;
const DATA_AT: usize = 16_384;
/// What an index ends with.
const INDEX_CHECKSUM_BYTES: usize = 32;

/// Whatever the files hold, a folder opens, gives no byte that is not the
/// blob's, and can be filled again; or says why it cannot be opened.
///
/// Input: changes of the files of a store with a whole blob, one in the two files
/// of version 1, and a part of a third, see `change`.
pub fn folder(data: &[u8]) {
    let mut script = Script::new(data);
    let place = tempfile::tempdir().expect("there is room for temporary files");
    let sample = Sample::get();
    let mut files = sample.files.clone();
    while !script.is_over() {
        change(&mut script, &mut files);
    }
    fs::create_dir(place.path().join("blobs")).expect("there is room");
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
    blobs: [Blob; 3],
    /// Paths from the store's folder, and bytes, of all files.
    files: Vec<(String, Vec<u8>)>,
}

impl Sample {
    /// Made once.
    fn get() -> &'static Self {
        static SAMPLE: OnceLock<Sample> = OnceLock::new();
        SAMPLE.get_or_init(|| {
            let blobs = [Blob::new(1, 20_000), Blob::new(2, 70_000), Blob::new(3, 40_000)];
            let place = tempfile::tempdir().expect("there is room for temporary files");
            let store = Store::open(place.path(), Config::default()).expect("it is empty");
            blobs[0].put(&store);
            blobs[2].put(&store);
            store.begin(blobs[1].id(), blobs[1].tree.size()).expect("there is room");
            blobs[1].put_block(&store, 3);
            store.pin(blobs[1].id()).expect("it can be written");
            store.flush().expect("it can be written");
            drop(store);
            let mut files = files(place.path());
            divide(&mut files, blobs[2].id());
            Self { blobs, files }
        })
    }
}

/// All files below a folder, in the order of their paths from there.
fn files(place: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(place.join(&folder)).expect("it is there") {
            let entry = entry.expect("it is there");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(entry.path()).expect("it is there");
                files.push((path.to_string_lossy().into_owned(), bytes));
            }
        }
    }
    files.sort();
    files
}

/// Makes the file of a blob two, as version 1 had them.
fn divide(files: &mut Vec<(String, Vec<u8>)>, blob: BlobId) {
    let name = format!("blobs/{blob}.blob");
    let whole = files.iter().position(|(other, _)| *other == name).expect("it was put");
    let (_, mut head) = files.remove(whole);
    let data = head.split_off(DATA_AT);
    head[VERSION_AT] = 1;
    put_header_right(&mut head);
    files.push((format!("blobs/{blob}.data"), data));
    files.push((format!("blobs/{blob}.meta"), head));
    files.sort();
}

/// Makes the checksum of a header that of what is before it.
fn put_header_right(file: &mut [u8]) {
    if let Some((head, rest)) = file.split_at_mut_checked(CHECKSUM_AT) {
        let sum = hash(head);
        for (byte, new) in rest.iter_mut().take(HEADER_BYTES - CHECKSUM_AT).zip(sum.as_bytes()) {
            *byte = *new;
        }
    }
}

/// Makes the checksum at the end that of all before it.
fn put_index_right(file: &mut [u8]) {
    let body = file.len().saturating_sub(INDEX_CHECKSUM_BYTES);
    let sum = hash(&file[..body]);
    for (byte, new) in file[body..].iter_mut().zip(sum.as_bytes()) {
        *byte = *new;
    }
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

/// One change of one file: bytes, length, name, existence; or one of its
/// checksums put right, so that what is behind it is reached.
fn change(script: &mut Script<'_>, files: &mut Vec<(String, Vec<u8>)>) {
    let index = script.below(files.len());
    let operation = script.byte();
    let Some((name, bytes)) = files.get_mut(index) else {
        script.rest();
        return;
    };
    match operation % 9 {
        0 => change_bytes(script, bytes, 200),
        1 => change_bytes(script, bytes, usize::MAX),
        2 => bytes.truncate(script.below(bytes.len())),
        3 => bytes.resize(bytes.len() + usize::from(script.byte()), 0xff),
        4 => {
            let end = script.below(bytes.len());
            bytes[..end].fill(0);
        }
        5 => {
            files.remove(index);
        }
        6 => {
            let stem = name.find(['.', '~']).unwrap_or(name.len());
            name.truncate(stem);
            name.push_str(script.choose(&[".blob", ".meta", ".data", ".1-1.new", ".0", "~"]));
        }
        7 => put_header_right(bytes),
        _ => put_index_right(bytes),
    }
}

/// Puts a piece somewhere among the first `reach` bytes.
fn change_bytes(script: &mut Script<'_>, bytes: &mut [u8], reach: usize) {
    let at = script.below(bytes.len().min(reach));
    for (byte, new) in bytes.iter_mut().skip(at).zip(script.piece()) {
        *byte = *new;
    }
}
