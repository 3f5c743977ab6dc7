//! What a listener says of where she is reached is believed only so far.

use antiphon_net::identity::NodeSecret;
use antiphon_net::{Acceptor, Observed};
use antiphon_wire::proto::{Hello, ProvenAddress, Reach};
use bytes::Bytes;

use crate::guests::{Guest, House, blob};

/// What another sees of one who has said this.
async fn seen(house: &House, hello: Hello, reach: Reach) -> (Vec<String>, Vec<String>) {
    let hello = Hello { sharing: true, listen_port: 7001, ..hello };
    let mut holder = Guest::arrive_saying(house, hello).await;
    holder.announce(&[blob(1)]).await;
    holder.reach(reach).await;
    let asker = Guest::arrive(house, 7002).await;
    let [peer] = &asker.find(blob(1)).await[..] else { panic!("one is found") };
    (peer.addresses.clone(), peer.udp_addresses.clone())
}

#[tokio::test]
async fn of_a_mapping_the_port_alone_is_believed() {
    let house = House::open().await;
    let reach = Reach { mapped_tcp_port: 9001, mapped_udp_port: 9002, ..Reach::default() };
    let (tcp, udp) = seen(&house, Hello::default(), reach).await;
    assert_eq!(tcp, ["127.0.0.1:9001", "127.0.0.1:7001"]);
    assert_eq!(udp, ["127.0.0.1:9002", "127.0.0.1:7001"]);
}

#[tokio::test]
async fn nobody_sends_others_to_a_stranger() {
    let house = House::open().await;
    let strangers: Vec<String> =
        ["198.51.100.9", "2001:db8::9", "224.0.0.1", "0.0.0.0", "nonsense"].map(Into::into).into();
    let observed = strangers
        .iter()
        .map(|ip| ProvenAddress {
            address: format!("{ip}:53"),
            proof: Bytes::from_static(b"forged"),
        })
        .collect();
    let reach = Reach {
        mapped_tcp_port: 70_000,
        observed,
        local_addresses: strangers.clone(),
        ..Reach::default()
    };
    let hello = Hello { local_addresses: strangers, ..Hello::default() };
    let (tcp, udp) = seen(&house, hello, reach).await;
    assert_eq!(tcp, ["127.0.0.1:7001"]);
    assert_eq!(udp, [""; 0], "the same as of TCP");
}

#[tokio::test]
async fn what_the_servers_udp_port_proved_is_believed_and_of_no_other_address() {
    let house = House::open().await;
    let other = House::open().await;
    let secret = NodeSecret::generate(&mut rand::rng());
    let door = Acceptor::bind(([127, 0, 0, 1], 0).into(), secret, house.node, Default::default());
    let door = door.await.unwrap();
    let seen_here = door.dialler().observe(house.address).await.unwrap();
    let seen_there = door.dialler().observe(other.address).await.unwrap();
    assert_eq!(seen_here.address, door.local_address());
    let shown = |address: &str, seen: &Observed| ProvenAddress {
        address: address.into(),
        proof: Bytes::copy_from_slice(seen.proof.as_bytes()),
    };
    let proven = seen_here.address.to_string();
    let observed = vec![
        shown("198.51.100.9:53", &seen_here),
        shown(&proven, &seen_there),
        shown(&proven, &seen_here),
    ];
    let (tcp, udp) = seen(&house, Hello::default(), Reach { observed, ..Reach::default() }).await;
    assert_eq!(tcp, ["127.0.0.1:7001"]);
    assert_eq!(udp, [proven.as_str(), "127.0.0.1:7001"]);
    // A server of another service believes nothing of it.
    let observed = vec![shown(&proven, &seen_here)];
    let (_, udp) = seen(&other, Hello::default(), Reach { observed, ..Reach::default() }).await;
    assert_eq!(udp, [""; 0]);
}

#[tokio::test]
async fn the_household_sees_inner_addresses_and_the_latest_word_counts() {
    let house = House::open().await;
    let hello = Hello { local_addresses: vec!["10.1.2.3".into()], ..Hello::default() };
    let reach = Reach { local_addresses: vec!["192.168.7.7".into()], ..Reach::default() };
    let (tcp, _) = seen(&house, hello, reach).await;
    assert_eq!(tcp, ["192.168.7.7:7001", "127.0.0.1:7001"]);
}

#[tokio::test]
async fn a_flood_of_words_ends_at_a_bound() {
    let house = House::open().await;
    let mut holder = Guest::arrive(&house, 7001).await;
    holder.announce(&[blob(1)]).await;
    for port in 1..=100 {
        holder.reach(Reach { mapped_tcp_port: port, ..Reach::default() }).await;
    }
    let asker = Guest::arrive(&house, 7002).await;
    let peers = asker.find(blob(1)).await;
    let port = peers[0].addresses[0].rsplit_once(':').unwrap().1.parse::<u32>().unwrap();
    assert!((8..100).contains(&port), "{port}");
}
