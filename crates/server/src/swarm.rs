//! Announcing, withdrawing and asking who holds what, in one message.
//!
//! The server's most frequent work by far, so it takes no detour: what is ours
//! is remembered, holders come from the tracker with what says where they are
//! reached, and that is written straight into the answer. Messages that came
//! together are answered in one go: the connection sends when this session has
//! nothing more to read.

mod answer;
mod asked;

use std::sync::Arc;
use std::time::Duration;

use antiphon_catalog::BlobSharing;
use antiphon_net::{StreamError, StreamReceiver, StreamSender};
use antiphon_tracker::Tracker;
use bytes::Bytes;

use crate::bucket::{Bucket, Rate};
use crate::online::NAMED_PEERS;
use crate::policy::are_named;
use crate::service::Service;
use crate::session::Listener;
use answer::{Answers, MAX_ANSWER_BYTES};
use asked::Asked;

/// Blobs in the queries of a session: 5,000 a second, many times what a
/// listener does who skips all day. Who sends more waits, and the rest of what
/// she sends waits in her stream.
const ASKING: Rate = Rate { burst: 20_000, interval: Duration::from_micros(200) };

/// What holds for the blobs that are asked for, in their order.
type Rules = Vec<Option<BlobSharing>>;

/// The queries of a session.
pub(crate) struct Queries<'a> {
    service: &'a Arc<Service>,
    listener: Listener,
    bucket: Bucket,
}

impl<'a> Queries<'a> {
    pub(crate) fn new(service: &'a Arc<Service>, listener: Listener) -> Self {
        Self { service, listener, bucket: Bucket::default() }
    }

    /// Does what a query wants and answers it, and all that have come behind it; gives
    /// back the first notice that is none, or that has to be looked at as any other.
    pub(crate) async fn answer(
        &mut self,
        mut notice: Bytes,
        sender: &mut StreamSender,
        receiver: &mut StreamReceiver,
    ) -> Result<Option<Bytes>, StreamError> {
        let (mut asked, mut answers) = (Asked::default(), Answers::default());
        let other = loop {
            if !asked.read(&notice) {
                break Some(notice);
            }
            let now = self.service.clock.now();
            let pause = self.bucket.owe(now, ASKING, asked.blobs());
            if !pause.is_zero() {
                send(&mut answers, sender).await?;
                Box::pin(tokio::time::sleep(pause)).await;
            }
            if !take_at_once(self.service, self.listener, &asked, &mut answers) {
                // Waited for, so that a flood of them waits in its own stream.
                let slow = take_slowly(self.service, self.listener, asked, answers);
                (asked, answers) = Box::pin(slow).await;
            }
            if answers.are_enough() {
                send(&mut answers, sender).await?;
            }
            match receiver.take_encoded()? {
                Some(next) => notice = next,
                None => break None,
            }
        };
        send(&mut answers, sender).await?;
        Ok(other)
    }
}

async fn send(answers: &mut Answers, sender: &mut StreamSender) -> Result<(), StreamError> {
    match answers.is_empty() {
        true => Ok(()),
        false => sender.send_enveloped(answers.take()).await,
    }
}

/// Does what a query wants if all of its blobs are remembered and the index is here;
/// else false.
fn take_at_once(
    service: &Service,
    listener: Listener,
    asked: &Asked,
    answers: &mut Answers,
) -> bool {
    if !service.online.answers_at_once() {
        return false;
    }
    let Some(rules) = rules_remembered(service, asked) else { return false };
    take(service.online.tracker(), listener, asked, &rules, answers);
    true
}

/// What is remembered of the blobs, if of all.
fn rules_remembered(service: &Service, asked: &Asked) -> Option<Rules> {
    let known = service.remembered()?;
    if !asked.announce.iter().all(|blob| known.of(*blob).is_some()) {
        return None;
    }
    let rule = |blob: &Option<_>| match blob {
        Some(blob) => known.of(*blob).map(Some),
        None => Some(None),
    };
    asked.find.iter().map(rule).collect()
}

/// The same where the catalogue, or an index elsewhere, has to be asked.
async fn take_slowly(
    service: &Arc<Service>,
    listener: Listener,
    mut asked: Asked,
    mut answers: Answers,
) -> (Asked, Answers) {
    let service = Arc::clone(service);
    let work = move || {
        // Only what is ours: nobody fills the index with inventions.
        asked.announce.retain(|blob| service.sharing_of(*blob).is_some());
        let rules: Rules = asked.find.iter().map(|blob| service.sharing_of((*blob)?)).collect();
        take(service.online.tracker(), listener, &asked, &rules, &mut answers);
        (asked, answers)
    };
    // An error only when the server shuts down.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// Takes what is announced, all of which is ours, and withdrawn into the tracker, then
/// asks it.
fn take(
    tracker: &dyn Tracker,
    listener: Listener,
    asked: &Asked,
    rules: &[Option<BlobSharing>],
    answers: &mut Answers,
) {
    if !asked.announce.is_empty()
        && let Err(error) = tracker.announce(listener.peer, &asked.announce)
    {
        tracing::debug!(peer = ?listener.peer, "announcement refused: {error}");
    }
    if !asked.withdraw.is_empty() {
        tracker.withdraw(listener.peer, &asked.withdraw);
    }
    let mut answer = answers.begin(asked.id, asked.find.len());
    let mut rng = rand::rng();
    for (blob, rule) in asked.find.iter().zip(rules) {
        let may = listener.sharing && answer.len() < MAX_ANSWER_BYTES;
        let rule = rule.as_ref().filter(|rule| may && are_named(rule));
        let mut holders = answer.holders();
        let mut fewest = 0;
        if let (Some(blob), Some(rule)) = (blob, rule) {
            fewest = usize::from(rule.catalog.smallest_swarm);
            let tell = &mut |named: antiphon_tracker::Named<'_>| holders.push(named);
            tracker.find_each(*blob, listener.peer, NAMED_PEERS, &mut rng, tell);
        }
        holders.end(fewest);
    }
    answer.end();
}
