//! Which transport and which address is used.

use antiphon_net::{Closed, Connection, Transport};
use antiphon_types::Class;
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{dial, listen, message};

#[tokio::test]
async fn tcp_is_used_where_it_answers() {
    let mut acceptor = listen().await;
    let client = Connection::dial(dial(acceptor.local_address(), Transport::Auto));
    client.established().await.unwrap();
    assert_eq!(client.transport(), Some(Transport::Tcp));
    acceptor.accept().await;
}

#[tokio::test]
async fn quic_is_used_where_tcp_is_refused_and_takes_the_request_along() {
    let mut acceptor = listen().await;
    // A relay that passes UDP alone: TCP to it is refused.
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (address, server) = (relay.local_addr().unwrap(), acceptor.local_address());
    tokio::spawn(async move {
        let (mut buffer, mut caller) = (vec![0; 65_536], None);
        loop {
            let (length, from) = relay.recv_from(&mut buffer).await.unwrap();
            let to = if from == server { caller } else { Some(server) };
            if from != server {
                caller = Some(from);
            }
            if let Some(to) = to {
                relay.send_to(&buffer[..length], to).await.unwrap();
            }
        }
    });
    let client = Connection::dial(dial(address, Transport::Auto));
    let mut stream = client.open(Class::Control).unwrap();
    stream.send_message(Bytes::from_static(b"hello")).await.unwrap();
    client.established().await.unwrap();
    assert_eq!(client.transport(), Some(Transport::Quic));
    let mut accepted = acceptor.accept().await.accept().await.unwrap();
    assert_eq!(message(&mut accepted).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_dead_address_does_not_hold_up_a_living_one() {
    let mut acceptor = listen().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut dial = dial(acceptor.local_address(), Transport::Auto);
    dial.addresses.insert(0, closed.to_string());
    dial.addresses.insert(0, "no-such-name.invalid:1".to_owned());
    Connection::dial(dial).established().await.unwrap();
    acceptor.accept().await;
}

/// Something takes TCP at the first address and says nothing; something else
/// at the second.
#[tokio::test(start_paused = true)]
async fn whoever_takes_tcp_and_is_not_who_was_called_does_not_end_the_search() {
    let mut acceptor = listen().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let babbling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dial = dial(acceptor.local_address(), Transport::Tcp);
    for listener in [&silent, &babbling] {
        dial.addresses.insert(0, listener.local_addr().unwrap().to_string());
    }
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = babbling.accept().await.unwrap();
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let client = Connection::dial(dial);
    let mut stream = client.open(Class::Control).unwrap();
    stream.send_message(Bytes::from_static(b"hello")).await.unwrap();
    let mut accepted = acceptor.accept().await.accept().await.unwrap();
    assert_eq!(message(&mut accepted).await.unwrap(), "hello");
    client.established().await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Connection::dial(dial(closed, Transport::Tcp));
    let mut stream = client.open(Class::Now).unwrap();
    let reason = client.established().await.unwrap_err();
    assert!(
        matches!(&reason, Closed::Unreachable { address, .. } if *address == closed.to_string())
    );
    assert!(stream.receive().await.is_err());
}

#[tokio::test]
async fn a_dial_that_nobody_wants_any_more_ends() {
    // It accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Connection::dial(dial(silent.local_addr().unwrap(), Transport::Tcp));
    let held = silent.accept().await.unwrap();
    client.close("changed her mind");
    assert_eq!(client.closed().await, Closed::ByUs("changed her mind".to_owned()));
    drop(held);
}
