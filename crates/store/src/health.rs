//! Whether the disk takes what it is given.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::disk::FileError;
use crate::sync::{Mutex, lock};

/// While the disk is ill, one write in so many is tried all the same, to see
/// whether it is well again; a dying disk may take seconds to fail.
const TRY_ONE_IN: u32 = 16;

/// What the last write said about the disk.
#[derive(Debug, Default)]
pub(crate) struct Health {
    is_ill: AtomicBool,
    tries: AtomicU32,
    trouble: Mutex<Option<Trouble>>,
    /// Nothing is written in this life of the store, whatever the disk says.
    is_read_only: AtomicBool,
}

#[derive(Debug)]
struct Trouble {
    text: String,
    is_refusal: bool,
}

impl Health {
    /// Whether a write is worth trying.
    pub(crate) fn may_try(&self) -> bool {
        if self.is_read_only.load(Ordering::Relaxed) {
            return false;
        }
        !self.is_ill() || self.tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(TRY_ONE_IN)
    }

    /// Whether the last write failed.
    pub(crate) fn is_ill(&self) -> bool {
        self.is_ill.load(Ordering::Relaxed)
    }

    /// Whether nothing may be written: then nothing can be removed either.
    pub(crate) fn is_refusing(&self) -> bool {
        lock(&self.trouble).as_ref().is_some_and(|trouble| trouble.is_refusal)
    }

    /// What is wrong with the disk.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).as_ref().map(|trouble| trouble.text.clone())
    }

    /// Nothing is to be written as long as the store is open: it could not be
    /// locked, for this reason.
    pub(crate) fn forbid(&self, reason: &FileError) {
        self.failed(reason);
        self.is_read_only.store(true, Ordering::Relaxed);
    }

    /// An error if nothing is to be written.
    pub(crate) fn may_write(&self) -> Result<(), FileError> {
        if self.is_read_only.load(Ordering::Relaxed) {
            let source = std::io::ErrorKind::ReadOnlyFilesystem.into();
            return Err(FileError {
                action: "write without a lock to",
                path: "the cache".into(),
                source,
            });
        }
        Ok(())
    }

    /// A write failed.
    pub(crate) fn failed(&self, error: &FileError) {
        let mut trouble = lock(&self.trouble);
        let was_ill = self.is_ill.swap(true, Ordering::Relaxed);
        if !was_ill {
            // The next is not tried: this one just was.
            self.tries.store(1, Ordering::Relaxed);
        }
        *trouble = Some(Trouble { text: error.to_string(), is_refusal: error.is_refusal() });
    }

    /// A write succeeded.
    pub(crate) fn succeeded(&self) {
        if self.is_ill() && !self.is_read_only.load(Ordering::Relaxed) {
            let mut trouble = lock(&self.trouble);
            self.is_ill.store(false, Ordering::Relaxed);
            *trouble = None;
        }
    }
}
