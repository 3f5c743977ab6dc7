//! Who holds what, and for whom it is told: cases T of the threats.

use std::collections::BTreeSet;

use antiphon_types::BlobId;
use antiphon_wire::proto::{BadPeer, Hello, client_notice};
use bytes::Bytes;

use crate::guests::{Guest, House, blob, eventually, track_id};

#[tokio::test]
async fn t4_what_is_not_ours_does_not_enter_the_index() {
    let house = House::open().await;
    let mut liar = Guest::arrive(&house, 7001).await;
    let asker = Guest::arrive(&house, 7002).await;
    let invented = BlobId::new([99; 32]);
    liar.announce(&[invented, blob(1)]).await;
    assert_eq!(asker.holders(invented).await, []);
    assert_eq!(asker.holders(blob(1)).await, [liar.peer]);
}

#[tokio::test]
async fn t2_more_than_a_thousand_names_and_names_of_odd_lengths_are_no_harm() {
    let house = House::open().await;
    let mut liar = Guest::arrive(&house, 7001).await;
    for round in 0..20_u16 {
        let blobs = (0..1_000_u16).map(|number| {
            let mut name = vec![0; usize::from(number % 256)];
            name.extend(round.to_be_bytes());
            name.extend(number.to_be_bytes());
            Bytes::from(name)
        });
        let announce = antiphon_wire::proto::Announce { blobs: blobs.take(400).collect() };
        liar.tell(client_notice::Kind::Announce(announce)).await;
    }
    liar.announce(&[blob(3)]).await;
    let asker = Guest::arrive(&house, 7002).await;
    assert_eq!(asker.holders(blob(3)).await, [liar.peer], "she is served on");
}

#[tokio::test]
async fn t4_nobody_announces_or_withdraws_for_another() {
    let house = House::open().await;
    let (mut a, mut b) = (Guest::arrive(&house, 7001).await, Guest::arrive(&house, 7002).await);
    a.announce(&[blob(1)]).await;
    // There is no way to say whose: it is always her own.
    b.tell(client_notice::Kind::Withdraw(antiphon_wire::proto::Withdraw {
        blobs: vec![Bytes::copy_from_slice(blob(1).as_bytes())],
    }))
    .await;
    b.settle().await;
    assert_eq!(b.holders(blob(1)).await, [a.peer]);
    let peer = a.peer;
    a.leave();
    eventually("her leaving", async || (b.holders(blob(1)).await != [peer]).then_some(())).await;
}

#[tokio::test]
async fn who_does_not_share_is_told_of_nobody_and_named_to_nobody() {
    let house = House::open().await;
    let mut holder = Guest::arrive(&house, 7001).await;
    holder.announce(&[blob(1)]).await;
    let hello = Hello { listen_port: 7002, ..Hello::default() };
    let mut shy = Guest::arrive_saying(&house, hello).await;
    shy.announce(&[blob(1)]).await;
    assert_eq!(shy.holders(blob(1)).await, []);
    assert_eq!(holder.holders(blob(1)).await, []);
}

#[tokio::test]
async fn an_operator_turns_it_down_share_by_share_while_the_server_runs() {
    let house = House::open().await;
    let mut holder = Guest::arrive(&house, 7001).await;
    let all: Vec<BlobId> = (1..=9).map(blob).collect();
    holder.announce(&all).await;
    let asker = Guest::arrive(&house, 7002).await;
    let mut before: BTreeSet<u8> = (1..=9).collect();
    for (percent, expected) in [("100", 9), ("60", SHARED_AT_60), ("30", SHARED_AT_30), ("off", 0)]
    {
        house.command(&["peers", percent]);
        let named = eventually("the new share", async || {
            let mut named = BTreeSet::new();
            for track in 1..=9 {
                if !asker.holders(blob(track)).await.is_empty() {
                    named.insert(track);
                }
            }
            (named.len() == expected).then_some(named)
        })
        .await;
        assert!(named.is_subset(&before), "at {percent} percent: {named:?} of {before:?}");
        before = named;
    }
    assert!(house.command(&["peers", "on", "--min-swarm", "0"]).starts_with("on"));
}

/// Of the nine; they are drawn by their ids, and so always the same.
const SHARED_AT_60: usize = 5;
const SHARED_AT_30: usize = 2;

#[tokio::test]
async fn a_track_may_be_kept_out_and_a_small_swarm_too() {
    let house = House::open().await;
    let (mut a, mut b) = (Guest::arrive(&house, 7001).await, Guest::arrive(&house, 7002).await);
    for guest in [&mut a, &mut b] {
        guest.announce(&[blob(1), blob(2)]).await;
    }
    let said = house.command(&["peers", "--min-swarm", "2", "--deny", &track_id(1).to_string()]);
    assert!(said.contains("never for 1 of 9 tracks"), "{said}");
    let asker = Guest::arrive(&house, 7003).await;
    eventually("the track to be kept out", async || {
        asker.holders(blob(1)).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(asker.holders(blob(2)).await.len(), 2);
    // To one of the two there is but one other.
    assert_eq!(a.holders(blob(2)).await, []);
    house.command(&["peers", "--min-swarm", "3", "--allow", &track_id(1).to_string()]);
    eventually("the larger swarm", async || asker.holders(blob(2)).await.is_empty().then_some(()))
        .await;
}

#[tokio::test]
async fn one_listener_alone_cannot_get_another_out() {
    let house = House::open().await;
    let mut victim = Guest::arrive(&house, 7001).await;
    victim.announce(&[blob(1)]).await;
    let mut liar = Guest::arrive(&house, 7002).await;
    for block in 0..200 {
        let report = BadPeer {
            peer_key: Bytes::copy_from_slice(victim.peer.as_bytes()),
            blob: Bytes::copy_from_slice(blob(1).as_bytes()),
            block,
        };
        liar.tell(client_notice::Kind::BadPeer(report)).await;
    }
    liar.settle().await;
    let mut asker = Guest::arrive(&house, 7003).await;
    assert_eq!(asker.holders(blob(1)).await, [victim.peer]);
    asker.ask_for(victim.peer, blob(1).as_bytes()).await;
    assert_eq!(victim.introductions().await.len(), 1, "she is still introduced");
}
