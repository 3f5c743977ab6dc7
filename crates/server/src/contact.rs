//! Where a listener may be reached.
//!
//! What a listener says of herself is believed only so far: an address on the
//! network is one that the server saw itself, as that of her session or as what
//! its UDP port proves; of a router's mapping she tells the port alone. So
//! nobody can have others knock at a stranger's door. Addresses of her own
//! interfaces she may name, if they are of the kind that only those behind the
//! same router can reach, and they alone are shown them.

mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use antiphon_types::NodeId;
use antiphon_wire::proto;

pub(crate) use text::{MAX_TOLD_BYTES, describe, told, written};

/// Addresses in a [`proto::Peer`], of each transport.
pub(crate) const MAX_SHOWN: usize = 8;
/// Of these, own addresses at most: the outer ones must have room.
const MAX_LOCAL: usize = 5;
/// Proven addresses that are looked at: two families, two networks each.
pub(crate) const MAX_PROVEN: usize = 4;

/// What a listener says and proves of where she may be reached, besides the
/// port where she listens.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    /// TCP port of the outer address that her router maps to hers; 0 if none.
    pub(crate) mapped_tcp: u16,
    /// The same of UDP.
    pub(crate) mapped_udp: u16,
    /// Outer addresses of her UDP port, proven; those beyond [`MAX_PROVEN`] are
    /// not looked at.
    pub(crate) proven: Vec<SocketAddr>,
    /// Whether her session was dialled from the port where she listens.
    pub(crate) from_listening_port: bool,
}

/// The address that a session comes from, as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) address: SocketAddr,
    /// Whether the session came over QUIC, so that the port is one of UDP.
    pub(crate) quic: bool,
}

/// Where a listener may be reached, the likeliest first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    tcp: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    /// Those of her own interfaces, for both.
    local: Vec<SocketAddr>,
}

impl Contact {
    /// Of a listener who listens on `port` and has interfaces with the
    /// addresses `local`.
    pub(crate) fn new(seen: Seen, port: u16, local: &[IpAddr], reach: &Reach) -> Self {
        let public = seen.address.ip().to_canonical();
        let proven: Vec<SocketAddr> =
            reach.proven.iter().take(MAX_PROVEN).map(|proven| canonical(*proven)).collect();
        let source = |quic: bool| {
            let port = if reach.from_listening_port && seen.quic == quic {
                seen.address.port()
            } else {
                0
            };
            SocketAddr::new(public, port)
        };
        let listening = SocketAddr::new(public, port);
        // Over IPv6 there is hardly a router that changes ports: where the UDP
        // port was seen, the TCP port of the same number is as well.
        let proven_v6 = proven.iter().filter(|proven| proven.is_ipv6());
        let tcp = [SocketAddr::new(public, reach.mapped_tcp), listening, source(false)]
            .into_iter()
            .chain(proven_v6.map(|proven| SocketAddr::new(proven.ip(), port)));
        let udp = std::iter::once(SocketAddr::new(public, reach.mapped_udp))
            .chain(proven.iter().copied())
            .chain([listening, source(true)]);
        let local = local.iter().map(|ip| ip.to_canonical()).filter(|ip| is_inner(*ip, public));
        Self {
            tcp: in_order(tcp, MAX_SHOWN),
            udp: in_order(udp, MAX_SHOWN),
            local: in_order(local.map(|ip| SocketAddr::new(ip, port)), MAX_LOCAL),
        }
    }

    /// As shown to another listener; to one of the same household with the
    /// inner addresses, and these first.
    pub(crate) fn describe(&self, peer: NodeId, household: bool) -> proto::Peer {
        describe(peer, &self.encode(), household)
    }

    /// The bytes that a tracker keeps: for each address what it is for (0 TCP,
    /// 1 UDP, 2 both within the household; 4 more for IPv6), the address, and
    /// the port. At most 399 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (purpose, addresses) in [(TCP, &self.tcp), (UDP, &self.udp), (HOUSEHOLD, &self.local)] {
            for address in addresses {
                match address.ip() {
                    IpAddr::V4(ip) => {
                        bytes.push(purpose);
                        bytes.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        bytes.push(purpose | V6);
                        bytes.extend(ip.octets());
                    }
                }
                bytes.extend(address.port().to_be_bytes());
            }
        }
        bytes
    }

    /// From the bytes that a tracker kept; `None` if they are not ours.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut contact = Self::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            let (ip, rest) = if kind & V6 == 0 {
                let (octets, rest) = rest.split_first_chunk::<4>()?;
                (IpAddr::from(Ipv4Addr::from(*octets)), rest)
            } else {
                let (octets, rest) = rest.split_first_chunk::<16>()?;
                (IpAddr::from(Ipv6Addr::from(*octets)), rest)
            };
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = SocketAddr::new(ip, u16::from_be_bytes(*port));
            let (addresses, most) = match kind & !V6 {
                TCP => (&mut contact.tcp, MAX_SHOWN),
                UDP => (&mut contact.udp, MAX_SHOWN),
                HOUSEHOLD => (&mut contact.local, MAX_LOCAL),
                _ => return None,
            };
            if addresses.len() == most {
                return None;
            }
            addresses.push(address);
            bytes = rest;
        }
        Some(contact)
    }
}

/// In the first byte of an encoded address: what it is for.
pub(crate) const TCP: u8 = 0;
pub(crate) const UDP: u8 = 1;
pub(crate) const HOUSEHOLD: u8 = 2;
/// And that it is one of IPv6.
pub(crate) const V6: u8 = 4;

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Each once, IPv6 first, else in the order given; none without a port.
fn in_order(addresses: impl Iterator<Item = SocketAddr>, most: usize) -> Vec<SocketAddr> {
    let mut ordered: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if address.port() != 0 && !address.ip().is_unspecified() && !ordered.contains(&address) {
            ordered.push(address);
        }
    }
    ordered.sort_by_key(SocketAddr::is_ipv4);
    ordered.truncate(most);
    ordered
}

/// Whether an interface's address is one that leads others in the household
/// of `public` to an inside machine, or else to the household itself.
fn is_inner(address: IpAddr, public: IpAddr) -> bool {
    match (address, public) {
        (IpAddr::V4(address), _) => {
            IpAddr::V4(address) == public
                || address.is_private()
                || address.is_loopback() && public.is_loopback()
        }
        (IpAddr::V6(address), IpAddr::V6(public)) => {
            address.is_unique_local() || address.segments()[..4] == public.segments()[..4]
        }
        (IpAddr::V6(address), IpAddr::V4(_)) => address.is_unique_local(),
    }
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;
