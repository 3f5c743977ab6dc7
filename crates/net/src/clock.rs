//! The one place where a real clock becomes a [`Timestamp`].

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
