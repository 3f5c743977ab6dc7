//! How often listeners are introduced to each other (B38).
//!
//! Each introduction makes two listeners knock at each other's doors, so it is
//! bounded on both sides: by who asks, by who is asked for, and by the two of
//! them. What exceeds a bound is met with silence, as is a wish for one who is
//! not there: nobody learns from it who is online.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_types::{NodeId, Timestamp};

use crate::bucket::{Bucket, Rate};

/// Introductions that one listener may ask for: those of three answers at once,
/// as when she skips, then two in a second.
pub(crate) const ASKED_BY_ONE: Rate = Rate { burst: 32, interval: Duration::from_millis(500) };

/// Introductions to one listener, whoever asks: so many that a swarm of 20 may
/// meet at once, so few that she has time for music.
pub(crate) const ASKED_FOR_ONE: Rate = Rate { burst: 32, interval: Duration::from_millis(500) };

/// Two listeners are introduced to each other once in this time, whichever
/// asks: attempts to connect last about as long.
pub(crate) const SAME_PAIR: Duration = Duration::from_secs(10);

/// Of one listener. Keeps at most 104 partners: the two bursts, and what both
/// rates allow in [`SAME_PAIR`].
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    asks: Bucket,
    asked_for: Bucket,
    partners: BTreeMap<NodeId, Timestamp>,
}

impl Bounds {
    /// Whether this listener may ask for `other`. Costs her a token unless the
    /// two have just been introduced.
    pub(crate) fn may_ask(&mut self, now: Timestamp, other: NodeId) -> bool {
        !self.have_just_met(now, other) && self.asks.take(now, ASKED_BY_ONE)
    }

    /// Whether this listener may be asked for by `other`.
    pub(crate) fn may_be_asked_for(&mut self, now: Timestamp, other: NodeId) -> bool {
        !self.have_just_met(now, other) && self.asked_for.take(now, ASKED_FOR_ONE)
    }

    /// They are introduced.
    pub(crate) fn note(&mut self, now: Timestamp, other: NodeId) {
        self.partners.insert(other, now);
    }

    fn have_just_met(&mut self, now: Timestamp, other: NodeId) -> bool {
        self.partners.retain(|_, met| now.saturating_since(*met) < SAME_PAIR);
        self.partners.contains_key(&other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u32) -> NodeId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_le_bytes());
        NodeId::new(id)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_pair_is_introduced_once_in_ten_seconds() {
        let mut bounds = Bounds::default();
        assert!(bounds.may_ask(at(0), node(1)));
        bounds.note(at(0), node(1));
        for _ in 0..1_000 {
            assert!(!bounds.may_ask(at(9_999), node(1)), "nor does asking again cost anything");
            assert!(!bounds.may_be_asked_for(at(9_999), node(1)), "whichever asks");
        }
        assert!(bounds.may_ask(at(9_999), node(2)));
        assert!(bounds.may_ask(at(10_000), node(1)));
    }

    #[test]
    fn a_flood_ends_at_the_burst_and_takes_bounded_memory() {
        let mut bounds = Bounds::default();
        for number in 0..100_000 {
            let now = at(u64::from(number) / 5);
            if bounds.may_ask(now, node(number)) {
                bounds.note(now, node(number));
            }
            if bounds.may_be_asked_for(now, node(number + 1_000_000)) {
                bounds.note(now, node(number + 1_000_000));
            }
            assert!(bounds.partners.len() <= 104, "{}", bounds.partners.len());
        }
    }
}
