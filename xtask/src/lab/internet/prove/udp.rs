//! Mapping, filtering and meeting over UDP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{CALLBACK, Exchange, MEETING, any, filter_of, stun};
use crate::failure::Result;
use crate::lab::internet::nat::Behaviour;

/// "Who am I?"
const WHO: &[u8] = b"who";
/// "Call me from everywhere!"
const ALL: &[u8] = b"all";
/// Between two that meet: "do you hear me?", "I do".
const HEAR: &[u8] = b"hear";
const YES: &[u8] = b"yes";
/// How often and how long is asked.
const TRIES: usize = 4;
const PATIENCE: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_millis(30);
/// How long one that has met goes on answering.
const FAREWELL: Duration = Duration::from_millis(400);

/// Answers at all four places for as long as the runtime lives.
pub(super) async fn answer() -> Result<()> {
    let mut sockets = Vec::new();
    for place in stun() {
        sockets.push(UdpSocket::bind(place).await?);
    }
    let sockets = Arc::new(sockets);
    for own in 0..sockets.len() {
        let sockets = Arc::clone(&sockets);
        tokio::spawn(async move {
            let mut question = [0; 16];
            while let Ok((length, from)) = sockets[own].recv_from(&mut question).await {
                if &question[..length] == WHO {
                    let _ = sockets[own].send_to(from.to_string().as_bytes(), from).await;
                } else {
                    for (caller, socket) in (0_u8..).zip(sockets.iter()) {
                        let _ = socket.send_to(&[caller], from).await;
                    }
                }
            }
        });
    }
    Ok(())
}

/// How a place sees this socket.
async fn seen_from(socket: &UdpSocket, place: SocketAddr) -> Result<Option<SocketAddr>> {
    let mut answer = [0; 64];
    for _ in 0..TRIES {
        socket.send_to(WHO, place).await?;
        if let Ok(received) = timeout(PATIENCE, socket.recv_from(&mut answer)).await {
            let length = received?.0;
            return Ok(String::from_utf8_lossy(&answer[..length]).parse().ok());
        }
    }
    Ok(None)
}

pub(super) async fn observe(port: u16) -> Result<Option<Behaviour>> {
    let socket = UdpSocket::bind(any(port)).await?;
    let mut mappings = Vec::new();
    for place in stun() {
        let Some(seen) = seen_from(&socket, place).await? else { return Ok(None) };
        mappings.push(seen);
    }
    let one_mapping = mappings.iter().all(|mapping| *mapping == mappings[0]);

    let socket = UdpSocket::bind(any(port + 1)).await?;
    seen_from(&socket, stun()[0]).await?;
    socket.send_to(ALL, stun()[0]).await?;
    let (mut callers, until) = (Vec::new(), Instant::now() + CALLBACK);
    let mut caller = [0; 64];
    while let Ok(received) = timeout_at(until, socket.recv_from(&mut caller)).await {
        // Anything longer is an answer that came late.
        if received?.0 == 1 {
            callers.push(caller[0]);
        }
    }
    Ok(Some(Behaviour { one_mapping, filter: filter_of(&callers) }))
}

pub(super) async fn meet(
    port: u16,
    mapped: Option<SocketAddr>,
    exchange: &Exchange,
) -> Result<bool> {
    let socket = UdpSocket::bind(any(port)).await?;
    let seen = seen_from(&socket, stun()[0]).await?;
    let Some(other) = exchange.swap(mapped.or(seen)) else { return Ok(false) };
    // Where it turns out to be, if its router gives it another port for us.
    let mut arrived = other;
    let (mut met, mut until) = (false, Instant::now() + MEETING);
    let mut word = [0; 64];
    while Instant::now() < until {
        for place in [other, arrived] {
            let _ = socket.send_to(HEAR, place).await;
        }
        let again = Instant::now() + AGAIN;
        while let Ok(Ok((length, from))) = timeout_at(again, socket.recv_from(&mut word)).await {
            match &word[..length] {
                HEAR => {
                    arrived = from;
                    let _ = socket.send_to(YES, from).await;
                }
                YES if !met => {
                    met = true;
                    until = Instant::now() + FAREWELL;
                }
                _ => {}
            }
        }
        sleep(Duration::ZERO).await;
    }
    Ok(met)
}
