//! Listeners that find each other with no server. Over loopback: how broadcasts
//! and multicast cross a real link is tried by `examples/lan.rs`.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use antiphon_net::lan::{Lan, LanConfig, LanEvent, Presence, PresenceKind, ServiceTag};
use antiphon_types::NodeId;
use proptest::prelude::*;
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

const SERVICE: NodeId = NodeId::new([1; 32]);

fn node(seed: u8) -> NodeId {
    NodeId::new([seed; 32])
}

/// A port of broadcasts that no other test uses.
fn broadcast_port() -> u16 {
    UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// A listener that broadcasts alone, on a port of the test's.
fn config(peer: u8, port: u16, broadcast_port: u16) -> LanConfig {
    LanConfig { mdns: false, broadcast_port, ..LanConfig::new(SERVICE, node(peer), port) }
}

/// The next event that `wanted` makes something of.
async fn until<T>(
    events: &mut mpsc::Receiver<LanEvent>,
    wanted: impl Fn(&LanEvent) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.recv().await.unwrap();
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap()
}

async fn seen(events: &mut mpsc::Receiver<LanEvent>, peer: u8) -> Vec<u16> {
    until(events, |event| match event {
        LanEvent::Seen { node: who, addresses } if *who == node(peer) => {
            Some(addresses.iter().map(SocketAddr::port).collect())
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn listeners_on_one_machine_find_each_other_and_say_good_bye() {
    let port = broadcast_port();
    let (_one, mut events_of_one) = Lan::start(config(2, 4_711, port));
    let (two, mut events_of_two) = Lan::start(config(3, 4_712, port));
    assert!(seen(&mut events_of_one, 3).await.iter().all(|&port| port == 4_712));
    assert!(seen(&mut events_of_two, 2).await.iter().all(|&port| port == 4_711));
    drop(two);
    let gone = |event: &LanEvent| (*event == LanEvent::Gone { node: node(3) }).then_some(());
    until(&mut events_of_one, gone).await;
}

#[tokio::test]
async fn who_does_not_listen_hears_and_is_not_heard() {
    let port = broadcast_port();
    let (_one, mut events_of_one) = Lan::start(config(2, 4_711, port));
    let (_quiet, mut events_of_quiet) = Lan::start(config(3, 0, port));
    let (_two, _events) = Lan::start(config(4, 4_712, port));
    seen(&mut events_of_quiet, 2).await;
    seen(&mut events_of_quiet, 4).await;
    let first = until(&mut events_of_one, |event| Some(event.clone())).await;
    assert!(matches!(first, LanEvent::Seen { node: who, .. } if who == node(4)), "{first:?}");
}

/// Of all that comes to the port only a packet of the service is heard: garbage,
/// another service's listener and our own echo come before it.
#[tokio::test]
async fn garbage_and_other_services_are_not_heard() {
    let port = broadcast_port();
    let (_one, mut events) = Lan::start(config(2, 4_711, port));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let say = |packet: &[u8]| stranger.send_to(packet, ("127.0.0.1", port)).unwrap();
    let packet = |service: NodeId, peer: u8| {
        let tag = ServiceTag::of(&service);
        Presence { kind: PresenceKind::Here, tag, peer: node(peer), port: 9 }.encode()
    };
    say(&[]);
    say(&[0xff; 1_400]);
    say(&packet(SERVICE, 9)[..59]);
    say(&[packet(SERVICE, 9).as_slice(), &[0]].concat());
    say(&packet(node(8), 9));
    say(&packet(SERVICE, 2));
    say(&packet(SERVICE, 3));
    let first = until(&mut events, |event| Some(event.clone())).await;
    assert!(matches!(first, LanEvent::Seen { node: who, .. } if who == node(3)), "{first:?}");
}

/// However many peers a stranger invents, few are kept, and what all listeners
/// say to it is less than the stranger said.
#[tokio::test]
async fn a_flood_of_invented_peers_is_bounded_and_not_amplified() {
    const INVENTED: u8 = 100;
    let port = broadcast_port();
    let audience = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    audience.set_reuse_address(true).unwrap();
    audience.set_nonblocking(true).unwrap();
    audience.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into()).unwrap();
    let (_one, mut events) = Lan::start(config(2, 4_711, port));

    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    // To one and all: unicast would reach only one of the sockets.
    stranger.set_broadcast(true).unwrap();
    let tag = ServiceTag::of(&SERVICE);
    let say = |kind, peer| {
        let packet = Presence { kind, tag, peer: node(peer), port: 9 }.encode();
        stranger.send_to(&packet, ("127.255.255.255", port)).unwrap();
    };
    (10..10 + INVENTED).for_each(|peer| say(PresenceKind::Here, peer));
    // When this one leaves, all that came before was heard.
    say(PresenceKind::Leaving, 10);

    let mut known = 0;
    loop {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            LanEvent::Seen { .. } => known += 1,
            LanEvent::Gone { node: who } if who == node(10) => break,
            LanEvent::Gone { .. } => panic!("nobody else has left"),
        }
    }
    assert_eq!(known, 16, "as many as may be at one address");

    let mut buffer = [0; 100];
    let audience = UdpSocket::from(audience);
    let mut answers = 0;
    while let Ok(length) = audience.recv(&mut buffer) {
        answers += usize::from(Presence::decode(&buffer[..length]).unwrap().peer == node(2));
    }
    assert!(answers < usize::from(INVENTED) / 2, "{answers} packets");
}

/// Another program has the port for itself: one line in the log, and no failure.
#[tokio::test]
async fn a_port_that_is_taken_fails_nothing() {
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (lan, mut events) = Lan::start(config(2, 4_711, port));
    // It still speaks: its packet comes to whoever has the port.
    taken.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 100];
    let heard = tokio::task::spawn_blocking(move || taken.recv(&mut buffer).map(|n| (n, buffer)));
    let (length, buffer) = heard.await.unwrap().unwrap();
    assert_eq!(Presence::decode(&buffer[..length]).unwrap().peer, node(2));
    lan.close().await;
    assert_eq!(events.recv().await, None);
}

proptest! {
    /// Whatever comes is read or refused, and what is read is what was sent.
    #[test]
    fn any_packet_is_read_or_refused(packet in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Some(presence) = Presence::decode(&packet) {
            prop_assert_eq!(presence.encode().to_vec(), packet);
        }
    }

    /// So is whatever begins like one.
    #[test]
    fn any_packet_that_begins_well_is_read_or_refused(
        tail in prop::collection::vec(any::<u8>(), 45..55),
        kind in 0_u8..3,
    ) {
        let packet = [b"antiphon\x01".as_slice(), &[kind], &tail[1..]].concat();
        let read = Presence::decode(&packet);
        let valid = packet.len() == 60 && kind < 2 && packet[10..12] != [0, 0];
        prop_assert_eq!(read.is_some(), valid);
        if let Some(presence) = read {
            prop_assert_eq!(presence.encode().to_vec(), packet);
        }
    }
}
