//! Dialling from the port at which one listens, and both sides at once.

use std::io;
use std::net::SocketAddr;

use antiphon_net::identity::NodeSecret;
use antiphon_net::{
    Acceptor, AcceptorLimits, AttemptKind, Closed, Connection, Dial, Effort, Tally, Transport,
};
use antiphon_types::Class;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{TRANSPORTS, message, service};

/// A listener: she listens, and dials from there.
struct Node {
    secret: NodeSecret,
    acceptor: Acceptor,
}

impl Node {
    async fn new(seed: u8) -> Self {
        Self::at("127.0.0.1:0", seed).await.unwrap()
    }

    async fn at(address: &str, seed: u8) -> io::Result<Self> {
        let (secret, limits) = (NodeSecret::from_bytes(&[seed; 32]), AcceptorLimits::default());
        let address = address.parse().unwrap();
        let acceptor = Acceptor::bind(address, secret.clone(), service(), limits).await?;
        Ok(Self { secret, acceptor })
    }

    fn address(&self) -> SocketAddr {
        self.acceptor.local_address()
    }

    /// How she dials `other` at `address`.
    fn dial(&self, other: &Self, address: SocketAddr, transport: Transport) -> Dial {
        let node = other.secret.node_id();
        Dial {
            transport,
            from: Some(self.acceptor.dialler()),
            ..Dial::new(vec![address.to_string()], node, service(), self.secret.clone())
        }
    }

    /// Two of them; the first has the smaller id.
    async fn two() -> (Self, Self) {
        let (one, other) = (Self::new(21).await, Self::new(22).await);
        if one.secret.node_id() < other.secret.node_id() { (one, other) } else { (other, one) }
    }
}

fn tally(dial: &Dial, transport: Transport) -> Tally {
    dial.attempts.of(AttemptKind { transport, is_ipv6: false, effort: dial.effort })
}

#[tokio::test]
async fn the_other_side_sees_the_port_at_which_we_listen() {
    for effort in [Effort::Once, Effort::Punch] {
        for transport in TRANSPORTS {
            let (caller, mut called) = Node::two().await;
            let dial = caller.dial(&called, called.address(), transport);
            let dial = Dial { effort, ..dial };
            let connection = Connection::dial(dial.clone());
            let accepted = called.acceptor.accept().await;
            connection.established().await.unwrap();
            assert_eq!(accepted.remote_address(), Some(caller.address()), "{transport}");
            assert_eq!(accepted.local_address(), Some(called.address()), "{transport}");
            assert!(accepted.is_at_listening_port() && connection.is_at_listening_port());
            let expected = Tally { begun: 1, connected: 1, ..Tally::default() };
            assert_eq!(tally(&dial, transport), expected, "{transport}");
        }
    }
}

/// Two connections between the same two ports are not possible over TCP.
#[tokio::test]
async fn where_the_port_cannot_be_had_another_is_taken() {
    let (caller, mut called) = Node::two().await;
    let dial = caller.dial(&called, called.address(), Transport::Tcp);
    let first = Connection::dial(dial.clone());
    first.established().await.unwrap();
    let second = Connection::dial(dial);
    second.established().await.unwrap();
    assert!(first.is_at_listening_port() && !second.is_at_listening_port());
    assert_eq!(called.acceptor.accept().await.remote(), caller.secret.node_id());
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let node = Node::new(21).await;
    let taken = Node::at(&node.address().to_string(), 22).await.map(|_| ()).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn one_who_listens_everywhere_is_reached_over_ipv4_and_knows_it_as_such() {
    for transport in TRANSPORTS {
        let caller = Node::new(21).await;
        let mut called = Node::at("[::]:0", 22).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], called.address().port()));
        let connection = Connection::dial(caller.dial(&called, address, transport));
        let accepted = called.acceptor.accept().await;
        connection.established().await.unwrap();
        assert_eq!(accepted.remote_address(), Some(caller.address()), "{transport}");
        assert_eq!(accepted.local_address(), Some(address), "{transport}");

        // And the other way.
        let mut other = Node::new(23).await;
        let back = Connection::dial(called.dial(&other, other.address(), transport));
        let accepted = other.acceptor.accept().await;
        back.established().await.unwrap();
        let here = back.local_address().unwrap();
        assert_eq!(accepted.remote_address(), Some(here), "{transport}");
        assert!(back.is_at_listening_port() && here == address, "{transport}");
    }
}

#[tokio::test]
async fn whoever_punches_tries_again_until_somebody_listens() {
    // An address at which no other test may take the port meanwhile.
    let (caller, called) = (Node::new(21).await, Node::at("127.0.0.77:0", 22).await.unwrap());
    let address = called.address();
    let dial = Dial { effort: Effort::Punch, ..caller.dial(&called, address, Transport::Tcp) };
    drop(called);
    let connection = Connection::dial(dial);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let mut called = Node::at(&address.to_string(), 22).await.unwrap();
    assert_eq!(called.acceptor.accept().await.remote(), caller.secret.node_id());
    connection.established().await.unwrap();
}

/// Joins two who both dial, as the kernel does when their packets cross.
async fn meeting_point() -> (SocketAddr, SocketAddr) {
    let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = (one.local_addr().unwrap(), other.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut one, mut other) = (one.accept().await.unwrap().0, other.accept().await.unwrap().0);
        // It ends when they do.
        let _ = copy_bidirectional(&mut one, &mut other).await;
    });
    addresses
}

#[tokio::test]
async fn two_who_meet_on_one_connection_agree_on_who_has_called() {
    for effort in [Effort::Once, Effort::Punch] {
        let (smaller, mut larger) = Node::two().await;
        let (here, there) = meeting_point().await;
        let calling = Dial { effort, ..smaller.dial(&larger, here, Transport::Tcp) };
        let called = Dial { effort, ..larger.dial(&smaller, there, Transport::Tcp) };
        let counted = (calling.clone(), called.clone());
        let (calling, called) = (Connection::dial(calling), Connection::dial(called));
        let mut hers = calling.open(Class::Control).unwrap();
        hers.send_message(Bytes::from_static(b"I call")).await.unwrap();
        let mut lost = called.open(Class::Control).unwrap();
        lost.send_message(Bytes::from_static(b"no, I do")).await.unwrap();

        let accepted = larger.acceptor.accept().await;
        calling.established().await.unwrap();
        assert_eq!(accepted.remote(), smaller.secret.node_id());
        accepted.confirmed().await.unwrap();
        assert_eq!(called.closed().await, Closed::Met);
        assert!(lost.receive().await.is_err());

        let mut session = accepted.accept().await.unwrap();
        assert_eq!(message(&mut session).await.unwrap(), "I call");
        session.send_message(Bytes::from_static(b"gladly")).await.unwrap();
        assert_eq!(message(&mut hers).await.unwrap(), "gladly");
        // Nothing of the other call has come through.
        let mut next = accepted.open(Class::Now).unwrap();
        next.send_message(Bytes::from_static(b"and I ask")).await.unwrap();
        let mut next = calling.accept().await.unwrap();
        assert_eq!(message(&mut next).await.unwrap(), "and I ask");

        let connected = Tally { begun: 1, connected: 1, ..Tally::default() };
        let met = Tally { begun: 1, met: 1, ..Tally::default() };
        assert_eq!(tally(&counted.0, Transport::Tcp), connected);
        assert_eq!(tally(&counted.1, Transport::Tcp), met);
    }
}

/// Without a door nobody is let in by the back.
#[tokio::test]
async fn whoever_does_not_listen_cannot_be_met() {
    let (smaller, larger) = Node::two().await;
    let (here, there) = meeting_point().await;
    let calling = Connection::dial(smaller.dial(&larger, here, Transport::Tcp));
    let from = larger.dial(&smaller, there, Transport::Tcp);
    let called = Connection::dial(Dial { from: None, ..from });
    assert_eq!(called.closed().await, Closed::Met);
    assert!(matches!(calling.closed().await, Closed::Handshake(_)));
}

/// Takes whoever connects to `listener` and records her first message.
async fn first_message(listener: &TcpListener) -> (TcpStream, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut message = vec![0; 3];
    stream.read_exact(&mut message).await.unwrap();
    let length = usize::from(u16::from_be_bytes([message[1], message[2]]));
    message.resize(3 + length, 0);
    stream.read_exact(&mut message[3..]).await.unwrap();
    (stream, message)
}

/// N5: a recorded first message is answered once, by this way in as by any, and
/// whoever plays it does not become somebody who is there.
#[tokio::test]
async fn n5_a_recording_is_no_second_call() {
    let (smaller, mut larger) = Node::two().await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = trap.local_addr().unwrap();
    let caller = Connection::dial(smaller.dial(&larger, address, Transport::Tcp));
    let (_held, recording) = first_message(&trap).await;

    let mut held = Vec::new();
    for round in 0..2 {
        let called = Connection::dial(larger.dial(&smaller, address, Transport::Tcp));
        let (mut stream, _) = first_message(&trap).await;
        stream.write_all(&recording).await.unwrap();
        assert_eq!(called.closed().await, Closed::Met);
        let mut answer = [0; 82];
        match round {
            0 => {
                stream.read_exact(&mut answer).await.unwrap();
                held.push(larger.acceptor.accept().await);
            }
            _ => assert!(stream.read_exact(&mut answer).await.is_err(), "it is answered again"),
        }
        stream.write_all(&[0, 17, 9]).await.unwrap_or_default();
        drop(stream);
    }
    // The recording got as far as a stranger does, and no further.
    assert!(held[0].confirmed().await.is_err());
    caller.close("enough");
    let honest = Connection::dial(smaller.dial(&larger, larger.address(), Transport::Tcp));
    let accepted = larger.acceptor.accept().await;
    honest.established().await.unwrap();
    accepted.confirmed().await.unwrap();
}
