//! yamux over libp2p's Noise, each as it is configured by default, without
//! the negotiation of protocols that libp2p puts before both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::poll_fn;
use futures::task::AtomicWaker;
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p_core::upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _};
use libp2p_identity::Keypair;
use libp2p_noise::Output;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Config, Mode, Stream};

use super::any_port;
use super::request::{REQUEST_BYTES, Request, Source};
use super::stack::Stack;
use crate::Result;

/// What one read may bring.
const READ_BYTES: usize = 64 * 1024;

const CLIENT_SEED: [u8; 32] = [1; 32];
const SERVER_SEED: [u8; 32] = [2; 32];

type Socket = Output<Compat<TcpStream>>;
type Connection = yamux::Connection<Socket>;

/// A connection, which a task of its own moves on.
pub(crate) struct YamuxNoise {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
}

struct Shared {
    connection: Mutex<Connection>,
    /// The task that moves the connection on; it has to hear of new streams.
    driver: AtomicWaker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stack for YamuxNoise {
    async fn serve(announce: impl FnOnce(SocketAddr)) -> Result<()> {
        let identity = Keypair::ed25519_from_bytes(SERVER_SEED)?;
        let noise = libp2p_noise::Config::new(&identity)?;
        let listener = TcpListener::bind(any_port()).await?;
        announce(listener.local_addr()?);
        let source = Source::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (noise, source) = (noise.clone(), source.clone());
            tokio::spawn(async move {
                let (_, socket) = noise.upgrade_inbound(stream.compat(), "/noise").await?;
                serve_one(Connection::new(socket, Config::default(), Mode::Server), source).await
            });
        }
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let identity = Keypair::ed25519_from_bytes(CLIENT_SEED)?;
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let noise = libp2p_noise::Config::new(&identity)?;
        let (peer, socket) = noise.upgrade_outbound(stream.compat(), "/noise").await?;
        if peer != Keypair::ed25519_from_bytes(SERVER_SEED)?.public().to_peer_id() {
            return Err("somebody else answered".into());
        }
        let connection = Connection::new(socket, Config::default(), Mode::Client);
        let connection = Mutex::new(connection);
        let shared = Arc::new(Shared { connection, driver: AtomicWaker::new() });
        tokio::spawn(drive(Arc::clone(&shared)));
        Ok(Self { shared, buffer: vec![0; READ_BYTES] })
    }

    fn another(&self) -> Option<Self> {
        Some(Self { shared: Arc::clone(&self.shared), buffer: vec![0; READ_BYTES] })
    }

    async fn exchange(
        &mut self,
        request: Request,
        mut taken: impl FnMut(&[u8]) + Send,
    ) -> Result<()> {
        let shared = &self.shared;
        let mut stream = poll_fn(|context| shared.lock().poll_new_outbound(context)).await?;
        shared.driver.wake();
        stream.write_all(&request.encode()).await?;
        stream.close().await?;
        loop {
            let read = stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Ok(());
            }
            taken(&self.buffer[..read]);
        }
    }
}

/// Moves a client's connection on. No server opens streams to this client.
async fn drive(shared: Arc<Shared>) {
    poll_fn(|context| {
        shared.driver.register(context.waker());
        shared.lock().poll_next_inbound(context).map(drop)
    })
    .await;
}

async fn serve_one(mut connection: Connection, source: Source) -> Result<()> {
    while let Some(stream) = poll_fn(|context| connection.poll_next_inbound(context)).await {
        tokio::spawn(answer(stream?, source.clone()));
    }
    Ok(())
}

async fn answer(mut stream: Stream, source: Source) -> Result<()> {
    let mut request = [0; REQUEST_BYTES];
    stream.read_exact(&mut request).await?;
    for piece in source.reply(Request::decode(&request)?) {
        stream.write_all(&piece).await?;
    }
    Ok(stream.close().await?)
}
