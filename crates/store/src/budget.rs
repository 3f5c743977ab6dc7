//! How much may be kept, and how much is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::{Mutex, lock};

/// The least automatic budget, in bytes: 50 MB (B50).
pub(crate) const LEAST_BUDGET_BYTES: u64 = 50_000_000;
/// The largest automatic budget, in bytes: 10 GB (B50).
pub(crate) const LARGEST_BUDGET_BYTES: u64 = 10_000_000_000;

/// A tenth of the disk that is free but for us, within bounds (B50).
///
/// What the cache holds counts as free, or the budget would shrink by a tenth
/// of each byte that is put in.
pub(crate) fn automatic_budget(free_bytes: u64, used_bytes: u64) -> u64 {
    (free_bytes.saturating_add(used_bytes) / 10).clamp(LEAST_BUDGET_BYTES, LARGEST_BUDGET_BYTES)
}

/// Bytes in use by all blobs together.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    used: AtomicU64,
}

impl Ledger {
    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn try_add(&self, bytes: u64, budget: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= budget);
        self.used.try_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// What one blob takes up. Once closed it takes nothing and cannot grow.
#[derive(Debug)]
pub(crate) struct Charge {
    ledger: Arc<Ledger>,
    bytes: Mutex<Option<u64>>,
}

impl Charge {
    /// Takes up `bytes`, whatever the budget is.
    pub(crate) fn open(ledger: &Arc<Ledger>, bytes: u64) -> Self {
        ledger.used.fetch_add(bytes, Ordering::Relaxed);
        Self { ledger: Arc::clone(ledger), bytes: Mutex::new(Some(bytes)) }
    }

    /// Bytes it takes up.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.bytes).unwrap_or(0)
    }

    /// Takes up so much more if that stays in budget. A closed one says yes and
    /// takes nothing.
    pub(crate) fn try_add(&self, more: u64, budget: u64) -> bool {
        let mut bytes = lock(&self.bytes);
        let Some(bytes) = bytes.as_mut() else { return true };
        let fits = self.ledger.try_add(more, budget);
        if fits {
            *bytes += more;
        }
        fits
    }

    /// Gives back so much.
    pub(crate) fn subtract(&self, less: u64) {
        if let Some(bytes) = lock(&self.bytes).as_mut() {
            let less = less.min(*bytes);
            *bytes -= less;
            self.ledger.used.fetch_sub(less, Ordering::Relaxed);
        }
    }

    /// Gives back everything, for good.
    pub(crate) fn close(&self) {
        let bytes = lock(&self.bytes).take().unwrap_or(0);
        self.ledger.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_automatic_budget_is_a_tenth_within_bounds() {
        assert_eq!(automatic_budget(0, 0), LEAST_BUDGET_BYTES);
        assert_eq!(automatic_budget(20_000_000_000, 0), 2_000_000_000);
        assert_eq!(automatic_budget(19_000_000_000, 1_000_000_000), 2_000_000_000);
        assert_eq!(automatic_budget(u64::MAX, u64::MAX), LARGEST_BUDGET_BYTES);
    }

    #[test]
    fn a_closed_charge_gives_all_back_once() {
        let ledger = Arc::new(Ledger::default());
        let (one, two) = (Charge::open(&ledger, 10), Charge::open(&ledger, 5));
        assert!(one.try_add(5, 20));
        assert!(!one.try_add(1, 20), "over the budget");
        one.close();
        one.subtract(3);
        one.close();
        assert_eq!((ledger.used(), one.bytes(), two.bytes()), (5, 0, 5));
        assert!(one.try_add(100, 20), "nothing is taken");
        assert_eq!(ledger.used(), 5);
    }
}
