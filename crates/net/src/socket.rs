//! TCP sockets as we want them.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

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

/// Connects to one address.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    tune(&stream)?;
    Ok(stream)
}
