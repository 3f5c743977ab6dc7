//! Writes to Redis what this server's listeners hold.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use antiphon_types::{BlobId, NodeId};
use redis::{Connection, Pipeline, RedisResult};

use super::Shared;
use super::inbox::ECHO;
use super::own::OwnPeer;
use super::record::{Record, ServerId};
use super::settings::{BEAT, Backoff, ENTRY_SECONDS, LIFE_SECONDS, REFRESH, WRITE_TIMEOUT};

/// Changes written in one round trip.
const BATCH: usize = 256;
/// Peers and blobs written anew in one round trip.
const SWEEP_PEERS: usize = 256;
const SWEEP_BLOBS: usize = 1_000;
/// Blobs that one call of a script takes out.
const DROPPED_AT_ONCE: usize = 1_000;
/// Between one round of writing all anew and the next.
const NEXT_ROUND: Duration = Duration::from_secs(1);

/// Something that Redis must know, or pass on.
pub(crate) enum Change {
    /// A peer is there, or elsewhere, or in other health.
    Put(NodeId),
    /// It holds these.
    Announce(NodeId, Vec<BlobId>),
    /// It holds these no longer.
    Withdraw(NodeId, Vec<BlobId>),
    /// It is gone; it held these.
    Gone(NodeId, Vec<BlobId>),
    /// A message to another server.
    Tell(ServerId, Vec<u8>),
}

/// Takes a peer out of sets, and at last its record, unless it has a session
/// with another server by now.
const DROP: &str = r"
    local record = redis.call('GET', KEYS[1])
    if record and string.sub(record, 1, 16) ~= ARGV[1] then return end
    for i = 5, #ARGV do redis.call('ZREM', ARGV[2] .. 's:' .. ARGV[i], ARGV[3]) end
    if ARGV[4] == 'last' then redis.call('DEL', KEYS[1]) end";

/// Writes until the tracker is gone.
pub(crate) fn run(shared: &Shared, changes: &Receiver<Change>, holders_per_blob: usize) {
    let mut backoff = Backoff::new();
    let mut known_away = false;
    loop {
        let error = match shared.settings.connect(WRITE_TIMEOUT) {
            Ok(mut connection) => {
                let mut writer = Writer::new(shared, holders_per_blob, &mut connection);
                match writer.write(changes, &mut backoff, &mut known_away) {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut known_away, true) {
            tracing::warn!("Redis is away, listeners of other servers are not named: {error}");
        }
        // All is written anew when it is back: what changes meanwhile need not
        // be kept.
        let until = Instant::now() + backoff.wait();
        loop {
            match changes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Over one connection.
struct Writer<'a> {
    shared: &'a Shared,
    connection: &'a mut Connection,
    holders_per_blob: usize,
    /// The last peer that was written anew.
    swept: Option<NodeId>,
    sweep_at: Instant,
    /// Until all is written: without a break, not spread over [`REFRESH`].
    hurry: bool,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared, holders_per_blob: usize, connection: &'a mut Connection) -> Self {
        let sweep_at = Instant::now();
        Self { shared, connection, holders_per_blob, swept: None, sweep_at, hurry: false }
    }

    /// `Ok` if the tracker is gone.
    fn write(
        &mut self,
        changes: &Receiver<Change>,
        backoff: &mut Backoff,
        known_away: &mut bool,
    ) -> RedisResult<()> {
        self.beat()?;
        if std::mem::take(known_away) {
            tracing::info!("Redis is there");
        }
        // Whatever it knows: it may have come back with old data.
        self.begin_anew();
        let mut beat_at = Instant::now() + BEAT;
        loop {
            let wait = beat_at.min(self.sweep_at).saturating_duration_since(Instant::now());
            match changes.recv_timeout(wait) {
                Ok(first) => {
                    let rest = changes.try_iter().take(BATCH - 1);
                    self.write_changes(std::iter::once(first).chain(rest))?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.say_goodbye(),
            }
            backoff.reset();
            let now = Instant::now();
            if now >= beat_at {
                beat_at = now + BEAT;
                if !self.beat()? {
                    tracing::info!("Redis has lost what it knew; it is told anew");
                    self.begin_anew();
                }
            }
            if self.shared.behind.swap(false, Ordering::Relaxed) {
                self.begin_anew();
            }
            if now >= self.sweep_at {
                self.sweep()?;
            }
        }
    }

    /// Says that this server lives; false if that was no longer known.
    fn beat(&mut self) -> RedisResult<bool> {
        let settings = &self.shared.settings;
        let id = self.shared.id.as_bytes();
        let (known, _): (Option<Vec<u8>>, u64) = redis::pipe()
            .cmd("SET")
            .arg(settings.key('v', id))
            .arg(1)
            .arg("EX")
            .arg(LIFE_SECONDS)
            .arg("GET")
            .cmd("PUBLISH")
            .arg(settings.key('c', id))
            .arg(ECHO)
            .query(self.connection)?;
        Ok(known.is_some())
    }

    fn begin_anew(&mut self) {
        let jitter = self.shared.settings.jitter.mul_f64(rand::random());
        self.swept = None;
        self.sweep_at = Instant::now() + jitter;
        self.hurry = true;
    }

    fn say_goodbye(&mut self) -> RedisResult<()> {
        let key = self.shared.settings.key('v', self.shared.id.as_bytes());
        redis::cmd("DEL").arg(key).exec(self.connection)
    }

    fn write_changes(&mut self, changes: impl Iterator<Item = Change>) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for change in changes {
            match change {
                Change::Put(node) => {
                    if let Some(peer) = self.shared.own().peer(node) {
                        self.put(&mut pipeline, node, peer);
                    }
                }
                Change::Announce(node, blobs) => {
                    if let Some(peer) = self.shared.own().peer(node) {
                        for blob in blobs {
                            if let Some(at_ms) = peer.blobs.get(&blob) {
                                self.enter(&mut pipeline, node, blob, *at_ms);
                            }
                        }
                    }
                }
                Change::Withdraw(node, blobs) => {
                    for blob in blobs {
                        let key = self.shared.settings.key('s', blob.as_bytes());
                        pipeline.cmd("ZREM").arg(key).arg(node.as_bytes()).ignore();
                    }
                }
                Change::Gone(node, blobs) => self.drop(&mut pipeline, node, &blobs),
                Change::Tell(server, message) => {
                    let channel = self.shared.settings.key('c', server.as_bytes());
                    pipeline.cmd("PUBLISH").arg(channel).arg(message).ignore();
                }
            }
        }
        pipeline.exec(self.connection)
    }

    /// Writes some peers anew, with what they hold, and sets when to go on: in
    /// a hurry at once, else so that all take [`REFRESH`] together.
    fn sweep(&mut self) -> RedisResult<()> {
        let (chunk, all) = {
            let own = self.shared.own();
            (own.some_after(self.swept, SWEEP_PEERS, SWEEP_BLOBS), own.len())
        };
        let mut pipeline = redis::pipe();
        for (node, peer) in &chunk {
            self.put(&mut pipeline, *node, peer);
            for (blob, at_ms) in &peer.blobs {
                self.enter(&mut pipeline, *node, *blob, *at_ms);
            }
        }
        if !chunk.is_empty() {
            pipeline.exec(self.connection)?;
        }
        self.swept = chunk.last().map(|(node, _)| *node);
        let wait = match chunk.len() {
            0 => {
                self.hurry = false;
                NEXT_ROUND
            }
            _ if self.hurry => Duration::ZERO,
            some => REFRESH * u32::try_from(some).unwrap_or(1) / u32::try_from(all).unwrap_or(1),
        };
        self.sweep_at = Instant::now() + wait;
        Ok(())
    }

    fn put(&self, pipeline: &mut Pipeline, node: NodeId, peer: &OwnPeer) {
        let Shared { settings, id, .. } = self.shared;
        let record = Record { server: *id, place: peer.place.clone(), health: peer.health };
        let key = settings.key('p', node.as_bytes());
        pipeline.cmd("SET").arg(key).arg(record.encode()).arg("EX").arg(ENTRY_SECONDS).ignore();
    }

    /// One holder of one blob; the one announced longest ago makes room.
    fn enter(&self, pipeline: &mut Pipeline, node: NodeId, blob: BlobId, at_ms: u64) {
        let key = self.shared.settings.key('s', blob.as_bytes());
        pipeline.cmd("ZADD").arg(&key).arg(at_ms).arg(node.as_bytes()).ignore();
        let beyond = -i64::try_from(self.holders_per_blob).unwrap_or(i64::MAX - 1) - 1;
        pipeline.cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(beyond).ignore();
        pipeline.cmd("EXPIRE").arg(&key).arg(ENTRY_SECONDS).ignore();
    }

    fn drop(&self, pipeline: &mut Pipeline, node: NodeId, blobs: &[BlobId]) {
        let Shared { settings, id, .. } = self.shared;
        let mut call = |blobs: &[BlobId], last: bool| {
            let mut command = redis::cmd("EVAL");
            command.arg(DROP).arg(1).arg(settings.key('p', node.as_bytes()));
            command.arg(id.as_bytes()).arg(&settings.prefix).arg(node.as_bytes());
            command.arg(if last { "last" } else { "more" });
            for blob in blobs {
                command.arg(blob.as_bytes());
            }
            pipeline.add_command(command).ignore();
        };
        for blobs in blobs.chunks(DROPPED_AT_ONCE) {
            call(blobs, false);
        }
        call(&[], true);
    }
}
