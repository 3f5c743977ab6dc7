//! Where the decoder waits for blocks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use antiphon_types::BlockSet;

/// What a wait for a block ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The block is in the store.
    There,
    /// It did not come in time.
    TimedOut,
    /// Nobody wants the music any more.
    Stopped,
}

/// Tells a decoding thread which blocks are in the store. Clones share it.
#[derive(Clone)]
pub(crate) struct Gate {
    inner: Arc<(Mutex<Inner>, Condvar)>,
}

struct Inner {
    blocks: BlockSet,
    stopped: bool,
}

impl Gate {
    pub(crate) fn new(blocks: BlockSet) -> Self {
        let inner = Inner { blocks, stopped: false };
        Self { inner: Arc::new((Mutex::new(inner), Condvar::new())) }
    }

    /// A block has come.
    pub(crate) fn open(&self, block: u32) {
        self.lock().blocks.insert(block);
        self.inner.1.notify_all();
    }

    /// A block that was there has gone bad.
    pub(crate) fn shut(&self, block: u32) {
        self.lock().blocks.remove(block);
    }

    /// Ends all waiting, now and later.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.inner.1.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Waits for a block, until `deadline` if there is one.
    pub(crate) fn wait(&self, block: u32, deadline: Option<Instant>) -> Waited {
        let mut inner = self.lock();
        loop {
            if inner.stopped {
                return Waited::Stopped;
            }
            if inner.blocks.contains(block) {
                return Waited::There;
            }
            inner = match deadline {
                None => self.inner.1.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Waited::TimedOut;
                    }
                    let waited = self.inner.1.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_types::BlobSize;

    #[test]
    fn a_decoder_waits_until_its_block_has_come_or_it_is_stopped() {
        let gate = Gate::new(BlockSet::empty(BlobSize::new(100_000).unwrap()));
        assert_eq!(gate.wait(0, Some(Instant::now())), Waited::TimedOut);
        let waiter = std::thread::spawn({
            let gate = gate.clone();
            move || (gate.wait(3, None), gate.wait(4, None))
        });
        gate.open(3);
        gate.stop();
        let (third, fourth) = waiter.join().unwrap();
        assert!(matches!(third, Waited::There | Waited::Stopped));
        assert_eq!(fourth, Waited::Stopped);
        assert!(gate.is_stopped());
    }

    #[test]
    fn a_block_gone_bad_is_waited_for_again() {
        let gate = Gate::new(BlockSet::full(BlobSize::new(100_000).unwrap()));
        assert_eq!(gate.wait(2, None), Waited::There);
        gate.shut(2);
        assert_eq!(gate.wait(2, Some(Instant::now())), Waited::TimedOut);
    }
}
