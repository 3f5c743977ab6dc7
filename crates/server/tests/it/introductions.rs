//! Listeners are told of each other, both at once, and not too often.

use antiphon_types::NodeId;
use antiphon_wire::proto::{Hello, Introduction, Reach};

use crate::guests::{Guest, House, blob};

fn named(introduction: &Introduction) -> NodeId {
    NodeId::from_slice(&introduction.peer.as_ref().unwrap().peer_key).unwrap()
}

#[tokio::test]
async fn both_are_told_at_once_with_one_id() {
    let house = House::open().await;
    let (mut a, mut b) = (Guest::arrive(&house, 7001).await, Guest::arrive(&house, 7002).await);
    b.reach(Reach { mapped_tcp_port: 9002, ..Reach::default() }).await;
    a.ask_for(b.peer, blob(1).as_bytes()).await;
    let ([of_a], [of_b]) = (&a.introductions().await[..], &b.introductions().await[..]) else {
        panic!("one each")
    };
    assert_eq!((named(of_a), named(of_b)), (b.peer, a.peer));
    assert_eq!((of_a.asked, of_b.asked), (true, false));
    assert_eq!((of_a.id.len(), &of_a.id), (8, &of_b.id));
    let addresses = |introduction: &Introduction| introduction.peer.clone().unwrap().addresses;
    assert_eq!(addresses(of_a), ["127.0.0.1:9002", "127.0.0.1:7002"]);
    assert_eq!(addresses(of_b), ["127.0.0.1:7001"]);
}

#[tokio::test]
async fn a_wish_said_again_or_by_the_other_does_nothing() {
    let house = House::open().await;
    let (mut a, mut b) = (Guest::arrive(&house, 7001).await, Guest::arrive(&house, 7002).await);
    for _ in 0..50 {
        a.ask_for(b.peer, blob(1).as_bytes()).await;
        b.ask_for(a.peer, blob(2).as_bytes()).await;
    }
    assert_eq!((a.introductions().await.len(), b.introductions().await.len()), (1, 1));
    // And cost nothing: she may still be introduced to others.
    let mut c = Guest::arrive(&house, 7003).await;
    a.ask_for(c.peer, b"").await;
    assert_eq!((a.introductions().await.len(), c.introductions().await.len()), (1, 1));
}

#[tokio::test]
async fn a_flood_of_wishes_ends_at_a_bound_for_who_asks_and_for_who_is_asked() {
    let house = House::open().await;
    let mut crowd = Vec::new();
    for port in 0..48 {
        crowd.push(Guest::arrive(&house, 7100 + port).await);
    }
    let mut star = Guest::arrive(&house, 7001).await;
    // She is wanted by all at once.
    for guest in &mut crowd {
        guest.ask_for(star.peer, b"").await;
    }
    let told = star.introductions().await;
    assert!((32..48).contains(&told.len()), "{}", told.len());
    let mut asking = 0;
    for guest in &mut crowd {
        asking += guest.introductions().await.len();
    }
    assert_eq!(asking, told.len(), "either both are told or none");
    // One wants all.
    let mut greedy = Guest::arrive(&house, 7002).await;
    for guest in &crowd {
        greedy.ask_for(guest.peer, b"").await;
    }
    let told = greedy.introductions().await.len();
    assert!((32..48).contains(&told), "{told}");
}

#[tokio::test]
async fn nobody_is_introduced_to_the_unknown_to_herself_or_to_who_does_not_share() {
    let house = House::open().await;
    let mut a = Guest::arrive(&house, 7001).await;
    let mut shy =
        Guest::arrive_saying(&house, Hello { listen_port: 7002, ..Hello::default() }).await;
    let mut deaf = Guest::arrive(&house, 0).await;
    let gone = Guest::arrive(&house, 7003).await;
    let gone_key = gone.peer;
    gone.leave();
    for peer in [NodeId::new([9; 32]), a.peer, shy.peer, deaf.peer] {
        a.ask_for(peer, b"").await;
    }
    // What is no blob of ours, and what is no blob at all.
    let b = Guest::arrive(&house, 7004).await;
    a.ask_for(b.peer, blob(99).as_bytes()).await;
    a.ask_for(b.peer, b"short").await;
    // Those whom nobody reaches may not send others out either.
    shy.ask_for(a.peer, b"").await;
    deaf.ask_for(a.peer, b"").await;
    assert_eq!(a.introductions().await, []);
    assert_eq!(shy.introductions().await, []);
    assert_eq!(deaf.introductions().await, []);
    let _ = gone_key;
}

#[tokio::test]
async fn for_what_may_not_be_shared_nobody_is_introduced() {
    let house = House::open().await;
    let track = crate::guests::track_id(1).to_string();
    house.command(&["peers", "--deny", &track]);
    let (mut a, mut b) = (Guest::arrive(&house, 7001).await, Guest::arrive(&house, 7002).await);
    a.ask_for(b.peer, blob(1).as_bytes()).await;
    assert_eq!((a.introductions().await, b.introductions().await), (vec![], vec![]));
    a.ask_for(b.peer, blob(2).as_bytes()).await;
    assert_eq!(a.introductions().await.len(), 1);
}
