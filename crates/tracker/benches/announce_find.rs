//! What an announcement and a query cost in an index of 100,000 blobs with
//! full swarms, and how much memory an entry takes (Linux).

#![allow(missing_docs, reason = "macros of criterion make public items")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use antiphon_tracker::{Limits, MemoryTracker, Place, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const PEERS: u32 = 100_000;
const BLOBS: u32 = 100_000;
const KEY: [u8; 16] = [7; 16];
const HOLDINGS: u32 = 20;

/// Spreads a small number over an id as a hash would.
fn id(number: u32) -> [u8; 32] {
    let mut id = [0; 32];
    ChaCha8Rng::seed_from_u64(number.into()).fill_bytes(&mut id);
    id
}

fn place(number: u32) -> Place {
    // Some peers share an address, some a region.
    let public = Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1) | 3);
    Place::new(public.into(), [IpAddr::from([192, 168, 1, 2])])
}

/// Every peer holds 20 blobs and every blob has 20 holders.
fn full_index(peers: &[NodeId], blobs: &[BlobId]) -> MemoryTracker {
    let tracker = MemoryTracker::new(Limits::default(), KEY);
    for (number, peer) in (0..).zip(peers) {
        tracker.connect(Timestamp::ZERO, *peer, place(number)).expect("below the limit");
    }
    for (number, peer) in (0..).zip(peers) {
        let held: Vec<BlobId> =
            (0..HOLDINGS).map(|i| blobs[((number + i * 4_999) % BLOBS) as usize]).collect();
        tracker.announce(*peer, &held).expect("connected above");
    }
    tracker
}

fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok().map(|kib: usize| kib * 1024)
}

fn announce_find(criterion: &mut Criterion) {
    let peers: Vec<NodeId> = (0..PEERS).map(|n| NodeId::new(id(n))).collect();
    let blobs: Vec<BlobId> = (0..BLOBS).map(|n| BlobId::new(id(n + PEERS))).collect();
    let before = resident_bytes();
    let tracker = full_index(&peers, &blobs);
    let entries = tracker.totals().entries;
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        let each = after.saturating_sub(before) / entries;
        eprintln!("{entries} entries, {each} bytes each, peers and blobs included");
    }

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = |count: u32| (rng.next_u32() % count) as usize;
    criterion.bench_function("announce", |bench| {
        bench.iter(|| {
            let (peer, blob) = (peers[draw(PEERS)], blobs[draw(BLOBS)]);
            black_box(tracker.announce(peer, &[blob]))
        });
    });
    let mut shuffler = ChaCha8Rng::seed_from_u64(2);
    criterion.bench_function("find", |bench| {
        bench.iter(|| {
            let (asker, blob) = (peers[draw(PEERS)], blobs[draw(BLOBS)]);
            black_box(tracker.find(blob, asker, 10, &mut shuffler))
        });
    });
}

criterion_group!(benches, announce_find);
criterion_main!(benches);
