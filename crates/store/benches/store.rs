//! What verification costs: reads against raw positional reads, puts against
//! raw positional writes. Both sides on warm files.

use std::fs::File;
use std::hint::black_box;

use antiphon_store::{Config, Origin, OriginBlob, ProofCursor, Store};
use antiphon_types::BLOCK_BYTES;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A track of three and a half minutes at 160 kbit/s.
const BLOB_BYTES: usize = 4_200_000;
const BLOBS: u64 = 16;

/// Reads or writes of a whole block at a position, as each system has it.
#[cfg(unix)]
mod raw {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    pub(crate) fn read(file: &File, buffer: &mut [u8], offset: u64) {
        file.read_exact_at(buffer, offset).expect("the file is that long");
    }

    pub(crate) fn write(file: &File, bytes: &[u8], offset: u64) {
        file.write_all_at(bytes, offset).expect("the disk has room");
    }
}

#[cfg(windows)]
mod raw {
    use std::fs::File;
    use std::os::windows::fs::FileExt;

    pub(crate) fn read(file: &File, buffer: &mut [u8], offset: u64) {
        file.seek_read(buffer, offset).expect("the file is that long");
    }

    pub(crate) fn write(file: &File, bytes: &[u8], offset: u64) {
        file.seek_write(bytes, offset).expect("the disk has room");
    }
}

fn blobs(origin: &Origin) -> Vec<OriginBlob> {
    let blob = |seed| {
        let mut bytes = vec![0; BLOB_BYTES];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        let (blob, _) = origin.add(&bytes).expect("the folder can be written");
        origin.get(blob).expect("it was just added")
    };
    (0..BLOBS).map(blob).collect()
}

fn fill(store: &Store, source: &OriginBlob) {
    store.begin(source.blob(), source.size()).expect("there is room");
    let mut cursor = ProofCursor::new();
    for block in source.size().all().iter() {
        let data = source.read(block).expect("the blob is whole");
        let proof = source.proof(block, &mut cursor);
        store.put(source.blob(), block, &proof, &data).expect("the block is true");
    }
}

fn reads(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let origin = Origin::open(&folder.path().join("origin")).expect("the folder can be made");
    let store = Store::open(&folder.path().join("store"), Config::default()).expect("it opens");
    let sources = blobs(&origin);
    sources.iter().for_each(|source| fill(&store, source));
    let files: Vec<_> = sources
        .iter()
        .map(|source| folder.path().join(format!("store/blobs/{}.data", source.blob())))
        .map(|path| File::open(path).expect("the store wrote it"))
        .collect();
    let blocks = sources[0].size().block_count() - 1;

    let mut group = criterion.benchmark_group("read 16 KiB at random");
    group.throughput(Throughput::Bytes(BLOCK_BYTES.into()));
    let mut random = ChaCha8Rng::seed_from_u64(1);
    group.bench_function("verified", |bencher| {
        bencher.iter(|| {
            let source = &sources[random.next_u32() as usize % sources.len()];
            black_box(store.read(source.blob(), random.next_u32() % blocks).expect("it reads"))
        });
    });
    let mut buffer = vec![0; BLOCK_BYTES as usize];
    group.bench_function("raw", |bencher| {
        bencher.iter(|| {
            let file = &files[random.next_u32() as usize % files.len()];
            let offset = u64::from(random.next_u32() % blocks) * u64::from(BLOCK_BYTES);
            raw::read(file, black_box(&mut buffer), offset);
        });
    });
    group.finish();
}

fn writes(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let origin = Origin::open(&folder.path().join("origin")).expect("the folder can be made");
    let store = Store::open(&folder.path().join("store"), Config::default()).expect("it opens");
    let source = &blobs(&origin)[0];
    let mut cursor = ProofCursor::new();
    let blocks: Vec<_> = source
        .size()
        .all()
        .iter()
        .map(|block| (source.proof(block, &mut cursor), source.read(block).expect("it reads")))
        .collect();

    let mut group = criterion.benchmark_group("write a blob of 4.2 MB");
    group.throughput(Throughput::Bytes(source.size().bytes()));
    group.sample_size(30);
    group.bench_function("verified", |bencher| {
        let begin = || {
            store.remove(source.blob()).expect("it goes");
            store.begin(source.blob(), source.size()).expect("there is room");
        };
        let put_all = |()| {
            for (block, (proof, data)) in (0..).zip(&blocks) {
                store.put(source.blob(), block, proof, data).expect("the block is true");
            }
        };
        bencher.iter_batched(begin, put_all, BatchSize::PerIteration);
    });
    group.bench_function("raw", |bencher| {
        let path = folder.path().join("raw");
        let create = || File::create(&path).expect("the folder can be written");
        let write_all = |file: File| {
            for (block, (_, data)) in (0u64..).zip(&blocks) {
                raw::write(&file, data, block * u64::from(BLOCK_BYTES));
            }
        };
        bencher.iter_batched(create, write_all, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(store, reads, writes);
criterion_main!(store);
