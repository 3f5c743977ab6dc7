//! What a server tells those who ask from where their packets come.

use std::io;
use std::net::SocketAddr;

use antiphon_net::{Acceptor, Connection, Observed, ProofKey, Transport, wall_clock_ms};
use tokio::net::UdpSocket;

use crate::support::{dial, listen};

fn key() -> ProofKey {
    ProofKey::from_bytes(&[7; 32])
}

async fn server() -> Acceptor {
    let acceptor = listen().await;
    acceptor.tell_addresses(key());
    acceptor
}

/// A question of STUN with 52 bytes behind its header.
fn question(id: u8) -> Vec<u8> {
    let mut question = vec![0, 1, 0, 52, 0x21, 0x12, 0xa4, 0x42];
    question.extend([id; 12]);
    question.extend([0xe4, 0xa7, 0, 48]);
    question.extend([0; 48]);
    question
}

#[tokio::test]
async fn a_server_says_where_it_sees_us_and_later_believes_it() {
    let (server, client) = (server().await, listen().await);
    let dialler = client.dialler();
    let Observed { address, proof } = dialler.observe(server.local_address()).await.unwrap();
    assert_eq!(address, client.local_address());
    key().check(address, &proof, wall_clock_ms()).unwrap();
    // QUIC goes on beside it.
    let connection = Connection::dial(dial(server.local_address(), Transport::Quic));
    connection.established().await.unwrap();
}

#[tokio::test]
async fn an_ipv6_socket_is_told_of_ipv4_as_such() {
    let limits = antiphon_net::AcceptorLimits::default();
    let secret = antiphon_net::identity::NodeSecret::from_bytes(&[3; 32]);
    let node = secret.node_id();
    let both = Acceptor::bind("[::]:0".parse().unwrap(), secret, node, limits).await.unwrap();
    both.tell_addresses(key());
    let at = SocketAddr::from(([127, 0, 0, 1], both.local_address().port()));
    let (server, client) = (server().await, listen().await);
    let seen = client.dialler().observe(at).await.unwrap();
    assert_eq!(seen.address, client.local_address());
    let seen = both.dialler().observe(server.local_address()).await.unwrap();
    assert_eq!(seen.address, at);
}

#[tokio::test(start_paused = true)]
async fn who_was_not_told_to_answers_nobody() {
    let (silent, client) = (listen().await, listen().await);
    let asked = client.dialler().observe(silent.local_address()).await;
    assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

/// T1: no answer is longer than its question, and a short question has none.
#[tokio::test]
async fn t1_nobody_is_sent_more_than_he_sends() {
    let server = server().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.local_address()).await.unwrap();
    // As others ask it.
    let mut short = question(1);
    short.truncate(20);
    short[3] = 0;
    socket.send(&short).await.unwrap();
    // One that lies about its length, and one of another protocol.
    socket.send(&question(2)[..60]).await.unwrap();
    let mut other = question(3);
    other[4] ^= 1;
    socket.send(&other).await.unwrap();
    socket.send(&question(4)).await.unwrap();
    let mut answer = [0; 1_500];
    let length = socket.recv(&mut answer).await.unwrap();
    assert_eq!((&answer[..2], &answer[8..20]), (&[1_u8, 1][..], &[4_u8; 12][..]));
    assert!(length <= question(4).len());
}

#[tokio::test]
async fn garbage_costs_nobody_anything() {
    let server = server().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.local_address()).await.unwrap();
    for first in 0..=u8::MAX {
        for length in [1_usize, 19, 20, 72, 1_200] {
            let mut garbage = vec![first; length];
            garbage[length / 2] ^= 0x5a;
            socket.send(&garbage).await.unwrap();
        }
    }
    socket.send(&[]).await.unwrap();
    let client = listen().await;
    client.dialler().observe(server.local_address()).await.unwrap();
    let connection = Connection::dial(dial(server.local_address(), Transport::Quic));
    connection.established().await.unwrap();
}

/// Who answers must be who was asked, and must have heard the question.
#[tokio::test]
async fn an_answer_of_somebody_else_is_not_believed() {
    let client = listen().await;
    let (server, liar) = (
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
    );
    let (dialler, at) = (client.dialler(), server.local_addr().unwrap());
    let asking = tokio::spawn(async move { dialler.observe(at).await });
    let mut asked = [0; 1_500];
    let (length, from) = server.recv_from(&mut asked).await.unwrap();
    assert_eq!((length, from), (72, client.local_address()));
    // 192.0.2.1:1 and a proof of zeros.
    let answer = |id: &[u8], ip: [u8; 4]| {
        let masked = [ip[0] ^ 0x21, ip[1] ^ 0x12, ip[2] ^ 0xa4, ip[3] ^ 0x42];
        let mut answer = vec![1, 1, 0, 40, 0x21, 0x12, 0xa4, 0x42];
        answer.extend(id);
        answer.extend([0, 0x20, 0, 8, 0, 1, 0x21, 0x12 ^ 1]);
        answer.extend(masked);
        answer.extend([0xe4, 0xa7, 0, 24]);
        answer.extend([0; 24]);
        answer
    };
    liar.send_to(&answer(&asked[8..20], [6, 6, 6, 6]), from).await.unwrap();
    server.send_to(&answer(&[9; 12], [7, 7, 7, 7]), from).await.unwrap();
    server.send_to(&answer(&asked[8..20], [192, 0, 2, 1]), from).await.unwrap();
    let observed = asking.await.unwrap().unwrap();
    assert_eq!(observed.address, "192.0.2.1:1".parse().unwrap());
}
