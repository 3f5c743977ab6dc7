//! Announcing, withdrawing and asking in one message.

use antiphon_types::{BlobId, NodeId};
use antiphon_wire::proto::{Hello, SwarmAnswer, SwarmQuery, client_notice, server_notice};
use bytes::Bytes;

use crate::guests::{Guest, House, blob, eventually};

fn names(blobs: &[BlobId]) -> Vec<Bytes> {
    blobs.iter().map(|blob| Bytes::copy_from_slice(blob.as_bytes())).collect()
}

fn find(id: u64, blobs: &[BlobId]) -> SwarmQuery {
    SwarmQuery { id, find: names(blobs), ..SwarmQuery::default() }
}

/// The keys of those who hold each blob.
fn holders(answer: &SwarmAnswer) -> Vec<Vec<NodeId>> {
    let keys = |found: &antiphon_wire::proto::Holders| {
        found.peers.iter().map(|peer| NodeId::from_slice(&peer.peer_key).unwrap()).collect()
    };
    answer.found.iter().map(keys).collect()
}

#[tokio::test]
async fn one_message_announces_withdraws_and_asks() {
    let house = House::open().await;
    let (mut a, mut b) = (Guest::arrive(&house, 7001).await, Guest::arrive(&house, 7002).await);
    let answer =
        a.query(SwarmQuery { announce: names(&[blob(1), blob(2)]), ..find(7, &[blob(1)]) });
    let answer = answer.await;
    assert_eq!((answer.id, holders(&answer)), (7, vec![vec![]]), "nobody is told of herself");
    let answer = b.query(find(8, &[blob(2), blob(3), blob(1)])).await;
    assert_eq!((answer.id, holders(&answer)), (8, vec![vec![a.peer], vec![], vec![a.peer]]));
    let peer = &answer.found[0].peers[0];
    assert_eq!(peer, &b.find(blob(2)).await[0], "as a request on a stream of its own says");
    assert_eq!(peer.addresses, ["127.0.0.1:7001"]);
    let withdraw = SwarmQuery { withdraw: names(&[blob(2)]), ..SwarmQuery::default() };
    assert_eq!(a.query(withdraw).await, SwarmAnswer::default());
    assert_eq!(holders(&b.query(find(9, &[blob(2), blob(1)])).await), [vec![], vec![a.peer]]);
}

#[tokio::test]
async fn many_at_once_are_answered_in_their_order() {
    let house = House::open().await;
    let mut holder = Guest::arrive(&house, 7001).await;
    holder.announce(&[blob(1)]).await;
    let mut asker = Guest::arrive(&house, 7002).await;
    for id in 0..500 {
        asker.tell(client_notice::Kind::SwarmQuery(find(id, &[blob(1)]))).await;
    }
    for id in 0..500 {
        let server_notice::Kind::SwarmAnswer(answer) = asker.hear().await else { panic!() };
        assert_eq!((answer.id, holders(&answer)), (id, vec![vec![holder.peer]]));
    }
}

/// Threats T2 and T4: inventions, odd names and more than there may be.
#[tokio::test]
async fn t4_what_is_not_ours_is_neither_taken_nor_found() {
    let house = House::open().await;
    let mut liar = Guest::arrive(&house, 7001).await;
    let mut asker = Guest::arrive(&house, 7002).await;
    let invented = BlobId::new([99; 32]);
    let odd = Bytes::from_static(b"odd");
    let announce = [names(&[invented, blob(1)]), vec![odd.clone(); 500]].concat();
    liar.query(SwarmQuery { announce, ..SwarmQuery::default() }).await;
    let wanted = [names(&[invented, blob(1)]), vec![odd; 100]].concat();
    let answer = asker.query(SwarmQuery { find: wanted, ..SwarmQuery::default() }).await;
    assert_eq!(answer.found.len(), 64, "further ones are not looked at");
    assert_eq!(holders(&answer)[..3], [vec![], vec![liar.peer], vec![]]);
}

#[tokio::test]
async fn who_does_not_share_is_answered_with_nobody() {
    let house = House::open().await;
    let mut holder = Guest::arrive(&house, 7001).await;
    holder.announce(&[blob(1)]).await;
    let hello = Hello { listen_port: 7002, ..Hello::default() };
    let mut shy = Guest::arrive_saying(&house, hello).await;
    let answer = shy.query(SwarmQuery { announce: names(&[blob(1)]), ..find(1, &[blob(1)]) }).await;
    assert_eq!(holders(&answer), [vec![]]);
    assert_eq!(holders(&holder.query(find(1, &[blob(1)])).await), [vec![]]);
}

#[tokio::test]
async fn what_the_operator_says_holds_for_what_is_remembered_too() {
    let house = House::open().await;
    let mut holder = Guest::arrive(&house, 7001).await;
    holder.announce(&[blob(1)]).await;
    let mut asker = Guest::arrive(&house, 7002).await;
    for _ in 0..3 {
        assert_eq!(holders(&asker.query(find(1, &[blob(1)])).await), [vec![holder.peer]]);
    }
    house.command(&["peers", "--min-swarm", "2"]);
    let asker = tokio::sync::Mutex::new(asker);
    let refused =
        async || holders(&asker.lock().await.query(find(1, &[blob(1)])).await) == [vec![]];
    eventually("the larger swarm", async || refused().await.then_some(())).await;
}
