//! What the loop of the node and the thread of the player share: the parts that
//! are to be played, and which of their blocks are in the store.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use antiphon_listener::PlayId;
use antiphon_media::RenditionKey;
use antiphon_types::{BlockSet, Rendition};

/// A stretch of a track in one rendition.
#[derive(Clone)]
pub(crate) struct Part {
    /// Its number in the listener core.
    pub(crate) id: PlayId,
    pub(crate) rendition: Rendition,
    pub(crate) key: RenditionKey,
    /// The samples that sound: from this one,
    pub(crate) from: u64,
    /// up to before this one.
    pub(crate) until: u64,
    /// Whether a track begins with it, rather than another rendition of the
    /// track before it.
    pub(crate) opens: bool,
}

/// What the player does next.
pub(crate) enum Step {
    /// Plays this part.
    Part(Part),
    /// Nothing is there to be played yet.
    TimedOut,
    /// Nothing follows: when all has been heard, the queue is over.
    Over,
    /// What was decoded is not wanted any more.
    Jumped,
    /// The engine is ending.
    Stopped,
}

/// What a wait for a block ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The block is in the store.
    There,
    /// It did not come in time.
    TimedOut,
    /// What is being decoded is not wanted any more.
    Jumped,
}

/// Shared by its clones.
#[derive(Clone, Default)]
pub(crate) struct Deck {
    inner: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    parts: VecDeque<Entry>,
    /// Counts the jumps: what was decoded under an older one is not wanted.
    epoch: u64,
    /// Sound may begin, or go on.
    go: bool,
    paused: bool,
    gain: f32,
    over: bool,
    stopped: bool,
}

struct Entry {
    part: Part,
    blocks: BlockSet,
}

/// Tells the deck of blocks of one part.
#[derive(Clone)]
pub(crate) struct Gate {
    deck: Deck,
    part: PlayId,
}

/// How the player stands to the deck: what it needs at each turn, in one look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Orders {
    pub(crate) epoch: u64,
    pub(crate) go: bool,
    pub(crate) paused: bool,
    /// Factor for each sample.
    pub(crate) gain: f32,
    pub(crate) stopped: bool,
}

impl Deck {
    /// A deck with nothing on it, at the volume of that factor.
    pub(crate) fn new(gain: f32) -> Self {
        let deck = Self::default();
        deck.lock().gain = gain;
        deck
    }

    /// Plays this now, and nothing of what was there before.
    pub(crate) fn load(&self, part: Part, blocks: BlockSet) -> Gate {
        let mut state = self.lock();
        state.clear();
        self.push(state, part, blocks)
    }

    /// Plays this after everything that is there.
    pub(crate) fn append(&self, part: Part, blocks: BlockSet) -> Gate {
        let state = self.lock();
        self.push(state, part, blocks)
    }

    /// Plays this from `part.from` on instead of the part before it, which ends
    /// there. `None` if that part is not there any more.
    pub(crate) fn splice(&self, after: PlayId, part: Part, blocks: BlockSet) -> Option<Gate> {
        let mut state = self.lock();
        let nth = state.parts.iter().position(|entry| entry.part.id == after)?;
        state.parts[nth].part.until = part.from;
        let gate = Gate { deck: self.clone(), part: part.id };
        state.parts.insert(nth + 1, Entry { part, blocks });
        self.inner.1.notify_all();
        Some(gate)
    }

    /// Plays this part, which was appended, now.
    pub(crate) fn jump_to(&self, id: PlayId) {
        self.change(|state| {
            let before = state.parts.iter().take_while(|entry| entry.part.id != id).count();
            state.parts.drain(..before);
            state.epoch += 1;
            state.go = false;
        });
    }

    /// Takes away a part that has not begun.
    pub(crate) fn remove(&self, id: PlayId) {
        self.lock().parts.retain(|entry| entry.part.id != id);
    }

    /// Nothing is to be heard any more.
    pub(crate) fn clear(&self) {
        self.change(State::clear);
    }

    /// Nothing follows what is there; or something may again.
    pub(crate) fn set_over(&self, over: bool) {
        self.change(|state| state.over = over);
    }

    /// Sound may begin, or not yet.
    pub(crate) fn set_go(&self, go: bool) {
        self.change(|state| state.go = go);
    }

    /// The player ran dry: nothing sounds until it may again.
    pub(crate) fn hold(&self, epoch: u64) {
        self.change(|state| state.go &= state.epoch != epoch);
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    pub(crate) fn set_gain(&self, gain: f32) {
        self.change(|state| state.gain = gain);
    }

    /// Ends the player.
    pub(crate) fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    /// How things stand.
    pub(crate) fn orders(&self) -> Orders {
        self.lock().orders()
    }

    /// Waits until something changes, or until `deadline`.
    pub(crate) fn wait(&self, seen: Orders, deadline: Option<Instant>) {
        let mut state = self.lock();
        while state.orders() == seen {
            match self.sleep(state, deadline) {
                Some(woken) => state = woken,
                None => return,
            }
        }
    }

    /// Waits for the part that follows `last` (the first, without one), until
    /// `deadline`. Parts before it are forgotten.
    pub(crate) fn next(&self, epoch: u64, last: Option<PlayId>, deadline: Option<Instant>) -> Step {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Step::Stopped;
            }
            if state.epoch != epoch {
                return Step::Jumped;
            }
            let after = last.and_then(|last| state.parts.iter().position(|e| e.part.id == last));
            let nth = after.map_or(0, |nth| nth + 1);
            if let Some(entry) = state.parts.get(nth) {
                let part = entry.part.clone();
                state.parts.drain(..nth);
                return Step::Part(part);
            }
            if state.over {
                return Step::Over;
            }
            match self.sleep(state, deadline) {
                Some(woken) => state = woken,
                None => return Step::TimedOut,
            }
        }
    }

    /// Where a part ends, which a splice may change while it is played.
    pub(crate) fn end_of(&self, id: PlayId) -> Option<u64> {
        let state = self.lock();
        state.parts.iter().find(|entry| entry.part.id == id).map(|entry| entry.part.until)
    }

    /// Waits for a block of a part, until `deadline` if there is one.
    pub(crate) fn wait_for_block(
        &self,
        epoch: u64,
        id: PlayId,
        block: u32,
        deadline: Option<Instant>,
    ) -> Waited {
        let mut state = self.lock();
        loop {
            if state.stopped || state.epoch != epoch {
                return Waited::Jumped;
            }
            let entry = state.parts.iter().find(|entry| entry.part.id == id);
            if entry.is_some_and(|entry| entry.blocks.contains(block)) {
                return Waited::There;
            }
            match self.sleep(state, deadline) {
                Some(woken) => state = woken,
                None => return Waited::TimedOut,
            }
        }
    }

    /// A block that was there has gone bad.
    pub(crate) fn shut(&self, id: PlayId, block: u32) {
        let mut state = self.lock();
        if let Some(entry) = state.parts.iter_mut().find(|entry| entry.part.id == id) {
            entry.blocks.remove(block);
        }
    }

    fn push(&self, mut state: MutexGuard<'_, State>, part: Part, blocks: BlockSet) -> Gate {
        let gate = Gate { deck: self.clone(), part: part.id };
        state.parts.push_back(Entry { part, blocks });
        self.inner.1.notify_all();
        gate
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.inner.1.notify_all();
    }

    /// `None` once the deadline has come.
    fn sleep<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> Option<MutexGuard<'a, State>> {
        let Some(deadline) = deadline else {
            return Some(self.inner.1.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let woken = self.inner.1.wait_timeout(state, left);
        Some(woken.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clear(&mut self) {
        self.parts.clear();
        self.epoch += 1;
        (self.go, self.over) = (false, false);
    }

    fn orders(&self) -> Orders {
        Orders {
            epoch: self.epoch,
            go: self.go,
            paused: self.paused,
            gain: self.gain,
            stopped: self.stopped,
        }
    }
}

impl Gate {
    /// A block has come.
    pub(crate) fn open(&self, block: u32) {
        self.deck.change(|state| {
            if let Some(entry) = state.parts.iter_mut().find(|entry| entry.part.id == self.part) {
                entry.blocks.insert(block);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_types::{Bitrate, BlobId, BlobSize, Segment};

    fn part(id: u64, from: u64) -> (Part, BlockSet) {
        let size = BlobSize::new(100_000).unwrap();
        let segment = Segment { offset: 4_000, sample: 0 };
        let rendition = Rendition::new(
            Bitrate::Kbps160,
            BlobId::new([1; 32]),
            size,
            4_000,
            200_000,
            vec![segment],
        );
        let part = Part {
            id: PlayId(id),
            rendition: rendition.unwrap(),
            key: RenditionKey::new([0; 32]),
            from,
            until: 200_000,
            opens: from == 0,
        };
        (part, BlockSet::empty(size))
    }

    fn id(step: &Step) -> Option<u64> {
        match step {
            Step::Part(part) => Some(part.id.0),
            _ => None,
        }
    }

    fn now() -> Option<Instant> {
        Some(Instant::now())
    }

    #[test]
    fn parts_come_in_order_and_a_splice_stands_between() {
        let deck = Deck::new(1.0);
        let (first, blocks) = part(1, 0);
        deck.load(first, blocks);
        let (next, blocks) = part(3, 0);
        deck.append(next, blocks);
        let epoch = deck.orders().epoch;
        assert_eq!(id(&deck.next(epoch, None, now())), Some(1));
        let (spliced, blocks) = part(2, 90_000);
        assert!(deck.splice(PlayId(1), spliced, blocks).is_some());
        assert_eq!(deck.end_of(PlayId(1)), Some(90_000), "it ends where the other begins");
        assert_eq!(id(&deck.next(epoch, Some(PlayId(1)), now())), Some(2));
        assert_eq!(id(&deck.next(epoch, Some(PlayId(2)), now())), Some(3));
        let (late, blocks) = part(4, 90_000);
        assert!(deck.splice(PlayId(1), late, blocks).is_none(), "that part is gone");
        assert!(matches!(deck.next(epoch, Some(PlayId(3)), now()), Step::TimedOut));
        deck.set_over(true);
        assert!(matches!(deck.next(epoch, Some(PlayId(3)), now()), Step::Over));
    }

    #[test]
    fn a_jump_ends_all_waiting_and_takes_the_leave_to_sound_back() {
        let deck = Deck::new(1.0);
        let (first, blocks) = part(1, 0);
        deck.load(first, blocks);
        let (next, blocks) = part(2, 0);
        deck.append(next, blocks);
        let epoch = deck.orders().epoch;
        deck.set_go(true);
        let waiter = std::thread::spawn({
            let deck = deck.clone();
            move || deck.wait_for_block(epoch, PlayId(1), 3, None)
        });
        deck.jump_to(PlayId(2));
        assert_eq!(waiter.join().unwrap(), Waited::Jumped);
        assert!(matches!(deck.next(epoch, None, now()), Step::Jumped));
        let orders = deck.orders();
        assert!(!orders.go, "what comes has not been looked at");
        assert_eq!(id(&deck.next(orders.epoch, None, now())), Some(2));
        deck.stop();
        assert!(matches!(deck.next(orders.epoch, Some(PlayId(2)), None), Step::Stopped));
    }

    #[test]
    fn a_block_is_waited_for_and_one_gone_bad_again() {
        let deck = Deck::new(1.0);
        let (first, blocks) = part(1, 0);
        let gate = deck.load(first, blocks);
        let epoch = deck.orders().epoch;
        let wait = |deck: &Deck, deadline| deck.wait_for_block(epoch, PlayId(1), 3, deadline);
        assert_eq!(wait(&deck, now()), Waited::TimedOut);
        let waiter = std::thread::spawn({
            let deck = deck.clone();
            move || deck.wait_for_block(epoch, PlayId(1), 3, None)
        });
        gate.open(3);
        assert_eq!(waiter.join().unwrap(), Waited::There);
        deck.shut(PlayId(1), 3);
        assert_eq!(wait(&deck, now()), Waited::TimedOut);
    }

    #[test]
    fn running_dry_of_an_older_jump_holds_nothing() {
        let deck = Deck::new(1.0);
        let (first, blocks) = part(1, 0);
        deck.load(first, blocks);
        let epoch = deck.orders().epoch;
        deck.set_go(true);
        deck.hold(epoch - 1);
        assert!(deck.orders().go);
        deck.hold(epoch);
        assert!(!deck.orders().go);
    }
}
