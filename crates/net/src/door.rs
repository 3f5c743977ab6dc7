//! Who may be half open, and which greetings were seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What strangers may cost before they have shown who they are.
#[derive(Debug, Clone)]
pub struct AcceptorLimits {
    /// Connections in all that were not let in yet, in the handshake or before
    /// [`Connection::let_in`]. Each may hold a socket and 1 MiB.
    pub half_open: usize,
    /// The same from one address: a household, or a hostile host.
    pub half_open_per_address: usize,
    /// Time from the connection to the end of the handshake.
    pub handshake_timeout: Duration,
    /// First messages remembered, so that a recorded one is not answered
    /// twice. What may travel in one is harmless to repeat, so forgetting the
    /// oldest costs an attacker's victim nothing but one read.
    pub remembered_greetings: usize,
}

impl Default for AcceptorLimits {
    fn default() -> Self {
        Self {
            half_open: 256,
            half_open_per_address: 64,
            handshake_timeout: Duration::from_secs(5),
            remembered_greetings: 65_536,
        }
    }
}

/// What an acceptor knows of strangers.
pub(crate) struct Door {
    limits: AcceptorLimits,
    state: Mutex<DoorState>,
}

#[derive(Default)]
struct DoorState {
    half_open: BTreeMap<IpAddr, usize>,
    half_open_in_all: usize,
    greetings: BTreeSet<[u8; 32]>,
    greetings_by_age: VecDeque<[u8; 32]>,
}

impl Door {
    pub(crate) fn new(limits: AcceptorLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// How long a stranger may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.limits.handshake_timeout
    }

    /// Whether so many are half open that newcomers should prove their address.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.half_open_in_all >= self.limits.half_open / 4
    }

    pub(crate) fn is_new(&self, ephemeral: [u8; 32]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.greetings.insert(ephemeral) {
            return false;
        }
        state.greetings_by_age.push_back(ephemeral);
        if state.greetings_by_age.len() > self.limits.remembered_greetings
            && let Some(oldest) = state.greetings_by_age.pop_front()
        {
            state.greetings.remove(&oldest);
        }
        true
    }
}

/// The right to be half open, given back when dropped.
pub(crate) struct Place {
    door: Arc<Door>,
    from: IpAddr,
}

impl Place {
    pub(crate) fn take(door: &Arc<Door>, from: IpAddr) -> Option<Self> {
        let mut state = door.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.half_open_in_all >= door.limits.half_open {
            return None;
        }
        let here = state.half_open.entry(from).or_default();
        if *here >= door.limits.half_open_per_address {
            return None;
        }
        *here += 1;
        state.half_open_in_all += 1;
        Some(Self { door: Arc::clone(door), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.half_open_in_all -= 1;
        if let Some(here) = state.half_open.get_mut(&self.from) {
            *here -= 1;
            if *here == 0 {
                state.half_open.remove(&self.from);
            }
        }
    }
}
