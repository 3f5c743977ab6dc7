//! Whom others may have us call, and how often.
//!
//! Where a listener is, we have from others. Whatever they say, and however often,
//! calls to one host are few: nobody makes us part of a flood.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use antiphon_net::site;
use antiphon_wire::proto;

/// Over how long calls are counted: about as long as a hole is punched.
const WINDOW: Duration = Duration::from_secs(10);
/// Calls to one host in that time. Eight listeners may be behind one address, each
/// called once and then again while she calls us.
const MAX_TO_HOST: usize = 16;
/// Calls in all in that time, each to each host that it goes to: more than a server
/// introduces and names to somebody who skips from track to track.
const MAX_IN_ALL: usize = 512;
/// Addresses that are looked at, of each transport: as many as the protocol has.
const MAX_ADDRESSES: usize = 8;
/// Ports of one host in a call, of each transport: the mapped one, the listening one,
/// that of the session, one more that was seen.
const MAX_PORTS: usize = 4;

/// Introductions that are remembered: those of two minutes, at the rate at which a
/// server makes them.
const MAX_HEARD: usize = 256;

/// Introductions that were heard, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The latest last.
    ids: VecDeque<[u8; 8]>,
}

impl Heard {
    /// Whether this is the id of an introduction, and comes for the first time.
    pub(crate) fn is_first(&mut self, id: &[u8]) -> bool {
        let Ok(id) = <[u8; 8]>::try_from(id) else { return false };
        if self.ids.contains(&id) {
            return false;
        }
        if self.ids.len() >= MAX_HEARD {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
        true
    }
}

/// Calls of late.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Whom they went to, the oldest first.
    recent: VecDeque<(Instant, IpAddr)>,
}

/// Where a call may go, as [`antiphon_net::Dial`] takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Callable {
    pub(crate) tcp: Vec<String>,
    pub(crate) udp: Vec<String>,
}

impl Calls {
    /// Where `peer` may be called now, which is noted as done; `None` if nowhere.
    pub(crate) fn admit(&mut self, now: Instant, peer: &proto::Peer) -> Option<Callable> {
        self.forget_before(now);
        let tcp = self.open(&peer.addresses);
        let udp = self.open(&peer.udp_addresses);
        let mut hosts: Vec<IpAddr> = tcp.iter().chain(&udp).filter_map(counted).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let is_somewhere = !tcp.is_empty() || !udp.is_empty();
        if !is_somewhere || self.recent.len() + hosts.len() > MAX_IN_ALL {
            return None;
        }
        self.recent.extend(hosts.into_iter().map(|host| (now, host)));
        let names = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect();
        Some(Callable { tcp: names(&tcp), udp: names(&udp) })
    }

    /// Those of the addresses that may be called.
    fn open(&self, names: &[String]) -> Vec<SocketAddr> {
        let mut open: Vec<SocketAddr> = Vec::new();
        for name in names.iter().take(MAX_ADDRESSES) {
            // Nothing but an address: a name would have us ask somebody about it.
            let Ok(address) = name.parse::<SocketAddr>() else { continue };
            let ports = open.iter().filter(|other| host(other) == host(&address)).count();
            let is_known = open.contains(&address);
            if is_callable(&address) && !is_known && ports < MAX_PORTS && self.has_room(&address) {
                open.push(address);
            }
        }
        open
    }

    fn has_room(&self, address: &SocketAddr) -> bool {
        let Some(host) = counted(address) else { return true };
        self.recent.iter().filter(|(_, other)| *other == host).count() < MAX_TO_HOST
    }

    fn forget_before(&mut self, now: Instant) {
        while self
            .recent
            .pop_front_if(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
            .is_some()
        {}
    }
}

/// Whether there can be one listener.
fn is_callable(address: &SocketAddr) -> bool {
    let is_one = match address.ip().to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    is_one && address.port() != 0
}

/// What counts as one host.
fn host(address: &SocketAddr) -> IpAddr {
    site(address.ip())
}

/// The host, if calls to it are counted: this machine can take its own.
fn counted(address: &SocketAddr) -> Option<IpAddr> {
    let is_here = address.ip().to_canonical().is_loopback();
    (!is_here).then(|| host(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(tcp: &[&str], udp: &[&str]) -> proto::Peer {
        let names = |addresses: &[&str]| addresses.iter().map(ToString::to_string).collect();
        proto::Peer { addresses: names(tcp), udp_addresses: names(udp), ..proto::Peer::default() }
    }

    fn admitted(tcp: &[&str], udp: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let callable = Calls::default().admit(Instant::now(), &peer(tcp, udp))?;
        Some((callable.tcp, callable.udp))
    }

    #[test]
    fn an_introduction_is_acted_on_once_and_only_by_its_id() {
        let mut heard = Heard::default();
        for id in 0..10_000_u64 {
            assert!(heard.is_first(&id.to_be_bytes()), "{id}");
            for old in id.saturating_sub(255)..=id {
                assert!(!heard.is_first(&old.to_be_bytes()), "{old} after {id}");
            }
            assert!(heard.ids.len() <= MAX_HEARD);
        }
        for no_id in [&[][..], &[7], &[7; 7], &[7; 9], &[7; 60_000]] {
            assert!(!heard.is_first(no_id));
        }
    }

    #[test]
    fn only_what_is_an_address_of_somebody_is_called() {
        let well = ["192.0.2.1:7700", "[2001:db8::1]:7700"];
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut tcp = vec!["victim.example:80", "0.0.0.0:80", "[::]:80", "192.0.2.1:0"];
        tcp.extend(["224.0.0.1:80", "255.255.255.255:80"]);
        tcp.extend(well);
        assert_eq!(admitted(&tcp, &["[ff02::1]:9"]), Some((names(&well), vec![])));
        assert_eq!(admitted(&["192.0.2.1"], &[""]), None);
        assert_eq!(admitted(&[], &[]), None);
        let past_the_bound = ["x:1", "x:2", "x:3", "x:4", "x:5", "x:6", "x:7", "x:8", well[0]];
        assert_eq!(admitted(&past_the_bound, &[]), None);
    }

    #[test]
    fn a_call_scans_no_ports() {
        let ports: Vec<String> = (1..=8).map(|port| format!("198.51.100.7:{port}")).collect();
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        let (tcp, udp) = admitted(&ports, &ports).unwrap();
        assert_eq!((tcp.len(), udp.len()), (MAX_PORTS, MAX_PORTS));
    }

    /// One victim under many names: all that is said of it makes few calls.
    #[test]
    fn a_flood_of_introductions_makes_few_calls_to_a_host_and_not_many_in_all() {
        let (begin, mut calls) = (Instant::now(), Calls::default());
        let (mut to_victim, mut to_network, mut in_all) = (0, 0, 0);
        for number in 0..10_000_u32 {
            let now = begin + Duration::from_micros(900) * number;
            let port = number % 60_000 + 1;
            let victim = [format!("203.0.113.9:{port}"), format!("[::ffff:203.0.113.9]:{port}")];
            to_victim +=
                usize::from(calls.admit(now, &peer(&[&victim[0]], &[&victim[1]])).is_some());
            let network = format!("[2001:db8::{:x}]:9", number + 1);
            to_network += usize::from(calls.admit(now, &peer(&[&network], &[])).is_some());
            let other = format!("10.0.{}.{}:9", number / 250, number % 250);
            in_all += usize::from(calls.admit(now, &peer(&[&other], &[])).is_some());
        }
        assert_eq!((to_victim, to_network), (MAX_TO_HOST, MAX_TO_HOST));
        assert_eq!(in_all, MAX_IN_ALL - 2 * MAX_TO_HOST);
        // It is as before when the flood is over.
        let later = begin + Duration::from_secs(20);
        assert!(calls.admit(later, &peer(&["203.0.113.9:80"], &[])).is_some());
        assert_eq!(calls.recent.len(), 1);
    }

    #[test]
    fn of_an_introduction_to_two_places_the_flooded_one_alone_is_left_out() {
        let (now, mut calls) = (Instant::now(), Calls::default());
        for _ in 0..MAX_TO_HOST {
            calls.admit(now, &peer(&["203.0.113.9:80"], &[])).unwrap();
        }
        let callable = calls.admit(now, &peer(&["203.0.113.9:80", "192.0.2.1:7"], &[])).unwrap();
        assert_eq!(callable.tcp, ["192.0.2.1:7"]);
    }

    #[test]
    fn this_machine_may_be_called_as_often_as_anybody_likes() {
        let (now, mut calls) = (Instant::now(), Calls::default());
        for _ in 0..2 * MAX_IN_ALL {
            assert!(calls.admit(now, &peer(&["127.0.0.1:7700"], &["[::1]:7700"])).is_some());
        }
    }
}
