//! The one place where a real clock becomes a [`Timestamp`], or a date.

use std::time::SystemTime;

use antiphon_types::Timestamp;
use tokio::time::Instant;

/// A monotonic clock whose origin is the moment it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts at [`Timestamp::ZERO`].
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    /// When the runtime's clock will show `at`; `None` if never.
    pub fn instant(&self, at: Timestamp) -> Option<Instant> {
        self.origin.checked_add(at.saturating_since(Timestamp::ZERO))
    }
}

/// Waits until `at`, or for ever if it is `None`.
pub async fn sleep_until(clock: &Clock, at: Option<Timestamp>) {
    match at.and_then(|at| clock.instant(at)) {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The date: milliseconds since 1970. Zero on a clock set before that.
pub fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
