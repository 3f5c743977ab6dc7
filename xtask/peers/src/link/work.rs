//! What is measured over a stack.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::request::{BLOCK_BYTES, Request, Usage};
use super::stack::Stack;
use crate::times::Times;
use crate::{Result, machine};

/// What a client does.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Work {
    /// As many bytes as can be had, on one stream or several at once
    Bulk(Bulk),
    /// One request of 64 bytes after the other, each for 16 KiB
    Rpc(Rpc),
    /// Connections that do nothing, and what they cost the server
    Idle(Idle),
}

/// Arguments of `bench-peers fetch bulk`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Bulk {
    /// Streams at once; each brings its share of the bytes
    #[arg(long, default_value_t = 1)]
    streams: u32,
    /// Bytes at most
    #[arg(long, default_value_t = 1_000_000_000)]
    bytes: u64,
    /// Fewer bytes, where all would take longer than this
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// How long to warm up, in seconds; at least one exchange of 16 MiB
    #[arg(long, default_value_t = 0.25, value_name = "SECONDS")]
    warm_up: f64,
}

/// Arguments of `bench-peers fetch rpc`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Rpc {
    /// Round trips that are timed
    #[arg(long, default_value_t = 6000)]
    round_trips: usize,
    /// Round trips on one connection: a peer need not bear more streams in a
    /// second than a listener opens
    #[arg(long, default_value_t = 3000)]
    per_connection: usize,
}

/// Arguments of `bench-peers fetch idle`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Idle {
    /// How many connections
    #[arg(long, default_value_t = 200)]
    connections: u32,
}

/// What was measured. CPU times are of the measured part alone.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    Bulk { bytes: u64, seconds: f64, cpu: Cpu },
    Rpc { round_trips: usize, median_us: f64, p99_us: f64, cpu: Cpu },
    Idle { connections: u32, resident_bytes_each: Option<f64> },
}

/// CPU time of both processes, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cpu {
    client: Option<f64>,
    server: Option<f64>,
}

/// Bytes of one exchange that warms up.
const WARM_UP_BYTES: u64 = 16 << 20;
/// Round trips that warm up a connection.
const WARM_UP_ROUND_TRIPS: usize = 200;

impl Work {
    /// Does it.
    pub(crate) async fn run<S: Stack>(self, server: SocketAddr) -> Result<Figures> {
        match self {
            Self::Bulk(bulk) => bulk.run::<S>(server).await,
            Self::Rpc(rpc) => rpc.run::<S>(server).await,
            Self::Idle(idle) => idle.run::<S>(server).await,
        }
    }
}

impl Bulk {
    async fn run<S: Stack>(&self, server: SocketAddr) -> Result<Figures> {
        let mut first = S::connect(server).await?;
        let mut handles = Vec::new();
        for _ in 1..self.streams {
            handles.push(first.another().ok_or("this stack has one stream only")?);
        }
        let rate = warm_up(&mut first, Duration::try_from_secs_f64(self.warm_up)?).await?;
        let bytes = rate * self.seconds;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "capped")]
        let total = self.bytes.min(bytes as u64);
        let each = total / u64::from(self.streams.max(1));

        let meter = Meter::start(&mut first).await?;
        handles.push(first);
        let mut fetches = JoinSet::new();
        let start = Instant::now();
        for mut handle in handles {
            fetches.spawn(async move { fetch(&mut handle, each).await.map(|()| handle) });
        }
        let mut last = None;
        while let Some(done) = fetches.join_next().await {
            last = Some(done??);
        }
        let seconds = start.elapsed().as_secs_f64();
        let cpu = meter.stop(&mut last.ok_or("no stream was asked for")?).await?;
        Ok(Figures::Bulk { bytes: each * u64::from(self.streams), seconds, cpu })
    }
}

impl Rpc {
    async fn run<S: Stack>(&self, server: SocketAddr) -> Result<Figures> {
        let (mut times, mut cpu) = (Times::default(), Cpu::default());
        while times.len() < self.round_trips {
            let mut stack = S::connect(server).await?;
            for _ in 0..WARM_UP_ROUND_TRIPS {
                fetch(&mut stack, BLOCK_BYTES as u64).await?;
            }
            let meter = Meter::start(&mut stack).await?;
            for _ in 0..self.per_connection.min(self.round_trips - times.len()) {
                let start = Instant::now();
                fetch(&mut stack, BLOCK_BYTES as u64).await?;
                times.push(start.elapsed());
            }
            cpu = cpu.plus(meter.stop(&mut stack).await?);
        }
        let (median_us, p99_us) = times.median_and_p99_us();
        Ok(Figures::Rpc { round_trips: times.len(), median_us, p99_us, cpu })
    }
}

impl Idle {
    async fn run<S: Stack>(&self, server: SocketAddr) -> Result<Figures> {
        let mut first = S::connect(server).await?;
        fetch(&mut first, BLOCK_BYTES as u64).await?;
        let before = usage(&mut first).await?.resident_bytes;
        let mut idle = Vec::new();
        for _ in 0..self.connections {
            let mut one = S::connect(server).await?;
            fetch(&mut one, BLOCK_BYTES as u64).await?;
            idle.push(one);
        }
        let after = usage(&mut first).await?.resident_bytes;
        let connections = self.connections;
        #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
        let resident_bytes_each = after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before) as f64 / f64::from(connections));
        Ok(Figures::Idle { connections, resident_bytes_each })
    }
}

/// Fetches until all is warm; bytes per second.
async fn warm_up(stack: &mut impl Stack, time: Duration) -> Result<f64> {
    let start = Instant::now();
    loop {
        let begun = Instant::now();
        fetch(stack, WARM_UP_BYTES).await?;
        if start.elapsed() > time {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            return Ok(WARM_UP_BYTES as f64 / begun.elapsed().as_secs_f64());
        }
    }
}

/// Fetches so many bytes and drops them.
async fn fetch(stack: &mut impl Stack, bytes: u64) -> Result<()> {
    let mut taken = 0;
    stack.exchange(Request::Data(bytes), |piece| taken += piece.len() as u64).await?;
    if taken == bytes { Ok(()) } else { Err(format!("{taken} bytes came of {bytes}").into()) }
}

async fn usage(stack: &mut impl Stack) -> Result<Usage> {
    let mut reply = Vec::new();
    stack.exchange(Request::Usage, |piece| reply.extend_from_slice(piece)).await?;
    Usage::decode(&reply)
}

/// Measures the CPU time of both processes.
struct Meter {
    client: Option<Duration>,
    server: Option<Duration>,
}

impl Meter {
    async fn start(stack: &mut impl Stack) -> Result<Self> {
        let server = usage(stack).await?.cpu;
        Ok(Self { client: machine::cpu_time(), server })
    }

    async fn stop(self, stack: &mut impl Stack) -> Result<Cpu> {
        let client = machine::cpu_time();
        let server = usage(stack).await?.cpu;
        let passed = |after: Option<Duration>, before: Option<Duration>| {
            after.zip(before).map(|(after, before)| (after - before).as_secs_f64())
        };
        Ok(Cpu { client: passed(client, self.client), server: passed(server, self.server) })
    }
}

impl Cpu {
    fn plus(self, more: Self) -> Self {
        let sum = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or_default() + other.unwrap_or_default()),
        };
        Self { client: sum(self.client, more.client), server: sum(self.server, more.server) }
    }
}
