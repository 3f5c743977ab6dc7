//! What the other tests need, and what happens to a store's folder as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use antiphon_store::{
    BeginError, BlobTree, Config, OpenError, PolicyKind, ProofCursor, Put, Store,
};
use antiphon_types::{BLOCK_BYTES, BlobId, BlobSize};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A blob in memory, with its tree.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tree: BlobTree,
}

impl Sample {
    pub(crate) fn new(seed: u64, len: usize) -> Self {
        let mut bytes = vec![0; len];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        let tree = BlobTree::of(&bytes).unwrap();
        Self { bytes, tree }
    }

    pub(crate) fn id(&self) -> BlobId {
        self.tree.blob()
    }

    pub(crate) fn size(&self) -> BlobSize {
        self.tree.size()
    }

    pub(crate) fn blocks(&self) -> u32 {
        self.size().block_count()
    }

    /// Its file in a store.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("blobs/{}.blob", self.id()))
    }

    /// What its file takes on disk besides blocks.
    pub(crate) fn head_bytes(&self) -> u64 {
        (self.pairs_end() as u64).next_multiple_of(4096)
    }

    /// Where its blocks begin in its file, as documented.
    pub(crate) fn data_offset(&self) -> usize {
        self.pairs_end().next_multiple_of(16_384)
    }

    fn pairs_end(&self) -> usize {
        let blocks = self.blocks() as usize;
        (64 + blocks.div_ceil(8)).next_multiple_of(64) + 64 * (blocks - 1)
    }

    pub(crate) fn block(&self, block: u32) -> &[u8] {
        let start = (block * BLOCK_BYTES) as usize;
        &self.bytes[start..self.bytes.len().min(start + BLOCK_BYTES as usize)]
    }

    pub(crate) fn proof(&self, block: u32) -> Vec<u8> {
        self.tree.proof(block, &mut ProofCursor::new()).unwrap()
    }

    pub(crate) fn put(&self, store: &Store, block: u32) -> Put {
        store.put(self.id(), block, &self.proof(block), self.block(block)).unwrap()
    }

    pub(crate) fn put_all(&self, store: &Store) {
        store.begin(self.id(), self.size()).unwrap();
        for block in 0..self.blocks() {
            self.put(store, block);
        }
    }

    /// Whatever the store says it has is right: returns how many blocks.
    pub(crate) fn check(&self, store: &Store) -> u32 {
        let mut right = 0;
        let mut cursor = ProofCursor::new();
        let mut receiver = BlobTree::new(self.id(), self.size());
        for block in 0..self.blocks() {
            if let Some(read) = store.read(self.id(), block).unwrap() {
                assert_eq!(read, self.block(block), "a wrong byte was served");
                let proof = store.proof(self.id(), block, &mut cursor).unwrap().unwrap();
                receiver.accept(block, &proof, &read).unwrap();
                right += 1;
            }
        }
        let claimed = store.blocks(self.id()).map_or(0, |blocks| blocks.len());
        assert_eq!(claimed, right, "what was claimed has been read or dropped");
        right
    }
}

pub(crate) fn open(folder: &Path) -> Store {
    open_with(folder, 1 << 30)
}

pub(crate) fn open_with(folder: &Path, budget_bytes: u64) -> Store {
    let policy = PolicyKind::Lru;
    let config = Config { budget_bytes: Some(budget_bytes), policy, ..Config::default() };
    patiently(|| Store::open(folder, config))
}

/// Opens a store that was open before. When another test starts a process just
/// then, that has the lock too until it becomes the program it is to be.
pub(crate) fn patiently(open: impl Fn() -> Result<Store, OpenError>) -> Store {
    let mut attempts = 0;
    loop {
        match open() {
            Err(OpenError::InUse(_)) if attempts < 1_000_000 => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
        attempts += 1;
    }
}

/// What a crash at this instant would leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn handles_go_wherever_they_are_needed() {
    fn is_shareable<T: Send + Sync + Clone + 'static>() {}
    is_shareable::<Store>();
    is_shareable::<antiphon_store::Origin>();
    is_shareable::<antiphon_store::OriginBlob>();
}

#[test]
fn without_a_budget_the_disk_gives_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Config::default()).unwrap();
    assert!((50_000_000..=10_000_000_000).contains(&store.status().budget));
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let clone = first.clone();
    drop(first);
    let error = Store::open(folder.path(), Config::default()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(ref path) if path == folder.path()), "{error}");
    drop(clone);
    open(folder.path());
}

#[test]
fn blocks_are_there_after_closing_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 300_000);
    let store = open(&folder.path().join("a"));
    store.begin(sample.id(), sample.size()).unwrap();
    assert_eq!(sample.put(&store, 18), Put::Stored);
    assert_eq!(sample.put(&store, 3), Put::Stored);
    store.sync(sample.id()).unwrap();
    assert_eq!(sample.put(&store, 7), Put::Stored);
    copy(&folder.path().join("a"), &folder.path().join("b"));
    drop(store);
    for (name, expected) in [("a", &[3, 7, 18][..]), ("b", &[3, 18])] {
        let store = open(&folder.path().join(name));
        let blocks: Vec<_> = store.blocks(sample.id()).unwrap().ranges().collect();
        assert_eq!(blocks.iter().map(|range| range.start).collect::<Vec<_>>(), expected);
        assert_eq!(sample.check(&store) as usize, expected.len());
        assert_eq!(store.status().damaged_blocks, 0);
        sample.put_all(&store);
        assert!(store.is_complete(sample.id()));
    }
}

#[test]
fn a_crash_loses_few_blocks_that_were_not_synced() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 100 * 16_384);
    let store = open(&folder.path().join("before"));
    store.begin(sample.id(), sample.size()).unwrap();
    for block in 0..100 {
        sample.put(&store, block * 37 % 100);
        let after = folder.path().join(block.to_string());
        copy(&folder.path().join("before"), &after);
        let there = sample.check(&open(&after));
        assert!(there <= block + 1 && there + 15 > block, "{there} blocks of {}", block + 1);
        fs::remove_dir_all(after).unwrap();
    }
}

#[test]
fn order_and_pins_are_there_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..4).map(|seed| Sample::new(seed, 20_000)).collect();
    let store = open(folder.path());
    samples.iter().for_each(|sample| sample.put_all(&store));
    store.touch(samples[1].id());
    store.pin(samples[2].id()).unwrap();
    store.flush().unwrap();
    let before = store.list();
    drop(store);
    let after = open(folder.path()).list();
    let facts = |entries: &[antiphon_store::Entry]| {
        entries.iter().map(|entry| (entry.blob, entry.pinned)).collect::<Vec<_>>()
    };
    assert_eq!(facts(&after), facts(&before));
    assert_eq!(after[0].blob, samples[1].id());
    assert!(after[0].last_play.is_some() && after[1].last_play.is_none());
}

#[test]
fn a_blob_of_a_later_version_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 50_000);
    let store = open(folder.path());
    sample.put_all(&store);
    drop(store);
    let path = sample.path(folder.path());
    let mut later = fs::read(&path).unwrap();
    later[8] = 3;
    let checksum = antiphon_store::hash(&later[..56]);
    later[56..64].copy_from_slice(&checksum.as_bytes()[..8]);
    fs::write(&path, &later).unwrap();

    let store = open(folder.path());
    assert_eq!((store.status().refused_blobs, store.blocks(sample.id())), (1, None));
    let error = store.begin(sample.id(), sample.size()).unwrap_err();
    assert!(matches!(error, BeginError::UnknownVersion(3)));
    store.begin_in_memory(sample.id(), sample.size()).unwrap();
    assert_eq!(sample.put(&store, 0), Put::InMemory);
    store.flush().unwrap();
    store.clear().unwrap();
    assert_eq!(fs::read(&path).unwrap(), later);
    assert!(store.remove(sample.id()).unwrap());
    sample.put_all(&store);
    assert_eq!(sample.check(&store), 4);
}

#[test]
fn leftovers_are_cleared_away_and_strange_files_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let id = Sample::new(1, 1).id();
    drop(open(folder.path()));
    let blobs = folder.path().join("blobs");
    let upper = format!("{id}.blob").to_uppercase();
    let strange = ["notes.txt", "blob", upper.as_str()];
    let leftovers = ["blob", "data", "blob.12-3.new"].map(|kind| format!("{id}.{kind}"));
    for name in strange.iter().copied().chain(leftovers.iter().map(String::as_str)) {
        fs::write(blobs.join(name), b"something").unwrap();
    }
    drop(open(folder.path()));
    for name in strange {
        assert!(blobs.join(name).exists(), "{name}");
    }
    for name in &leftovers {
        assert!(!blobs.join(name).exists(), "{name}");
    }
}

#[test]
fn a_size_that_contradicts_blocks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 50_000);
    let wrong = BlobSize::new(50_001).unwrap();
    let store = open(folder.path());
    store.begin(sample.id(), wrong).unwrap();
    store.begin(sample.id(), sample.size()).unwrap();
    sample.put(&store, 0);
    let error = store.begin(sample.id(), wrong).unwrap_err();
    assert!(matches!(error, BeginError::OtherSize { there, .. } if there == sample.size()));
    assert_eq!(sample.check(&store), 1);
}
