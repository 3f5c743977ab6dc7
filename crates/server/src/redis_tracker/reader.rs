//! Asks Redis who holds what: many questions in one round trip.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use antiphon_types::{BlobId, NodeId};
use redis::{Connection, RedisResult};

use super::settings::{ANSWER_TIMEOUT, Backoff};
use super::{Record, Shared};

/// Questions in one round trip.
const BATCH: usize = 64;
/// A connection at rest is tried after this time.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Peers that were found.
pub(crate) type Found = Vec<(NodeId, Record)>;

/// A question. Who is gone by the time of the answer gets none.
pub(crate) enum Ask {
    /// Who holds this?
    Swarm(BlobId, SyncSender<Found>),
    /// Where is this one?
    Peer(NodeId, SyncSender<Found>),
}

/// Peers of a set, with their records: those whose server lives. Those without
/// a record are gone for good and leave the set.
const FIND: &str = r"
    local found, lives = {}, {}
    for _, peer in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
        local record = redis.call('GET', ARGV[1] .. 'p:' .. peer)
        if record then
            local server = string.sub(record, 1, 16)
            if lives[server] == nil then
                lives[server] = redis.call('EXISTS', ARGV[1] .. 'v:' .. server) == 1
            end
            if lives[server] then
                found[#found + 1] = peer
                found[#found + 1] = record
            end
        else
            redis.call('ZREM', KEYS[1], peer)
        end
    end
    return found";

/// The record of one peer, if its server lives.
const LOOK_UP: &str = r"
    local record = redis.call('GET', KEYS[1])
    if record and redis.call('EXISTS', ARGV[1] .. 'v:' .. string.sub(record, 1, 16)) == 1 then
        return {ARGV[2], record}
    end
    return {}";

/// Answers until nobody can ask any more.
pub(crate) fn run(shared: &Shared, asks: &Receiver<Ask>) {
    let mut backoff = Backoff::new();
    loop {
        if let Ok(mut connection) = shared.settings.connect(ANSWER_TIMEOUT) {
            shared.answers.store(true, Ordering::Relaxed);
            let outcome = answer(shared, &mut connection, asks, &mut backoff);
            shared.answers.store(false, Ordering::Relaxed);
            match outcome {
                Ok(()) => return,
                Err(error) => tracing::warn!("Redis does not answer: {error}"),
            }
        }
        // Whoever asked meanwhile shall not wait.
        while asks.try_recv().is_ok() {}
        std::thread::sleep(backoff.wait());
        if shared.is_over() {
            return;
        }
    }
}

/// Answers over one connection: `Ok` if nobody can ask any more.
fn answer(
    shared: &Shared,
    connection: &mut Connection,
    asks: &Receiver<Ask>,
    backoff: &mut Backoff,
) -> RedisResult<()> {
    loop {
        match asks.recv_timeout(TRY_AGAIN) {
            Ok(first) => {
                let mut batch = vec![first];
                batch.extend(asks.try_iter().take(BATCH - 1));
                answer_batch(shared, connection, batch)?;
            }
            Err(RecvTimeoutError::Timeout) => redis::cmd("PING").exec(connection)?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        backoff.reset();
    }
}

fn answer_batch(shared: &Shared, connection: &mut Connection, batch: Vec<Ask>) -> RedisResult<()> {
    let settings = &shared.settings;
    let mut pipeline = redis::pipe();
    for ask in &batch {
        let mut command = redis::cmd("EVAL");
        match ask {
            Ask::Swarm(blob, _) => {
                let key = settings.key('s', blob.as_bytes());
                command.arg(FIND).arg(1).arg(key).arg(&settings.prefix);
            }
            Ask::Peer(peer, _) => {
                let key = settings.key('p', peer.as_bytes());
                command.arg(LOOK_UP).arg(1).arg(key).arg(&settings.prefix).arg(peer.as_bytes());
            }
        }
        pipeline.add_command(command);
    }
    let answers: Vec<Vec<Vec<u8>>> = pipeline.query(connection)?;
    for (ask, answer) in batch.into_iter().zip(answers) {
        let (Ask::Swarm(_, asker) | Ask::Peer(_, asker)) = ask;
        let pairs = answer.chunks_exact(2);
        let read = |pair: &[Vec<u8>]| {
            Some((NodeId::from_slice(pair.first()?)?, Record::decode(pair.get(1)?)?))
        };
        // Who waits no longer is not there to hear it.
        let _ = asker.try_send(pairs.filter_map(read).collect());
    }
    Ok(())
}
