//! The classic limited broadcast: one socket hears, and short-lived ones speak,
//! each on its own network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as BlockingSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::networks::{Network, Networks};

/// Listens on `port` for what others broadcast. Several listeners of one machine
/// may do so at once: the system hands a broadcast to each of them.
pub(super) fn listen(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // On Linux the first is enough, also for listeners of several users.
    #[cfg(all(unix, not(target_os = "linux"), not(target_os = "android")))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Says `packet` on every network, to both addresses that mean everybody: where
/// only one gets through, it depends on the system which.
pub(super) fn announce(packet: &[u8], port: u16, networks: &Networks) {
    for network in networks.broadcasting() {
        let all_of_it = network.broadcast.map(|all| SocketAddr::from((all, port)));
        say(packet, network, &[everybody(port)].into_iter().chain(all_of_it).collect::<Vec<_>>());
    }
}

/// Says `packet` on one network, once.
pub(super) fn greet(packet: &[u8], port: u16, network: &Network) {
    say(packet, network, &[everybody(port)]);
}

fn everybody(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::BROADCAST, port))
}

/// Sends from the address that we have on `network`: that is how the system knows
/// by which interface. What fails is tried again with the next announcement.
fn say(packet: &[u8], network: &Network, destinations: &[SocketAddr]) {
    let sent = speaker(network.address).and_then(|socket| {
        let sent: Vec<_> = destinations.iter().map(|to| socket.send_to(packet, to)).collect();
        // One that gets through is enough.
        let first_ok = sent.iter().position(Result::is_ok).unwrap_or(0);
        sent.into_iter().nth(first_ok).unwrap_or(Ok(0))
    });
    if let Err(error) = sent {
        tracing::debug!(from = %network.address, "no broadcast: {error}");
    }
}

fn speaker(address: IpAddr) -> io::Result<BlockingSocket> {
    let socket = BlockingSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    // A broadcast to a network is for those who are on it.
    socket.set_ttl(1)?;
    Ok(socket)
}
