//! Whoever has no ticket of the service, for her own key and for now, is no peer:
//! not when she calls, and not when she is called.

use antiphon_client::Peers;
use antiphon_net::identity::NodeSecret;
use antiphon_net::{TICKET_LIFETIME_MS, Transport, issue_ticket, wall_clock_ms};
use antiphon_types::Class;
use antiphon_wire::proto::{Message as _, SignedTicket, Ticket, context, peer_notice, refused};
use bytes::Bytes;

use crate::others::{House, ask, hear, introduction, listen, say_hello};

const HOUR_MS: u64 = 60 * 60 * 1_000;

fn secret(seed: u8) -> NodeSecret {
    NodeSecret::from_bytes(&[seed; 32])
}

fn signed(by: &NodeSecret, context: &[u8], ticket: &Ticket) -> SignedTicket {
    let ticket = ticket.encode_to_vec();
    let signature = Bytes::copy_from_slice(&by.sign(context, &ticket));
    SignedTicket { ticket: ticket.into(), signature }
}

/// All that `peer` may show in place of a ticket, and what is wrong with it.
fn false_tickets(house: &House, peer: &NodeSecret) -> Vec<(&'static str, Option<SignedTicket>)> {
    let (now, key) = (wall_clock_ms(), peer.node_id());
    let good = house.ticket(key);
    let ticket = Ticket::decode(good.ticket.clone()).unwrap();
    let other_service = Ticket { service: Bytes::from_static(&[9; 32]), ..ticket.clone() };
    let longer = Ticket { expires_ms: u64::MAX, ..ticket.clone() }.encode_to_vec();
    let cut = SignedTicket { signature: good.signature.slice(..63), ..good.clone() };
    let of_age = |issued_ms| Some(issue_ticket(&house.secret, &key, 0, issued_ms));
    vec![
        ("none", None),
        ("empty", Some(SignedTicket::default())),
        ("another service's", Some(issue_ticket(&secret(66), &key, 0, now))),
        ("another's signature", Some(signed(&secret(66), context::TICKET, &ticket))),
        ("her own signature", Some(signed(peer, context::TICKET, &ticket))),
        ("signed as something else", Some(signed(&house.secret, context::MANIFEST, &ticket))),
        ("of another service", Some(signed(&house.secret, context::TICKET, &other_service))),
        ("another peer's", Some(house.ticket(secret(67).node_id()))),
        ("the listener's own", Some(house.ticket(house.listener()))),
        ("expired", of_age(now - TICKET_LIFETIME_MS - HOUR_MS)),
        ("of the future", of_age(now + HOUR_MS)),
        ("prolonged", Some(SignedTicket { ticket: longer.into(), ..good })),
        ("a cut signature", Some(cut)),
    ]
}

#[tokio::test]
async fn who_calls_with_a_false_ticket_is_not_let_in() {
    let house = House::with_listener(Peers::On).await;
    for transport in [Transport::Tcp, Transport::Quic] {
        let caller = secret(3);
        for (what, ticket) in false_tickets(&house, &caller) {
            let connection = house.call(&caller, transport);
            let mut session = connection.open(Class::Control).unwrap();
            say_hello(&mut session, ticket).await;
            let answer = hear(&mut session).await;
            let Some(peer_notice::Kind::Refused(refused)) = answer else {
                panic!("{what}: {answer:?}")
            };
            assert_eq!(refused.reason(), refused::Reason::BadTicket, "{what}");
            assert_eq!(ask(&connection).await, None, "{what}");
            connection.closed().await;
        }
        // The same caller, with a ticket as it should be.
        let connection = house.call(&caller, transport);
        let mut session = connection.open(Class::Control).unwrap();
        say_hello(&mut session, Some(house.ticket(caller.node_id()))).await;
        assert!(matches!(hear(&mut session).await, Some(peer_notice::Kind::Hello(_))));
        assert_eq!(ask(&connection).await, Some(refused::Reason::NotHeld), "{transport}");
    }
}

#[tokio::test]
async fn who_asks_before_she_has_shown_a_ticket_is_not_answered() {
    let house = House::with_listener(Peers::On).await;
    let connection = house.call(&secret(3), Transport::Tcp);
    assert_eq!(ask(&connection).await, None);
    connection.closed().await;
}

#[tokio::test]
async fn who_is_called_and_shows_a_false_ticket_is_left() {
    let mut house = House::with_listener(Peers::On).await;
    let cases = false_tickets(&house, &secret(4)).len();
    for case in 0..=cases {
        // Each by another key: nobody is called again while she is being called.
        let called = secret(100 + u8::try_from(case).unwrap());
        let mut acceptor = listen(&called, house.service()).await;
        let address = acceptor.local_address().to_string();
        house.introduce(introduction(case as u64, called.node_id(), &address)).await;
        let connection = acceptor.accept().await;
        connection.let_in();
        let mut session = connection.accept().await.unwrap();
        let Some(peer_notice::Kind::Hello(hello)) = hear(&mut session).await else {
            panic!("no hello")
        };
        assert_eq!(hello.ticket.as_ref(), Some(&house.told), "she shows what she was given");
        match false_tickets(&house, &called).into_iter().nth(case) {
            Some((what, ticket)) => {
                say_hello(&mut session, ticket).await;
                assert_eq!(ask(&connection).await, None, "{what}");
                connection.closed().await;
            }
            None => {
                say_hello(&mut session, Some(house.ticket(called.node_id()))).await;
                assert_eq!(ask(&connection).await, Some(refused::Reason::NotHeld));
            }
        }
    }
}
