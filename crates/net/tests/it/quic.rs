//! What is particular to QUIC.
//!
//! Of the cases that `docs/protocol.md` leaves to QUIC itself, invalid transport
//! parameters (q1), pieces with many gaps (q2), connection ids that are retired
//! by force (q5), floods of path challenges (q6), acknowledgements of what was
//! never sent (q7) and migration towards a victim (q9) are met by quinn. That
//! its version is new enough is checked with the floors of all dependencies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use antiphon_net::{Closed, Connection, Stream, StreamError, Transport};
use antiphon_types::Class;
use bytes::Bytes;
use tokio::net::UdpSocket;

use crate::support::{TRANSPORTS, dial, listen, message, pair, stream};

const BLOCK_BYTES: u64 = 16 * 1024;

/// Everything that can move does; a fixed number of turns is no clock.
async fn settle() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

/// Writes blocks until the stream ends; how many bytes it got rid of.
fn fill(mut stream: Stream) -> Arc<AtomicU64> {
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    tokio::spawn(async move {
        for index in 0.. {
            let block = Bytes::from(vec![7; 16 * 1024]);
            if stream.send_block(index, &[], block).await.is_err() {
                return;
            }
            counter.fetch_add(BLOCK_BYTES, Ordering::Relaxed);
        }
    });
    written
}

/// Waits until writers got rid of so much in all, and then of what they can.
async fn filled(writers: &[Arc<AtomicU64>], bytes: u64) -> u64 {
    let sum = || writers.iter().map(|written| written.load(Ordering::Relaxed)).sum();
    while sum() < bytes {
        tokio::task::yield_now().await;
    }
    settle().await;
    sum()
}

/// A relay that stops to pass what the server sends when told to.
async fn relay(server: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let deaf = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&deaf);
    tokio::spawn(async move {
        let (mut buffer, mut caller) = (vec![0; 65_536], None);
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let to = match from == server {
                true if told.load(Ordering::Relaxed) => None,
                true => caller,
                false => {
                    caller = Some(from);
                    Some(server)
                }
            };
            if let Some(to) = to {
                socket.send_to(&buffer[..length], to).await.unwrap();
            }
        }
    });
    (address, deaf)
}

#[tokio::test]
async fn a_stream_can_be_opened_while_copies_fill_every_window() {
    let (_acceptor, client, server) = pair(Transport::Quic).await;
    let copies: Vec<_> = (0..3).map(|_| fill(client.open(Class::Offline).unwrap())).collect();
    // 1.25 MiB, less a part of a block for each.
    filled(&copies, 76 * BLOCK_BYTES).await;
    let mut play = client.open(Class::Now).unwrap();
    let asking = tokio::spawn(async move {
        play.send_message(Bytes::from_static(b"play")).await.unwrap();
        play
    });
    settle().await;
    for _ in 0..3 {
        let mut copy = server.accept().await.unwrap();
        assert_eq!(copy.class(), Class::Offline);
        tokio::spawn(async move { while let Ok(Some(_)) = copy.receive().await {} });
    }
    let mut asked = server.accept().await.unwrap();
    assert_eq!((asked.class(), message(&mut asked).await.unwrap()), (Class::Now, "play".into()));
    asked.send_message(Bytes::from_static(b"sound")).await.unwrap();
    assert_eq!(message(&mut asking.await.unwrap()).await.unwrap(), "sound");
}

#[tokio::test]
async fn a_copy_leaves_half_of_the_send_window_to_what_plays_now() {
    let mut acceptor = listen().await;
    let (address, deaf) = relay(acceptor.local_address()).await;
    let client = Connection::dial(dial(address, Transport::Quic));
    let server = acceptor.accept().await;
    let (copy, _kept) = stream(&client, &server, Class::Offline).await;
    let mut play = client.open(Class::Now).unwrap();
    // From now on nothing is acknowledged.
    deaf.store(true, Ordering::Relaxed);
    let written = filled(&[fill(copy)], 30 * BLOCK_BYTES).await;
    assert!(written <= 33 * BLOCK_BYTES, "{written}");
    for index in 0..20 {
        play.send_block(index, &[], Bytes::from(vec![7; 16 * 1024])).await.unwrap();
    }
}

/// Q10: what a peer pins by streams that are not read.
#[tokio::test]
async fn q10_a_peer_that_fills_every_window_pins_less_than_four_mib() {
    let (_acceptor, client, server) = pair(Transport::Quic).await;
    let mut writers = Vec::new();
    while let Ok(stream) = client.open(Class::Now) {
        writers.push(fill(stream));
    }
    assert_eq!(writers.len(), 128);
    // Taken and not read.
    let mut taken = Vec::new();
    for _ in 0..writers.len() {
        taken.push(server.accept().await.unwrap());
    }
    let written = filled(&writers, 0).await;
    assert!(written < 4 << 20, "{written}");
}

#[tokio::test]
async fn what_was_finished_before_the_connection_stood_arrives_before_the_close() {
    let mut acceptor = listen().await;
    let client = Connection::dial(dial(acceptor.local_address(), Transport::Quic));
    let mut opened = client.open(Class::Control).unwrap();
    opened.send_message(Bytes::from(vec![b'n'; 40_000])).await.unwrap();
    opened.finish();
    client.established().await.unwrap();
    client.close("all said");
    let server = acceptor.accept().await;
    let mut accepted = server.accept().await.unwrap();
    assert_eq!(message(&mut accepted).await.unwrap().len(), 40_000);
    assert_eq!(message(&mut accepted).await, None);
}

#[tokio::test]
async fn who_goes_away_takes_and_opens_no_streams() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (_opened, _accepted) = stream(&client, &server, Class::Control).await;
        server.go_away("closing time");
        // The other side has not heard of it.
        let mut late = client.open(Class::Now).unwrap();
        late.send_message(Bytes::from_static(b"play")).await.unwrap();
        assert_eq!(late.receive().await, Err(StreamError::Reset(1)), "{transport}");
        let refused = server.open(Class::Now).unwrap_err();
        assert!(matches!(&refused, Closed::ByUs(reason) if reason.contains("going away")));
    }
}

#[tokio::test]
async fn going_away_before_the_connection_stands_is_told_when_it_does() {
    for transport in TRANSPORTS {
        let mut acceptor = listen().await;
        let client = Connection::dial(dial(acceptor.local_address(), transport));
        let mut opened = client.open(Class::Now).unwrap();
        opened.send_message(Bytes::from_static(b"one question")).await.unwrap();
        client.go_away("no more questions");
        assert!(client.open(Class::Now).is_err(), "{transport}");
        let server = acceptor.accept().await;
        server.leaving().await;
        let refused = server.open(Class::Now).unwrap_err();
        assert_eq!(refused, Closed::ByPeer("no more questions".to_owned()), "{transport}");
        let mut accepted = server.accept().await.unwrap();
        assert_eq!(message(&mut accepted).await.unwrap(), "one question");
    }
}

#[tokio::test]
async fn a_stream_that_was_given_up_has_not_ended() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (opened, mut accepted) = stream(&client, &server, Class::Now).await;
        drop(opened);
        for _ in 0..3 {
            assert_eq!(accepted.receive().await, Err(StreamError::Reset(0)), "{transport}");
        }
    }
}

/// M1: streams that come and go faster than anybody needs.
#[tokio::test]
async fn m1_a_flood_of_streams_closes_the_connection() {
    let (_acceptor, client, server) = pair(Transport::Quic).await;
    tokio::spawn(async move { while server.accept().await.is_ok() {} });
    while client.is_open() {
        // As many as there are places.
        while client.open(Class::Now).is_ok() {}
        tokio::task::yield_now().await;
    }
    let reason = client.closed().await;
    assert!(matches!(&reason, Closed::ByPeer(said) if said.contains("too many")), "{reason}");
}

/// The buffer of a socket is of the process, not of each peer.
#[tokio::test]
async fn connections_that_we_dial_share_a_socket_and_move_together() {
    let mut acceptor = listen().await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        let client = Connection::dial(dial(acceptor.local_address(), Transport::Quic));
        client.established().await.unwrap();
        connections.push((client, acceptor.accept().await));
    }
    let ports = |connections: &[(Connection, Connection)]| -> Vec<u16> {
        connections.iter().map(|(client, _)| client.addresses().unwrap().0.port()).collect()
    };
    let before = ports(&connections);
    assert!(before.iter().all(|port| *port == before[0]));
    connections[0].0.network_changed().unwrap();
    let after = ports(&connections);
    assert!(after.iter().all(|port| *port == after[0] && *port != before[0]));
    for (client, server) in &connections {
        stream(client, server, Class::Now).await;
    }
}
