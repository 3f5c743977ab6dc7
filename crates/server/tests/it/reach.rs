//! What a listener says of where she is reached is believed only so far.

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
async fn what_is_proven_is_believed() {
    let house = House::open_with(None, |service| {
        service.set_proof_check(|address, proof| proof == address.to_string().as_bytes());
    })
    .await;
    let proven = |address: &str, proof: &'static str| ProvenAddress {
        address: address.into(),
        proof: Bytes::from_static(proof.as_bytes()),
    };
    let observed = vec![
        proven("203.0.113.5:4000", "203.0.113.5:4000"),
        proven("198.51.100.9:53", "203.0.113.5:4000"),
        proven("[2001:db8::5]:7001", "[2001:db8::5]:7001"),
    ];
    let reach = Reach { observed, ..Reach::default() };
    let (tcp, udp) = seen(&house, Hello::default(), reach).await;
    assert_eq!(tcp, ["[2001:db8::5]:7001", "127.0.0.1:7001"]);
    assert_eq!(udp, ["[2001:db8::5]:7001", "203.0.113.5:4000", "127.0.0.1:7001"]);
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
