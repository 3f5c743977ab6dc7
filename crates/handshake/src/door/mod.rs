//! A first line against floods of strangers.
//!
//! Whoever knocks costs something before anybody knows who it is: a socket and
//! a buffer from the first packet on, some Diffie-Hellman as soon as a message
//! is there. [`Door`] bounds both, in all and for each origin, an origin being
//! an address prefix:
//!
//! * **How many** handshakes are in progress. When there is no room, a newcomer
//!   takes the place of the oldest that has not sent its first message: a good
//!   client sends it at once, a silent flood is what gets old.
//! * **How long** each may take.
//! * **How much** Diffie-Hellman is computed for them, by two token buckets.
//!
//! What it keeps is bounded too. Every call costs a logarithm of that.
//!
//! It protects those who are in, and those who come from elsewhere than the
//! flood. When a flood of whole first messages comes from thousands of true
//! addresses, a good stranger is one among them and may have to knock again.
//!
//! ```
//! use antiphon_handshake::door::{Door, DoorLimits, Refusal};
//! use antiphon_types::Timestamp;
//!
//! let limits = DoorLimits { half_open_per_prefix: 1, ..DoorLimits::default() };
//! let mut door = Door::new(limits);
//! let now = Timestamp::ZERO;
//! let silent = door.arrive(now, [192, 0, 2, 1].into())?;
//!
//! // The same address again: the silent one makes room.
//! let good = door.arrive(now, [192, 0, 2, 1].into())?;
//! assert_eq!(good.evicted, Some(silent.place));
//!
//! // Its first message is there. May it be read?
//! door.greeted(now, good.place)?;
//! assert_eq!(door.arrive(now, [192, 0, 2, 1].into()), Err(Refusal::PrefixFull));
//!
//! // It is read, and answered.
//! door.leave(good.place);
//! assert_eq!(door.half_open(), 0);
//! # Ok::<(), Refusal>(())
//! ```

mod bucket;
mod limits;
mod prefix;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use antiphon_types::Timestamp;

use bucket::Bucket;
pub use limits::{DoorLimits, Rate};
use prefix::{Prefix, Prefixes};

/// The right of one stranger to be half open. None is ever given out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(u64);

/// A newcomer that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its place.
    pub place: PlaceId,
    /// Whose place it took: close that connection. Its place is gone already.
    pub evicted: Option<PlaceId>,
}

/// Why a stranger is to be sent away. Close without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// [`DoorLimits::half_open`] handshakes are being computed.
    #[error("too many handshakes are in progress: try again later")]
    Full,
    /// [`DoorLimits::half_open_per_prefix`] handshakes from this prefix are
    /// being computed.
    #[error("too many handshakes from this address are in progress: try again later")]
    PrefixFull,
    /// [`DoorLimits::work`] is spent.
    #[error("too many handshakes a second: try again later")]
    Rate,
    /// [`DoorLimits::work_per_prefix`] is spent.
    #[error("too many handshakes a second from this address: try again later")]
    PrefixRate,
    /// It was evicted, or took too long.
    #[error("the place was given to somebody else: connect again")]
    Gone,
}

/// What happened at the door so far, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoorCounters {
    /// Newcomers that got a place.
    pub admitted: u64,
    /// First messages that were let through to be read.
    pub greeted: u64,
    /// Silent ones that had to make room.
    pub evicted: u64,
    /// Those that took longer than [`DoorLimits::patience`].
    pub expired: u64,
    /// [`Refusal::Full`].
    pub full: u64,
    /// [`Refusal::PrefixFull`].
    pub prefix_full: u64,
    /// [`Refusal::Rate`].
    pub rate: u64,
    /// [`Refusal::PrefixRate`].
    pub prefix_rate: u64,
}

/// Decides which strangers are let in, and for which of them work is done. See
/// the [module](self).
///
/// Driven as every core of ours: after [`handle_timeout`](Self::handle_timeout)
/// drain [`poll_expired`](Self::poll_expired), and then see
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Door {
    limits: DoorLimits,
    now: Timestamp,
    next_place: u64,
    /// Everybody has the same time, so the first is the one that expires first.
    places: BTreeMap<PlaceId, Place>,
    /// Those whose first message is not there, the oldest first.
    silent: BTreeSet<PlaceId>,
    silent_by_prefix: BTreeSet<(Prefix, PlaceId)>,
    prefixes: Prefixes,
    work: Bucket,
    counters: DoorCounters,
}

#[derive(Debug)]
struct Place {
    prefix: Prefix,
    deadline: Timestamp,
}

impl Door {
    /// A door where nobody stands.
    pub fn new(limits: DoorLimits) -> Self {
        Self {
            now: Timestamp::ZERO,
            next_place: 0,
            places: BTreeMap::new(),
            silent: BTreeSet::new(),
            silent_by_prefix: BTreeSet::new(),
            prefixes: Prefixes::new(),
            work: Bucket::full(limits.work, Timestamp::ZERO),
            counters: DoorCounters::default(),
            limits,
        }
    }

    /// Somebody knocks. It gets a place, if need be that of the oldest silent
    /// one: of its own prefix if that is full, else of all.
    ///
    /// # Errors
    ///
    /// [`Refusal::PrefixFull`] or [`Refusal::Full`], if none of those is silent.
    pub fn arrive(&mut self, now: Timestamp, from: IpAddr) -> Result<Arrival, Refusal> {
        self.advance(now);
        let prefix = Prefix::of(from, &self.limits);
        let evicted = if self.prefixes.half_open(prefix) >= self.limits.half_open_per_prefix {
            let Some(oldest) = self.oldest_silent_of(prefix) else {
                self.counters.prefix_full += 1;
                return Err(Refusal::PrefixFull);
            };
            Some(oldest)
        } else if self.places.len() >= self.limits.half_open {
            let Some(&oldest) = self.silent.first() else {
                self.counters.full += 1;
                return Err(Refusal::Full);
            };
            Some(oldest)
        } else {
            None
        };
        if let Some(oldest) = evicted {
            self.leave(oldest);
            self.counters.evicted += 1;
        }
        let place = PlaceId(self.next_place);
        self.next_place += 1;
        self.places.insert(place, Place { prefix, deadline: self.now + self.limits.patience });
        self.silent.insert(place);
        self.silent_by_prefix.insert((prefix, place));
        self.prefixes.enter(prefix, self.now, &self.limits);
        self.counters.admitted += 1;
        Ok(Arrival { place, evicted })
    }

    /// A complete message is there: may Diffie-Hellman be computed for it? Asked
    /// once for each message that needs it; each answer of yes takes from both
    /// buckets, and from then on the place cannot be evicted.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], after which the connection is to be closed and
    /// [`leave`](Self::leave) to be called.
    pub fn greeted(&mut self, now: Timestamp, place: PlaceId) -> Result<(), Refusal> {
        self.advance(now);
        let prefix = self.places.get(&place).ok_or(Refusal::Gone)?.prefix;
        let own = self.prefixes.work(prefix).ok_or(Refusal::Gone)?;
        if !own.has_token(self.now) {
            self.counters.prefix_rate += 1;
            return Err(Refusal::PrefixRate);
        }
        if !self.work.has_token(self.now) {
            self.counters.rate += 1;
            return Err(Refusal::Rate);
        }
        own.take();
        self.work.take();
        self.silent.remove(&place);
        self.silent_by_prefix.remove(&(prefix, place));
        self.counters.greeted += 1;
        Ok(())
    }

    /// The handshake is done, or has failed. Of no effect for a place that is
    /// gone already.
    pub fn leave(&mut self, place: PlaceId) {
        let Some(Place { prefix, .. }) = self.places.remove(&place) else { return };
        self.silent.remove(&place);
        self.silent_by_prefix.remove(&(prefix, place));
        self.prefixes.leave(prefix, self.now, &self.limits);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.places.first_key_value().map(|(_, place)| place.deadline)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// The next that took too long: close that connection. Its place is gone
    /// already. Until this is called it is kept, so that nothing piles up.
    pub fn poll_expired(&mut self) -> Option<PlaceId> {
        let (&place, &Place { deadline, .. }) = self.places.first_key_value()?;
        if deadline > self.now {
            return None;
        }
        self.leave(place);
        self.counters.expired += 1;
        Some(place)
    }

    /// Whether so many handshakes are in progress, in all or from its prefix,
    /// that a newcomer should prove
    /// first that its address is its own. On QUIC: answer with Retry (RFC 9000
    /// section 8.1.2) and keep nothing. TCP has proven it already.
    pub fn must_prove_address(&self, from: IpAddr) -> bool {
        let prefix = Prefix::of(from, &self.limits);
        self.places.len() > self.limits.prove_address_above
            || self.prefixes.half_open(prefix) > self.limits.prove_address_above_per_prefix
    }

    /// How many handshakes are in progress: at most [`DoorLimits::half_open`].
    pub fn half_open(&self) -> usize {
        self.places.len()
    }

    /// How many prefixes are remembered: at most [`DoorLimits::half_open`] and
    /// [`DoorLimits::prefixes`] together.
    pub fn prefixes(&self) -> usize {
        self.prefixes.len()
    }

    /// What happened so far.
    pub fn counters(&self) -> DoorCounters {
        self.counters
    }

    fn oldest_silent_of(&self, prefix: Prefix) -> Option<PlaceId> {
        let of_prefix = (prefix, PlaceId(0))..=(prefix, PlaceId(u64::MAX));
        self.silent_by_prefix.range(of_prefix).next().map(|&(_, place)| place)
    }

    /// Time never runs back.
    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }
}
