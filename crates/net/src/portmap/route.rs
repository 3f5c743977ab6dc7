//! Where the router is, and who we are to it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};

/// The way out of this network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// The router, if the system names it.
    pub(super) router: Option<Ipv4Addr>,
    /// Our address towards it.
    pub(super) client: Ipv4Addr,
}

impl Route {
    /// Asks the system.
    pub(super) fn read() -> io::Result<Self> {
        let router = default_router();
        // Nothing is sent to it: an address for documentation (RFC 5737).
        let client = client_towards(router.unwrap_or(Ipv4Addr::new(192, 0, 2, 1)))?;
        Ok(Self { router, client })
    }
}

/// Our address from which packets go there.
pub(super) fn client_towards(destination: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(SocketAddrV4::new(destination, super::wire::ROUTER_PORT))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(client) => Ok(client),
        IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// The gateway of the default route; elsewhere than on Linux it is found by UPnP
/// alone.
fn default_router() -> Option<Ipv4Addr> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    gateway(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// Reads the table of routes: of default routes with a gateway the one with the
/// least metric.
fn gateway(table: &str) -> Option<Ipv4Addr> {
    /// The route is in use, and goes by a gateway.
    const UP_AND_GATEWAY: u32 = 0x1 | 0x2;
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let &[_, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice()
            else {
                return None;
            };
            let hex = |text| u32::from_str_radix(text, 16).ok();
            let default = hex(destination)? == 0
                && hex(mask)? == 0
                && hex(flags)? & UP_AND_GATEWAY == UP_AND_GATEWAY;
            // The kernel prints the bytes as they stand in memory.
            let gateway = Ipv4Addr::from_octets(hex(gateway)?.to_ne_bytes());
            default.then_some((metric.parse::<u32>().ok()?, gateway))
        })
        .min_by_key(|&(metric, _)| metric)
        .map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_least_metric_is_taken() {
        let [first, second] = [[192, 168, 1, 1], [10, 0, 0, 138]]
            .map(|octets| format!("{:08X}", u32::from_ne_bytes(octets)));
        let table = format!(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             wlan0 00000000 {first} 0003 0 0 600 00000000 0 0 0\n\
             eth0 00000000 {second} 0003 0 0 100 00000000 0 0 0\n\
             tun0 00000000 00000000 0001 0 0 50 00000000 0 0 0\n\
             eth0 0000A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n\
             nonsense\n"
        );
        assert_eq!(gateway(&table), Some(Ipv4Addr::new(10, 0, 0, 138)));
        assert_eq!(gateway(""), None);
    }
}
