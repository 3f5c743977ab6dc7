//! What happens on a QUIC connection besides its streams.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use antiphon_types::Class;
use antiphon_wire::{CloseCode, Limits, printable, reset_code};
use quinn::{ConnectionError, RecvStream, SendStream, TransportErrorCode, VarInt};
use tokio::task::JoinSet;

use super::link::QuicLink;
use super::stream::{MAX_NOTICE_BYTES, QuicReceiver, QuicSender, read_class, reason_of};
use crate::bucket::Bucket;
use crate::connection::{Closed, Incoming, Link, Phase, Shared, StreamEnd};
use crate::early::EarlyStream;

/// How long the other side may take to say the class of a stream.
const CLASS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what was written may take to arrive before the connection closes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said to whoever opens streams faster than the multiplexer allows it.
const FLOOD_REASON: &str = "too many streams were opened in a short time";

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
        stream.readable.notify_one();
        stream.writable.notify_one();
        let finished = early.finished;
        let Some((mut sender, receiver)) = open_early(link, early) else {
            // Nobody else would ever tell those who wait on it.
            stream.end = Some(StreamEnd::Reset(reset_code::REFUSED));
            continue;
        };
        let delivery = finished.then(|| {
            sender.finish();
            sender.delivered()
        });
        stream.quic_sender = Some(sender);
        stream.quic_receiver = Some(receiver);
        if let Some(delivery) = delivery {
            state.note_leaving(delivery);
        }
    }
    if let Some(reason) = &state.going_away {
        link.go_away(reason);
    }
}

/// Opens what was opened early; `None` if there is no place or no room for it.
fn open_early(link: &QuicLink, early: EarlyStream) -> Option<(QuicSender, QuicReceiver)> {
    let (mut sender, receiver) = link.open(early.class).ok()?;
    early.chunks.into_iter().all(|chunk| sender.send_now(chunk)).then_some((sender, receiver))
}

/// Runs a connection to its end.
pub(crate) async fn run(shared: Arc<Shared>) {
    let link = match &shared.lock().link {
        Link::Quic(link) => link.clone(),
        Link::Pending(_) | Link::Mux(_) => return,
    };
    let mut driver = Driver::new(&shared, &link);
    let reason = driver.drive().await;
    tracing::debug!(remote = ?shared.remote, "connection ended: {reason}");
    shared.close(reason);
}

struct Driver<'a> {
    shared: &'a Arc<Shared>,
    link: &'a QuicLink,
    /// Streams whose class has not come; whether it is the first of all.
    naming: JoinSet<(bool, Named)>,
    farewells: JoinSet<()>,
    /// With the rate of the multiplexer. A place that is free again costs the
    /// other side one packet and us a task: the number of places alone does not
    /// bound that (rapid reset, CVE-2023-44487).
    opens: Bucket,
    is_first: bool,
    /// What waits for the first stream to be named: that is the session's, and
    /// nothing may overtake it. The other side has few places, so these are few.
    held: Option<Vec<Named>>,
}

impl<'a> Driver<'a> {
    fn new(shared: &'a Arc<Shared>, link: &'a QuicLink) -> Self {
        let rate = Limits::default().opens;
        Self {
            shared,
            link,
            naming: JoinSet::new(),
            farewells: JoinSet::new(),
            opens: Bucket::new(rate.per_second, rate.burst, shared.clock.now()),
            is_first: true,
            held: Some(Vec::new()),
        }
    }

    async fn drive(&mut self) -> Closed {
        let connection = &self.link.connection;
        let mut hears_notices = true;
        loop {
            tokio::select! {
                stream = connection.accept_bi() => match stream {
                    Ok(_) if !self.opens.take(self.shared.clock.now()) => {
                        self.close(CloseCode::FLOOD, FLOOD_REASON).await;
                        return Closed::Protocol(FLOOD_REASON.to_owned());
                    }
                    Ok((sender, receiver)) => self.opened(sender, receiver),
                    Err(error) => return self.lost(error).await,
                },
                Some(Ok((is_first, named))) = self.naming.join_next() => {
                    self.named(is_first, named);
                }
                // An error comes at once, while streams may be there still.
                notice = connection.accept_uni(), if hears_notices => match notice {
                    Ok(stream) => self.hear(stream),
                    Err(_) => hears_notices = false,
                },
                Some(_) = self.farewells.join_next() => {}
                () = self.shared.work.notified() => {
                    let closing = self.shared.lock().closing.clone();
                    if let Some(reason) = closing {
                        flush(self.shared).await;
                        self.close(CloseCode::SHUTDOWN, &reason).await;
                        return Closed::ByUs(reason);
                    }
                }
            }
        }
    }

    async fn close(&self, code: CloseCode, reason: &str) {
        self.link.close(code, reason);
        self.link.close_has_left().await;
    }

    /// The other side has opened a stream. Mostly its class is there as well.
    fn opened(&mut self, sender: SendStream, mut receiver: RecvStream) {
        let is_first = std::mem::take(&mut self.is_first);
        let reading = pin!(read_class(&mut receiver)).poll(&mut Context::from_waker(Waker::noop()));
        match reading {
            Poll::Ready(class) => self.named(is_first, (class, sender, receiver)),
            Poll::Pending => {
                let naming = name(sender, receiver);
                self.naming.spawn(async move { (is_first, naming.await) });
            }
        }
    }

    fn named(&mut self, is_first: bool, named: Named) {
        match &mut self.held {
            Some(held) if !is_first => held.push(named),
            _ => {
                self.take(named);
                for held in self.held.take().into_iter().flatten() {
                    self.take(held);
                }
            }
        }
    }

    /// Hands a stream to whoever accepts the next.
    fn take(&self, (class, mut sender, mut receiver): Named) {
        let mut refuse = |code| {
            let code = VarInt::from_u32(code);
            let _ = (sender.reset(code), receiver.stop(code));
        };
        let Some(class) = class else { return refuse(reset_code::BAD_MESSAGE) };
        let mut state = self.shared.lock();
        if state.going_away.is_some() {
            return refuse(reset_code::REFUSED);
        }
        let (sender, receiver) = self.link.answering(class, (sender, receiver));
        state.incoming.push_back(Incoming::Quic(class, sender, receiver));
        drop(state);
        self.shared.news.notify_waiters();
    }

    fn hear(&mut self, notice: RecvStream) {
        self.farewells.spawn(hear_farewell(Arc::clone(self.shared), notice));
    }

    /// The connection is no more. What came before that is handed out still.
    async fn lost(&mut self, error: ConnectionError) -> Closed {
        while let Ok(notice) = self.link.connection.accept_uni().await {
            self.hear(notice);
        }
        while self.farewells.join_next().await.is_some() {}
        while let Some(named) = self.naming.join_next().await {
            if let Ok((is_first, named)) = named {
                self.named(is_first, named);
            }
        }
        ended(self.shared, error)
    }
}

async fn name(sender: SendStream, mut receiver: RecvStream) -> Named {
    let class = tokio::time::timeout(CLASS_TIMEOUT, read_class(&mut receiver)).await;
    (class.ok().flatten(), sender, receiver)
}

async fn hear_farewell(shared: Arc<Shared>, mut stream: RecvStream) {
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
        ConnectionError::TransportError(found) if is_ours(found.code) => {
            Closed::Broken(found.to_string())
        }
        ConnectionError::TransportError(_) | ConnectionError::VersionMismatch => {
            Closed::Protocol(error.to_string())
        }
        other => Closed::Broken(other.to_string()),
    }
}

/// Whether an error that this side found is nothing that the other side did.
fn is_ours(code: TransportErrorCode) -> bool {
    matches!(code, TransportErrorCode::INTERNAL_ERROR | TransportErrorCode::AEAD_LIMIT_REACHED)
}
