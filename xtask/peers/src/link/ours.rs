//! Ours, over TCP and over QUIC.

use std::marker::PhantomData;
use std::net::SocketAddr;

use antiphon_handshake::identity::NodeSecret;
use antiphon_net::{Acceptor, AcceptorLimits, Connection, Dial, Stream, StreamItem, Transport};
use antiphon_types::Class;
use bytes::Bytes;

use super::any_port;
use super::request::{Request, Source};
use super::stack::Stack;
use crate::Result;

/// The two processes know each other's keys because they make both.
const CLIENT_SEED: [u8; 32] = [1; 32];
const SERVER_SEED: [u8; 32] = [2; 32];

/// A connection of ours.
pub(crate) struct Ours<W>(Connection, PhantomData<W>);

/// Over what ours goes, and in which class.
pub(crate) trait Way: Send + 'static {
    const TRANSPORT: Transport;
    const CLASS: Class;
}

/// TCP, as what plays now.
pub(crate) struct Tcp;

/// TCP, as an offline copy, which makes way for others on purpose.
pub(crate) struct TcpOffline;

/// QUIC, as what plays now.
pub(crate) struct Quic;

impl Way for Tcp {
    const TRANSPORT: Transport = Transport::Tcp;
    const CLASS: Class = Class::Now;
}

impl Way for TcpOffline {
    const TRANSPORT: Transport = Transport::Tcp;
    const CLASS: Class = Class::Offline;
}

impl Way for Quic {
    const TRANSPORT: Transport = Transport::Quic;
    const CLASS: Class = Class::Now;
}

impl<W: Way> Stack for Ours<W> {
    async fn serve(announce: impl FnOnce(SocketAddr)) -> Result<()> {
        serve(announce).await
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        connect(server, W::TRANSPORT).await.map(|connection| Self(connection, PhantomData))
    }

    fn another(&self) -> Option<Self> {
        Some(Self(self.0.clone(), PhantomData))
    }

    async fn exchange(
        &mut self,
        request: Request,
        mut taken: impl FnMut(&[u8]) + Send,
    ) -> Result<()> {
        let mut stream = self.0.open(W::CLASS)?;
        stream.send_message(Bytes::copy_from_slice(&request.encode())).await?;
        stream.finish();
        while let Some(item) = stream.receive().await? {
            if let StreamItem::Block { data, .. } = item {
                taken(&data);
            }
        }
        Ok(())
    }
}

/// One acceptor takes connections over both.
async fn serve(announce: impl FnOnce(SocketAddr)) -> Result<()> {
    let secret = NodeSecret::from_bytes(&SERVER_SEED);
    let service = secret.node_id();
    let limits = AcceptorLimits::default();
    let mut acceptor = Acceptor::bind(any_port(), secret, service, limits).await?;
    announce(acceptor.local_address());
    let source = Source::new();
    loop {
        let connection = acceptor.accept().await;
        connection.let_in();
        let source = source.clone();
        tokio::spawn(async move {
            while let Ok(stream) = connection.accept().await {
                tokio::spawn(answer(stream, source.clone()));
            }
        });
    }
}

async fn answer(mut stream: Stream, source: Source) -> Result<()> {
    let Some(StreamItem::Message(request)) = stream.receive().await? else {
        return Err("a stream without a request".into());
    };
    for (index, piece) in (0..).zip(source.reply(Request::decode(&request)?)) {
        stream.send_block(index, &[], piece).await?;
    }
    stream.finish();
    Ok(())
}

async fn connect(server: SocketAddr, transport: Transport) -> Result<Connection> {
    let service = NodeSecret::from_bytes(&SERVER_SEED).node_id();
    let client = NodeSecret::from_bytes(&CLIENT_SEED);
    let connection = Connection::dial(Dial {
        transport,
        ..Dial::new(vec![server.to_string()], service, service, client)
    });
    connection.established().await?;
    Ok(connection)
}
