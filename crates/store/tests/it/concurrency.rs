//! Many threads on one store.

use antiphon_store::{Config, Put, PutError, Store};

use crate::folder::{Sample, open, open_with};

#[test]
fn readers_and_fillers_of_one_blob_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 60 * 16_384 + 5);
    let store = open(folder.path());
    store.begin(sample.id(), sample.size()).unwrap();
    let stored = std::thread::scope(|scope| {
        let fill = |step: u32| {
            let (store, sample) = (store.clone(), &sample);
            move || {
                let order = (0..61).map(|i| (i * step) % 61);
                order.filter(|&block| sample.put(&store, block) == Put::Stored).count()
            }
        };
        let fillers = [scope.spawn(fill(1)), scope.spawn(fill(7)), scope.spawn(fill(60))];
        for _ in 0..20 {
            for block in 0..sample.blocks() {
                if let Some(read) = store.read(sample.id(), block).unwrap() {
                    assert_eq!(read, sample.block(block));
                }
            }
        }
        fillers.map(|filler| filler.join().unwrap()).iter().sum::<usize>()
    });
    assert_eq!(stored, 61, "each block was stored once");
    assert_eq!(sample.check(&store), 61);
    assert_eq!(store.status().damaged_blocks, 0);
}

#[test]
fn blobs_come_and_go_under_those_who_use_them() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..6).map(|seed| Sample::new(seed, 4 * 16_384)).collect();
    let store = open_with(folder.path(), 220_000);
    std::thread::scope(|scope| {
        for start in 0..3 {
            let (store, samples) = (store.clone(), &samples);
            scope.spawn(move || {
                for sample in samples.iter().cycle().skip(start).take(60) {
                    store.begin(sample.id(), sample.size()).unwrap();
                    for block in 0..4 {
                        let put = store.put(
                            sample.id(),
                            block,
                            &sample.proof(block),
                            sample.block(block),
                        );
                        assert!(matches!(put, Ok(_) | Err(PutError::NotBegun)), "{put:?}");
                        let read = store.read(sample.id(), block).unwrap();
                        assert!(read.is_none_or(|read| read == sample.block(block)));
                    }
                }
            });
        }
    });
    assert!(store.status().bytes <= 220_000);
    assert_eq!(store.status().damaged_blocks, 0);
    let held: u64 = store.list().iter().map(|entry| u64::from(entry.blocks_held)).sum();
    assert_eq!(
        store.status().bytes,
        held * 16_384 + store.list().len() as u64 * samples[0].head_bytes()
    );
    for sample in &samples {
        sample.check(&store);
    }
}

#[test]
fn a_store_works_with_one_open_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Config { open_blobs: 1, ..Config::default() }).unwrap();
    let samples: Vec<_> = (0..3).map(|seed| Sample::new(seed, 40_000)).collect();
    for _ in 0..2 {
        samples.iter().for_each(|sample| sample.put_all(&store));
        samples.iter().for_each(|sample| assert_eq!(sample.check(&store), 3));
    }
    store.flush().unwrap();
}
