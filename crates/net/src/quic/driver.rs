//! What happens on a QUIC connection besides its streams.

use std::sync::Arc;
use std::time::Duration;

use antiphon_types::Class;
use antiphon_wire::{CloseCode, printable, reset_code};
use quinn::{ConnectionError, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;

use super::link::QuicLink;
use super::stream::{MAX_NOTICE_BYTES, read_class, reason_of};
use crate::connection::{Closed, Incoming, Link, Phase, Shared};

/// How long the other side may take to say the class of a stream.
const CLASS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what was written may take to arrive before the connection closes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A stream whose class is known, or is not to be.
type Named = (Option<Class>, SendStream, RecvStream);

/// Takes a connection that we have dialled: what was written before it stood
/// goes first.
pub(crate) fn established(shared: &Shared, link: &QuicLink) {
    let mut state = shared.lock();
    state.addresses = link.addresses();
    state.phase = Phase::Established { confirmed: true };
    let early = match std::mem::replace(&mut state.link, Link::Quic(link.clone())) {
        Link::Pending(early) => early,
        Link::Mux(_) | Link::Quic(_) => return,
    };
    for (id, early) in early.into_streams() {
        let Some(stream) = state.streams.get_mut(&id).filter(|_| !early.given_up) else { continue };
        if let Ok((mut sender, receiver)) = link.open(early.class) {
            let _ = early.chunks.into_iter().all(|chunk| sender.send_now(chunk));
            if early.finished {
                sender.finish();
            }
            stream.quic_sender = Some(sender);
            stream.quic_receiver = Some(receiver);
        }
        stream.readable.notify_one();
        stream.writable.notify_one();
    }
}

/// Runs a connection to its end.
pub(crate) async fn run(shared: Arc<Shared>) {
    let link = match &shared.lock().link {
        Link::Quic(link) => link.clone(),
        Link::Pending(_) | Link::Mux(_) => return,
    };
    let reason = drive(&shared, &link).await;
    tracing::debug!(remote = ?shared.remote, "connection ended: {reason}");
    shared.close(reason);
}

async fn drive(shared: &Shared, link: &QuicLink) -> Closed {
    let connection = &link.connection;
    let mut naming = JoinSet::new();
    let mut first = true;
    loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                // The first one is the session's: nothing may overtake it.
                Ok((sender, receiver)) if std::mem::take(&mut first) => {
                    take(shared, link, name(sender, receiver).await);
                }
                Ok((sender, receiver)) => drop(naming.spawn(name(sender, receiver))),
                Err(error) => return ended(shared, error),
            },
            Some(Ok(named)) = naming.join_next() => take(shared, link, named),
            notice = connection.accept_uni() => match notice {
                Ok(stream) => hear_farewell(shared, stream).await,
                Err(error) => return ended(shared, error),
            },
            () = shared.work.notified() => {
                let closing = shared.lock().closing.clone();
                if let Some(reason) = closing {
                    flush(shared).await;
                    link.close(CloseCode::SHUTDOWN, &reason);
                    return Closed::ByUs(reason);
                }
            }
        }
    }
}

async fn name(sender: SendStream, mut receiver: RecvStream) -> Named {
    let class = tokio::time::timeout(CLASS_TIMEOUT, read_class(&mut receiver)).await;
    (class.ok().flatten(), sender, receiver)
}

/// Hands a stream to whoever accepts the next.
fn take(shared: &Shared, link: &QuicLink, (class, mut sender, mut receiver): Named) {
    let Some(class) = class else {
        let code = VarInt::from_u32(reset_code::BAD_MESSAGE);
        let _ = (sender.reset(code), receiver.stop(code));
        return;
    };
    let (sender, receiver) = link.answering(class, (sender, receiver));
    shared.lock().incoming.push_back(Incoming::Quic(class, sender, receiver));
    shared.news.notify_waiters();
}

async fn hear_farewell(shared: &Shared, mut stream: RecvStream) {
    let reading = stream.read_to_end(MAX_NOTICE_BYTES);
    let Ok(Ok(notice)) = tokio::time::timeout(CLASS_TIMEOUT, reading).await else { return };
    if let Some(reason) = reason_of(&notice) {
        shared.lock().farewell = Some(reason);
        shared.news.notify_waiters();
    }
}

/// Waits until the streams that were finished last have arrived.
async fn flush(shared: &Shared) {
    let leaving = std::mem::take(&mut shared.lock().leaving);
    let delivered = async {
        for delivery in leaving {
            delivery.await;
        }
    };
    let _ = tokio::time::timeout(FLUSH_TIMEOUT, delivered).await;
}

fn ended(shared: &Shared, error: ConnectionError) -> Closed {
    match error {
        ConnectionError::TimedOut => Closed::Idle,
        ConnectionError::ApplicationClosed(close) => {
            let said = printable(&String::from_utf8_lossy(&close.reason));
            Closed::ByPeer(shared.lock().farewell.clone().unwrap_or(said))
        }
        ConnectionError::LocallyClosed => Closed::ByUs("closed".to_owned()),
        ConnectionError::TransportError(_) | ConnectionError::VersionMismatch => {
            Closed::Protocol(error.to_string())
        }
        other => Closed::Broken(other.to_string()),
    }
}
