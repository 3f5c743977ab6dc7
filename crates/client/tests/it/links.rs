//! Several links to one peer.

use antiphon_client::Peers;
use antiphon_net::identity::NodeSecret;
use antiphon_net::{Connection, Stream, Transport};
use antiphon_types::Class;
use antiphon_wire::proto::{peer_notice, refused};

use crate::others::{House, ask, hear, say_hello};

/// A link that stands, by somebody whom the listener has every reason to let in.
async fn link(house: &House, caller: &NodeSecret, over: Transport) -> (Connection, Stream) {
    let connection = house.call(caller, over);
    let mut session = connection.open(Class::Control).unwrap();
    say_hello(&mut session, Some(house.ticket(caller.node_id()))).await;
    assert!(matches!(hear(&mut session).await, Some(peer_notice::Kind::Hello(_))));
    (connection, session)
}

/// In whatever order they come: she keeps the one that the other side keeps as well.
#[tokio::test]
async fn of_links_made_at_once_the_one_with_the_least_number_stays() {
    let house = House::with_listener(Peers::On).await;
    for seed in 30..40 {
        let caller = NodeSecret::from_bytes(&[seed; 32]);
        let (one, other, third) = tokio::join!(
            link(&house, &caller, Transport::Tcp),
            link(&house, &caller, Transport::Quic),
            link(&house, &caller, Transport::Tcp),
        );
        let mut links = [one, other, third];
        links.sort_by_key(|(connection, _)| connection.number());
        let [(stays, _session), (goes, _), (goes_too, _)] = &links;
        goes.closed().await;
        goes_too.closed().await;
        assert_eq!(ask(stays).await, Some(refused::Reason::NotHeld));
        assert!(stays.is_open());
    }
}
