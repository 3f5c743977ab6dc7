use std::net::IpAddr;

/// The network that an address belongs to: a /24 of IPv4, a /48 of IPv6, which is
/// what one customer of a provider commonly has.
///
/// ```
/// use antiphon_mesh::Network;
///
/// let of = |address: &str| Network::of(address.parse().unwrap());
/// assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.200"));
/// assert_ne!(of("203.0.113.7"), of("203.0.114.7"));
/// assert_eq!(of("192.168.1.2"), None, "a network of our own is not counted");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(u64);

impl Network {
    /// `None` for addresses that can only be of our own network: nobody comes from
    /// there in numbers.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_private() || v4.is_loopback() || v4.is_link_local() => None,
            IpAddr::V4(v4) => Some(Self(u64::from(v4.to_bits() >> 8))),
            IpAddr::V6(v6)
                if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() =>
            {
                None
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments().map(u64::from);
                // No /24 of IPv4 has so high a number.
                Some(Self(1 << 63 | a << 32 | b << 16 | c))
            }
        }
    }
}
