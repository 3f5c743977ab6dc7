//! Mapping, filtering and meeting over TCP: connections leave from the port that
//! listens, and simultaneous open (RFC 9293, section 3.5) does the rest.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::{CALLBACK, Exchange, MEETING, any, filter_of, stun};
use crate::failure::Result;
use crate::lab::internet::nat::Behaviour;

/// How long one attempt may take, and how long until the next.
const PATIENCE: Duration = Duration::from_millis(1_500);
const AGAIN: Duration = Duration::from_millis(50);
/// "Call me from elsewhere!", and what two that meet say.
const WORD: &[u8] = b"!";

/// Answers at all four places for as long as the runtime lives.
pub(super) async fn answer() -> Result<()> {
    for place in stun() {
        let listener = TcpListener::bind(place).await?;
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                tokio::spawn(serve(stream, from));
            }
        });
    }
    Ok(())
}

/// Says who it is that asks; and calls back from another port of the same
/// address, and from the other address.
async fn serve(mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
    stream.write_all(format!("{from}\n").as_bytes()).await?;
    let mut word = [0; 1];
    if stream.read(&mut word).await? == 1 {
        for (caller, place) in [(1, stun()[0]), (2, stun()[2])] {
            tokio::spawn(async move {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(place.ip(), 0))?;
                let mut stream = timeout(CALLBACK, socket.connect(from)).await??;
                stream.write_all(&[caller]).await
            });
        }
        // The first connection stays until the other end has seen enough.
        let _ = stream.read(&mut word).await;
    }
    Ok(())
}

/// A socket on a port that others of ours have too.
fn socket(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(any(port))?;
    Ok(socket)
}

/// How a place sees this port, and the connection that keeps the mapping.
async fn seen_from(
    port: u16,
    place: SocketAddr,
) -> Result<Option<(SocketAddr, BufReader<TcpStream>)>> {
    let Ok(Ok(stream)) = timeout(PATIENCE, socket(port)?.connect(place)).await else {
        return Ok(None);
    };
    let (mut stream, mut line) = (BufReader::new(stream), String::new());
    stream.read_line(&mut line).await?;
    Ok(line.trim().parse().ok().map(|seen| (seen, stream)))
}

pub(super) async fn observe(port: u16) -> Result<Option<Behaviour>> {
    let mut mappings = Vec::new();
    for place in stun() {
        let Some(seen) = seen_from(port, place).await? else { return Ok(None) };
        mappings.push(seen);
    }
    let one_mapping = mappings.iter().all(|(mapping, _)| *mapping == mappings[0].0);

    let listener = socket(port + 1)?.listen(8)?;
    let Some((_, mut stream)) = seen_from(port + 1, stun()[0]).await? else { return Ok(None) };
    stream.write_all(WORD).await?;
    let (mut callers, until) = (Vec::new(), Instant::now() + CALLBACK);
    while let Ok(accepted) = timeout_at(until, listener.accept()).await {
        callers.push(accepted?.0.read_u8().await?);
    }
    Ok(Some(Behaviour { one_mapping, filter: filter_of(&callers) }))
}

pub(super) async fn meet(
    port: u16,
    mapped: Option<SocketAddr>,
    exchange: &Exchange,
) -> Result<bool> {
    let listener = socket(port)?.listen(8)?;
    let seen = seen_from(port, stun()[0]).await?;
    let own = seen.as_ref().map(|(seen, _)| mapped.unwrap_or(*seen));
    let Some(other) = exchange.swap(own) else { return Ok(false) };
    let (met, mut has_met) = mpsc::channel(1);
    let dialling = tokio::spawn({
        let met = met.clone();
        async move {
            loop {
                if let Ok(socket) = socket(port)
                    && let Ok(Ok(stream)) = timeout(PATIENCE, socket.connect(other)).await
                {
                    greet(stream, met.clone()).await;
                }
                sleep(AGAIN).await;
            }
        }
    });
    let deadline = Instant::now() + MEETING;
    let outcome = loop {
        tokio::select! {
            Some(()) = has_met.recv() => break true,
            Ok((stream, _)) = listener.accept() => drop(tokio::spawn(greet(stream, met.clone()))),
            () = sleep_until(deadline) => break false,
        }
    };
    dialling.abort();
    Ok(outcome)
}

/// Both say a word on every connection, and hear one.
async fn greet(mut stream: TcpStream, met: mpsc::Sender<()>) {
    let mut word = [0; 1];
    let spoken = async {
        stream.write_all(WORD).await?;
        stream.read_exact(&mut word).await
    };
    if let Ok(Ok(_)) = timeout(PATIENCE, spoken).await {
        let _ = met.send(()).await;
    }
}
