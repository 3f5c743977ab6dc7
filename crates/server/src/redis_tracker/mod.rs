//! An index that several servers share, in Redis.
//!
//! Redis is a help here, never a condition. Each server keeps what its own
//! listeners hold in memory, writes it to Redis from one thread ([`writer`]),
//! asks Redis from another ([`reader`]), and hears from other servers on a third
//! ([`inbox`]). Whoever asks waits [`ANSWER_TIMEOUT`] at most, and not at all
//! while Redis is known to be away: then a server names its own listeners. When
//! Redis is back, with or without its data, every server writes anew what its
//! listeners hold.
//!
//! | key, behind `antiphon:SERVICE:` | what |
//! | --- | --- |
//! | `s:BLOB` | sorted set: up to 20 peers, by the time of their announcement in ms |
//! | `p:PEER` | a [`Record`]: which server has its session, where it is, how well it serves |
//! | `v:SERVER` | there while that server lives; without it its peers count for nothing |
//! | `c:SERVER` | a channel on which others pass things on to it |
//!
//! All expire, so that nothing of a server that died stays.

mod inbox;
mod own;
mod reader;
mod record;
mod settings;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use antiphon_net::wall_clock_ms;
use antiphon_tracker::{
    AnnounceError, Announced, ConnectError, Health, Holder, Limits, MemoryTracker, Named, Nearness,
    Place, Tracker,
};
use antiphon_types::{BlobId, NodeId, Timestamp};
use rand::Rng;
use rand::seq::SliceRandom as _;
use tokio::sync::mpsc;

use own::Own;
use reader::{Ask, Found};
pub(crate) use record::{Record, ServerId};
use settings::ANSWER_TIMEOUT;
pub use settings::{OpenRedisError, RedisSettings};
use writer::Change;

/// Changes that wait to be written; when there are more, all is written anew.
const QUEUED_CHANGES: usize = 16_384;
/// Questions that wait to be asked; further ones are answered from memory.
const QUEUED_ASKS: usize = 1_024;
/// Things passed on by other servers that wait to be looked at.
const QUEUED_MESSAGES: usize = 1_024;

/// An index that several servers share.
pub struct RedisTracker {
    /// What this server's own listeners hold, to name them without Redis.
    local: MemoryTracker,
    limits: Limits,
    shared: Arc<Shared>,
    changes: Option<SyncSender<Change>>,
    asks: SyncSender<Ask>,
    writer: Option<JoinHandle<()>>,
}

/// What the threads share.
struct Shared {
    settings: RedisSettings,
    id: ServerId,
    own: Mutex<Own>,
    /// Whether questions are answered: if not, nobody waits for an answer.
    answers: AtomicBool,
    /// Changes were lost: all is to be written anew.
    behind: AtomicBool,
    /// The tracker is gone.
    over: AtomicBool,
}

impl Shared {
    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

impl RedisTracker {
    /// An index in the Redis that `settings` name. It need not be there yet.
    ///
    /// The receiver gives what other servers pass on to this one.
    pub fn open(
        settings: RedisSettings,
        limits: Limits,
    ) -> Result<(Self, mpsc::Receiver<Vec<u8>>), OpenRedisError> {
        let id = ServerId::draw(&mut rand::rng());
        let shared = Arc::new(Shared {
            settings,
            id,
            own: Mutex::new(Own::new(limits.blobs_per_peer)),
            answers: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let (changes, to_write) = sync_channel(QUEUED_CHANGES);
        let (asks, to_ask) = sync_channel(QUEUED_ASKS);
        let (passed_on, messages) = mpsc::channel(QUEUED_MESSAGES);
        let cap = limits.holders_per_blob;
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(format!("redis-{name}"));
            thread.spawn(work).map_err(OpenRedisError::Thread)
        };
        let (a, b, c) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
        let writer = start("writer", Box::new(move || writer::run(&a, &to_write, cap)))?;
        start("reader", Box::new(move || reader::run(&b, &to_ask)))?;
        start("inbox", Box::new(move || inbox::run(&c, &passed_on)))?;
        let tracker = Self {
            local: MemoryTracker::new(limits.clone(), rand::random()),
            limits,
            shared,
            changes: Some(changes),
            asks,
            writer: Some(writer),
        };
        Ok((tracker, messages))
    }

    /// Whether Redis answers, as far as is known.
    pub fn is_up(&self) -> bool {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// Where a peer with a session elsewhere is, and with which server. Waits
    /// [`ANSWER_TIMEOUT`] at most.
    pub(crate) fn look_up(&self, peer: NodeId) -> Option<Record> {
        let (answer, answered) = sync_channel(1);
        let found = self.ask(Ask::Peer(peer, answer), &answered)?;
        found.into_iter().next().map(|(_, record)| record)
    }

    /// Passes something on to another server. It may get lost.
    pub(crate) fn tell(&self, server: ServerId, message: Vec<u8>) {
        self.change(Change::Tell(server, message));
    }

    fn ask(&self, ask: Ask, answered: &std::sync::mpsc::Receiver<Found>) -> Option<Found> {
        if !self.is_up() || self.asks.try_send(ask).is_err() {
            return None;
        }
        answered.recv_timeout(ANSWER_TIMEOUT).ok()
    }

    fn change(&self, change: Change) {
        let Some(changes) = &self.changes else { return };
        if let Err(TrySendError::Full(_)) = changes.try_send(change) {
            self.shared.behind.store(true, Ordering::Relaxed);
        }
    }

    /// The nearest first, then the healthy, else in random order.
    fn rank(
        &self,
        found: Found,
        asker: NodeId,
        limit: usize,
        mut rng: &mut dyn Rng,
    ) -> Vec<Holder> {
        let here = self.shared.own().peer(asker).map(|peer| peer.place.clone());
        let mut ranked: Vec<(u8, Holder)> = found
            .into_iter()
            .filter(|(node, _)| *node != asker)
            .map(|(node, Record { place, health, .. })| {
                let nearness = here.as_ref().map_or(Nearness::Any, |here| here.nearness(&place));
                (health.rank(), Holder { node, nearness, contact: place.contact })
            })
            .collect();
        ranked.shuffle(&mut rng);
        ranked.sort_by_key(|(health, holder)| (holder.nearness, *health));
        ranked.truncate(limit.min(self.limits.answer));
        ranked.into_iter().map(|(_, holder)| holder).collect()
    }
}

impl Tracker for RedisTracker {
    fn connect(&self, now: Timestamp, peer: NodeId, place: Place) -> Result<(), ConnectError> {
        self.local.connect(now, peer, place.clone())?;
        self.shared.own().connect(peer, place, self.limits.local_addresses);
        self.change(Change::Put(peer));
        Ok(())
    }

    fn announce(&self, peer: NodeId, blobs: &[BlobId]) -> Result<Announced, AnnounceError> {
        // What only the local index has no room for, the shared one may have.
        self.local.announce(peer, blobs)?;
        let taken = self.shared.own().announce(peer, blobs, wall_clock_ms());
        let announced = Announced { taken: taken.len(), refused: blobs.len() - taken.len() };
        if !taken.is_empty() {
            self.change(Change::Announce(peer, taken));
        }
        Ok(announced)
    }

    fn withdraw(&self, peer: NodeId, blobs: &[BlobId]) {
        self.local.withdraw(peer, blobs);
        let withdrawn = self.shared.own().withdraw(peer, blobs);
        if !withdrawn.is_empty() {
            self.change(Change::Withdraw(peer, withdrawn));
        }
    }

    fn disconnect(&self, peer: NodeId) {
        self.local.disconnect(peer);
        let held = self.shared.own().disconnect(peer);
        if let Some(held) = held {
            self.change(Change::Gone(peer, held));
        }
    }

    fn handle_health(&self, peer: NodeId, health: Health) {
        self.local.handle_health(peer, health);
        if self.shared.own().handle_health(peer, health) {
            self.change(Change::Put(peer));
        }
    }

    /// Waits 50 ms at most. Without an answer, or where nobody is
    /// known, this server's own listeners are named.
    fn find_each(
        &self,
        blob: BlobId,
        asker: NodeId,
        limit: usize,
        rng: &mut dyn Rng,
        tell: &mut dyn FnMut(Named<'_>),
    ) {
        let found = self.search(blob, asker, limit, rng);
        found.iter().map(Holder::named).for_each(tell);
    }
}

impl RedisTracker {
    /// What Redis knows, or else what this server does.
    fn search(&self, blob: BlobId, asker: NodeId, limit: usize, rng: &mut dyn Rng) -> Vec<Holder> {
        let (answer, answered) = sync_channel(1);
        if let Some(found) = self.ask(Ask::Swarm(blob, answer), &answered) {
            let ranked = self.rank(found, asker, limit, rng);
            if !ranked.is_empty() {
                return ranked;
            }
        }
        self.local.find(blob, asker, limit, rng)
    }
}

impl Drop for RedisTracker {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // The writer writes what is left and says goodbye, within the time-outs
        // of its connection. The other two end by themselves.
        self.changes = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
