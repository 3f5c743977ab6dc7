//! Sockets as we want them.
//!
//! Others reach us at one port, TCP and UDP. When we dial, a NAT gives the
//! connection a port of its own outside, unless it leaves from that same port:
//! then what the NAT opened for one it has opened for all. So the listening TCP
//! socket shares its port with those that dial (RFC 5128 section 3.4).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Unsent bytes that the kernel may hold: priorities decide over what has not
/// been handed to it, so it is given little.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT_LOW_WATER_BYTES: u32 = 64 * 1024;

/// How far a packet goes that is to pass our NAT and not to reach theirs.
const NEAR_HOPS: u32 = 2;

/// Connections that the kernel may hold until we take them.
const BACKLOG: u32 = 1024;

/// Ports tried when any port will do.
const PORT_ATTEMPTS: usize = 16;

/// Turns Nagle's algorithm off and keeps the unsent queue of the kernel short.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER_BYTES)?;
    Ok(())
}

/// Connects to one address, from `local` if it is given and can be used: a
/// connection between the same two ports may be there still, or have ended less
/// than a minute ago. Then from any port.
pub(crate) async fn connect(
    address: SocketAddr,
    local: Option<SocketAddr>,
) -> io::Result<TcpStream> {
    let stream = match local {
        None => TcpStream::connect(address).await?,
        Some(local) => match connect_from(address, local).await {
            Err(error) if is_taken(&error) => {
                tracing::debug!(%address, %local, "dialled from another port: {error}");
                TcpStream::connect(address).await?
            }
            connected => connected?,
        },
    };
    tune(&stream)?;
    Ok(stream)
}

/// The range of a socket's packets while it is short.
pub(crate) struct Hops<'a> {
    socket: &'a Socket,
    is_ipv6: bool,
    before: u32,
}

impl<'a> Hops<'a> {
    /// Makes packets of `socket` to `towards` end at the second router.
    pub(crate) fn limit(socket: &'a Socket, towards: SocketAddr) -> io::Result<Self> {
        let is_ipv6 = towards.is_ipv6();
        let before = if is_ipv6 { socket.unicast_hops_v6()? } else { socket.ttl_v4()? };
        let hops = Self { socket, is_ipv6, before };
        hops.set(NEAR_HOPS)?;
        Ok(hops)
    }

    /// Makes them go as far as before.
    pub(crate) fn restore(self) -> io::Result<()> {
        self.set(self.before)
    }

    fn set(&self, hops: u32) -> io::Result<()> {
        if self.is_ipv6 {
            self.socket.set_unicast_hops_v6(hops)
        } else {
            self.socket.set_ttl_v4(hops)
        }
    }
}

async fn connect_from(address: SocketAddr, local: SocketAddr) -> io::Result<TcpStream> {
    let socket = tcp_socket(address)?;
    socket.bind(source(local, address.is_ipv6()))?;
    socket.connect(address).await
}

/// The listening address as a source of packets of a family: an address of the
/// other family stands for none.
fn source(local: SocketAddr, is_ipv6: bool) -> SocketAddr {
    if local.is_ipv6() == is_ipv6 { local } else { SocketAddr::new(any(is_ipv6), local.port()) }
}

/// Every address of a family.
pub(crate) fn any(is_ipv6: bool) -> IpAddr {
    if is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// A TCP socket of the family of `address` that shares its port with others of
/// ours.
fn tcp_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // Elsewhere the first option means that strangers may take the port.
    #[cfg(unix)]
    {
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
    }
    Ok(socket)
}

/// A TCP and a UDP socket on one port. `[::]` stands for all addresses of both
/// families, or those of IPv4 where there is no IPv6.
pub(crate) fn listen(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    match listen_at(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && !is_refused(&error) => {
            tracing::info!("there is no IPv6 here ({error}): listening on IPv4 alone");
            listen_at((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        listening => listening,
    }
}

/// Whether a port cannot be had, of whatever family.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn listen_at(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let tcp = tcp_socket(address)?;
        hear_both(&SockRef::from(&tcp), address)?;
        tcp.bind(address)?;
        // The UDP port is not shared, so that of two programs which want one
        // port the second is told so; until then no connection is taken.
        match udp_socket(tcp.local_addr()?) {
            Ok(udp) => return Ok((tcp.listen(BACKLOG)?, udp)),
            // Somebody else has that port; another will be free for both.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    hear_both(&SockRef::from(&socket), address)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Systems differ in whether `[::]` means IPv4 too. Here it does.
fn hear_both(socket: &SockRef<'_>, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() { socket.set_only_v6(false) } else { Ok(()) }
}

/// What counts as one address where many are counted: of IPv6 the /64 of a household, of
/// which one may have any; of IPv4 the address, also where it is mapped into IPv6.
pub fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// An address of IPv4 as such, also if an IPv6 socket tells of it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
