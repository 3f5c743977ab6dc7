//! What TCP alone has to see to.

use antiphon_net::{Closed, StreamItem, Transport};
use antiphon_types::Class;
use bytes::Bytes;

use crate::support::{message, pair, stream};

fn block() -> Bytes {
    Bytes::from(vec![7; 16 * 1024])
}

/// M1: streams that are written to and given up leave nothing behind, though
/// nobody accepts them.
#[tokio::test]
async fn m1_streams_that_are_given_up_unaccepted_are_forgotten() {
    let (_acceptor, client, server) = pair(Transport::Tcp).await;
    for _ in 0..100 {
        let mut given_up = client.open(Class::Prefetch).unwrap();
        for index in 0..4 {
            given_up.send_block(index, &[], block()).await.unwrap();
        }
    }
    let mut last = client.open(Class::Offline).unwrap();
    last.send_message(Bytes::from_static(b"the last")).await.unwrap();
    // Those that were given up are not handed out, or end at once.
    loop {
        let mut accepted = server.accept().await.unwrap();
        match accepted.receive().await {
            Ok(Some(StreamItem::Message(message))) => {
                assert_eq!(message, "the last");
                break;
            }
            Ok(Some(StreamItem::Block { .. })) | Err(_) => {}
            Ok(None) => panic!("a stream that was given up has no end"),
        }
    }
}

/// A close sends what is queued, also of a class that yields, and also while
/// the other side keeps sending.
#[tokio::test]
async fn a_close_sends_what_is_queued() {
    let (_acceptor, client, server) = pair(Transport::Tcp).await;
    let (mut copy, mut served) = stream(&client, &server, Class::Offline).await;
    let (mut talk, _heard) = stream(&client, &server, Class::Now).await;
    let talking = tokio::spawn(async move {
        while talk.send_message(Bytes::from(vec![b't'; 10_000])).await.is_ok() {}
    });
    for index in 0..12 {
        served.send_block(index, &[], block()).await.unwrap();
    }
    served.finish();
    server.close("that was all");
    for expected in 0..12 {
        let item = copy.receive().await.unwrap().unwrap();
        assert!(matches!(item, StreamItem::Block { index, .. } if index == expected));
    }
    assert_eq!(message(&mut copy).await, None);
    assert!(matches!(client.closed().await, Closed::ByPeer(_)));
    talking.await.unwrap();
}

/// M5: who takes nothing for long is given up, though it is heard.
#[tokio::test(start_paused = true)]
async fn m5_a_close_does_not_wait_for_who_does_not_read() {
    let (_acceptor, client, server) = pair(Transport::Tcp).await;
    let (_unread, mut served) = stream(&client, &server, Class::Now).await;
    let writing = tokio::spawn(async move {
        for index in 0.. {
            if served.send_block(index, &[], block()).await.is_err() {
                return;
            }
        }
    });
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    server.close("enough");
    assert_eq!(server.closed().await, Closed::ByUs("enough".to_owned()));
    writing.await.unwrap();
}

/// Of a message in two pieces none is sent when there is room for the first
/// alone and the writer gives up.
#[tokio::test]
async fn a_block_is_never_cut_by_a_full_queue() {
    let (_acceptor, client, server) = pair(Transport::Tcp).await;
    let (mut opened, mut served) = stream(&client, &server, Class::Now).await;
    let mut sent = 0;
    loop {
        let sending = served.send_block(sent, &[], block());
        tokio::select! {
            biased;
            done = sending => done.unwrap(),
            () = tokio::task::yield_now() => break,
        }
        sent += 1;
    }
    served.send_message(Bytes::from_static(b"and on")).await.unwrap_or_default();
    served.finish();
    for expected in 0..sent {
        let item = opened.receive().await.unwrap().unwrap();
        assert!(matches!(item, StreamItem::Block { index, .. } if index == expected));
    }
    assert_eq!(message(&mut opened).await.unwrap(), "and on");
}
