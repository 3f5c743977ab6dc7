//! `aquatic_udp`, by its protocol: BEP 15, one announcement in a datagram,
//! answered by up to 10 peers.
//!
//! Peers are told apart by their ports: from one address there may be 1,000.
//! Datagrams under way are kept to a number that fills no buffer and leaves the
//! server never idle.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::mpsc::Sender;
use std::time::Duration;

use rand::rngs::StdRng;

use super::blob_id;
use super::load::Load;
use crate::Result;

/// As its own load test: a few sockets.
const SOCKETS: usize = 4;
/// Datagrams under way on each.
const WINDOW: u32 = 32;
/// One that has not been answered for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// Peers in an answer, as ours.
const WANTED: u32 = 10;

const PROTOCOL: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
/// Before the peers of an answer: action, transaction, interval, leechers, seeders.
const ANSWER_HEADER_BYTES: usize = 20;
const PEER_BYTES: usize = 6;

/// A socket that is allowed to announce.
struct Socket {
    socket: UdpSocket,
    connection: [u8; 8],
    under_way: u32,
}

/// Fills, says so, and announces until it is over.
pub(super) fn run(load: &Load, filled: &Sender<()>) -> Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(Socket::open(load)?);
    }
    let mut first =
        (0..load.sessions).flat_map(|peer| load.first_holdings(peer).map(move |blob| (peer, blob)));
    while exchange(load, &mut sockets, || first.next())? {}
    let _ = filled.send(());
    let mut rng: StdRng = load.rng(0);
    let mut peer = 0;
    let mut next = || {
        peer = (peer + 1) % load.sessions;
        (!load.is_over()).then(|| (peer, load.draw_blob(&mut rng)))
    };
    while exchange(load, &mut sockets, &mut next)? {}
    Ok(())
}

/// Has each socket send what may be under way, then take an answer. False when
/// there is nothing more to send and nothing under way.
fn exchange(
    load: &Load,
    sockets: &mut [Socket],
    mut next: impl FnMut() -> Option<(u32, u32)>,
) -> Result<bool> {
    let mut more = false;
    for socket in sockets {
        while socket.under_way < WINDOW
            && let Some((peer, blob)) = next()
        {
            socket.announce(peer, blob)?;
        }
        if socket.under_way > 0 {
            more = true;
            socket.take(load)?;
        }
    }
    Ok(more)
}

impl Socket {
    fn open(load: &Load) -> Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.connect(load.server)?;
        socket.set_read_timeout(Some(LOST_AFTER))?;
        let mut request = Vec::new();
        request.extend(PROTOCOL.to_be_bytes());
        request.extend(CONNECT.to_be_bytes());
        request.extend(7_u32.to_be_bytes());
        let mut answer = [0; 16];
        for _ in 0..50 {
            // It may not be up yet.
            if socket.send(&request).is_ok() && socket.recv(&mut answer).is_ok() {
                let connection = *answer[8..].first_chunk().ok_or("a short answer")?;
                return Ok(Self { socket, connection, under_way: 0 });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("aquatic_udp does not answer".into())
    }

    fn announce(&mut self, peer: u32, blob: u32) -> Result<()> {
        let mut request = Vec::with_capacity(98);
        request.extend(self.connection);
        request.extend(ANNOUNCE.to_be_bytes());
        request.extend(blob.to_be_bytes());
        request.extend(&blob_id(blob)[..20]);
        request.extend([0; 20]); // peer id
        request.extend([0; 8]); // downloaded
        request.extend([0; 8]); // left: it holds all
        request.extend([0; 8]); // uploaded
        request.extend(0_u32.to_be_bytes()); // event: none
        request.extend([0; 4]); // address: the socket's
        request.extend([0; 4]); // key
        request.extend(WANTED.to_be_bytes());
        request.extend(u16::try_from(1 + peer)?.to_be_bytes());
        self.socket.send(&request)?;
        self.under_way += 1;
        Ok(())
    }

    fn take(&mut self, load: &Load) -> Result<()> {
        let mut answer = [0; 1500];
        match self.socket.recv(&mut answer) {
            Ok(bytes) if answer[..4] == ANNOUNCE.to_be_bytes() => {
                self.under_way -= 1;
                let peers = bytes.saturating_sub(ANSWER_HEADER_BYTES) / PEER_BYTES;
                load.count(1, peers as u64);
                Ok(())
            }
            Ok(bytes) => Err(format!("aquatic_udp says {:?}", &answer[..bytes]).into()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.under_way = 0;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
