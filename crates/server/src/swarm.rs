//! Announcing, withdrawing and asking who holds what, in one message.
//!
//! The server's most frequent work by far, so it takes no detour: what is ours
//! is remembered, holders come from the tracker with what says where they are
//! reached, and that is written straight into the answer. Messages that came
//! together are answered in one go: the connection sends when this session has
//! nothing more to read.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use antiphon_catalog::BlobSharing;
use antiphon_net::{StreamError, StreamSender};
use antiphon_tracker::Tracker;
use antiphon_types::BlobId;
use antiphon_wire::proto::SwarmQuery;
use bytes::Bytes;

use crate::bucket::{Bucket, Rate};
use crate::online::NAMED_PEERS;
use crate::policy::are_named;
use crate::service::Service;
use crate::session::Listener;
use answer::{Answer, MAX_ANSWER_BYTES};

/// Blobs of `announce`, and of `withdraw`, that are looked at.
const MAX_TOLD: usize = 1000;
/// Blobs of `find` that are looked at.
const MAX_WANTED: usize = 64;

/// Blobs in the queries of a session: 5,000 a second, many times what a
/// listener does who skips all day. Who sends more waits, and the rest of what
/// she sends waits in her stream.
const ASKING: Rate = Rate { burst: 20_000, interval: Duration::from_micros(200) };

/// A query, as far as it makes sense.
struct Asked {
    id: u64,
    announce: Vec<BlobId>,
    withdraw: Vec<BlobId>,
    /// In the order of the answer; `None` is no blob and held by nobody.
    find: Vec<Option<BlobId>>,
}

/// What holds for the blobs of a query, in their order.
struct Rules {
    announce: Vec<Option<BlobSharing>>,
    find: Vec<Option<BlobSharing>>,
}

impl Asked {
    fn new(query: &SwarmQuery) -> Self {
        let told = |names: &[Bytes]| -> Vec<BlobId> {
            let names = names.iter().take(MAX_TOLD);
            names.filter_map(|name| BlobId::from_slice(name)).collect()
        };
        let wanted = query.find.iter().take(MAX_WANTED);
        Self {
            id: query.id,
            announce: told(&query.announce),
            withdraw: told(&query.withdraw),
            find: wanted.map(|name| BlobId::from_slice(name)).collect(),
        }
    }

    fn blobs(&self) -> u32 {
        let blobs = self.announce.len() + self.withdraw.len() + self.find.len();
        u32::try_from(blobs).unwrap_or(u32::MAX)
    }
}

/// Does what a query wants and answers it.
pub(crate) async fn answer(
    service: &Arc<Service>,
    listener: Listener,
    bucket: &mut Bucket,
    sender: &mut StreamSender,
    query: &SwarmQuery,
) -> Result<(), StreamError> {
    let asked = Asked::new(query);
    let pause = bucket.owe(service.clock.now(), ASKING, asked.blobs());
    if !pause.is_zero() {
        Box::pin(tokio::time::sleep(pause)).await;
    }
    let remembered = match service.online.answers_at_once() {
        true => rules_remembered(service, &asked),
        false => None,
    };
    let answer = match remembered {
        Some(rules) => take(service.online.tracker(), listener, &asked, &rules),
        // Waited for, so that a flood of them waits in its own stream.
        None => Box::pin(take_slowly(service, listener, asked)).await,
    };
    sender.send_message(answer).await
}

/// What is remembered of the blobs, if of all.
fn rules_remembered(service: &Service, asked: &Asked) -> Option<Rules> {
    let all = asked.announce.iter().copied().chain(asked.find.iter().flatten().copied());
    let mut known = service.remembered(all)?.into_iter();
    let announce = known.by_ref().take(asked.announce.len()).map(Some).collect();
    let find = asked.find.iter().map(|blob| blob.and_then(|_| known.next())).collect();
    Some(Rules { announce, find })
}

/// The same where the catalogue, or an index elsewhere, has to be asked.
async fn take_slowly(service: &Arc<Service>, listener: Listener, asked: Asked) -> Bytes {
    let (service, id) = (Arc::clone(service), asked.id);
    let work = move || {
        let rules = Rules {
            announce: asked.announce.iter().map(|blob| service.sharing_of(*blob)).collect(),
            find: asked.find.iter().map(|blob| service.sharing_of((*blob)?)).collect(),
        };
        take(service.online.tracker(), listener, &asked, &rules)
    };
    let answer = tokio::task::spawn_blocking(work).await;
    // Only when the server shuts down.
    answer.unwrap_or_else(|_| Answer::new(id).finish())
}

/// Takes what is announced and withdrawn into the tracker, then asks it.
fn take(tracker: &dyn Tracker, listener: Listener, asked: &Asked, rules: &Rules) -> Bytes {
    // Only what is ours: nobody fills the index with inventions.
    let announced = asked.announce.iter().zip(&rules.announce);
    let ours: Vec<BlobId> =
        announced.filter(|(_, rule)| rule.is_some()).map(|(blob, _)| *blob).collect();
    if !ours.is_empty()
        && let Err(error) = tracker.announce(listener.peer, &ours)
    {
        tracing::debug!(peer = ?listener.peer, "announcement refused: {error}");
    }
    if !asked.withdraw.is_empty() {
        tracker.withdraw(listener.peer, &asked.withdraw);
    }
    let mut answer = Answer::new(asked.id);
    let mut rng = rand::rng();
    for (blob, rule) in asked.find.iter().zip(&rules.find) {
        let may = listener.sharing && answer.len() < MAX_ANSWER_BYTES;
        let rule = rule.as_ref().filter(|rule| may && are_named(rule));
        let holders = match (blob, rule) {
            (Some(blob), Some(rule)) => {
                let found = tracker.find(*blob, listener.peer, NAMED_PEERS, &mut rng);
                let enough = found.len() >= usize::from(rule.catalog.smallest_swarm);
                if enough { found } else { Vec::new() }
            }
            _ => Vec::new(),
        };
        answer.push(&holders);
    }
    answer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_looked_at_as_far_as_it_may_go() {
        let name = |byte| Bytes::copy_from_slice(&[byte; 32]);
        let query = SwarmQuery {
            id: 7,
            announce: vec![name(1); 1001],
            withdraw: vec![Bytes::from_static(b"short"), name(2)],
            find: [vec![Bytes::from_static(b"short")], vec![name(3); 70]].concat(),
        };
        let asked = Asked::new(&query);
        assert_eq!((asked.announce.len(), asked.withdraw.len()), (1000, 1));
        assert_eq!((asked.find.len(), asked.find[0]), (64, None));
    }
}
