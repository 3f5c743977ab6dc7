//! Fetching blocks: each request a task, each block verified before anyone
//! hears of it (B37).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use antiphon_listener::{PlayId, Refused, Source, TransferId};
use antiphon_net::{Stream, StreamError, StreamItem};
use antiphon_store::{PutError, Store};
use antiphon_types::{BlobId, BlockRange};
use antiphon_wire::proto::{self, reply};
use tokio::sync::{mpsc, oneshot};

use crate::deck::Gate;
use crate::node::Event;
use crate::session::{RequestError, receive_reply};

/// After how long a source that did not say is asked again.
const DEFAULT_RETRY: Duration = Duration::from_millis(500);

/// Where the blocks of a play go.
#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) play: PlayId,
    pub(crate) blob: BlobId,
    pub(crate) store: Store,
    pub(crate) gate: Gate,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

/// One request, or the server's push.
pub(crate) struct Transfer {
    pub(crate) id: TransferId,
    pub(crate) source: Source,
    pub(crate) blocks: BlockRange,
    pub(crate) to: Destination,
}

/// How a transfer ended early.
enum Failure {
    /// The source would not, or could not.
    Refused(Refused),
    /// A block did not verify; it has been told.
    Bad,
    /// The cache cannot take it.
    Store(String),
}

impl Transfer {
    /// Reads the answer to a request for blocks.
    pub(crate) async fn run(self, stream: Result<Stream, RequestError>) {
        let outcome = match stream {
            Ok(mut stream) => match receive_reply(&mut stream).await {
                Ok(reply::Kind::BlocksFollow(_)) => self.receive(&mut stream).await,
                Ok(_) => Err(Failure::Refused(Refused::Failed)),
                Err(error) => Err(Failure::Refused(refusal(&error))),
            },
            Err(error) => Err(Failure::Refused(refusal(&error))),
        };
        let event = match outcome {
            Ok(0) | Err(Failure::Bad) => return,
            Ok(_) => Event::Refused { transfer: self.id, reason: Refused::Failed },
            Err(Failure::Refused(Refused::NotHeld)) if self.source == Source::Server => {
                Event::ServerLacks { play: self.to.play }
            }
            Err(Failure::Refused(reason)) => Event::Refused { transfer: self.id, reason },
            Err(Failure::Store(reason)) => Event::StoreFailed { play: self.to.play, reason },
        };
        let _ = self.to.events.send(event);
    }

    /// Reads what the server sends unasked after its answer to a play, until
    /// it ends or is called off; what has come by then is kept.
    pub(crate) async fn run_push(self, mut stream: Stream, mut off: oneshot::Receiver<()>) {
        let mut due: BTreeSet<u32> = self.blocks.iter().collect();
        loop {
            let item = tokio::select! {
                biased;
                item = stream.receive() => item,
                _ = &mut off => break,
            };
            let Ok(Some(StreamItem::Block { index, proof, data })) = item else { break };
            let first_byte = stream.first_block_byte().map(tokio::time::Instant::into_std);
            if !due.remove(&index) {
                break;
            }
            match self.keep(index, proof, data, first_byte).await {
                Ok(()) => {}
                Err(Failure::Store(reason)) => {
                    let failed = Event::StoreFailed { play: self.to.play, reason };
                    let _ = self.to.events.send(failed);
                    break;
                }
                Err(_) => break,
            }
        }
        let _ = self.to.events.send(Event::PushEnded { play: self.to.play });
    }

    /// Takes blocks until the stream ends; returns how many did not come.
    async fn receive(&self, stream: &mut Stream) -> Result<usize, Failure> {
        let mut due: BTreeSet<u32> = self.blocks.iter().collect();
        loop {
            match stream.receive().await {
                Ok(Some(StreamItem::Block { index, proof, data })) => {
                    if !due.remove(&index) {
                        // Nobody asked for it, or not again: whoever does that
                        // is not trusted with the rest either.
                        return Err(Failure::Refused(Refused::Unasked));
                    }
                    let first_byte = stream.first_block_byte().map(tokio::time::Instant::into_std);
                    self.keep(index, proof, data, first_byte).await?;
                }
                Ok(Some(StreamItem::Message(body))) => {
                    return Err(Failure::Refused(late_refusal(body)));
                }
                Ok(None) => return Ok(due.len()),
                Err(StreamError::Reset(_)) => {
                    let choked = Refused::Choked { retry_after: DEFAULT_RETRY };
                    return Err(Failure::Refused(choked));
                }
                Err(_) => return Err(Failure::Refused(Refused::Failed)),
            }
        }
    }

    async fn keep(
        &self,
        block: u32,
        proof: bytes::Bytes,
        data: bytes::Bytes,
        first_byte: Option<Instant>,
    ) -> Result<(), Failure> {
        let to = self.to.clone();
        let (play, source, transfer) = (to.play, self.source, self.id);
        // In one piece, so that cancelling cannot part what is stored from
        // what is told.
        let kept = tokio::task::spawn_blocking(move || {
            let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let event = match to.store.put(to.blob, block, &proof, &data) {
                Ok(_) => {
                    to.gate.open(block);
                    Event::Block { play, source, transfer, block, bytes, first_byte }
                }
                Err(PutError::Unverified | PutError::WrongLength | PutError::OutOfRange) => {
                    let _ = to.events.send(Event::BadBlock { play, source, transfer, block });
                    return Err(Failure::Bad);
                }
                // It is asked for again, in a while.
                Err(PutError::NotChecked(_)) => return Err(Failure::Refused(Refused::Failed)),
                Err(error) => return Err(Failure::Store(error.to_string())),
            };
            let _ = to.events.send(event);
            Ok(())
        });
        kept.await.unwrap_or_else(|_| Err(Failure::Store("the program is ending".to_owned())))
    }
}

/// A refusal in the middle of an answer.
fn late_refusal(body: bytes::Bytes) -> Refused {
    use antiphon_wire::proto::Message as _;
    match proto::Reply::decode(body) {
        Ok(proto::Reply { kind: Some(reply::Kind::Refused(refused)) }) => reason(&refused),
        _ => Refused::Failed,
    }
}

fn refusal(error: &RequestError) -> Refused {
    match error {
        RequestError::Refused(refused) => reason(refused),
        RequestError::Stream(StreamError::Reset(_)) => {
            Refused::Choked { retry_after: DEFAULT_RETRY }
        }
        _ => Refused::Failed,
    }
}

fn reason(refused: &proto::Refused) -> Refused {
    match refused.reason() {
        proto::refused::Reason::Busy => Refused::Choked {
            retry_after: match refused.retry_after_ms {
                0 => DEFAULT_RETRY,
                millis => Duration::from_millis(millis.into()),
            },
        },
        proto::refused::Reason::NotHeld | proto::refused::Reason::NotFound => Refused::NotHeld,
        _ => Refused::Failed,
    }
}
