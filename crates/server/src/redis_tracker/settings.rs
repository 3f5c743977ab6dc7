//! Where Redis is, and how long it is waited for.

use std::io;
use std::time::Duration;

use antiphon_types::NodeId;

/// How long an answer is waited for: two round trips across a data centre, and
/// less than a listener notices in a start.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_millis(50);
/// How long a connection may take to stand.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a batch of changes may take to be written. Nobody waits for it.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a server says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// After how long without that it counts as dead, in seconds.
pub(crate) const LIFE_SECONDS: u64 = 15;
/// In this time everything is written once more.
pub(crate) const REFRESH: Duration = Duration::from_secs(600);
/// After how long without that an entry is gone, in seconds.
pub(crate) const ENTRY_SECONDS: u64 = 1_800;

/// Which Redis, and for which service.
#[derive(Clone)]
pub struct RedisSettings {
    pub(crate) client: redis::Client,
    /// Begin of all keys.
    pub(crate) prefix: String,
    /// Servers that find Redis empty fill it again after a random part of this
    /// time, lest all do at once. Default 2 s.
    pub jitter: Duration,
}

/// Why an index in Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenRedisError {
    /// The address makes no sense. (It is not shown: it may have a password.)
    #[error("not an address of a Redis: {0}; write redis://HOST:PORT or redis+unix:///PATH")]
    Address(String),
    /// The system gives no thread.
    #[error("no thread for Redis: {0}")]
    Thread(io::Error),
}

impl RedisSettings {
    /// For the service `service`, in the Redis at `url`:
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]` or
    /// `redis+unix:///PATH`. Nothing is connected to yet.
    pub fn new(url: &str, service: NodeId) -> Result<Self, OpenRedisError> {
        let client = redis::Client::open(url).map_err(|error| {
            let detail = error.detail().unwrap_or("it cannot be read").to_owned();
            OpenRedisError::Address(detail)
        })?;
        let [a, b, c, d, e, f, g, h, ..] = *service.as_bytes();
        let name = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Ok(Self {
            client,
            prefix: format!("antiphon:{name:016x}:"),
            jitter: Duration::from_secs(2),
        })
    }

    /// The key of `kind` for the id `id`.
    pub(crate) fn key(&self, kind: char, id: &[u8]) -> Vec<u8> {
        let mut key = self.prefix.clone().into_bytes();
        key.extend([u8::try_from(kind).unwrap_or(b'?'), b':']);
        key.extend(id);
        key
    }

    /// Connects, with that time-out for each later command.
    pub(crate) fn connect(&self, timeout: Duration) -> redis::RedisResult<redis::Connection> {
        let connection = self.client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }
}

/// How long to wait before the next attempt: from 50 ms, doubled up to 2 s, a
/// random half less.
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LAST: Duration = Duration::from_secs(2);

    pub(crate) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(Self::LAST);
        wait.mul_f64(rand::random_range(0.5..1.0))
    }

    /// The attempt came to something.
    pub(crate) fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}
