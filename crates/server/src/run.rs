//! The server at work: accepting, draining.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_net::{Acceptor, AcceptorLimits, Connection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::service::Service;
use crate::session;

/// How long answers under way may take after the order to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long last messages may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// A server that accepts connections.
pub struct Running {
    service: Arc<Service>,
    acceptor: Acceptor,
}

impl Running {
    /// Starts listening. When this returns, connections are accepted.
    pub async fn start(service: Service, listen: SocketAddr) -> io::Result<Self> {
        let (secret, node) = (service.keys.node.clone(), service.node());
        let acceptor = Acceptor::bind(listen, secret, node, AcceptorLimits::default()).await?;
        acceptor.tell_addresses(service.keys.proof_key());
        Ok(Self { service: Arc::new(service), acceptor })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.acceptor.local_address()
    }

    /// What it serves.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Serves until `stop` is ready, then lets answers under way finish.
    pub async fn serve(mut self, stop: impl Future<Output = ()>) {
        let mut sessions = JoinSet::new();
        let mut relayed = self.service.take_relayed();
        let mut connections: Vec<Connection> = Vec::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                connection = self.acceptor.accept() => {
                    connections.retain(|connection| connection.is_open());
                    connections.push(connection.clone());
                    sessions.spawn(session::serve(Arc::clone(&self.service), connection));
                }
                Some(_) = sessions.join_next() => {}
                Some(message) = next(&mut relayed) => {
                    self.service.online.handle_relayed(self.service.clock.now(), &message);
                }
            }
        }
        drop(self.acceptor);
        tracing::info!(online = self.service.online(), "stopping");
        for connection in &connections {
            connection.go_away("the server is stopping");
        }
        let idle = async {
            while self.service.served.active_requests.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, idle).await;
        for connection in &connections {
            connection.close("the server is stopping");
        }
        let gone = async { while sessions.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, gone).await;
        let served = &self.service.served;
        tracing::info!(
            plays = served.plays.load(Ordering::Relaxed),
            blocks = served.blocks.load(Ordering::Relaxed),
            bytes = served.bytes.load(Ordering::Relaxed),
            "stopped"
        );
    }
}

/// The next message, if there is anyone to send one.
async fn next(relayed: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match relayed {
        Some(messages) => messages.recv().await,
        None => None,
    }
}
