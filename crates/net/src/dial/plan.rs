//! Which addresses, in which order, and when.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;

use super::{Dial, Effort};
use crate::Transport;

/// How long the next address waits for the one before (RFC 8305 section 5).
const ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// How long the second transport, QUIC in general, waits for the first at the same
/// address: a round trip across a continent, so that near servers shake hands once
/// and not twice.
const SECOND_DELAY: Duration = Duration::from_millis(100);

/// Addresses tried for one connection over one transport: they come from
/// strangers.
const MAX_ADDRESSES: usize = 8;

/// When to try what, counted from the begin.
pub(super) type Planned = (Duration, SocketAddr, Transport);

/// When to try what, in this order, and what failed.
pub(super) async fn plan(dial: &Dial) -> (Vec<Planned>, Option<io::Error>) {
    let (tcp, mut failure) = match dial.transport {
        Transport::Quic => (Vec::new(), None),
        _ => resolve(&dial.addresses).await,
    };
    let udp = match (dial.transport, dial.udp_addresses.as_slice()) {
        (Transport::Tcp, _) => Vec::new(),
        (Transport::Auto, []) => tcp.clone(),
        (_, names) => {
            let names = if names.is_empty() { &dial.addresses } else { names };
            let (udp, error) = resolve(names).await;
            failure = error.or(failure);
            udp
        }
    };
    let planned = match dial.effort {
        Effort::Once => one_by_one(&tcp, &udp, dial.first),
        Effort::Punch => all_at_once(&tcp, &udp),
    };
    (planned, failure)
}

fn one_by_one(tcp: &[SocketAddr], udp: &[SocketAddr], first: Transport) -> Vec<Planned> {
    let (tcp_waits, quic_waits) = match first {
        _ if tcp.is_empty() || udp.is_empty() => (Duration::ZERO, Duration::ZERO),
        Transport::Quic => (SECOND_DELAY, Duration::ZERO),
        Transport::Auto | Transport::Tcp => (Duration::ZERO, SECOND_DELAY),
    };
    let starts = || (0_u32..).map(|number| ADDRESS_DELAY * number);
    let over_tcp =
        starts().zip(tcp).map(|(at, &address)| (at + tcp_waits, address, Transport::Tcp));
    let over_udp =
        starts().zip(udp).map(|(at, &address)| (at + quic_waits, address, Transport::Quic));
    let mut planned: Vec<Planned> = over_tcp.chain(over_udp).collect();
    planned.sort_by_key(|&(at, ..)| at);
    planned
}

fn all_at_once(tcp: &[SocketAddr], udp: &[SocketAddr]) -> Vec<Planned> {
    let over_tcp = tcp.iter().map(|&address| (Duration::ZERO, address, Transport::Tcp));
    let over_udp = udp.iter().map(|&address| (Duration::ZERO, address, Transport::Quic));
    let mut planned: Vec<Planned> = over_tcp.chain(over_udp).collect();
    // Over IPv4 an attempt begins with some time for NATs, so this is a lead.
    planned.sort_by_key(|(_, address, _)| address.is_ipv4());
    planned
}

/// Addresses of names, families in turn (RFC 8305 section 4), and what failed.
async fn resolve(names: &[String]) -> (Vec<SocketAddr>, Option<io::Error>) {
    let mut failure = None;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for name in names.iter().take(MAX_ADDRESSES) {
        match lookup_host(name.as_str()).await {
            Ok(found) => found.for_each(|address: SocketAddr| {
                let family = first.first().map_or(address.is_ipv6(), SocketAddr::is_ipv6);
                if address.is_ipv6() == family { &mut first } else { &mut second }.push(address);
            }),
            Err(error) => failure = Some(error),
        }
    }
    let mut second = second.into_iter();
    let mut addresses: Vec<SocketAddr> =
        first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect();
    addresses.extend(second);
    addresses.truncate(MAX_ADDRESSES);
    (addresses, failure)
}

#[cfg(test)]
mod tests {
    use antiphon_handshake::identity::NodeSecret;
    use proptest::prelude::*;

    use super::*;

    async fn planned(dial: Dial) -> Vec<(u128, String, Transport)> {
        let planned = plan(&dial).await.0.into_iter();
        planned.map(|(at, address, over)| (at.as_millis(), address.to_string(), over)).collect()
    }

    fn dial(addresses: &[&str]) -> Dial {
        let secret = NodeSecret::from_bytes(&[1; 32]);
        let addresses = addresses.iter().map(|&address| address.to_owned()).collect();
        Dial::new(addresses, secret.node_id(), secret.node_id(), secret)
    }

    fn expected(planned: &[(u128, &str, Transport)]) -> Vec<(u128, String, Transport)> {
        planned.iter().map(|&(at, address, over)| (at, address.to_owned(), over)).collect()
    }

    #[tokio::test]
    async fn quic_follows_tcp_and_the_next_address_both() {
        let both = dial(&["10.0.0.1:7", "10.0.0.2:7"]);
        let order = [
            (0, "10.0.0.1:7", Transport::Tcp),
            (100, "10.0.0.1:7", Transport::Quic),
            (250, "10.0.0.2:7", Transport::Tcp),
            (350, "10.0.0.2:7", Transport::Quic),
        ];
        assert_eq!(planned(both.clone()).await, expected(&order));
        let quic = Dial { transport: Transport::Quic, ..both.clone() };
        assert_eq!(
            planned(quic).await,
            expected(&[(0, "10.0.0.1:7", Transport::Quic), (250, "10.0.0.2:7", Transport::Quic)])
        );
        let quic_first = Dial { first: Transport::Quic, ..both.clone() };
        assert_eq!(
            planned(quic_first).await[..2],
            expected(&[(0, "10.0.0.1:7", Transport::Quic), (100, "10.0.0.1:7", Transport::Tcp)])
        );
        let apart = Dial { udp_addresses: vec!["10.0.0.1:9".to_owned()], ..both };
        assert_eq!(planned(apart).await[1], (100, "10.0.0.1:9".to_owned(), Transport::Quic));
    }

    #[tokio::test]
    async fn a_hole_is_punched_everywhere_at_once_and_ipv6_goes_first() {
        let dial = dial(&["10.0.0.1:7", "[fd00::1]:7", "10.0.0.2:7"]);
        let order = [
            (0, "[fd00::1]:7", Transport::Tcp),
            (0, "[fd00::1]:7", Transport::Quic),
            (0, "10.0.0.1:7", Transport::Tcp),
            (0, "10.0.0.2:7", Transport::Tcp),
            (0, "10.0.0.1:7", Transport::Quic),
            (0, "10.0.0.2:7", Transport::Quic),
        ];
        let punch = Dial { effort: Effort::Punch, ..dial };
        assert_eq!(planned(punch).await, expected(&order));
    }

    proptest! {
        /// Whatever addresses there are: each is tried once over each transport, in the
        /// order of its list, the first at once and none long after the one before.
        #[test]
        fn every_address_has_its_turn(
            tcp in proptest::collection::vec(any::<SocketAddr>(), 0..=MAX_ADDRESSES),
            udp in proptest::collection::vec(any::<SocketAddr>(), 0..=MAX_ADDRESSES),
            first in prop_oneof![Just(Transport::Tcp), Just(Transport::Quic)],
        ) {
            let over = |planned: &[Planned], transport| -> Vec<SocketAddr> {
                let of_it = planned.iter().filter(|(.., over)| *over == transport);
                of_it.map(|&(_, address, _)| address).collect()
            };
            let planned = one_by_one(&tcp, &udp, first);
            prop_assert_eq!(&over(&planned, Transport::Tcp), &tcp);
            prop_assert_eq!(&over(&planned, Transport::Quic), &udp);
            prop_assert!(planned.first().is_none_or(|(at, ..)| at.is_zero()));
            for pair in planned.windows(2) {
                let pause = pair[1].0.checked_sub(pair[0].0);
                prop_assert!(pause.is_some_and(|pause| pause <= ADDRESS_DELAY), "{pair:?}");
            }
            if !tcp.is_empty() && !udp.is_empty() {
                prop_assert_eq!(planned[0].2, first);
            }

            let punched = all_at_once(&tcp, &udp);
            prop_assert_eq!(punched.len(), planned.len());
            prop_assert!(punched.iter().all(|(at, ..)| at.is_zero()));
            prop_assert!(punched.is_sorted_by_key(|(_, address, _)| address.is_ipv4()));
            let sorted = |addresses: &[SocketAddr]| {
                let (six, four): (Vec<_>, Vec<_>) = addresses.iter().partition(|a| a.is_ipv6());
                [six, four].concat()
            };
            prop_assert_eq!(over(&punched, Transport::Tcp), sorted(&tcp));
            prop_assert_eq!(over(&punched, Transport::Quic), sorted(&udp));
        }
    }

    #[tokio::test]
    async fn families_take_turns_and_addresses_are_bounded() {
        let names: Vec<String> =
            ["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:4", "nowhere"].map(str::to_owned).to_vec();
        let (addresses, failure) = resolve(&names).await;
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 4, 2, 3]);
        assert!(failure.is_some(), "a name without a port is none");
        let many = vec!["127.0.0.1:1".to_owned(); 100];
        assert_eq!(resolve(&many).await.0.len(), MAX_ADDRESSES);
    }
}
