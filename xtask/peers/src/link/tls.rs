//! tokio-rustls: one encrypted stream, without any multiplexing. What is
//! asked next waits until what was asked before has come.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::any_port;
use super::request::{REQUEST_BYTES, Request, Source};
use super::stack::Stack;
use crate::{Result, tls};

/// What one read may bring: four records.
const READ_BYTES: usize = 64 * 1024;

/// A connection.
pub(crate) struct TokioRustls {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Stack for TokioRustls {
    async fn serve(announce: impl FnOnce(SocketAddr)) -> Result<()> {
        let acceptor = TlsAcceptor::from(Arc::new(tls::server_config()?));
        let listener = TcpListener::bind(any_port()).await?;
        announce(listener.local_addr()?);
        let source = Source::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (acceptor, source) = (acceptor.clone(), source.clone());
            tokio::spawn(
                async move { answer(acceptor.accept(stream).await?.into(), source).await },
            );
        }
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        let connector = TlsConnector::from(Arc::new(tls::client_config()?));
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let stream = connector.connect(tls::server_name()?, stream).await?;
        Ok(Self { stream: stream.into(), buffer: vec![0; READ_BYTES] })
    }

    fn another(&self) -> Option<Self> {
        None
    }

    async fn exchange(
        &mut self,
        request: Request,
        mut taken: impl FnMut(&[u8]) + Send,
    ) -> Result<()> {
        self.stream.write_all(&request.encode()).await?;
        self.stream.flush().await?;
        let mut left = request.reply_bytes();
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                return Err("the server left in the middle of a reply".into());
            }
            taken(&self.buffer[..read]);
            left = left.checked_sub(read as u64).ok_or("more came than was asked for")?;
        }
        Ok(())
    }
}

async fn answer(mut stream: TlsStream<TcpStream>, source: Source) -> Result<()> {
    let mut request = [0; REQUEST_BYTES];
    loop {
        stream.read_exact(&mut request).await?;
        for piece in source.reply(Request::decode(&request)?) {
            stream.write_all(&piece).await?;
        }
        stream.flush().await?;
    }
}
