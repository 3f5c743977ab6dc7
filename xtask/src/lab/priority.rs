//! `cargo xtask lab priority`: is a request for what plays now answered as if
//! alone, while an offline copy fills the link?
//!
//! Side A serves, side B asks: first on the idle link, then beside the copy.

use std::time::Duration;

use antiphon_net::identity::NodeSecret;
use antiphon_net::{Acceptor, AcceptorLimits, Connection, Dial, Stream, StreamItem, Transport};
use antiphon_types::{BLOCK_BYTES, Class};
use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::args::Shaped;
use super::link::{Link, Options, Side};
use super::median_ms;
use crate::failure::{Context as _, Failure, Result};

/// The two sides' secret: they are of no interest here.
const SECRET: [u8; 32] = [1; 32];
/// Between two requests: a listener who skips fast.
const PAUSE: Duration = Duration::from_millis(300);
/// Time for the copy to fill whatever it is going to fill.
const SETTLING: Duration = Duration::from_secs(4);
/// Requests that are not counted: the first ones open TCP's window.
const WARM_UP: usize = 4;
/// What IP, TCP or UDP, and our own headers take of a link, at most.
const HEADERS_SHARE: f64 = 0.06;

/// Arguments of `cargo xtask lab priority`.
#[derive(Debug, clap::Args)]
pub struct PriorityArgs {
    #[command(flatten)]
    link: Shaped,
    /// Over what to connect: tcp or quic.
    #[arg(long, default_value = "tcp")]
    transport: Transport,
    /// Requests to time, idle and busy each.
    #[arg(long, default_value_t = 25)]
    requests: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Median time for a block of 16 KiB on the idle link, in milliseconds.
    pub idle_ms: f64,
    /// The same beside the copy.
    pub busy_ms: f64,
    /// How much longer that is.
    pub ratio: f64,
    /// The slowest beside the copy, in milliseconds.
    pub busy_max_ms: f64,
    /// What the copy received meanwhile, in Mbit/s.
    pub copy_mbit_per_s: f64,
    /// Its share of what the requests left of the link, headers taken off;
    /// `None` for a link without a rate.
    pub copy_share: Option<f64>,
}

/// Runs `cargo xtask lab priority`.
///
/// # Errors
///
/// The link cannot be made, or the connection failed.
pub fn run(args: &PriorityArgs) -> Result<()> {
    let measured = measure(&args.link.options(), args.transport, args.requests)?;
    if args.json {
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(());
    }
    println!(
        "a block that plays now, {}: {:.1} ms idle, {:.1} ms beside a copy ({:.2} times; slowest {:.1} ms)",
        args.transport, measured.idle_ms, measured.busy_ms, measured.ratio, measured.busy_max_ms
    );
    let share =
        measured.copy_share.map(|share| format!(", {:.0} % of what is left", share * 100.0));
    println!("the copy: {:.2} Mbit/s{}", measured.copy_mbit_per_s, share.unwrap_or_default());
    Ok(())
}

/// Measures on a link of its own.
///
/// # Errors
///
/// The link cannot be made, or the connection failed.
pub fn measure(options: &Options, transport: Transport, requests: usize) -> Result<Measured> {
    let link = Link::new(options)?;
    let address = (Side::A.address(), 7700);
    let listening = link.within(Side::A, || {
        let runtime = runtime()?;
        let secret = NodeSecret::from_bytes(&SECRET);
        let (node, limits) = (secret.node_id(), AcceptorLimits::default());
        let binding = Acceptor::bind(address.into(), secret, node, limits);
        let acceptor = runtime.block_on(binding).context(|| "listen on side A".to_owned())?;
        Ok::<_, Failure>((runtime, acceptor))
    })??;
    std::thread::spawn(move || listening.0.block_on(serve(listening.1)));
    let secret = NodeSecret::from_bytes(&SECRET);
    let (addresses, node) = (vec![format!("{}:{}", address.0, address.1)], secret.node_id());
    let dial = Dial { transport, ..Dial::new(addresses, node, node, secret) };
    let timings = link.within(Side::B, || runtime()?.block_on(ask(dial, requests)))??;
    link.close()?;
    Ok(timings.summary(options.a_to_b.rate.0.map(|bits| bits as f64)))
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context(|| "start a runtime".to_owned())
}

/// Answers each stream of class now by one block, any other without end.
async fn serve(mut acceptor: Acceptor) {
    loop {
        let connection = acceptor.accept().await;
        connection.let_in();
        tokio::spawn(async move {
            while let Ok(stream) = connection.accept().await {
                tokio::spawn(answer(stream));
            }
        });
    }
}

async fn answer(mut stream: Stream) {
    let last = if stream.class() == Class::Now { 1 } else { u32::MAX };
    let block = Bytes::from(vec![7; BLOCK_BYTES as usize]);
    if !matches!(stream.receive().await, Ok(Some(_))) {
        return;
    }
    for index in 0..last {
        if stream.send_block(index, &[], block.clone()).await.is_err() {
            return;
        }
    }
    stream.finish();
}

/// Times of all requests, and what the copy got beside the busy ones.
struct Timings {
    idle: Vec<Duration>,
    busy: Vec<Duration>,
    copied: u64,
    busy_for: Duration,
}

async fn ask(dial: Dial, requests: usize) -> Result<Timings> {
    let connection = Connection::dial(dial);
    connection.established().await.context(|| "connect to side A".to_owned())?;
    let mut idle = time_requests(&connection, WARM_UP + requests).await?;
    idle.drain(..WARM_UP);
    let (copied, copying) = copy(&connection).await?;
    tokio::time::sleep(SETTLING).await;
    let (before, begun) = (copied.get(), Instant::now());
    let busy = time_requests(&connection, requests).await?;
    let (copied, busy_for) = (copied.get() - before, begun.elapsed());
    copying.abort();
    Ok(Timings { idle, busy, copied, busy_for })
}

async fn time_requests(connection: &Connection, count: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        let mut stream = open(connection, Class::Now).await?;
        stream.finish();
        let answer = stream.receive().await.context(|| "a request".to_owned())?;
        if !matches!(answer, Some(StreamItem::Block { .. })) {
            return Err(Failure::new("a request was answered by nothing"));
        }
        times.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

/// Starts the copy; how much of it has come, and the task that reads it.
async fn copy(connection: &Connection) -> Result<(Counter, JoinHandle<()>)> {
    let mut stream = open(connection, Class::Offline).await?;
    let counter = Counter::default();
    let counted = counter.clone();
    let reading = tokio::spawn(async move {
        while let Ok(Some(StreamItem::Block { data, .. })) = stream.receive().await {
            counted.add(data.len());
        }
    });
    Ok((counter, reading))
}

async fn open(connection: &Connection, class: Class) -> Result<Stream> {
    let mut stream = connection.open(class).context(|| "open a stream".to_owned())?;
    let question = Bytes::from_static(&[b'?'; 64]);
    stream.send_message(question).await.context(|| "ask".to_owned())?;
    Ok(stream)
}

/// Bytes, counted by one task and looked at by another of the same thread.
#[derive(Debug, Clone, Default)]
struct Counter(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Counter {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, std::sync::atomic::Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Timings {
    fn summary(&self, rate: Option<f64>) -> Measured {
        let (idle_ms, busy_ms) = (median_ms(&self.idle), median_ms(&self.busy));
        let seconds = self.busy_for.as_secs_f64();
        let rate_of = |bytes: f64| bytes * 8.0 / seconds;
        let asked = rate_of(self.busy.len() as f64 * f64::from(BLOCK_BYTES));
        let copied = rate_of(self.copied as f64);
        let slowest = self.busy.iter().max().copied().unwrap_or_default();
        Measured {
            idle_ms,
            busy_ms,
            ratio: busy_ms / idle_ms,
            busy_max_ms: slowest.as_secs_f64() * 1_000.0,
            copy_mbit_per_s: copied / 1e6,
            copy_share: rate.map(|rate| copied / (rate * (1.0 - HEADERS_SHARE) - asked)),
        }
    }
}
