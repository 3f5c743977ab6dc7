//! A server in the test's own process, and listeners who speak its protocol by
//! hand, so that they can say what no client would.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_catalog::{Loudness, NewTrack, Rendition, Tags};
use antiphon_net::identity::NodeSecret;
use antiphon_net::{Connection, Dial, StreamReceiver, StreamSender, Transport, prove_peer_key};
use antiphon_server::{Join, Running, Service};
use antiphon_types::{Bitrate, BlobId, Class, NodeId, TrackId};
use antiphon_wire::proto::{
    self, ClientNotice, Hello, Reply, Request, ServerNotice, client_notice, reply, request,
    server_notice,
};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes, even on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something can be seen.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let watch = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, watch).await;
    seen.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A server that runs, with tracks 1 to 9 in its catalogue.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) node: NodeId,
    pub(crate) data: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// The blob of a track.
pub(crate) fn blob(track: u8) -> BlobId {
    BlobId::new([track; 32])
}

/// The id of a track.
pub(crate) fn track_id(track: u8) -> TrackId {
    TrackId::new([track; 16])
}

fn track(number: u8) -> NewTrack {
    NewTrack {
        id: track_id(number),
        source_hash: [number; 32],
        tags: Tags::default(),
        samples: 1,
        loudness: Loudness { source_lufs: -9.0, source_true_peak_dbtp: 0.0, gain_db: 0.0 },
        cover: None,
        renditions: vec![Rendition {
            bitrate: Bitrate::Kbps160,
            blob: blob(number),
            bytes: 1,
            samples: 1,
            plaintext_hash: [number; 32],
        }],
        manifest: Vec::new(),
        added_at_ms: 1,
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(None, |_| {}).await
    }

    /// As another server of the service of `other`, perhaps; arranged in some
    /// way before it runs.
    pub(crate) async fn open_with(
        other: Option<&Self>,
        arrange: impl FnOnce(&mut Service),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if let Some(other) = other {
            std::fs::create_dir(&data).unwrap();
            for key in ["node.key", "content.key"] {
                std::fs::copy(other.data.join(key), data.join(key)).unwrap();
            }
        }
        let mut service = Service::open(&data, "Test".into(), Join::Open).unwrap();
        for number in 1..=9 {
            service.catalog.add_track(&track(number)).unwrap();
        }
        arrange(&mut service);
        let running = Running::start(service, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, node) = (running.local_address(), running.service().node());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(running.serve(async {
            let _ = stopped.await;
        }));
        Self { address, node, data, stop: Some(stop), task: Some(task), _folder: folder }
    }

    /// Stops, and waits until it has.
    pub(crate) async fn close(mut self) {
        drop(self.stop.take());
        self.task.take().unwrap().await.unwrap();
    }

    /// Runs `antiphon-server` on its data.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        command_on(&self.data, arguments)
    }
}

/// Runs `antiphon-server` on the data of a server; it must succeed.
pub(crate) fn command_on(data: &Path, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(crate::support::PROGRAM);
    let output = command.arg("--data-dir").arg(data).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A listener with a session.
pub(crate) struct Guest {
    pub(crate) peer: NodeId,
    connection: Connection,
    sender: StreamSender,
    receiver: StreamReceiver,
    /// Introductions that came while something else was waited for.
    introductions: VecDeque<proto::Introduction>,
}

impl Guest {
    /// One who shares, and listens on `port`.
    pub(crate) async fn arrive(house: &House, port: u16) -> Self {
        let hello = Hello { sharing: true, listen_port: port.into(), ..Hello::default() };
        Self::arrive_saying(house, hello).await
    }

    /// One who says this hello, the key and its proof apart.
    pub(crate) async fn arrive_saying(house: &House, hello: Hello) -> Self {
        let device = NodeSecret::generate(&mut rand::rng());
        let peer = NodeSecret::generate(&mut rand::rng());
        let key = peer.node_id();
        let proof = prove_peer_key(&peer, &device.node_id(), &house.node);
        let connection = Connection::dial(Dial {
            transport: Transport::Tcp,
            ..Dial::new(vec![house.address.to_string()], house.node, house.node, device)
        });
        let hello = Hello {
            minor: proto::MINOR_VERSION,
            peer_key: Bytes::copy_from_slice(key.as_bytes()),
            peer_key_proof: proof,
            ..hello
        };
        let (sender, receiver) = connection.open(Class::Control).unwrap().split();
        let introductions = VecDeque::new();
        let mut guest = Self { peer: key, connection, sender, receiver, introductions };
        guest.tell(client_notice::Kind::Hello(hello)).await;
        let welcome = guest.hear().await;
        assert!(matches!(welcome, server_notice::Kind::Welcome(_)), "{welcome:?}");
        guest.settle().await;
        guest
    }

    pub(crate) async fn tell(&mut self, kind: client_notice::Kind) {
        self.sender.send(&ClientNotice { kind: Some(kind) }).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> server_notice::Kind {
        let notice = self.receiver.receive_message::<ServerNotice>();
        let notice = tokio::time::timeout(PATIENCE, notice).await.expect("something is heard");
        notice.unwrap().unwrap().kind.unwrap()
    }

    /// Waits until all that was told has been dealt with, and what came of it
    /// has come: notices are dealt with one after another.
    pub(crate) async fn settle(&mut self) {
        self.tell(client_notice::Kind::RenewTicket(proto::RenewTicket {})).await;
        loop {
            match self.hear().await {
                server_notice::Kind::Ticket(_) => return,
                server_notice::Kind::Introduction(introduction) => {
                    self.introductions.push_back(introduction);
                }
                _ => {}
            }
        }
    }

    /// The introductions that have come so far.
    pub(crate) async fn introductions(&mut self) -> Vec<proto::Introduction> {
        self.settle().await;
        self.introductions.drain(..).collect()
    }

    pub(crate) async fn announce(&mut self, blobs: &[BlobId]) {
        let blobs = blobs.iter().map(|blob| Bytes::copy_from_slice(blob.as_bytes())).collect();
        self.tell(client_notice::Kind::Announce(proto::Announce { blobs })).await;
        self.settle().await;
    }

    /// Asks for an introduction; told when the server has dealt with it.
    pub(crate) async fn ask_for(&mut self, peer: NodeId, blob: &[u8]) {
        let introduce = proto::Introduce {
            peer_key: Bytes::copy_from_slice(peer.as_bytes()),
            blob: Bytes::copy_from_slice(blob),
        };
        self.tell(client_notice::Kind::Introduce(introduce)).await;
        self.settle().await;
    }

    pub(crate) async fn reach(&mut self, reach: proto::Reach) {
        self.tell(client_notice::Kind::Reach(reach)).await;
        self.settle().await;
    }

    /// Announces, withdraws and asks in one message.
    pub(crate) async fn query(&mut self, query: proto::SwarmQuery) -> proto::SwarmAnswer {
        self.tell(client_notice::Kind::SwarmQuery(query)).await;
        match self.hear().await {
            server_notice::Kind::SwarmAnswer(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Who holds a blob.
    pub(crate) async fn find(&self, blob: BlobId) -> Vec<proto::Peer> {
        let mut stream = self.connection.open(Class::Control).unwrap();
        let find = proto::FindPeers { blob: Bytes::copy_from_slice(blob.as_bytes()) };
        stream.send(&Request { kind: Some(request::Kind::FindPeers(find)) }).await.unwrap();
        stream.finish();
        let reply: Option<Reply> = stream.receive_message().await.unwrap();
        match reply.unwrap().kind.unwrap() {
            reply::Kind::Peers(peers) => peers.peers,
            other => panic!("{other:?}"),
        }
    }

    /// The keys of those who hold a blob.
    pub(crate) async fn holders(&self, blob: BlobId) -> Vec<NodeId> {
        let peers = self.find(blob).await;
        peers.iter().map(|peer| NodeId::from_slice(&peer.peer_key).unwrap()).collect()
    }

    pub(crate) fn leave(self) {
        self.connection.close("over");
    }
}
