//! Where a peer is, and which of two is nearer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::regions::{RegionId, Regions};

/// Where a peer is, as far as its addresses tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its address as the server sees it: from the socket, never from the peer.
    pub public: IpAddr,
    /// Addresses of its own interfaces, as the peer tells them. A lie makes
    /// it near to others behind its own public address only.
    pub local: Vec<IpAddr>,
    /// Where others reach it, in a form that is the caller's own: given back
    /// with its name, and never looked at. At most
    /// [`Limits::contact_bytes`](crate::Limits::contact_bytes) long.
    pub contact: Arc<[u8]>,
}

impl Place {
    /// A peer seen at `public` whose own interfaces have the addresses `local`,
    /// with an empty contact.
    pub fn new(public: IpAddr, local: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { public, local: local.into_iter().collect(), contact: Arc::default() }
    }

    /// The same, reached as `contact` says.
    #[must_use]
    pub fn with_contact(self, contact: impl Into<Arc<[u8]>>) -> Self {
        Self { contact: contact.into(), ..self }
    }

    /// How near another peer is, judged by at most the first 8 local addresses
    /// of each, without a table of regions.
    pub fn nearness(&self, other: &Self) -> Nearness {
        let regions = Regions::default();
        let whereabouts = |place| Whereabouts::new(place, 8, &regions);
        whereabouts(self).nearness(&whereabouts(other))
    }
}

/// How near one peer is to another; the nearest is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nearness {
    /// The same public address and a local network in common.
    LocalNetwork,
    /// The same public address: one household, school or office.
    PublicAddress,
    /// The same region as the operator's [`Regions`] say, or where they say
    /// nothing, of the address space: mostly the same provider.
    Region,
    /// Nothing in common.
    Any,
}

/// What of a [`Place`] decides nearness, in small.
///
/// For engines that keep places elsewhere; [`MemoryTracker`](crate::MemoryTracker)
/// makes its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    site: Network,
    region: Network,
    local: Box<[Network]>,
}

/// An address with its host part cut off, or a region of the operator's table.
///
/// The upper 64 bits of an IPv6 address stand for themselves. Those that begin
/// with `ff` are multicast, which no host has as its own (RFC 4291, section
/// 2.7), so what is not IPv6 begins so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network(u64);

impl Network {
    const V4: u64 = 0xffff_ffff_0000_0000;
    const NAMED: u64 = 0xfffe_0000_0000_0000;

    fn named(region: RegionId) -> Self {
        Self(Self::NAMED | u64::from(region.0))
    }
}

impl Whereabouts {
    /// Looks at no more than the first `local_addresses` of `place.local`.
    pub fn new(place: &Place, local_addresses: usize, regions: &Regions) -> Self {
        let mut local: Vec<Network> = Vec::new();
        for network in place.local.iter().take(local_addresses).filter_map(|a| local_network(*a)) {
            if !local.contains(&network) {
                local.push(network);
            }
        }
        let public = place.public.to_canonical();
        let region = regions.of(public).map_or_else(|| region(public), Network::named);
        Self { site: site(public), region, local: local.into() }
    }

    /// How near another is. It goes both ways.
    pub fn nearness(&self, other: &Self) -> Nearness {
        if self.site == other.site {
            let shared = self.local.iter().any(|network| other.local.contains(network));
            return if shared { Nearness::LocalNetwork } else { Nearness::PublicAddress };
        }
        if self.region == other.region { Nearness::Region } else { Nearness::Any }
    }
}

/// What decides when a peer is named, as it stands with each entry of a swarm, in
/// 12 bytes: its rank, and of [`Whereabouts`] enough to tell most pairs apart without a look at the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    site: u32,
    region: u32,
    /// A bit for each local network.
    local: u16,
    /// See [`Health::rank`](crate::Health::rank).
    pub(crate) rank: u8,
}

impl Digest {
    pub(crate) fn new(whereabouts: &Whereabouts, rank: u8) -> Self {
        let fold = |network: Network| {
            let mixed = network.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            u32::try_from(mixed >> 32).unwrap_or(0)
        };
        let bits = whereabouts.local.iter().map(|network| 1 << (fold(*network) >> 28));
        Self {
            site: fold(whereabouts.site),
            region: fold(whereabouts.region),
            local: bits.fold(0, |all, bit: u16| all | bit),
            rank,
        }
    }

    /// Whether another is seen at the same public address.
    pub(crate) fn is_of_site(self, other: Self) -> bool {
        self.site == other.site
    }

    /// How near another is, if the two digests can tell. One time in 2^32 they
    /// are wrong and make somebody nearer than she is.
    pub(crate) fn nearness(self, other: Self) -> Option<Nearness> {
        match (self.site == other.site, self.region == other.region) {
            (true, _) if self.local & other.local != 0 => None,
            (true, _) => Some(Nearness::PublicAddress),
            (false, true) => Some(Nearness::Region),
            (false, false) => Some(Nearness::Any),
        }
    }
}

/// What stands for "the same public address".
///
/// Hosts of one IPv6 network have addresses of their own below a common /64
/// (RFC 4291, section 2.5.4). A private IPv4 address is seen by a server inside
/// that very network, where addresses differ as well: the usual /24 stands for
/// it.
fn site(public: IpAddr) -> Network {
    match public {
        IpAddr::V4(address) if is_inside(address) => v4(address, 24),
        IpAddr::V4(address) => v4(address, 32),
        IpAddr::V6(_) => network(public, 32, 64),
    }
}

/// The region where the operator names none: /16 of IPv4, and of IPv6 the /32
/// that a provider usually has.
fn region(public: IpAddr) -> Network {
    network(public, 16, 32)
}

/// The network of an IPv6 address, of its two halves the upper.
pub(crate) fn upper_half(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, ..] = address.segments().map(u64::from);
    a << 48 | b << 32 | c << 16 | d
}

/// The local network of an interface; `None` for an address that every machine
/// may have, so that sharing it says nothing.
fn local_network(address: IpAddr) -> Option<Network> {
    let address = address.to_canonical();
    let everywhere = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
    (!everywhere).then(|| network(address, 24, 64))
}

fn is_inside(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local()
}

/// The first `bits_v4` or `bits_v6` (at most 64) bits of an address.
fn network(address: IpAddr, bits_v4: u32, bits_v6: u32) -> Network {
    match address {
        IpAddr::V4(address) => v4(address, bits_v4),
        IpAddr::V6(address) => {
            Network(upper_half(address) & !u64::MAX.checked_shr(bits_v6).unwrap_or(0))
        }
    }
}

fn v4(address: Ipv4Addr, bits: u32) -> Network {
    let bits = address.to_bits() & !u32::MAX.checked_shr(bits).unwrap_or(0);
    Network(Network::V4 | u64::from(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whereabouts(public: &str, local: &[&str]) -> Whereabouts {
        let place = Place::new(
            public.parse().unwrap(),
            local.iter().map(|address| address.parse().unwrap()),
        );
        Whereabouts::new(&place, 8, &Regions::default())
    }

    #[test]
    fn nearness_follows_address_site_and_region() {
        use Nearness::*;
        let home = whereabouts("203.0.113.5", &["192.168.1.2", "10.9.0.1"]);
        for (public, local, expected) in [
            ("203.0.113.5", vec!["192.168.1.77"], LocalNetwork),
            ("203.0.113.5", vec!["172.16.0.1", "10.9.0.2"], LocalNetwork),
            ("::ffff:203.0.113.5", vec!["::ffff:192.168.1.3"], LocalNetwork),
            ("203.0.113.5", vec!["192.168.2.2"], PublicAddress),
            ("203.0.113.5", vec![], PublicAddress),
            ("203.0.9.9", vec!["192.168.1.77"], Region),
            ("203.1.113.5", vec!["192.168.1.77"], Any),
            ("2001:db8::1", vec!["192.168.1.77"], Any),
        ] {
            let other = whereabouts(public, &local);
            assert_eq!(home.nearness(&other), expected, "{public} {local:?}");
            assert_eq!(other.nearness(&home), expected, "nearness goes both ways");
        }
    }

    #[test]
    fn hosts_of_one_ipv6_network_are_at_one_site() {
        use Nearness::*;
        let home = whereabouts("2001:db8:1:2::a", &["2001:db8:1:2::a", "fe80::1"]);
        for (public, local, expected) in [
            ("2001:db8:1:2::b", vec!["2001:db8:1:2::b"], LocalNetwork),
            ("2001:db8:1:2::b", vec![], PublicAddress),
            ("2001:db8:9:9::b", vec![], Region),
            ("2001:db9:1:2::b", vec![], Any),
        ] {
            assert_eq!(home.nearness(&whereabouts(public, &local)), expected, "{public}");
        }
    }

    #[test]
    fn a_server_inside_the_network_sees_one_site() {
        let here = whereabouts("192.168.1.2", &["192.168.1.2"]);
        let there = whereabouts("192.168.1.3", &["192.168.1.3"]);
        assert_eq!(here.nearness(&there), Nearness::LocalNetwork);
    }

    #[test]
    fn the_operators_regions_stand_above_those_of_the_address_space() {
        let regions =
            "203.0.113.0/24 north\n198.51.0.0/16 north\n2001:db8::/32 north\n203.0.9.0/24 south";
        let regions: Regions = regions.parse().unwrap();
        let at =
            |public: &str| Whereabouts::new(&Place::new(public.parse().unwrap(), []), 8, &regions);
        let north = at("203.0.113.5");
        for (public, expected) in [
            ("198.51.100.1", Nearness::Region),
            ("2001:db8::1", Nearness::Region),
            ("203.0.9.1", Nearness::Any),
            ("203.0.200.1", Nearness::Any),
        ] {
            assert_eq!(north.nearness(&at(public)), expected, "{public}");
        }
        let unnamed = at("203.0.200.1").nearness(&at("203.0.201.1"));
        assert_eq!(unnamed, Nearness::Region, "where nothing is named, the address says");
    }

    #[test]
    fn addresses_that_everyone_has_make_nobody_near() {
        let common = ["127.0.0.1", "::1", "169.254.3.3", "fe80::1", "0.0.0.0", "224.0.0.1"];
        let here = whereabouts("203.0.113.5", &common);
        assert!(here.local.is_empty());
        assert_eq!(here.nearness(&here.clone()), Nearness::PublicAddress);
    }
}
