//! The door of `antiphon_handshake`, with a real clock, locks and sockets that
//! close.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_handshake::ReplayFilter;
use antiphon_handshake::door::{self, DoorCounters, DoorLimits, PlaceId, Refusal};
use tokio::task::AbortHandle;

use crate::Clock;

/// What strangers may cost before they have shown who they are.
#[derive(Debug, Clone)]
pub struct AcceptorLimits {
    /// Connections that were not let in yet, in the handshake or before
    /// [`Connection::let_in`](crate::Connection::let_in), and what is computed
    /// for them. Default 256 in all, otherwise as the door has it.
    pub strangers: DoorLimits,
    /// First messages remembered, so that a recorded one is not answered
    /// twice. What may travel in one is harmless to repeat, so forgetting the
    /// oldest costs an attacker's victim nothing but one read. Default 65,536,
    /// about 5 MiB.
    pub remembered_greetings: usize,
}

impl Default for AcceptorLimits {
    fn default() -> Self {
        // Fewer than a door allows: each may hold a megabyte until it is let in.
        let strangers = DoorLimits { half_open: 256, ..DoorLimits::default() };
        Self { strangers, remembered_greetings: 65_536 }
    }
}

/// What an acceptor knows of strangers.
pub(crate) struct Door {
    clock: Clock,
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    door: door::Door,
    /// Tasks that wait for a first message, to be ended when evicted.
    silent: BTreeMap<PlaceId, AbortHandle>,
    greetings: ReplayFilter,
}

impl Door {
    pub(crate) fn new(limits: AcceptorLimits) -> Self {
        let patience = limits.strangers.patience;
        let state = State {
            door: door::Door::new(limits.strangers),
            silent: BTreeMap::new(),
            greetings: ReplayFilter::new(limits.remembered_greetings),
        };
        Self { clock: Clock::start(), patience, state: Mutex::new(state) }
    }

    /// How long a stranger may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether a newcomer should prove its address first.
    pub(crate) fn must_prove_address(&self, from: IpAddr) -> bool {
        self.lock().door.must_prove_address(from)
    }

    pub(crate) fn counters(&self) -> DoorCounters {
        self.lock().door.counters()
    }

    /// Somebody knocks, perhaps in the place of somebody who says nothing.
    pub(crate) fn arrive(self: &Arc<Self>, from: IpAddr) -> Result<Place, Refusal> {
        let mut state = self.lock();
        let arrival = state.door.arrive(self.clock.now(), from)?;
        if let Some(task) = arrival.evicted.and_then(|place| state.silent.remove(&place)) {
            task.abort();
        }
        Ok(Place { door: Arc::clone(self), id: arrival.place })
    }

    /// Starts the task that waits for a first message, to be ended when its
    /// place is given to somebody else.
    pub(crate) fn watch(&self, place: PlaceId, start: impl FnOnce() -> AbortHandle) {
        // Locked before it starts, so that it cannot end before it is known.
        let mut state = self.lock();
        let task = start();
        state.silent.insert(place, task);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be half open, given back when dropped.
pub(crate) struct Place {
    door: Arc<Door>,
    id: PlaceId,
}

impl Place {
    pub(crate) fn id(&self) -> PlaceId {
        self.id
    }

    /// Whether the first message, which is there, may be read.
    pub(crate) fn greeted(&self) -> Result<(), Refusal> {
        let mut state = self.door.lock();
        state.silent.remove(&self.id);
        state.door.greeted(self.door.clock.now(), self.id)
    }

    /// Whether a first message, which was read, was never seen before.
    pub(crate) fn is_new(&self, ephemeral: [u8; 32]) -> bool {
        self.door.lock().greetings.insert(ephemeral)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        state.silent.remove(&self.id);
        state.door.leave(self.id);
    }
}
