//! A server and other listeners, who do as they are told, around one true engine.

use antiphon_client::{DataDir, Engine, EngineConfig, Faults, Peers, Upload};
use antiphon_net::identity::NodeSecret;
use antiphon_net::{
    Acceptor, AcceptorLimits, Connection, Dial, ServerLink, Stream, Transport, issue_ticket,
    wall_clock_ms,
};
use antiphon_types::{Class, NodeId};
use antiphon_wire::proto::{
    self, Blocks, ClientNotice, Hello, Introduction, PeerHello, PeerNotice, Refused, Reply,
    Request, ServerNotice, SignedTicket, Welcome, client_notice, peer_notice, refused, reply,
    request, server_notice,
};
use bytes::Bytes;
use tempfile::TempDir;

/// A node at which one may knock, on a free port of the loopback.
pub(crate) async fn listen(secret: &NodeSecret, service: NodeId) -> Acceptor {
    let (address, limits) = ("127.0.0.1:0".parse().unwrap(), AcceptorLimits::default());
    Acceptor::bind(address, secret.clone(), service, limits).await.unwrap()
}

/// A service: its key, and a server that has welcomed one listener.
pub(crate) struct House {
    pub(crate) secret: NodeSecret,
    /// What the listener said of herself.
    pub(crate) hello: Hello,
    /// The ticket that she was given.
    pub(crate) told: SignedTicket,
    server: Acceptor,
    session: Stream,
    connection: Connection,
    _engine: Engine,
    _folder: TempDir,
}

impl House {
    /// A listener who shares so is welcomed.
    pub(crate) async fn with_listener(peers: Peers) -> Self {
        let secret = NodeSecret::from_bytes(&[77; 32]);
        let service = secret.node_id();
        let mut server = listen(&secret, service).await;
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::start(EngineConfig {
            data: DataDir::open(Some(folder.path().to_owned())).unwrap(),
            link: ServerLink {
                host: "127.0.0.1".to_owned(),
                port: server.local_address().port(),
                node: service,
            },
            peers,
            upload: Upload::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
            transport: Transport::Tcp,
            cache_bytes: Some(10_000_000),
            faults: Faults::default(),
        });
        let engine = engine.await.unwrap();
        let connection = server.accept().await;
        connection.let_in();
        let mut session = connection.accept().await.unwrap();
        let notice: ClientNotice = session.receive_message().await.unwrap().unwrap();
        let Some(client_notice::Kind::Hello(hello)) = notice.kind else { panic!("{notice:?}") };
        let peer = NodeId::from_slice(&hello.peer_key).unwrap();
        let told = issue_ticket(&secret, &peer, 0, wall_clock_ms());
        let ticket = Some(told.clone());
        let mut house = Self {
            secret,
            hello,
            told,
            server,
            session,
            connection,
            _engine: engine,
            _folder: folder,
        };
        house.tell(server_notice::Kind::Welcome(Welcome { ticket, ..Welcome::default() })).await;
        house
    }

    pub(crate) fn service(&self) -> NodeId {
        self.secret.node_id()
    }

    /// Her peer key.
    pub(crate) fn listener(&self) -> NodeId {
        NodeId::from_slice(&self.hello.peer_key).unwrap()
    }

    /// A ticket as it should be.
    pub(crate) fn ticket(&self, peer: NodeId) -> SignedTicket {
        issue_ticket(&self.secret, &peer, 0, wall_clock_ms())
    }

    /// The server says something.
    async fn tell(&mut self, kind: server_notice::Kind) {
        self.session.send(&ServerNotice { kind: Some(kind) }).await.unwrap();
    }

    pub(crate) async fn introduce(&mut self, introduction: Introduction) {
        self.tell(server_notice::Kind::Introduction(introduction)).await;
    }

    /// The server goes away and comes back: she has heard what it said before.
    pub(crate) async fn leave_and_return(&mut self) {
        self.connection.close("a short break");
        self.connection = self.server.accept().await;
    }

    /// Somebody connects to the listener.
    pub(crate) fn call(&self, caller: &NodeSecret, transport: Transport) -> Connection {
        let address = format!("127.0.0.1:{}", self.hello.listen_port);
        let dial = Dial::new(vec![address], self.listener(), self.service(), caller.clone());
        Connection::dial(Dial { transport, ..dial })
    }
}

/// An introduction to who is at an address.
pub(crate) fn introduction(id: u64, peer: NodeId, address: &str) -> Introduction {
    Introduction {
        peer: Some(proto::Peer {
            peer_key: Bytes::copy_from_slice(peer.as_bytes()),
            addresses: vec![address.to_owned()],
            udp_addresses: Vec::new(),
        }),
        id: Bytes::copy_from_slice(&id.to_be_bytes()),
        asked: false,
    }
}

pub(crate) async fn say(stream: &mut Stream, kind: peer_notice::Kind) {
    stream.send(&PeerNotice { kind: Some(kind) }).await.unwrap();
}

/// Greets with a ticket, or without.
pub(crate) async fn say_hello(stream: &mut Stream, ticket: Option<SignedTicket>) {
    say(stream, peer_notice::Kind::Hello(PeerHello { ticket, ..PeerHello::default() })).await;
}

/// What the other side says first.
pub(crate) async fn hear(stream: &mut Stream) -> Option<peer_notice::Kind> {
    let notice: Option<PeerNotice> = stream.receive_message().await.ok().flatten();
    notice.and_then(|notice| notice.kind)
}

/// Asks for blocks, as those do who were let in. Nobody has these, so the answer to
/// one who may ask is that; `None` if there is none.
pub(crate) async fn ask(connection: &Connection) -> Option<refused::Reason> {
    let mut stream = connection.open(Class::Now).ok()?;
    let blob = Bytes::from_static(&[5; 32]);
    let kind = request::Kind::Blocks(Blocks { blob, start: 0, end: 1, class: 1 });
    stream.send(&Request { kind: Some(kind) }).await.ok()?;
    let reply: Option<Reply> = stream.receive_message().await.ok()?;
    match reply?.kind? {
        reply::Kind::Refused(refused) => Some(Refused::reason(&refused)),
        other => panic!("{other:?}"),
    }
}
