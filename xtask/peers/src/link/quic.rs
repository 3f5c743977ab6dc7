//! quinn, as it is configured by default.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Suite;

use super::any_port;
use super::request::{REQUEST_BYTES, Request, Source};
use super::stack::Stack;
use crate::{Result, tls};

/// A connection, and the socket that it uses.
pub(crate) struct Quinn {
    connection: Connection,
    endpoint: Endpoint,
}

impl Stack for Quinn {
    async fn serve(announce: impl FnOnce(SocketAddr)) -> Result<()> {
        let crypto = QuicServerConfig::with_initial(Arc::new(tls::server_config()?), initial()?)?;
        let config = ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(config, any_port())?;
        announce(endpoint.local_addr()?);
        let source = Source::new();
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(serve_one(incoming.await?, source.clone()));
        }
        Ok(())
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let crypto = QuicClientConfig::with_initial(Arc::new(tls::client_config()?), initial()?)?;
        let endpoint = Endpoint::client(any_port())?;
        let config = ClientConfig::new(Arc::new(crypto));
        let name = tls::server_name()?.to_str().into_owned();
        let connection = endpoint.connect_with(config, server, &name)?.await?;
        Ok(Self { connection, endpoint })
    }

    fn another(&self) -> Option<Self> {
        Some(Self { connection: self.connection.clone(), endpoint: self.endpoint.clone() })
    }

    async fn exchange(
        &mut self,
        request: Request,
        mut taken: impl FnMut(&[u8]) + Send,
    ) -> Result<()> {
        let (mut sender, mut receiver) = self.connection.open_bi().await?;
        sender.write_all(&request.encode()).await?;
        sender.finish()?;
        while let Some(chunk) = receiver.read_chunk(usize::MAX, true).await? {
            taken(&chunk.bytes);
        }
        Ok(())
    }
}

/// The suite of a connection's first packets, which RFC 9001 fixes.
fn initial() -> Result<Suite> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite());
    Ok(suite.ok_or("rustls has no suite for QUIC's first packets")?)
}

async fn serve_one(connection: Connection, source: Source) {
    while let Ok((sender, receiver)) = connection.accept_bi().await {
        tokio::spawn(answer(sender, receiver, source.clone()));
    }
}

async fn answer(mut sender: SendStream, mut receiver: RecvStream, source: Source) -> Result<()> {
    let request = receiver.read_to_end(REQUEST_BYTES).await?;
    for piece in source.reply(Request::decode(&request)?) {
        sender.write_chunk(piece).await?;
    }
    Ok(sender.finish()?)
}
