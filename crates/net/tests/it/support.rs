//! A node that listens, and others that call it.

use std::net::SocketAddr;

use antiphon_net::identity::NodeSecret;
use antiphon_net::{Acceptor, AcceptorLimits, Connection, Dial, Stream, StreamItem, Transport};
use antiphon_types::{Class, NodeId};
use bytes::Bytes;

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Tcp, Transport::Quic];

/// The secret of the node that listens, and the service's.
pub(crate) fn server_secret() -> NodeSecret {
    NodeSecret::from_bytes(&[1; 32])
}

pub(crate) fn service() -> NodeId {
    server_secret().node_id()
}

pub(crate) async fn listen() -> Acceptor {
    listen_with(AcceptorLimits::default()).await
}

pub(crate) async fn listen_with(limits: AcceptorLimits) -> Acceptor {
    let address = "127.0.0.1:0".parse().unwrap();
    Acceptor::bind(address, server_secret(), service(), limits).await.unwrap()
}

pub(crate) fn dial(address: SocketAddr, transport: Transport) -> Dial {
    let secret = NodeSecret::from_bytes(&[2; 32]);
    Dial { transport, ..Dial::new(vec![address.to_string()], service(), service(), secret) }
}

/// Both ends of a new connection, established.
pub(crate) async fn pair(transport: Transport) -> (Acceptor, Connection, Connection) {
    let mut acceptor = listen().await;
    let client = Connection::dial(dial(acceptor.local_address(), transport));
    let server = acceptor.accept().await;
    client.established().await.unwrap();
    server.let_in();
    (acceptor, client, server)
}

/// Opens a stream, and makes the other side notice.
pub(crate) async fn stream(from: &Connection, to: &Connection, class: Class) -> (Stream, Stream) {
    let mut opened = from.open(class).unwrap();
    opened.send_message(Bytes::from_static(b"begin")).await.unwrap();
    let mut accepted = to.accept().await.unwrap();
    assert_eq!(message(&mut accepted).await, Some(Bytes::from_static(b"begin")));
    (opened, accepted)
}

/// The next item, which is a message.
pub(crate) async fn message(stream: &mut Stream) -> Option<Bytes> {
    match stream.receive().await.unwrap() {
        Some(StreamItem::Message(message)) => Some(message),
        Some(StreamItem::Block { .. }) => panic!("a block came"),
        None => None,
    }
}
