//! A disk that does not take what is to be kept: music goes on, and the listener
//! is told once.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What was first wrong with the disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DiskTrouble {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    first: OnceLock<String>,
    is_told: AtomicBool,
}

impl DiskTrouble {
    /// Something could not be kept: a part of the music, a record, what is known
    /// of a track. Only the first is told; the others, which will have the same
    /// cause, are logged for those who look.
    pub(crate) fn note(&self, error: &dyn Display) {
        let text = format!("music goes on, but the disk does not keep it all: {error}");
        if let Err(text) = self.inner.first.set(text) {
            tracing::debug!("{text}");
        }
    }

    /// What to tell the listener now: once, to whoever asks first.
    pub(crate) fn tell(&self) -> Option<String> {
        let first = self.inner.first.get()?;
        (!self.inner.is_told.swap(true, Ordering::Relaxed)).then(|| first.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_trouble_is_told_once() {
        let trouble = DiskTrouble::default();
        assert_eq!(trouble.tell(), None);
        trouble.note(&"no room");
        let other = trouble.clone();
        other.note(&"still none");
        let told = other.tell().unwrap();
        assert!(told.ends_with(": no room"), "{told}");
        assert_eq!(trouble.tell(), None);
    }
}
