//! TCP sockets as we want them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the next address waits for the one before (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses tried for one connection: they come from strangers.
const MAX_ADDRESSES: usize = 8;

/// Unsent bytes that the kernel may hold: priorities decide over what has not
/// been handed to it, so it is given little.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER_BYTES: u32 = 64 * 1024;

/// Turns Nagle's algorithm off and keeps the unsent queue of the kernel short.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER_BYTES)?;
    Ok(())
}

/// Connects to the first of some addresses (`HOST:PORT`) that answers; the
/// next is tried while the one before has not.
pub(crate) async fn connect(addresses: &[String]) -> io::Result<TcpStream> {
    let mut candidates: Vec<SocketAddr> = Vec::new();
    let mut failure = None;
    for address in addresses.iter().take(MAX_ADDRESSES) {
        match lookup_host(address.as_str()).await {
            Ok(found) => candidates.extend(found),
            Err(error) => failure = Some(error),
        }
    }
    candidates.truncate(MAX_ADDRESSES);
    let mut attempts = JoinSet::new();
    let mut waiting = candidates.into_iter();
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect_one(address));
        } else if attempts.is_empty() {
            return Err(failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
        }
        let more = waiting.len() > 0;
        tokio::select! {
            Some(outcome) = attempts.join_next() => match outcome {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => {}
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    tune(&stream)?;
    Ok(stream)
}
