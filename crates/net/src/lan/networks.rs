//! The networks that this machine is attached to.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use if_addrs::{IfAddr, get_if_addrs};

/// Addresses of interfaces that are looked at: machines with containers have
/// dozens, and each costs a packet.
const MAX_NETWORKS: usize = 32;

/// A mask shorter than this is no network but a mistake, or a tunnel that takes
/// everything.
const MIN_PREFIX: u8 = 8;

/// An address of this machine and the network around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// Ours.
    pub(crate) address: IpAddr,
    /// How many bits of it are the network's.
    prefix: u8,
    /// Where a broadcast to all of it goes, on IPv4.
    pub(crate) broadcast: Option<Ipv4Addr>,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

/// All of them, as they were when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

impl Networks {
    /// Asks the system.
    pub(crate) fn read() -> io::Result<Self> {
        let mut networks: Vec<Network> = get_if_addrs()?
            .iter()
            .filter(|interface| !interface.is_p2p())
            .map(|interface| match &interface.addr {
                IfAddr::V4(v4) => Network {
                    address: v4.ip.into(),
                    prefix: v4.prefixlen,
                    broadcast: broadcast(v4.ip, v4.prefixlen),
                },
                IfAddr::V6(v6) => {
                    Network { address: v6.ip.into(), prefix: v6.prefixlen, broadcast: None }
                }
            })
            .filter(|network| network.prefix >= MIN_PREFIX)
            .collect();
        networks.truncate(MAX_NETWORKS);
        Ok(Self(networks))
    }

    /// Our addresses, without those that every machine has.
    pub(crate) fn own(&self, most: usize) -> Vec<IpAddr> {
        let meaningful = |address: &IpAddr| {
            !address.is_loopback()
                && match address {
                    IpAddr::V4(v4) => !v4.is_link_local(),
                    IpAddr::V6(v6) => !v6.is_unicast_link_local(),
                }
        };
        self.0.iter().map(|network| network.address).filter(meaningful).take(most).collect()
    }

    /// Those that take broadcasts.
    pub(crate) fn broadcasting(&self) -> impl Iterator<Item = &Network> {
        self.0.iter().filter(|network| network.broadcast.is_some())
    }

    /// Where `address` is attached; `None` if it is behind a router, or no
    /// address of one host.
    pub(crate) fn around(&self, address: IpAddr) -> Option<&Network> {
        let nobody = address.is_unspecified() || address.is_multicast();
        self.0.iter().find(|network| {
            let all_hosts = network.broadcast.is_some_and(|all| IpAddr::from(all) == address);
            !nobody && !all_hosts && network.contains(address)
        })
    }

    /// Whether a peer may be at `address`: on a network of ours, or on the link
    /// itself, from where no router passes anything on.
    pub(crate) fn believes(&self, address: IpAddr) -> bool {
        let on_the_link = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        on_the_link || self.around(address).is_some()
    }
}

/// The last address of a network; none in networks of one and two hosts.
fn broadcast(address: Ipv4Addr, prefix: u8) -> Option<Ipv4Addr> {
    let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    (hosts > 1).then(|| Ipv4Addr::from_bits(address.to_bits() | hosts))
}

#[cfg(test)]
impl Networks {
    /// The network around one address.
    pub(super) fn test(address: &str, prefix: u8) -> Self {
        Self(vec![tests::network(address, prefix)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn network(address: &str, prefix: u8) -> Network {
        let address: IpAddr = address.parse().unwrap();
        let broadcast = match address {
            IpAddr::V4(v4) => broadcast(v4, prefix),
            IpAddr::V6(_) => None,
        };
        Network { address, prefix, broadcast }
    }

    #[test]
    fn only_neighbours_are_believed() {
        let networks = Networks(vec![
            network("192.168.7.20", 22),
            network("fd00:1::5", 64),
            network("10.9.9.9", 32),
        ]);
        for (address, believed) in [
            ("192.168.4.1", true),
            ("192.168.7.254", true),
            ("192.168.7.255", false),
            ("192.168.8.1", false),
            ("10.9.9.9", true),
            ("10.9.9.8", false),
            ("fd00:1::ffff", true),
            ("fd00:2::5", false),
            ("2001:db8::1", false),
            ("8.8.8.8", false),
            ("169.254.3.4", true),
            ("fe80::1", true),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.251", false),
            ("ff02::fb", false),
        ] {
            assert_eq!(networks.believes(address.parse().unwrap()), believed, "{address}");
        }
    }

    #[test]
    fn every_network_has_its_broadcast() {
        for (address, prefix, expected) in [
            ("192.168.7.20", 22, Some("192.168.7.255")),
            ("10.1.2.3", 8, Some("10.255.255.255")),
            ("10.1.2.4", 30, Some("10.1.2.7")),
            ("10.1.2.4", 31, None),
            ("10.1.2.4", 32, None),
        ] {
            let expected: Option<Ipv4Addr> = expected.map(|address| address.parse().unwrap());
            assert_eq!(broadcast(address.parse().unwrap(), prefix), expected, "{address}/{prefix}");
        }
    }
}
