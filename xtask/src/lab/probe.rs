//! `cargo xtask lab probe`: measures a link by nothing but sockets.
//!
//! One side runs `serve`, the other `measure`. `serve` answers every datagram
//! with itself, and over TCP sends or takes as much as it can.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::{Context as _, Failure, Result};

/// Where `serve` listens.
pub const PORT: u16 = 7077;
/// A round trip that takes longer counts as lost.
const ROUND_TRIP_LIMIT: Duration = Duration::from_secs(2);
/// Between two datagrams: about the pace of small packets in a call.
const PACE: Duration = Duration::from_millis(10);
/// How long `measure` waits for `serve` to be there.
const START_LIMIT: Duration = Duration::from_secs(10);
/// A connection over which nothing comes for so long has failed.
const STILLNESS_LIMIT: Duration = Duration::from_secs(5);
/// The size of one read or write.
const CHUNK_BYTES: usize = 64 * 1024;
/// The first byte of a connection says which way data goes.
const DOWN: u8 = b'd';
const UP: u8 = b'u';

/// What `cargo xtask lab probe` does.
#[derive(Debug, clap::Subcommand)]
pub enum Probe {
    /// Answers probes until it is ended, or for ten minutes.
    Serve,
    /// Measures the link to the side that serves.
    Measure(MeasureArgs),
}

/// Arguments of `cargo xtask lab probe measure`.
#[derive(Debug, clap::Args)]
pub struct MeasureArgs {
    /// The address of the side that serves.
    #[arg(long, env = "ANTIPHON_LAB_PEER")]
    peer: IpAddr,
    /// How many round trips to time, one after another.
    #[arg(long, default_value_t = 200)]
    pings: u32,
    /// How long to send over TCP, in seconds, each way; 0 leaves it out.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Round trips that came back, in milliseconds, from the shortest.
    #[serde(skip)]
    pub round_trips_ms: Vec<f64>,
    /// The shortest round trip, in milliseconds.
    pub round_trip_min_ms: f64,
    /// The median round trip, in milliseconds.
    pub round_trip_p50_ms: f64,
    /// 99 of 100 round trips were as short as this, in milliseconds.
    pub round_trip_p99_ms: f64,
    /// Datagrams sent.
    pub sent: u32,
    /// Datagrams that did not come back in time.
    pub lost: u32,
    /// TCP payload from the serving side, in Mbit/s.
    pub down_mbit_per_s: f64,
    /// TCP payload to the serving side, in Mbit/s.
    pub up_mbit_per_s: f64,
}

/// Runs `cargo xtask lab probe`.
///
/// # Errors
///
/// The port is taken, or the other side does not answer.
pub fn run(probe: &Probe) -> Result<()> {
    match probe {
        Probe::Serve => {
            Server::bind(IpAddr::from([0, 0, 0, 0]))?.start();
            thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        Probe::Measure(args) => {
            let measured = measure(args.peer, args.pings, Duration::from_secs(args.seconds))?;
            if args.json {
                println!("{}", serde_json::to_string(&measured)?);
            } else {
                print(&measured);
            }
            Ok(())
        }
    }
}

fn print(measured: &Measured) {
    println!(
        "round trip: min {:.3} ms, p50 {:.3} ms, p99 {:.3} ms; {} of {} lost",
        measured.round_trip_min_ms,
        measured.round_trip_p50_ms,
        measured.round_trip_p99_ms,
        measured.lost,
        measured.sent
    );
    println!(
        "TCP payload: {:.2} Mbit/s down, {:.2} Mbit/s up",
        measured.down_mbit_per_s, measured.up_mbit_per_s
    );
}

/// The serving side of a probe.
#[derive(Debug)]
pub struct Server {
    datagrams: UdpSocket,
    connections: TcpListener,
}

impl Server {
    /// Binds [`PORT`] of an address, for TCP and for UDP.
    ///
    /// # Errors
    ///
    /// The port is taken.
    pub fn bind(address: IpAddr) -> Result<Self> {
        let address = SocketAddr::new(address, PORT);
        let said = || format!("listen on {address}");
        let datagrams = UdpSocket::bind(address).context(said)?;
        let connections = TcpListener::bind(address).context(said)?;
        Ok(Self { datagrams, connections })
    }

    /// Answers from threads of its own until the process ends.
    pub fn start(self) {
        let Self { datagrams, connections } = self;
        thread::spawn(move || echo(&datagrams));
        thread::spawn(move || {
            for connection in connections.incoming().flatten() {
                // A client that goes away in the middle has what it wants.
                thread::spawn(move || answer(connection).ok());
            }
        });
    }
}

fn echo(datagrams: &UdpSocket) {
    let mut buffer = [0; 2048];
    // An error here tells of an answer that did not arrive: go on.
    loop {
        if let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
            datagrams.send_to(&buffer[..length], from).ok();
        }
    }
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(STILLNESS_LIMIT))?;
    let mut wish = [0];
    connection.read_exact(&mut wish)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    match wish[0] {
        DOWN => loop {
            connection.write_all(&chunk)?;
        },
        _ => {
            let mut taken = 0_u64;
            let mut first = None;
            loop {
                let length = connection.read(&mut chunk)?;
                if length == 0 {
                    break;
                }
                taken += length as u64;
                first.get_or_insert_with(Instant::now);
            }
            let elapsed = first.map_or(Duration::ZERO, |first| first.elapsed());
            connection.write_all(&mbit_per_s(taken, elapsed).to_le_bytes())
        }
    }
}

/// Measures the link to the side that serves at `peer`.
///
/// # Errors
///
/// The other side does not answer.
pub fn measure(peer: IpAddr, pings: u32, time_each_way: Duration) -> Result<Measured> {
    let peer = SocketAddr::new(peer, PORT);
    drop(connect(peer)?);
    let mut measured = round_trips(peer, pings)?;
    if !time_each_way.is_zero() {
        measured.down_mbit_per_s =
            down(peer, time_each_way).context(|| format!("receive from {peer}"))?;
        measured.up_mbit_per_s = up(peer, time_each_way).context(|| format!("send to {peer}"))?;
    }
    Ok(measured)
}

/// Connects once the other side listens.
fn connect(peer: SocketAddr) -> Result<TcpStream> {
    let since = Instant::now();
    loop {
        match TcpStream::connect_timeout(&peer, START_LIMIT) {
            Ok(connection) => return Ok(connection),
            Err(error) if since.elapsed() > START_LIMIT => {
                return Err(Failure::new(format!("connect to {peer}: {error}"))
                    .hint("run `cargo xtask lab probe serve` on the other side"));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn round_trips(peer: SocketAddr, pings: u32) -> Result<Measured> {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let socket = UdpSocket::bind(any).context(|| "open a UDP socket".to_owned())?;
    socket.connect(peer).context(|| format!("reach {peer}"))?;
    socket.set_read_timeout(Some(ROUND_TRIP_LIMIT))?;

    let mut measured = Measured { sent: pings, ..Measured::default() };
    for ping in 0..pings {
        match round_trip(&socket, ping).context(|| format!("time a round trip to {peer}"))? {
            Some(time) => measured.round_trips_ms.push(time.as_secs_f64() * 1e3),
            None => measured.lost += 1,
        }
        thread::sleep(PACE);
    }
    measured.round_trips_ms.sort_by(f64::total_cmp);
    let times = &measured.round_trips_ms;
    let at = |hundredths: usize| {
        let last = times.len().saturating_sub(1);
        times.get(last * hundredths / 100).copied().unwrap_or_default()
    };
    (measured.round_trip_min_ms, measured.round_trip_p50_ms, measured.round_trip_p99_ms) =
        (at(0), at(50), at(99));
    Ok(measured)
}

/// The time of one round trip, or `None` if it took too long.
fn round_trip(socket: &UdpSocket, ping: u32) -> std::io::Result<Option<Duration>> {
    let start = Instant::now();
    socket.send(&ping.to_le_bytes())?;
    let mut echo = [0; 4];
    while start.elapsed() < ROUND_TRIP_LIMIT {
        match socket.recv(&mut echo) {
            // Late echoes of earlier datagrams are passed over.
            Ok(4) if u32::from_le_bytes(echo) == ping => return Ok(Some(start.elapsed())),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Payload received per second, from the first byte on.
fn down(peer: SocketAddr, time: Duration) -> std::io::Result<f64> {
    let mut connection = TcpStream::connect(peer)?;
    connection.set_read_timeout(Some(STILLNESS_LIMIT))?;
    connection.write_all(&[DOWN])?;
    let mut chunk = vec![0; CHUNK_BYTES];
    connection.read_exact(&mut chunk[..1])?;
    let start = Instant::now();
    let mut taken = 0_u64;
    while start.elapsed() < time {
        taken += connection.read(&mut chunk)? as u64;
    }
    Ok(mbit_per_s(taken, start.elapsed()))
}

/// Payload that the other side received per second, as it reports.
fn up(peer: SocketAddr, time: Duration) -> std::io::Result<f64> {
    let mut connection = TcpStream::connect(peer)?;
    connection.write_all(&[UP])?;
    let chunk = vec![0; CHUNK_BYTES];
    let start = Instant::now();
    while start.elapsed() < time {
        connection.write_all(&chunk)?;
    }
    connection.shutdown(std::net::Shutdown::Write)?;
    let mut report = [0; 8];
    connection.read_exact(&mut report)?;
    Ok(f64::from_le_bytes(report))
}

#[expect(clippy::cast_precision_loss, reason = "a rate of three digits is what is wanted")]
fn mbit_per_s(bytes: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { bytes as f64 * 8.0 / 1e6 / time.as_secs_f64() }
}
