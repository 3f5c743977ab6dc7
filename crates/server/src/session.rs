//! One listener's session.

use std::sync::Arc;
use std::time::Duration;

use antiphon_catalog::{BadPeer, RegisterDeviceError};
use antiphon_net::{
    Closed, Connection, StreamError, StreamReceiver, StreamSender, Transport, check_peer_key,
    decode_message, issue_ticket, wall_clock_ms,
};
use antiphon_types::{BlobId, NodeId};
use antiphon_wire::proto::{
    self, ClientNotice, Hello, Refused, ServerNotice, Welcome, client_notice, refused,
    server_notice,
};
use bytes::Bytes;

use crate::contact::Seen;
use crate::online::Arrival;
use crate::requests;
use crate::service::{Join, Service, local_addresses};
use crate::swarm::Queries;

/// How long a connection may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refusal may take to reach the other side.
const FAREWELL: Duration = Duration::from_secs(2);

/// A listener who may be served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    pub(crate) device: NodeId,
    pub(crate) peer: NodeId,
    /// Whether she shares; who does not is told of nobody.
    pub(crate) sharing: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve(service: Arc<Service>, connection: Connection) {
    match converse(&service, &connection).await {
        Ok(()) => {}
        Err(SessionError::Refused(refused)) => {
            tracing::info!(device = ?connection.remote(), "refused: {refused}");
        }
        Err(error) => tracing::debug!(device = ?connection.remote(), "session ended: {error}"),
    }
    connection.close("the session ended");
}

#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error("no hello in time")]
    Silent,
    #[error("{0}")]
    Refused(Refused),
}

async fn converse(service: &Arc<Service>, connection: &Connection) -> Result<(), SessionError> {
    let greeting = async {
        let (sender, mut receiver) = connection.accept().await?.split();
        let notice: Option<ClientNotice> = receiver.receive_message().await?;
        match notice.and_then(|notice| notice.kind) {
            Some(client_notice::Kind::Hello(hello)) => Ok((sender, receiver, hello)),
            _ => Err(SessionError::Silent),
        }
    };
    let (mut sender, receiver, hello) =
        tokio::time::timeout(HELLO_TIMEOUT, greeting).await.map_err(|_| SessionError::Silent)??;
    // In a box, as what follows: a session has the size of its largest moment,
    // and thousands of them rest.
    match Box::pin(admit(service, connection.remote(), &hello)).await {
        Ok(listener) => welcome(service, connection, sender, receiver, &hello, listener).await,
        Err(refused) => {
            Box::pin(send(&mut sender, server_notice::Kind::Refused(refused.clone()))).await?;
            sender.finish();
            // The other side closes when it has read why.
            let _ = tokio::time::timeout(FAREWELL, connection.closed()).await;
            Err(SessionError::Refused(refused))
        }
    }
}

/// Decides whether a device may be served, and registers a new one. Changes
/// nothing that saying the same hello again would change again.
async fn admit(service: &Arc<Service>, device: NodeId, hello: &Hello) -> Result<Listener, Refused> {
    let refuse = |reason, message: &str| Err(Refused::new(reason, message));
    let Some(peer) = NodeId::from_slice(&hello.peer_key) else {
        return refuse(refused::Reason::Malformed, "the peer key is malformed");
    };
    if check_peer_key(&peer, &device, &service.node(), &hello.peer_key_proof).is_err() {
        return refuse(refused::Reason::Malformed, "the peer key is not proven");
    }
    let now_ms = wall_clock_ms();
    let (shared, agent, secret) =
        (Arc::clone(service), hello.agent.clone(), hello.join_secret.clone());
    let decision =
        tokio::task::spawn_blocking(move || decide(&shared, device, &agent, &secret, now_ms)).await;
    match decision {
        Ok(Ok(Decision::Known)) => Ok(Listener { device, peer, sharing: hello.sharing }),
        Ok(Ok(Decision::NoSecret)) => refuse(
            refused::Reason::NotLoggedIn,
            "this device is not known here; log in with `antiphon login LINK --secret SECRET`",
        ),
        Ok(Ok(Decision::WrongSecret)) => refuse(
            refused::Reason::WrongSecret,
            "the secret is wrong; ask the operator for the one that `antiphon-server run` prints",
        ),
        Ok(Err(error)) => {
            tracing::error!("the catalogue failed: {error}");
            refuse(refused::Reason::Unavailable, "the server cannot look the device up now")
        }
        Err(_) => refuse(refused::Reason::Unavailable, "the server is shutting down"),
    }
}

/// What is known of a device.
enum Decision {
    /// It is registered, perhaps just now.
    Known,
    /// It is not, and said no secret.
    NoSecret,
    /// It is not, and said the wrong one.
    WrongSecret,
}

fn decide(
    service: &Service,
    device: NodeId,
    agent: &str,
    secret: &str,
    now_ms: u64,
) -> Result<Decision, RegisterDeviceError> {
    if service.catalog.device(device)?.is_some() {
        return Ok(Decision::Known);
    }
    let allowed = match &service.join {
        Join::Open => true,
        // An empty one lets nobody in. Hashes are compared in constant time,
        // so that the time taken tells nothing.
        Join::Secret(expected) if !expected.is_empty() => {
            blake3::hash(secret.as_bytes()) == blake3::hash(expected.as_bytes())
        }
        Join::Secret(_) => false,
    };
    if allowed {
        service.catalog.register_device(device, agent, 0, now_ms)?;
        Ok(Decision::Known)
    } else if secret.is_empty() {
        Ok(Decision::NoSecret)
    } else {
        Ok(Decision::WrongSecret)
    }
}

async fn welcome(
    service: &Arc<Service>,
    connection: &Connection,
    mut sender: StreamSender,
    mut receiver: StreamReceiver,
    hello: &Hello,
    listener: Listener,
) -> Result<(), SessionError> {
    connection.let_in();
    let welcome = Welcome {
        minor: proto::MINOR_VERSION,
        features: Vec::new(),
        service: service.name.clone(),
        ticket: Some(ticket(service, listener)),
        observed_address: connection
            .addresses()
            .map(|(_, remote)| remote.to_string())
            .unwrap_or_default(),
    };
    Box::pin(send(&mut sender, server_notice::Kind::Welcome(welcome))).await?;

    let requests =
        tokio::spawn(requests::serve_all(Arc::clone(service), connection.clone(), listener));
    let outcome = async {
        // A recording of an old hello gets this far and no further: it is not
        // named to anyone, and displaces nobody.
        connection.confirmed().await?;
        let Some((_, remote)) = connection.addresses() else { return Err(Closed::Idle.into()) };
        let arrival = Arrival {
            peer: listener.peer,
            seen: Seen { address: remote, quic: connection.transport() == Some(Transport::Quic) },
            listen_port: u16::try_from(hello.listen_port).unwrap_or(0),
            local: local_addresses(&hello.local_addresses),
            sharing: hello.sharing,
        };
        let (_membership, mut notices) = service.online.join(service.clock.now(), &arrival);
        let mut queries = Queries::new(service, listener);
        loop {
            tokio::select! {
                // What came of one notice is told before the next is looked at.
                biased;
                Some(notice) = notices.recv() => Box::pin(send(&mut sender, *notice)).await?,
                notice = receiver.receive_encoded() => {
                    let Some(notice) = notice? else { return Ok(()) };
                    // The most frequent by far, so not in a box.
                    let other = queries.answer(notice, &mut sender, &mut receiver).await?;
                    if let Some(other) = other {
                        let notice = decode_message(other)?;
                        Box::pin(handle(service, listener, &mut sender, notice)).await?;
                    }
                }
            }
        }
    }
    .await;
    requests.abort();
    outcome
}

async fn handle(
    service: &Arc<Service>,
    listener: Listener,
    sender: &mut StreamSender,
    notice: ClientNotice,
) -> Result<(), SessionError> {
    match notice.kind {
        Some(client_notice::Kind::Announce(announce)) => {
            // Waited for, so that a flood of them waits in its own stream.
            let (service, blobs) = (Arc::clone(service), blobs(&announce.blobs));
            let _ =
                tokio::task::spawn_blocking(move || service.announce(listener.peer, &blobs)).await;
        }
        Some(client_notice::Kind::Withdraw(withdraw)) => {
            service.withdraw(listener.peer, &blobs(&withdraw.blobs));
        }
        Some(client_notice::Kind::Introduce(introduce)) => {
            let blob = match introduce.blob.is_empty() {
                true => None,
                false => Some(BlobId::from_slice(&introduce.blob)),
            };
            if let Some(holder) = NodeId::from_slice(&introduce.peer_key)
                && blob != Some(None)
            {
                let service = Arc::clone(service);
                let _ = tokio::task::spawn_blocking(move || {
                    service.introduce(listener.peer, holder, blob.flatten());
                })
                .await;
            }
        }
        Some(client_notice::Kind::RenewTicket(_)) => {
            send(sender, server_notice::Kind::Ticket(ticket(service, listener))).await?;
        }
        Some(client_notice::Kind::BadPeer(report)) => {
            record_bad_peer(service, listener, &report).await;
        }
        Some(client_notice::Kind::Reach(reach)) => service.reach(listener.peer, &reach),
        // A second hello changes nothing; queries are answered before this; a
        // newer client may say what we do not understand.
        Some(client_notice::Kind::Hello(_) | client_notice::Kind::SwarmQuery(_)) | None => {}
    }
    Ok(())
}

async fn record_bad_peer(service: &Arc<Service>, listener: Listener, report: &proto::BadPeer) {
    let (Some(peer), Some(blob)) =
        (NodeId::from_slice(&report.peer_key), BlobId::from_slice(&report.blob))
    else {
        return;
    };
    tracing::debug!(?peer, ?blob, block = report.block, "reported for a bad block");
    let report = BadPeer {
        peer,
        reporter: listener.device,
        blob,
        block: report.block,
        at_ms: wall_clock_ms(),
    };
    let service = Arc::clone(service);
    // Waited for, as announcements are. The catalogue keeps the last hundred.
    let _ = tokio::task::spawn_blocking(move || {
        service.online.report(service.clock.now(), listener.peer, peer);
        if let Err(error) = service.catalog.record_bad_peer(&report) {
            tracing::error!("a report was lost: {error}");
        }
    })
    .await;
}

fn ticket(service: &Service, listener: Listener) -> proto::SignedTicket {
    issue_ticket(&service.keys.node, &listener.peer, 0, wall_clock_ms())
}

fn blobs(names: &[Bytes]) -> Vec<BlobId> {
    names.iter().filter_map(|name| BlobId::from_slice(name)).collect()
}

async fn send(sender: &mut StreamSender, kind: server_notice::Kind) -> Result<(), StreamError> {
    sender.send(&ServerNotice { kind: Some(kind) }).await
}
