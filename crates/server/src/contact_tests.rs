use proptest::prelude::*;

use super::*;

const PEER: NodeId = NodeId::new([1; 32]);

fn seen(address: &str, quic: bool) -> Seen {
    Seen { address: address.parse().unwrap(), quic }
}

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn sockets(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn the_likeliest_comes_first_and_ipv6_before_all() {
    let reach = Reach {
        mapped_tcp: 7001,
        mapped_udp: 7002,
        proven: sockets(&["203.0.113.5:40000", "[2001:db8::5]:7000"]),
        from_listening_port: true,
    };
    let contact = Contact::new(seen("203.0.113.5:50000", false), 7000, &[], &reach);
    let peer = contact.describe(PEER, false);
    assert_eq!(
        peer.addresses,
        ["[2001:db8::5]:7000", "203.0.113.5:7001", "203.0.113.5:7000", "203.0.113.5:50000"]
    );
    assert_eq!(
        peer.udp_addresses,
        ["[2001:db8::5]:7000", "203.0.113.5:7002", "203.0.113.5:40000", "203.0.113.5:7000"]
    );
}

#[test]
fn a_session_over_quic_tells_of_the_udp_port() {
    let reach = Reach { from_listening_port: true, ..Reach::default() };
    let peer = Contact::new(seen("203.0.113.5:50000", true), 7000, &[], &reach);
    let peer = peer.describe(PEER, false);
    assert_eq!(peer.addresses, ["203.0.113.5:7000"]);
    assert_eq!(peer.udp_addresses, ["203.0.113.5:7000", "203.0.113.5:50000"]);
}

#[test]
fn addresses_of_udp_are_left_out_where_they_are_the_same() {
    let contact = Contact::new(seen("[::ffff:203.0.113.5]:9", false), 7000, &[], &Reach::default());
    let peer = contact.describe(PEER, false);
    assert_eq!((peer.addresses, peer.udp_addresses), (vec!["203.0.113.5:7000".into()], vec![]));
}

#[test]
fn the_household_alone_sees_inner_addresses_and_sees_them_first() {
    let local = ips(&["192.168.1.2", "fd00::2", "10.0.0.2"]);
    let contact = Contact::new(seen("203.0.113.5:9", false), 7000, &local, &Reach::default());
    let inside = ["[fd00::2]:7000", "192.168.1.2:7000", "10.0.0.2:7000", "203.0.113.5:7000"];
    assert_eq!(contact.describe(PEER, true).addresses, inside);
    assert_eq!(contact.describe(PEER, false).addresses, ["203.0.113.5:7000"]);
}

#[test]
fn an_address_of_a_stranger_is_nobodys_own() {
    let named =
        ips(&["198.51.100.1", "2001:db8:bad::1", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1"]);
    let contact = Contact::new(seen("203.0.113.5:9", false), 7000, &named, &Reach::default());
    assert_eq!(contact.local, []);
    // Neither where she comes over IPv6, except from her own network.
    let named = ips(&["2001:db8:bad::1", "2001:db8:1:2::b", "fe80::1"]);
    let contact = Contact::new(seen("[2001:db8:1:2::a]:9", false), 7000, &named, &Reach::default());
    assert_eq!(contact.local, sockets(&["[2001:db8:1:2::b]:7000"]));
}

#[test]
fn however_much_is_said_eight_of_each_are_shown() {
    let local: Vec<IpAddr> = (1..=8).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let proven = (1..=8).map(|n| SocketAddr::from(([192, 0, 2, n], 1))).collect();
    let reach = Reach { mapped_tcp: 1, mapped_udp: 2, proven, from_listening_port: true };
    let contact = Contact::new(seen("203.0.113.5:9", true), 7000, &local, &reach);
    let peer = contact.describe(PEER, true);
    assert_eq!((peer.addresses.len(), peer.udp_addresses.len()), (7, 8));
    assert!(contact.encode().len() <= 399);
}

#[test]
fn one_who_listens_nowhere_is_reached_nowhere() {
    let contact =
        Contact::new(seen("203.0.113.5:9", false), 0, &ips(&["10.0.0.1"]), &Reach::default());
    assert_eq!(contact, Contact::default());
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    let v4 = any::<([u8; 4], u16)>().prop_map(SocketAddr::from);
    let v6 = any::<([u8; 16], u16)>().prop_map(SocketAddr::from);
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn a_contact_survives_the_tracker(
        address in socket(), quic: bool, port: u16, local in prop::collection::vec(socket(), 0..9),
        proven in prop::collection::vec(socket(), 0..9), mapped: (u16, u16), from: bool,
    ) {
        let local: Vec<IpAddr> = local.iter().map(SocketAddr::ip).collect();
        let (mapped_tcp, mapped_udp) = mapped;
        let reach = Reach { mapped_tcp, mapped_udp, proven, from_listening_port: from };
        let contact = Contact::new(Seen { address, quic }, port, &local, &reach);
        let encoded = contact.encode();
        prop_assert!(encoded.len() <= 399);
        prop_assert_eq!(Contact::decode(&encoded), Some(contact));
    }

    #[test]
    fn bytes_of_others_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Contact::decode(&bytes);
    }
}
