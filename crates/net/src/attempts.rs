//! How attempts to connect went, counted by their kind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dial::Effort;
use crate::transport::Transport;

/// Kinds of attempts: transport, family of addresses, effort.
const KINDS: usize = 8;

/// What may become of an attempt, and that it was begun.
const OUTCOMES: usize = 7;

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKind {
    /// Over what: TCP or QUIC, never [`Transport::Auto`], which counts as TCP.
    pub transport: Transport,
    /// To an IPv6 address, and not one of IPv4.
    pub is_ipv6: bool,
    /// How hard.
    pub effort: Effort,
}

/// What became of the attempts of one kind. Those that are not in any of the
/// others but in `begun` are under way, or another was faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub begun: u64,
    /// Who was called has answered.
    pub connected: u64,
    /// Somebody is there, and nothing listens (or a NAT says so).
    pub refused: u64,
    /// Nobody said anything.
    pub timed_out: u64,
    /// There is no way there, or something else failed.
    pub failed: u64,
    /// Somebody answered, and not who was called.
    pub mistaken: u64,
    /// The other side dialled at the same moment, and its call was taken: see
    /// [`Closed::Met`](crate::Closed::Met).
    pub met: u64,
}

/// What became of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Begun,
    Connected,
    Refused,
    TimedOut,
    Failed,
    Mistaken,
    Met,
}

/// Counts attempts. Clones count together, so one may serve a whole program;
/// its size is fixed.
#[derive(Clone, Default)]
pub struct Attempts {
    counts: Arc<[[AtomicU64; OUTCOMES]; KINDS]>,
}

impl AttemptKind {
    /// Every kind there is.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..KINDS).map(|index| Self {
            transport: if index & 1 == 0 { Transport::Tcp } else { Transport::Quic },
            is_ipv6: index & 2 != 0,
            effort: if index & 4 == 0 { Effort::Once } else { Effort::Punch },
        })
    }

    fn index(self) -> usize {
        usize::from(self.transport == Transport::Quic)
            | usize::from(self.is_ipv6) << 1
            | usize::from(self.effort == Effort::Punch) << 2
    }
}

impl Attempts {
    /// What became of the attempts of one kind so far.
    pub fn of(&self, kind: AttemptKind) -> Tally {
        let counts = &self.counts[kind.index()];
        let of = |outcome: Outcome| counts[outcome as usize].load(Ordering::Relaxed);
        Tally {
            begun: of(Outcome::Begun),
            connected: of(Outcome::Connected),
            refused: of(Outcome::Refused),
            timed_out: of(Outcome::TimedOut),
            failed: of(Outcome::Failed),
            mistaken: of(Outcome::Mistaken),
            met: of(Outcome::Met),
        }
    }

    pub(crate) fn count(&self, kind: AttemptKind, outcome: Outcome) {
        self.counts[kind.index()][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begun = AttemptKind::all().map(|kind| (kind, self.of(kind)));
        f.debug_map().entries(begun.filter(|(_, tally)| tally.begun > 0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_count_of_its_own() {
        let attempts = Attempts::default();
        let kinds: Vec<AttemptKind> = AttemptKind::all().collect();
        assert_eq!(kinds.len(), KINDS);
        for (index, &kind) in kinds.iter().enumerate() {
            assert_eq!(kind.index(), index);
            attempts.count(kind, Outcome::Begun);
            attempts.clone().count(kind, Outcome::Refused);
        }
        for kind in kinds {
            assert_eq!(attempts.of(kind), Tally { begun: 1, refused: 1, ..Tally::default() });
        }
    }
}
