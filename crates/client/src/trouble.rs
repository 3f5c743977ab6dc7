//! A disk that does not take what is to be kept: music goes on, and the listener
//! is told once.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// What was first wrong with the disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskTrouble {
    first: Arc<OnceLock<String>>,
}

impl DiskTrouble {
    /// Something could not be kept. Only the first is told; the others, which
    /// will have the same cause, are logged for those who look.
    pub(crate) fn note(&self, error: &dyn Display) {
        let text = format!("music goes on, but is not kept: {error}");
        if let Err(text) = self.first.set(text) {
            tracing::debug!("{text}");
        }
    }

    /// What to tell the listener, if there is something.
    pub(crate) fn told(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }
}
