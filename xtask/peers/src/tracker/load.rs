//! Announcing and asking at a server over loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::JoinSet;

use super::meter::{Meter, resident_bytes};
use super::{aquatic, ours, redis};
use crate::Result;

/// Blobs that are announced and asked for, unless told otherwise.
pub(super) const BLOBS: u32 = 20_000;

/// Arguments of `bench-peers tracker load`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Whose protocol the server speaks
    #[arg(long)]
    side: Side,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    server: SocketAddr,
    /// Our server's key, in hexadecimal
    #[arg(long, value_name = "KEY", default_value = "")]
    key: String,
    /// Its process, whose CPU time is counted
    #[arg(long, value_name = "PID")]
    process: u32,
    /// Peers, each with a session of its own
    #[arg(long, default_value_t = 1000)]
    sessions: u32,
    /// Messages of each session under way at once
    #[arg(long, default_value_t = 16)]
    window: u32,
    /// Blobs announced and blobs asked for in a message
    #[arg(long, default_value_t = 1)]
    batch: u32,
    /// Blobs there are
    #[arg(long, default_value_t = BLOBS)]
    blobs: u32,
    /// Holders of each, before it begins
    #[arg(long, default_value_t = 20)]
    holders: u32,
    /// How long to measure
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    Ours,
    Aquatic,
    Redis,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    /// Announcements, each with a query.
    pairs: u64,
    seconds: f64,
    /// Of the server process.
    cpu_seconds: f64,
    /// Peers that a query was answered with, on average.
    named: f64,
    /// Of the server process, at the end.
    resident_bytes: u64,
}

/// What the sessions of a side have in common.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) server: SocketAddr,
    pub(super) key: String,
    pub(super) sessions: u32,
    pub(super) window: u32,
    pub(super) batch: u32,
    blobs: u32,
    holders: u32,
    pairs: AtomicU64,
    named: AtomicU64,
    over: AtomicBool,
}

/// How long a side may take to fill.
const FILL_TIMEOUT: Duration = Duration::from_secs(120);
/// How long it runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

impl Load {
    /// The blobs that a peer announces before it begins, so that each has its
    /// holders.
    pub(super) fn first_holdings(&self, peer: u32) -> impl Iterator<Item = u32> + use<> {
        let (blobs, sessions) = (self.blobs, self.sessions);
        let each = u64::from(blobs) * u64::from(self.holders) / u64::from(sessions);
        let first = u64::from(peer) * each;
        (first..first + each).map(move |n| u32::try_from(n % u64::from(blobs)).unwrap_or(0))
    }

    /// Where a session's choice of blobs begins.
    pub(super) fn rng(&self, peer: u32) -> StdRng {
        StdRng::seed_from_u64(peer.into())
    }

    pub(super) fn draw_blob(&self, rng: &mut StdRng) -> u32 {
        rng.random_range(0..self.blobs)
    }

    /// Counts answers: to how many queries, and peers that they name.
    pub(super) fn count(&self, pairs: u64, named: u64) {
        self.pairs.fetch_add(pairs, Ordering::Relaxed);
        self.named.fetch_add(named, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Runs `bench-peers tracker load`: connects and fills, then measures.
pub(super) fn run(args: &Args) -> Result<()> {
    let load = Load {
        server: args.server,
        key: args.key.clone(),
        sessions: args.sessions,
        window: args.window,
        batch: args.batch,
        blobs: args.blobs,
        holders: args.holders,
        pairs: AtomicU64::new(0),
        named: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let load: &'static Load = Box::leak(Box::new(load));
    let (filled, fills) = std::sync::mpsc::channel();
    let side = args.side;
    let sessions = std::thread::spawn(move || match side {
        Side::Ours => ours::run(load, &filled),
        Side::Aquatic => aquatic::run(load, &filled),
        Side::Redis => redis::run(load, &filled),
    });
    if fills.recv_timeout(FILL_TIMEOUT).is_err() {
        if sessions.is_finished() {
            sessions.join().map_err(|_| "the sessions panicked")??;
        }
        return Err("the index did not fill in time".into());
    }
    std::thread::sleep(WARM_UP);
    let meter = Meter::start(args.process)?;
    let count = || [&load.pairs, &load.named].map(|count| count.load(Ordering::Relaxed));
    let [pairs, named] = count();
    std::thread::sleep(Duration::try_from_secs_f64(args.seconds)?);
    let [pairs, named] = [count()[0] - pairs, count()[1] - named];
    let (elapsed, cpu_seconds) = meter.stop()?;
    load.over.store(true, Ordering::Relaxed);
    sessions.join().map_err(|_| "the sessions panicked")??;
    #[expect(clippy::cast_precision_loss, reason = "a mean to be read")]
    let named = named as f64 / pairs.max(1) as f64;
    if named < 9.0 {
        return Err(format!("an answer names {named:.1} peers and should name 10").into());
    }
    let resident_bytes = resident_bytes(args.process)?;
    let seconds = elapsed.as_secs_f64();
    let figures = Figures { pairs, seconds, cpu_seconds, named, resident_bytes };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Waits until all sessions have filled the server, says so, and runs them until it is
/// over.
pub(super) async fn fill_then_run<S, R>(
    mut filling: JoinSet<Result<S>>,
    filled: &Sender<()>,
    run: impl Fn(S) -> R,
) -> Result<()>
where
    S: Send + 'static,
    R: Future<Output = Result<()>> + Send + 'static,
{
    let mut sessions = Vec::new();
    while let Some(session) = filling.join_next().await {
        sessions.push(session??);
    }
    let _ = filled.send(());
    let mut running = JoinSet::new();
    for session in sessions {
        running.spawn(run(session));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
