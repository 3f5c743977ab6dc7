//! The index itself, without any network.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use antiphon_tracker::{Limits, MemoryTracker, Place, Tracker};
use antiphon_types::{BlobId, NodeId, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use super::{blob_id, peer_id};
use crate::{Result, machine};

/// Arguments of `bench-peers tracker bare`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Peers online
    #[arg(long, default_value_t = 1_000_000)]
    peers: u32,
    /// Blobs there are
    #[arg(long, default_value_t = 1_000_000)]
    blobs: u32,
    /// Blobs that each peer holds
    #[arg(long, default_value_t = 20)]
    holdings: u32,
    /// Turns of announcing and asking, of each of which the median counts
    #[arg(long, default_value_t = 7)]
    turns: u32,
    /// How long a turn takes
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
}

/// What was measured; rates are medians over the turns.
#[derive(Debug, Serialize)]
struct Figures {
    entries: usize,
    /// Memory for each entry, with its share of peers, contacts and blobs.
    resident_bytes_each: Option<f64>,
    /// To fill it, announcements of `holdings` blobs.
    fills_per_second: f64,
    announces_per_second: f64,
    finds_per_second: f64,
    named: f64,
}

/// What a server keeps of where a peer is reached that has two outer addresses of each
/// transport and an inner one, as text for others and for the household.
const CONTACT: [u8; 200] = [7; 200];
/// Calls between two looks at the clock, which tells milliseconds.
const CALLS: u32 = 10_000;

/// Runs `bench-peers tracker bare`.
pub(super) fn run(args: &Args) -> Result<()> {
    let turn = Duration::try_from_secs_f64(args.seconds)?;
    let before = machine::resident_bytes();
    let tracker = MemoryTracker::new(Limits::default(), rand::random());
    let mut rng = StdRng::seed_from_u64(1);
    for peer in 0..args.peers {
        tracker.connect(Timestamp::ZERO, node(peer), place(peer))?;
    }
    let start = cpu_time()?;
    let announced = fill(args, &tracker, &mut rng)?;
    let fills_per_second = f64::from(announced) / (cpu_time()? - start).as_secs_f64();
    let entries = tracker.totals().entries;
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let resident_bytes_each = machine::resident_bytes()
        .zip(before)
        .map(|(after, before)| after.saturating_sub(before) as f64 / entries as f64);

    let (mut announces, mut finds, mut named) = (Vec::new(), Vec::new(), 0);
    let mut draws = StdRng::seed_from_u64(2);
    let mut shuffler = StdRng::seed_from_u64(3);
    let mut asked = 0_u32;
    for _ in 0..args.turns {
        announces.push(rate(turn, || {
            let (peer, blob) = draw(args, &mut draws);
            tracker.announce(peer, &[blob]).is_ok()
        })?);
        finds.push(rate(turn, || {
            let (peer, blob) = draw(args, &mut draws);
            tracker.find_each(blob, peer, 10, &mut shuffler, &mut |peer| {
                named += usize::from(!peer.contact.is_empty());
            });
            asked += 1;
            true
        })?);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
    let named = named as f64 / f64::from(asked);
    let figures = Figures {
        entries,
        resident_bytes_each,
        fills_per_second,
        announces_per_second: median(announces),
        finds_per_second: median(finds),
        named,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Every peer announces its holdings, drawn at random.
fn fill(args: &Args, tracker: &MemoryTracker, rng: &mut StdRng) -> Result<u32> {
    for peer in 0..args.peers {
        let held: Vec<BlobId> =
            (0..args.holdings).map(|_| blob(rng.random_range(0..args.blobs))).collect();
        tracker.announce(node(peer), &held)?;
    }
    Ok(args.peers * args.holdings)
}

/// How many calls there are in a second of CPU time; each says whether it was answered.
fn rate(time: Duration, mut call: impl FnMut() -> bool) -> Result<f64> {
    let start = cpu_time()?;
    let mut calls = 0_u32;
    while cpu_time()? - start < time {
        for _ in 0..CALLS {
            if !call() {
                return Err("a call was refused".into());
            }
        }
        calls += CALLS;
    }
    Ok(f64::from(calls) / (cpu_time()? - start).as_secs_f64())
}

/// The time that counts: what else the machine does shall not.
fn cpu_time() -> Result<Duration> {
    Ok(machine::cpu_time().ok_or("this system does not tell CPU time")?)
}

fn draw(args: &Args, rng: &mut StdRng) -> (NodeId, BlobId) {
    (node(rng.random_range(0..args.peers)), blob(rng.random_range(0..args.blobs)))
}

fn node(number: u32) -> NodeId {
    NodeId::new(peer_id(number))
}

fn blob(number: u32) -> BlobId {
    BlobId::new(blob_id(number))
}

/// Some share an address, some a region; each has one interface.
fn place(number: u32) -> Place {
    let public = Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1) | 3);
    Place::new(public.into(), [IpAddr::from([192, 168, 1, 2])]).with_contact(CONTACT)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
