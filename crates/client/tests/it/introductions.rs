//! Whatever introductions come, and however often: nobody is made part of a flood
//! against somebody else.

use std::io::ErrorKind;
use std::net::TcpListener;

use antiphon_client::Peers;
use antiphon_net::Acceptor;
use antiphon_net::identity::NodeSecret;
use antiphon_types::NodeId;
use antiphon_wire::proto::{Introduction, Peer};
use bytes::Bytes;

use crate::others::{House, introduction, listen};

/// Calls that are under way at a time, at most, whatever they are for.
const MAX_CALLS: usize = 32;

/// Somebody who listens on a port, and has nothing to do with all this.
struct Victim(TcpListener);

impl Victim {
    fn new() -> Self {
        let victim = Self(TcpListener::bind("127.0.0.1:0").unwrap());
        victim.0.set_nonblocking(true).unwrap();
        victim
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// How often she has been called so far. Who calls is kept waiting, so that no call
    /// ends by itself.
    fn calls(&self, held: &mut Vec<std::net::TcpStream>) -> usize {
        loop {
            match self.0.accept() {
                Ok((stream, _)) => held.push(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return held.len(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn stranger(number: u16) -> NodeId {
    let mut key = [0x51; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    NodeId::new(key)
}

/// Somebody to whom an introduction is as it should be: when she is called, what was
/// said before has been heard.
struct Honest {
    node: NodeId,
    acceptor: Acceptor,
}

impl Honest {
    async fn new(house: &House, seed: u8) -> Self {
        let secret = NodeSecret::from_bytes(&[seed; 32]);
        Self { node: secret.node_id(), acceptor: listen(&secret, house.service()).await }
    }

    async fn is_called(&mut self, house: &mut House, id: u64) {
        let address = self.acceptor.local_address().to_string();
        house.introduce(introduction(id, self.node, &address)).await;
        assert_eq!(self.acceptor.accept().await.remote(), house.listener());
    }
}

#[tokio::test]
async fn an_introduction_that_comes_again_and_again_is_one_call() {
    let mut house = House::with_listener(Peers::On).await;
    let (victim, mut held) = (Victim::new(), Vec::new());
    for _ in 0..1_000 {
        house.introduce(introduction(1, stranger(1), &victim.address())).await;
    }
    // Nor under another id, while the call is under way.
    for id in 2..1_000 {
        house.introduce(introduction(id, stranger(1), &victim.address())).await;
    }
    Honest::new(&house, 5).await.is_called(&mut house, 1_000).await;
    while victim.calls(&mut held) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(victim.calls(&mut held), 1);
}

#[tokio::test]
async fn an_introduction_that_nobody_can_have_asked_for_is_no_call() {
    let mut house = House::with_listener(Peers::On).await;
    let (victim, mut held) = (Victim::new(), Vec::new());
    let address = victim.address();
    let port = address.rsplit_once(':').unwrap().1;
    let honest = |id| introduction(id, stranger(1), &address);
    let at = |addresses: Vec<String>| Peer { addresses, ..honest(0).peer.unwrap() };
    let with = |id, peer: Peer| Introduction { peer: Some(peer), ..honest(id) };
    let of_no_length = Peer { peer_key: Bytes::from_static(&[1; 31]), ..at(vec![address.clone()]) };
    let herself = Bytes::copy_from_slice(house.listener().as_bytes());
    let to_herself = Peer { peer_key: herself, ..at(vec![address.clone()]) };
    let introductions = [
        // It says that she asked, and she did not.
        Introduction { asked: true, ..honest(1) },
        Introduction { peer: None, ..honest(2) },
        Introduction { id: Bytes::new(), ..honest(3) },
        Introduction { id: Bytes::from(vec![7; 60_000]), ..honest(4) },
        with(5, of_no_length),
        with(6, to_herself),
        // Names are for those who ask name servers, and victims have some.
        with(7, at(vec![format!("localhost:{port}"), format!("0.0.0.0:{port}")])),
        with(8, at(Vec::new())),
    ];
    for introduction in introductions {
        house.introduce(introduction).await;
    }
    let mut honest = Honest::new(&house, 5).await;
    honest.is_called(&mut house, 9).await;
    assert_eq!(victim.calls(&mut held), 0);
}

/// By what one listener does to one victim, thousands of them do little.
#[tokio::test]
async fn a_flood_of_introductions_under_many_names_is_so_many_calls_at_a_time() {
    let mut house = House::with_listener(Peers::On).await;
    let (victim, mut held) = (Victim::new(), Vec::new());
    for number in 0..500 {
        let introduction = introduction(number.into(), stranger(number), &victim.address());
        house.introduce(introduction).await;
    }
    while victim.calls(&mut held) < MAX_CALLS {
        tokio::task::yield_now().await;
    }
    assert_eq!(victim.calls(&mut held), MAX_CALLS);
}

#[tokio::test]
async fn who_shares_on_her_own_network_alone_heeds_no_introduction() {
    let mut house = House::with_listener(Peers::Lan).await;
    assert_eq!((house.hello.sharing, house.hello.listen_port), (false, 0));
    let (victim, mut held) = (Victim::new(), Vec::new());
    for number in 0..100 {
        let introduction = introduction(number.into(), stranger(number), &victim.address());
        house.introduce(introduction).await;
    }
    house.leave_and_return().await;
    assert_eq!(victim.calls(&mut held), 0);
}
