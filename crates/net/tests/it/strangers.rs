//! Whoever knocks: floods, recordings, garbage, silence.

use std::net::SocketAddr;

use antiphon_net::{AcceptorLimits, Closed, Connection, DoorLimits, Transport};
use antiphon_types::Class;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::support::{TRANSPORTS, dial, listen, listen_with, message};

fn strangers(limits: DoorLimits) -> AcceptorLimits {
    AcceptorLimits { strangers: limits, ..AcceptorLimits::default() }
}

/// What comes back for `bytes`, up to the end of the connection.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// H1: those who say nothing make room for those who do.
#[tokio::test]
async fn h1_a_silent_flood_from_the_same_address_keeps_nobody_out() {
    let limits = DoorLimits { half_open: 16, half_open_per_prefix: 8, ..DoorLimits::default() };
    let mut acceptor = listen_with(strangers(limits)).await;
    let address = acceptor.local_address();
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    for transport in [Transport::Tcp, Transport::Quic] {
        let client = Connection::dial(dial(address, transport));
        client.established().await.unwrap();
        acceptor.accept().await.let_in();
    }
    // The oldest were closed, so that sockets stay few.
    let mut oldest = flood.swap_remove(0);
    assert_eq!(oldest.read(&mut [0]).await.unwrap_or(0), 0);
    let counters = acceptor.counters();
    assert!(counters.evicted >= 92, "{counters:?}");
}

/// H1, F2: a greeting that comes in crumbs ends with the patience.
#[tokio::test(start_paused = true)]
async fn h1_a_greeting_that_does_not_come_is_not_waited_for() {
    let acceptor = listen().await;
    for begin in [&[][..], &[1], &[1, 0], &[1, 0, 200, 7, 7]] {
        assert_eq!(answer(acceptor.local_address(), begin).await, [], "{begin:?}");
    }
}

/// H2: what strangers may have computed is bounded; nothing is said of it.
#[tokio::test]
async fn h2_work_for_strangers_is_bounded() {
    let one = antiphon_net::DoorRate { per_second: 0, burst: 1 };
    let limits = DoorLimits { work: one, ..DoorLimits::default() };
    for transport in [Transport::Tcp, Transport::Quic] {
        let mut acceptor = listen_with(strangers(limits.clone())).await;
        let first = Connection::dial(dial(acceptor.local_address(), transport));
        first.established().await.unwrap();
        acceptor.accept().await.let_in();
        let second = dial(acceptor.local_address(), Transport::Tcp);
        assert!(Connection::dial(second).established().await.is_err());
        let counters = acceptor.counters();
        assert_eq!((counters.greeted, counters.rate), (1, 1), "{transport}");
    }
}

/// N5: a first message that was recorded opens nothing, and is not answered.
#[tokio::test]
async fn n5_a_recorded_first_message_is_not_answered_again() {
    let mut acceptor = listen().await;
    let (address, recorder) = recorder(acceptor.local_address()).await;
    let client = Connection::dial(dial(address, Transport::Tcp));
    let mut stream = client.open(Class::Control).unwrap();
    stream.send_message(Bytes::from_static(b"hello")).await.unwrap();
    let server = acceptor.accept().await;
    assert_eq!(message(&mut server.accept().await.unwrap()).await.unwrap(), "hello");
    client.established().await.unwrap();
    server.confirmed().await.unwrap();
    let recording = recorder.await.unwrap();
    assert!(recording.len() > 100);

    for _ in 0..3 {
        assert_eq!(answer(acceptor.local_address(), &recording).await, []);
    }
    let newcomer = Connection::dial(dial(acceptor.local_address(), Transport::Tcp));
    newcomer.established().await.unwrap();
    let next = acceptor.accept().await;
    assert!(next.is_open(), "the next that was handed out is the newcomer, no recording");
    assert_eq!(next.addresses().map(|(_, remote)| remote), newcomer.addresses().map(|(it, _)| it));
}

/// N5: of a recording that was never answered, the early data may be read; the
/// connection is not confirmed by it.
#[tokio::test]
async fn n5_early_data_alone_confirms_nobody() {
    let mut acceptor = listen().await;
    // The recorder swallows the message: the server sees it first from us.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Connection::dial(dial(silent.local_addr().unwrap(), Transport::Tcp));
    let mut stream = client.open(Class::Control).unwrap();
    stream.send_message(Bytes::from_static(b"hello")).await.unwrap();
    let (mut victim, _) = silent.accept().await.unwrap();
    let recording = first_message(&mut victim).await;

    let mut attacker = TcpStream::connect(acceptor.local_address()).await.unwrap();
    attacker.write_all(&recording).await.unwrap();
    let server = acceptor.accept().await;
    assert_eq!(message(&mut server.accept().await.unwrap()).await.unwrap(), "hello");
    assert!(attacker.read_u16().await.unwrap() > 0, "it is answered, under a key nobody has");
    let unconfirmed = tokio::spawn(async move { server.confirmed().await });
    attacker.shutdown().await.unwrap();
    drop(attacker);
    assert!(unconfirmed.await.unwrap().is_err());
}

/// N9, F1: whatever does not fit is answered by silence, lengths beyond the
/// bound before anything is kept for them.
#[tokio::test]
async fn n9_probes_are_answered_by_silence() {
    let acceptor = listen().await;
    let probes: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        &[1, 0xff, 0xff],
        &[&[1, 0, 128][..], &[9; 128]].concat(),
        &[1, 0, 3, 1, 2, 3],
    ];
    for probe in probes {
        assert_eq!(answer(acceptor.local_address(), probe).await, [], "{probe:?}");
    }
}

/// H1: who shakes hands and says nothing more is not kept.
#[tokio::test(start_paused = true)]
async fn h1_whoever_is_not_let_in_does_not_stay() {
    for transport in TRANSPORTS {
        let mut acceptor = listen().await;
        let client = Connection::dial(dial(acceptor.local_address(), transport));
        let server = acceptor.accept().await;
        let reason = server.closed().await;
        assert!(matches!(reason, Closed::ByUs(_)), "{transport}: {reason}");
        client.closed().await;
    }
}

/// Q3: with many half open, an address that may be forged is asked to prove
/// itself, by a packet that is no larger than what it answers.
#[tokio::test]
async fn q3_an_unproven_address_gets_a_retry_and_no_more() {
    let limits = DoorLimits { prove_address_above: 0, ..DoorLimits::default() };
    let mut acceptor = listen_with(strangers(limits)).await;
    let server = acceptor.local_address();
    let _half_open = TcpStream::connect(server).await.unwrap();
    while acceptor.counters().admitted == 0 {
        tokio::task::yield_now().await;
    }
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = relay.local_addr().unwrap();
    let (report, reported) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut buffer, mut caller, mut sizes) = (vec![0; 65_536], None, Vec::new());
        let mut report = Some(report);
        loop {
            let (length, from) = relay.recv_from(&mut buffer).await.unwrap();
            if sizes.len() < 2 {
                sizes.push((from == server, length, buffer[0]));
            }
            if from != server {
                caller = Some(from);
            }
            let to = if from == server { caller.unwrap() } else { server };
            relay.send_to(&buffer[..length], to).await.unwrap();
            if let Some(report) = report.take_if(|_| sizes.len() == 2) {
                report.send(sizes.clone()).unwrap();
            }
        }
    });
    let client = Connection::dial(dial(address, Transport::Quic));
    client.established().await.unwrap();
    acceptor.accept().await.let_in();
    let sizes = reported.await.unwrap();
    let [(false, asked, _), (true, answered, first_byte)] = sizes[..] else { panic!("{sizes:?}") };
    // RFC 9000 section 17.2.5: a long header of type 3.
    assert_eq!(first_byte & 0xf0, 0xf0, "a retry");
    assert!(answered <= 3 * asked);
}

/// A relay that notes the first message that passes it.
async fn recorder(server: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut upstream = TcpStream::connect(server).await.unwrap();
        let recording = first_message(&mut client).await;
        upstream.write_all(&recording).await.unwrap();
        tokio::spawn(
            async move { tokio::io::copy_bidirectional(&mut client, &mut upstream).await },
        );
        recording
    });
    (address, recorder)
}

/// Selector, length and message.
async fn first_message(stream: &mut TcpStream) -> Vec<u8> {
    let mut recording = vec![0; 3];
    stream.read_exact(&mut recording).await.unwrap();
    let length = usize::from(u16::from_be_bytes([recording[1], recording[2]]));
    recording.resize(3 + length, 0);
    stream.read_exact(&mut recording[3..]).await.unwrap();
    recording
}
