//! First messages that were seen before.

use std::collections::{BTreeSet, VecDeque};

use crate::KEY_BYTES;

/// Remembers the ephemeral keys of the last first messages, so that a recorded
/// one is not answered twice (Noise section 14, zero-RTT replay).
///
/// A good initiator draws its ephemeral key anew for every handshake; the same
/// key again is the same message again. Ask [`insert`](Self::insert) with the
/// first 32 bytes of the message, and only **after** the message was read
/// without an error: then nothing gets in without a Diffie-Hellman being paid
/// for on both sides, and garbage cannot push out what is real.
///
/// It is bounded, and so it can be flushed: whoever completes `capacity` first
/// messages of its own can send a recorded one again, once for each such flush.
/// With the limits of [`DoorLimits`](crate::door::DoorLimits) that takes half a
/// minute from many addresses, and one minute from one, for 65,536 keys. What
/// is gained is that the early data in it is done once more, by a server that
/// answers to a key which only the true initiator has: hence nothing may travel
/// there that does harm when it is repeated.
#[derive(Debug)]
pub struct ReplayFilter {
    capacity: usize,
    seen: BTreeSet<[u8; KEY_BYTES]>,
    by_age: VecDeque<[u8; KEY_BYTES]>,
}

impl ReplayFilter {
    /// A filter that remembers the last `capacity` keys. Each takes about 80
    /// bytes, from when it comes; with 0 none is remembered.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, seen: BTreeSet::new(), by_age: VecDeque::new() }
    }

    /// Remembers a key, in place of the oldest if there is no room, and says
    /// whether it was not there yet: false means a replay, to be closed without
    /// an answer.
    pub fn insert(&mut self, ephemeral: [u8; KEY_BYTES]) -> bool {
        if !self.seen.insert(ephemeral) {
            return false;
        }
        self.by_age.push_back(ephemeral);
        if self.by_age.len() > self.capacity
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// How many keys are remembered: at most the capacity.
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
}
