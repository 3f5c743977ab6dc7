//! Ours: sessions over encrypted TCP connections, as clients have them.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use antiphon_handshake::identity::NodeSecret;
use antiphon_net::{
    Connection, Dial, Stream, StreamItem, StreamReceiver, StreamSender, Transport, prove_peer_key,
};
use antiphon_types::{Class, NodeId};
use antiphon_wire::proto::{
    self, ClientNotice, Hello, Message as _, ServerNotice, SwarmQuery, client_notice, server_notice,
};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::load::{Load, fill_then_run};
use super::{blob_id, peer_id};
use crate::Result;

/// Blobs in one announcement of the beginning.
const FILLING: usize = 400;
/// Handshakes under way at once.
const DIALLING: usize = 32;

/// Fills, says so, and announces until it is over.
pub(super) fn run(load: &'static Load, filled: &Sender<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dialling = Arc::new(Semaphore::new(DIALLING));
        let mut filling = JoinSet::new();
        for peer in 0..load.sessions {
            let dialling = Arc::clone(&dialling);
            filling.spawn(async move {
                let _turn = dialling.acquire().await?;
                Session::open(load, peer).await?.fill().await
            });
        }
        fill_then_run(filling, filled, Session::run).await
    })
}

struct Session {
    load: &'static Load,
    peer: u32,
    sender: StreamSender,
    receiver: StreamReceiver,
    _connection: Connection,
}

impl Session {
    /// Connects and says hello.
    async fn open(load: &'static Load, peer: u32) -> Result<Self> {
        let service = load.key.parse::<NodeId>()?;
        let device = NodeSecret::from_bytes(&peer_id(peer));
        let connection = Connection::dial(Dial {
            transport: Transport::Tcp,
            ..Dial::new(vec![load.server.to_string()], service, service, device.clone())
        });
        let mut stream = connection.open(Class::Control)?;
        let of_session = NodeSecret::generate(&mut rand::rng());
        let hello = Hello {
            minor: proto::MINOR_VERSION,
            agent: "bench".to_owned(),
            peer_key: Bytes::copy_from_slice(of_session.node_id().as_bytes()),
            peer_key_proof: prove_peer_key(&of_session, &device.node_id(), &service),
            sharing: true,
            listen_port: 10_000 + peer,
            ..Hello::default()
        };
        send(&mut stream, client_notice::Kind::Hello(hello)).await?;
        let notice: Option<ServerNotice> = stream.receive_message().await?;
        match notice.and_then(|notice| notice.kind) {
            Some(server_notice::Kind::Welcome(_)) => {}
            other => return Err(format!("no welcome but {other:?}").into()),
        }
        let (sender, receiver) = stream.split();
        Ok(Self { load, peer, sender, receiver, _connection: connection })
    }

    /// Announces what it holds from the beginning.
    async fn fill(mut self) -> Result<Self> {
        let first: Vec<u32> = self.load.first_holdings(self.peer).collect();
        for blobs in first.chunks(FILLING) {
            let announce = blobs.iter().map(|blob| id(*blob)).collect();
            self.ask(SwarmQuery { announce, ..SwarmQuery::default() }).await?;
            self.receive().await?;
        }
        Ok(self)
    }

    async fn run(mut self) -> Result<()> {
        let mut rng = self.load.rng(self.peer);
        let mut under_way = 0;
        while under_way > 0 || !self.load.is_over() {
            while under_way < self.load.window && !self.load.is_over() {
                let blobs = (0..self.load.batch).map(|_| id(self.load.draw_blob(&mut rng)));
                let announce: Vec<Bytes> = blobs.collect();
                let find = announce.clone();
                let query = SwarmQuery { id: 1, announce, find, ..SwarmQuery::default() };
                self.ask(query).await?;
                under_way += 1;
            }
            let answer = self.receive().await?;
            under_way -= 1;
            let (found, named) = count(&answer)?;
            self.load.count(found, named);
        }
        Ok(())
    }

    async fn ask(&mut self, query: SwarmQuery) -> Result<()> {
        let kind = Some(client_notice::Kind::SwarmQuery(query));
        Ok(self.sender.send(&ClientNotice { kind }).await?)
    }

    /// The next notice, encoded.
    async fn receive(&mut self) -> Result<Bytes> {
        match self.receiver.receive().await? {
            Some(StreamItem::Message(notice)) => Ok(notice),
            _ => Err("the server ended the session".into()),
        }
    }
}

async fn send(stream: &mut Stream, kind: client_notice::Kind) -> Result<()> {
    Ok(stream.send(&ClientNotice { kind: Some(kind) }).await?)
}

fn id(blob: u32) -> Bytes {
    Bytes::copy_from_slice(&blob_id(blob))
}

/// To how many queries an answer answers, and how many peers it names.
fn count(notice: &Bytes) -> Result<(u64, u64)> {
    match ServerNotice::decode(notice.clone())?.kind {
        Some(server_notice::Kind::SwarmAnswer(answer)) => {
            let named = answer.found.iter().map(|holders| holders.peers.len() as u64).sum();
            Ok((answer.found.len() as u64, named))
        }
        other => Err(format!("no answer but {other:?}").into()),
    }
}
