//! Against another side that speaks QUIC and not our interface.

use std::net::SocketAddr;
use std::sync::Arc;

use antiphon_handshake::identity::NodeSecret;
use antiphon_types::Class;
use antiphon_wire::{CloseCode, reset_code};
use bytes::Bytes;
use quinn::{ConnectionError, Endpoint, StoppedError, TokioRuntime, VarInt};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::{QuicLink, config, connect};
use crate::{
    Acceptor, AcceptorLimits, Closed, Connection, Dial, StreamError, StreamItem, Transport,
};

fn secret() -> NodeSecret {
    NodeSecret::from_bytes(&[1; 32])
}

async fn listen() -> Acceptor {
    let address = "127.0.0.1:0".parse().unwrap();
    let (node, limits) = (secret().node_id(), AcceptorLimits::default());
    Acceptor::bind(address, secret(), node, limits).await.unwrap()
}

async fn raw(address: SocketAddr) -> QuicLink {
    let node = secret().node_id();
    connect(address, &Dial::new(Vec::new(), node, node, secret())).await.unwrap()
}

/// An acceptor, a connection of it, and the other side in the raw.
async fn raw_pair() -> (Acceptor, Connection, QuicLink) {
    let mut acceptor = listen().await;
    let link = raw(acceptor.local_address()).await;
    let server = acceptor.accept().await;
    (acceptor, server, link)
}

/// Everything that can move does; a fixed number of turns is no clock.
async fn settle() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

/// A relay that keeps what the client sends while told to, and then passes it
/// all at once.
async fn relay(server: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (keep, mut keeps) = watch::channel(false);
    tokio::spawn(async move {
        let (mut buffer, mut caller, mut kept) = (vec![0; 65_536], None, Vec::new());
        loop {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => {
                    let (length, from) = received.unwrap();
                    if from == server {
                        socket.send_to(&buffer[..length], caller.unwrap()).await.unwrap();
                        continue;
                    }
                    caller = Some(from);
                    kept.push(buffer[..length].to_vec());
                }
                Ok(()) = keeps.changed() => {}
            }
            if !*keeps.borrow() {
                for packet in kept.drain(..) {
                    socket.send_to(&packet, server).await.unwrap();
                }
            }
        }
    });
    (address, keep)
}

#[tokio::test]
async fn streams_that_came_together_with_the_close_are_accepted() {
    let mut acceptor = listen().await;
    for round in 0..20 {
        let (address, keep) = relay(acceptor.local_address()).await;
        let link = raw(address).await;
        let server = acceptor.accept().await;
        settle().await;
        keep.send(true).unwrap();
        for _ in 0..3 {
            let (mut sender, _) = link.connection.open_bi().await.unwrap();
            // A class, and a message of one byte.
            sender.write_all(&[Class::Now.index(), 0, 0, 0, 0, 1, b'x']).await.unwrap();
            sender.finish().unwrap();
        }
        link.go_away("that was all");
        settle().await;
        link.close(CloseCode::SHUTDOWN, "gone");
        settle().await;
        keep.send(false).unwrap();
        for number in 0..3 {
            let mut stream = server.accept().await.unwrap_or_else(|reason| {
                panic!("round {round}, stream {number}: {reason}");
            });
            let message = StreamItem::Message(Bytes::from_static(b"x"));
            assert_eq!(stream.receive().await, Ok(Some(message)));
        }
        assert_eq!(server.closed().await, Closed::ByPeer("that was all".to_owned()));
    }
}

#[tokio::test]
async fn nothing_overtakes_the_first_stream() {
    let (_acceptor, server, link) = raw_pair().await;
    let (mut first, _kept) = link.connection.open_bi().await.unwrap();
    let (mut second, mut answers) = link.connection.open_bi().await.unwrap();
    // The other side hears of both, and of the class of the second alone.
    second.write_all(&[Class::Now.index()]).await.unwrap();
    let (mut bad, _kept_too) = link.connection.open_bi().await.unwrap();
    bad.write_all(&[77]).await.unwrap();
    let accepting = server.clone();
    let accepting = tokio::spawn(async move { accepting.accept().await.unwrap() });
    settle().await;
    assert!(!accepting.is_finished());
    first.write_all(&[Class::Control.index()]).await.unwrap();
    assert_eq!(accepting.await.unwrap().class(), Class::Control);
    let mut answering = server.accept().await.unwrap();
    assert_eq!(answering.class(), Class::Now);
    answering.send_message(Bytes::from_static(b"x")).await.unwrap();
    assert!(answers.read_chunk(100, true).await.unwrap().is_some());
    let code = VarInt::from_u32(reset_code::BAD_MESSAGE);
    assert_eq!(bad.stopped().await, Ok(Some(code)), "there is no such class");
}

#[tokio::test]
async fn a_first_stream_without_a_class_does_not_hold_up_a_close() {
    let (_acceptor, server, link) = raw_pair().await;
    let (first, _kept) = link.connection.open_bi().await.unwrap();
    let (mut second, _kept_too) = link.connection.open_bi().await.unwrap();
    second.write_all(&[Class::Now.index()]).await.unwrap();
    settle().await;
    server.close("enough");
    // It was not waited for until it was given up.
    assert!(matches!(first.stopped().await, Err(StoppedError::ConnectionLost(_))));
    let reason = link.connection.closed().await;
    assert!(matches!(&reason, ConnectionError::ApplicationClosed(said) if said.reason == "enough"));
}

#[tokio::test]
async fn what_cannot_be_opened_once_the_connection_stands_is_told() {
    let node = secret().node_id();
    let mut limits = config::server(&secret(), &node).unwrap();
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(1)).receive_window(VarInt::from_u32(8));
    limits.transport_config(Arc::new(transport));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let runtime = Arc::new(TokioRuntime);
    let server = Endpoint::new(config::endpoint(), Some(limits), socket, runtime).unwrap();
    let addresses = vec![server.local_addr().unwrap().to_string()];
    tokio::spawn(async move {
        let connection = server.accept().await.unwrap().await.unwrap();
        connection.closed().await;
    });
    let dial = Dial::new(addresses, node, node, secret());
    let dial = Dial { transport: Transport::Quic, ..dial };
    let client = Connection::dial(dial);
    let mut no_room = client.open(Class::Now).unwrap();
    no_room.send_message(Bytes::from_static(b"more than eight bytes")).await.unwrap();
    let mut no_place = client.open(Class::Now).unwrap();
    let refused = Err(StreamError::Reset(reset_code::REFUSED));
    assert_eq!(no_room.receive().await, refused);
    assert_eq!(no_place.receive().await, refused);
    let late = no_place.send_message(Bytes::from_static(b"late")).await;
    assert_eq!(late, Err(StreamError::Reset(reset_code::REFUSED)));
}

/// Whoever has no places is told apart from whoever has no connection.
#[tokio::test]
async fn the_places_are_the_other_sides() {
    let (_acceptor, _server, link) = raw_pair().await;
    let open: Vec<_> = (0..config::MAX_STREAMS).map(|_| link.open(Class::Now).unwrap()).collect();
    let refused = link.open(Class::Now).unwrap_err();
    assert!(refused.to_string().contains("the other side allows"), "{refused}");
    drop(open);
}
