//! `cargo xtask lab crowd`: a server with thousands of idle sessions, and one
//! that strangers knock at a thousand times a second, while somebody plays.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_net::identity::NodeSecret;
use antiphon_net::{Connection, Dial, ServerLink, Stream, StreamItem, Transport, prove_peer_key};
use antiphon_types::Class;
use antiphon_wire::proto::{
    self, ClientNotice, Hello, Play, Reply, Request, Search, ServerNotice, client_notice, reply,
    request, server_notice,
};
use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::flood::Flood;
use super::median_ms;
use crate::binaries;
use crate::demo::{Server, catalogue_of_one};
use crate::failure::{Context as _, Failure, Result};

/// Sessions that are there before the others are counted.
const FIRST_SESSIONS: usize = 200;
/// Handshakes under way at once: what the door lets one address have.
const DIALS_AT_ONCE: usize = 32;
/// Between two plays.
const PAUSE: Duration = Duration::from_millis(40);
/// How long to go on knocking.
const PATIENCE: Duration = Duration::from_secs(10);
/// Plays that are not counted.
const WARM_UP: usize = 10;

/// Arguments of `cargo xtask lab crowd`.
#[derive(Debug, clap::Args)]
pub struct CrowdArgs {
    /// Idle sessions.
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Plays to time, in quiet and beside the flood each.
    #[arg(long, default_value_t = 100)]
    plays: usize,
    /// Half-open handshakes a second from hostile clients.
    #[arg(long, default_value_t = 1_000)]
    flood: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Sessions that were held.
    pub sessions: usize,
    /// Resident memory of the server before and with them, in KiB.
    pub server_kib_before: u64,
    /// See `server_kib_before`.
    pub server_kib_with: u64,
    /// The difference for each, in KiB.
    pub kib_per_session: f64,
    /// Median time from a request to play to the first block, in milliseconds.
    pub quiet_ms: f64,
    /// The same beside the flood.
    pub flooded_ms: f64,
    /// How much longer that is.
    pub ratio: f64,
    /// Hostile connections that were made meanwhile, a second.
    pub flood_per_second: f64,
    /// Median time of a cold start beside the flood: connection, login, play.
    pub flooded_cold_ms: f64,
    /// The same in quiet.
    pub quiet_cold_ms: f64,
}

/// Runs `cargo xtask lab crowd`.
///
/// # Errors
///
/// The server does not start, or a session is refused.
pub fn run(args: &CrowdArgs) -> Result<()> {
    let measured = measure(args.sessions, args.plays, args.flood)?;
    if args.json {
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(());
    }
    println!(
        "{} idle sessions: {:.1} KiB of resident memory each ({} KiB before, {} KiB with them)",
        measured.sessions,
        measured.kib_per_session,
        measured.server_kib_before,
        measured.server_kib_with
    );
    println!(
        "click to first block: {:.2} ms in quiet, {:.2} ms beside {:.0} half-open handshakes a \
         second ({:.2} times); from a cold start {:.2} and {:.2} ms",
        measured.quiet_ms,
        measured.flooded_ms,
        measured.flood_per_second,
        measured.ratio,
        measured.quiet_cold_ms,
        measured.flooded_cold_ms
    );
    Ok(())
}

/// Measures on a server of its own.
///
/// # Errors
///
/// The server does not start, or a session is refused.
pub fn measure(sessions: usize, plays: usize, flood: u32) -> Result<Measured> {
    let binaries = binaries::build()?;
    let folder = tempfile::tempdir()?;
    catalogue_of_one(&binaries, folder.path())?;
    let server = Server::start(&binaries, folder.path())?;
    let link: ServerLink = server.link().parse()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(async {
        let address = resolve(&link).await?;
        let (good, mut session) = log_in(&link).await?;
        let track = first_track(&good).await?;
        let quiet = time_plays(&good, &track, WARM_UP + plays).await?;
        let quiet_cold = time_cold(&link, &track, plays / 4 + 1).await?;
        let flooding = Flood::start(address, flood);
        let flooded = time_plays(&good, &track, WARM_UP + plays).await?;
        let flooded_cold = time_cold(&link, &track, plays / 4 + 1).await?;
        let flood_per_second = flooding.stop();
        let quiet_ms = median_ms(&quiet[WARM_UP..]);
        let flooded_ms = median_ms(&flooded[WARM_UP..]);

        // The first ones pay for what is paid once: stacks, pools, caches.
        let first = gather(&link, FIRST_SESSIONS).await?;
        let server_kib_before = resident_kib(server.id())?;
        let crowd = gather(&link, sessions).await?;
        // Every session has said and heard what it has to.
        time_plays(&good, &track, WARM_UP).await?;
        let server_kib_with = resident_kib(server.id())?;
        session.finish();
        let held = crowd.len();
        drop((first, crowd));
        let kib = server_kib_with.saturating_sub(server_kib_before) as f64;
        Ok(Measured {
            sessions: held,
            server_kib_before,
            server_kib_with,
            kib_per_session: kib / held.max(1) as f64,
            quiet_ms,
            flooded_ms,
            ratio: flooded_ms / quiet_ms,
            flood_per_second,
            flooded_cold_ms: median_ms(&flooded_cold),
            quiet_cold_ms: median_ms(&quiet_cold),
        })
    });
    server.stop()?;
    measured
}

async fn resolve(link: &ServerLink) -> Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(link.address()).await?;
    found.next().ok_or_else(|| Failure::new("the server has no address"))
}

/// A session of a device that nobody has seen before.
async fn log_in(link: &ServerLink) -> Result<(Connection, Stream)> {
    let (device, peer) =
        (NodeSecret::generate(&mut rand::rng()), NodeSecret::generate(&mut rand::rng()));
    let hello = Hello {
        minor: proto::MINOR_VERSION,
        agent: "antiphon-lab".to_owned(),
        peer_key: Bytes::copy_from_slice(peer.node_id().as_bytes()),
        peer_key_proof: prove_peer_key(&peer, &device.node_id(), &link.node),
        ..Hello::default()
    };
    let connection = Connection::dial(Dial {
        transport: Transport::Tcp,
        ..Dial::new(vec![link.address()], link.node, link.node, device)
    });
    let mut session = connection.open(Class::Control)?;
    session.send(&ClientNotice { kind: Some(client_notice::Kind::Hello(hello)) }).await?;
    let answer: Option<ServerNotice> = session.receive_message().await?;
    match answer.and_then(|notice| notice.kind) {
        Some(server_notice::Kind::Welcome(_)) => Ok((connection, session)),
        other => Err(Failure::new(format!("the server did not say welcome: {other:?}"))),
    }
}

async fn ask(connection: &Connection, class: Class, kind: request::Kind) -> Result<Stream> {
    let mut stream = connection.open(class)?;
    stream.send(&Request { kind: Some(kind) }).await?;
    stream.finish();
    Ok(stream)
}

async fn first_track(connection: &Connection) -> Result<Bytes> {
    let search = Search { limit: 1, ..Search::default() };
    let mut stream = ask(connection, Class::Control, request::Kind::Search(search)).await?;
    let reply: Option<Reply> = stream.receive_message().await?;
    match reply.and_then(|reply| reply.kind) {
        Some(reply::Kind::Found(found)) if !found.tracks.is_empty() => {
            Ok(found.tracks[0].track.clone())
        }
        _ => Err(Failure::new("the server has no track")),
    }
}

/// Time from the request to the first block.
async fn play(connection: &Connection, track: &Bytes) -> Result<()> {
    let play = Play { track: track.clone(), kbps: 160, push_ms: 15_000, ..Play::default() };
    let mut stream = ask(connection, Class::Now, request::Kind::Play(play)).await?;
    loop {
        match stream.receive().await? {
            Some(StreamItem::Block { .. }) => return Ok(()),
            Some(StreamItem::Message(_)) => {}
            None => return Err(Failure::new("a play brought no block")),
        }
    }
}

async fn time_plays(connection: &Connection, track: &Bytes, count: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        play(connection, track).await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn time_cold(link: &ServerLink, track: &Bytes, count: usize) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        // A refusal at the door is one more knock, as the client does it.
        while let Err(failure) = play_cold(link, track).await {
            if begun.elapsed() > PATIENCE {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE).await;
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

async fn play_cold(link: &ServerLink, track: &Bytes) -> Result<()> {
    let (connection, _session) = log_in(link).await?;
    play(&connection, track).await
}

async fn gather(link: &ServerLink, sessions: usize) -> Result<Vec<(Connection, Stream)>> {
    let places = Arc::new(Semaphore::new(DIALS_AT_ONCE));
    let mut dialling = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let place = Arc::clone(&places).acquire_owned().await?;
        let link = link.clone();
        dialling.spawn(async move {
            // The door has one address do so much a second: knock again.
            let begun = Instant::now();
            let session = loop {
                match log_in(&link).await {
                    Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                    done => break done,
                }
            };
            drop(place);
            session
        });
    }
    let mut crowd = Vec::with_capacity(sessions);
    while let Some(session) = dialling.join_next().await {
        crowd.push(session??);
    }
    Ok(crowd)
}

/// `VmRSS` of a process.
fn resident_kib(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failure::new(format!("{path} tells no VmRSS")))
}
