//! What holds over TCP and over QUIC alike.

use antiphon_net::identity::NodeSecret;
use antiphon_net::{Closed, Connection, Dial, StreamError, StreamItem, Transport};
use antiphon_types::Class;
use bytes::Bytes;

use crate::support::{TRANSPORTS, dial, listen, message, pair, server_secret, stream};

#[tokio::test]
async fn both_ends_know_each_other_and_what_lies_between() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        assert_eq!(client.remote(), server_secret().node_id());
        assert_eq!(server.remote(), NodeSecret::from_bytes(&[2; 32]).node_id());
        assert_eq!(client.transport(), Some(transport));
        assert_eq!(server.transport(), Some(transport));
        let (local, remote) = client.addresses().unwrap();
        assert_eq!(server.addresses().unwrap(), (remote, local), "{transport}");
        server.confirmed().await.unwrap();
    }
}

#[tokio::test]
async fn both_ends_have_one_number_for_a_connection_and_others_for_others() {
    let mut seen = std::collections::BTreeSet::new();
    for transport in TRANSPORTS {
        for _ in 0..3 {
            let (_acceptor, client, server) = pair(transport).await;
            let number = client.number().unwrap();
            assert_eq!(server.number(), Some(number), "{transport}");
            assert!(seen.insert(number), "{transport}");
        }
    }
    let nobody = dial("127.0.0.1:1".parse().unwrap(), Transport::Tcp);
    assert_eq!(Connection::dial(nobody).number(), None);
}

#[tokio::test]
async fn requests_made_before_the_connection_stands_arrive_in_their_order() {
    for transport in TRANSPORTS {
        let mut acceptor = listen().await;
        let client = Connection::dial(dial(acceptor.local_address(), transport));
        let mut session = client.open(Class::Control).unwrap();
        session.send_message(Bytes::from_static(b"hello")).await.unwrap();
        let given_up = client.open(Class::Prefetch).unwrap();
        drop(given_up);
        let mut play = client.open(Class::Now).unwrap();
        play.send_message(Bytes::from_static(b"play")).await.unwrap();
        play.finish();

        let server = acceptor.accept().await;
        let mut first = server.accept().await.unwrap();
        assert_eq!(first.class(), Class::Control);
        assert_eq!(message(&mut first).await.unwrap(), "hello");
        let mut second = server.accept().await.unwrap();
        assert_eq!(second.class(), Class::Now);
        assert_eq!(message(&mut second).await.unwrap(), "play");
        assert_eq!(message(&mut second).await, None);
        second.send_message(Bytes::from_static(b"sound")).await.unwrap();
        second.finish();
        assert_eq!(message(&mut play).await.unwrap(), "sound");
        assert_eq!(message(&mut play).await, None);

        first.send_message(Bytes::from_static(b"welcome")).await.unwrap();
        assert_eq!(message(&mut session).await.unwrap(), "welcome");
        session.send_message(Bytes::from_static(b"thanks")).await.unwrap();
        assert_eq!(message(&mut first).await.unwrap(), "thanks");
    }
}

#[tokio::test]
async fn megabytes_of_blocks_arrive_whole_on_many_streams() {
    const BLOCKS: u8 = 60;
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let serving = tokio::spawn(async move {
            for _ in 0..8 {
                let mut stream = server.accept().await.unwrap();
                tokio::spawn(async move {
                    let question = message(&mut stream).await.unwrap();
                    for index in 0..BLOCKS {
                        let data = Bytes::from(vec![question[0] ^ index; 16 * 1024]);
                        stream.send_block(index.into(), b"proof", data).await.unwrap();
                    }
                    stream.finish();
                });
            }
            server
        });
        let mut asking = Vec::new();
        for number in 0..8_u8 {
            let client = client.clone();
            asking.push(tokio::spawn(async move {
                let mut stream = client.open(Class::ALL[usize::from(number) % 4]).unwrap();
                stream.send_message(Bytes::copy_from_slice(&[number])).await.unwrap();
                stream.finish();
                for expected in 0..BLOCKS {
                    let item = stream.receive().await.unwrap().unwrap();
                    let StreamItem::Block { index, proof, data } = item else { panic!("no block") };
                    assert_eq!((index, &*proof), (expected.into(), &b"proof"[..]));
                    assert!(data.len() == 16 * 1024 && data[77] == number ^ expected);
                }
                assert_eq!(stream.receive().await, Ok(None));
            }));
        }
        for asked in asking {
            asked.await.unwrap();
        }
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_waits_for_a_reader_that_does_not_read() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (mut opened, mut accepted) = stream(&client, &server, Class::Now).await;
        let writing = tokio::spawn(async move {
            let mut written = 0_u32;
            loop {
                let block = accepted.send_block(written, &[], Bytes::from(vec![7; 16 * 1024]));
                if block.await.is_err() {
                    return written;
                }
                written += 1;
            }
        });
        // Everything that can move does; a fixed number of turns is no clock.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        assert!(!writing.is_finished(), "{transport}");
        assert!(matches!(opened.receive().await, Ok(Some(StreamItem::Block { .. }))));
        drop(opened);
        let written = writing.await.unwrap();
        // 4 MiB is all that a peer may pin.
        assert!((1..256).contains(&written), "{transport}: {written} blocks");
    }
}

#[tokio::test]
async fn a_stream_that_is_given_up_ends_at_the_other_side() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (opened, mut accepted) = stream(&client, &server, Class::Prefetch).await;
        drop(opened);
        assert!(matches!(accepted.receive().await, Err(StreamError::Reset(0))), "{transport}");
        let refused = loop {
            let sent = accepted.send_message(Bytes::from_static(b"late")).await;
            if let Err(error) = sent {
                break error;
            }
            tokio::task::yield_now().await;
        };
        assert!(matches!(refused, StreamError::Reset(_)), "{transport}: {refused}");
    }
}

#[tokio::test]
async fn going_away_is_heard_and_open_streams_go_on() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (mut opened, mut accepted) = stream(&client, &server, Class::Now).await;
        server.go_away("closing time");
        client.leaving().await;
        assert!(client.open(Class::Now).is_err(), "{transport}");
        accepted.send_message(Bytes::from_static(b"the last song")).await.unwrap();
        accepted.finish();
        assert_eq!(message(&mut opened).await.unwrap(), "the last song");
        assert_eq!(message(&mut opened).await, None);
        server.close("closed now");
        let reason = client.closed().await;
        assert!(matches!(&reason, Closed::ByPeer(said) if said.contains("clos")), "{reason}");
    }
}

#[tokio::test]
async fn last_words_arrive_before_the_close() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (mut opened, mut accepted) = stream(&client, &server, Class::Control).await;
        accepted.send_message(Bytes::from(vec![b'n'; 40_000])).await.unwrap();
        accepted.finish();
        server.close("refused");
        assert_eq!(message(&mut opened).await.unwrap().len(), 40_000, "{transport}");
        assert_eq!(message(&mut opened).await, None);
        client.closed().await;
    }
}

#[tokio::test]
async fn a_connection_without_users_closes() {
    for transport in TRANSPORTS {
        let (_acceptor, client, server) = pair(transport).await;
        let (opened, _accepted) = stream(&client, &server, Class::Control).await;
        drop(client);
        drop(opened);
        server.closed().await;
        assert!(!server.is_open());
    }
}

/// N8: who answers must be who was called.
#[tokio::test]
async fn n8_another_node_than_the_one_called_is_refused() {
    for transport in TRANSPORTS {
        let acceptor = listen().await;
        let node = NodeSecret::from_bytes(&[9; 32]).node_id();
        let dial = Dial { node, ..dial(acceptor.local_address(), transport) };
        let reason = Connection::dial(dial).established().await.unwrap_err();
        let refused = matches!(reason, Closed::Handshake(_) | Closed::Unreachable { .. });
        assert!(refused, "{transport}: {reason}");
    }
}

/// N6: a member of another service does not get as far as a stream.
#[tokio::test]
async fn n6_a_member_of_another_service_is_refused_in_the_handshake() {
    for transport in TRANSPORTS {
        let acceptor = listen().await;
        let service = NodeSecret::from_bytes(&[9; 32]).node_id();
        let dial = Dial { service, ..dial(acceptor.local_address(), transport) };
        assert!(Connection::dial(dial).established().await.is_err(), "{transport}");
    }
}

/// Q8: the address changes in the middle of a block; the block goes on.
#[tokio::test]
async fn q8_a_change_of_network_is_survived_in_the_middle_of_a_block() {
    let (_acceptor, client, server) = pair(Transport::Quic).await;
    let (mut opened, mut accepted) = stream(&client, &server, Class::Now).await;
    let before = client.addresses().unwrap().0;
    let sending = tokio::spawn(async move {
        for index in 0..200 {
            accepted.send_block(index, &[], Bytes::from(vec![5; 16 * 1024])).await.unwrap();
        }
        accepted.finish();
    });
    let mut blocks = 0;
    while let Some(item) = opened.receive().await.unwrap() {
        assert!(matches!(item, StreamItem::Block { index, .. } if index == blocks));
        blocks += 1;
        if blocks == 20 {
            client.network_changed().unwrap();
        }
    }
    assert_eq!(blocks, 200);
    sending.await.unwrap();
    let after = client.addresses().unwrap().0;
    assert_ne!(before.port(), after.port());
    assert_eq!(server.addresses().unwrap().1.port(), after.port());
}
