//! Which stream sends next.

use std::collections::VecDeque;

use antiphon_types::Class;

use super::background::is_background;
use super::memory::trim;
use crate::frame::{FRAME_CREDIT_BYTES, StreamId};

/// Credit of the connection that a class leaves to more urgent ones, so that
/// an offline copy whose receiver is slow does not hold up what plays now.
/// (A receiver returns credit in quarters of its window; the largest reserve
/// is a quarter of the smallest window, so the wait always ends.)
const RESERVE_BYTES: [u64; 4] = [0, 64 * 1024, 128 * 1024, 256 * 1024];

/// The frame that a class may send after `starvation_bytes`: a block.
const BLOCK_BYTES: u64 = antiphon_types::BLOCK_BYTES as u64;

/// Who waits for room in the queue of a class.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    #[default]
    Nobody,
    /// Streams that are marked so.
    Marked,
    /// Perhaps all of them: the class was full when they looked.
    All,
}

/// What there is to send with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Credit of the connection.
    pub(super) credit: u64,
    /// What prefetch and offline copies may have under way.
    pub(super) background: u64,
}

impl Budget {
    /// The credit that `class` may use.
    pub(super) fn usable(self, class: Class) -> u64 {
        let credit = self.credit.saturating_sub(RESERVE_BYTES[usize::from(class.index())]);
        if is_background(class) {
            credit.min(self.background.saturating_add(FRAME_CREDIT_BYTES))
        } else {
            credit
        }
    }
}

/// One class.
#[derive(Debug, Default)]
struct Lane {
    /// Streams with data and credit of their own, in turn.
    ready: VecDeque<StreamId>,
    /// Bytes queued by all its streams, ready or not.
    queued_bytes: usize,
    /// Bytes that more urgent classes sent while this one could have.
    passed_over: u64,
    waiting: Waiting,
    /// The writer that was told of room last.
    last_woken: StreamId,
}

/// The queues of the four classes.
///
/// Strict priority, with one exception: a class that has been passed over for
/// `starvation_bytes` sends a block's worth. Within a class each stream sends one
/// frame in turn.
#[derive(Debug)]
pub(super) struct Schedule {
    lanes: [Lane; 4],
    starvation_bytes: u64,
}

impl Schedule {
    pub(super) fn new(starvation_bytes: u64) -> Self {
        Self { lanes: Default::default(), starvation_bytes }
    }

    /// Whose turn it is, if the budget lets anyone send.
    pub(super) fn next(&self, budget: Budget) -> Option<(Class, StreamId)> {
        let can_send = |class: &Class| self.can_send(*class, budget);
        let starved = |class: &Class| self.lane(*class).passed_over >= self.starvation_bytes.max(1);
        let class = Class::ALL
            .into_iter()
            .filter(can_send)
            .find(starved)
            .or_else(|| Class::ALL.into_iter().find(can_send))?;
        Some((class, *self.lane(class).ready.front()?))
    }

    /// The first stream of `class` sent `bytes` bytes and stands behind now.
    pub(super) fn sent(&mut self, class: Class, bytes: usize, budget: Budget, still_ready: bool) {
        for lower in Class::ALL.into_iter().filter(|&lower| lower > class) {
            if self.can_send(lower, budget) {
                let lane = self.lane_mut(lower);
                lane.passed_over = lane.passed_over.saturating_add(bytes as u64);
            }
        }
        let paid = (bytes as u64).saturating_mul(self.bytes_passed_over_per_byte());
        let lane = self.lane_mut(class);
        lane.passed_over = lane.passed_over.saturating_sub(paid);
        if let Some(stream) = lane.ready.pop_front()
            && still_ready
        {
            lane.ready.push_back(stream);
        }
        trim(&mut lane.ready);
    }

    /// What a byte of a starved class pays for, so that the share of the class is
    /// the same in frames of any size. A large frame pays for all.
    fn bytes_passed_over_per_byte(&self) -> u64 {
        (self.starvation_bytes / BLOCK_BYTES).max(1)
    }

    /// Whether a yielding class could send, if it had `credit` and nothing else
    /// to heed.
    pub(super) fn background_waits(&self, credit: u64) -> bool {
        let budget = Budget { credit, background: u64::MAX };
        Class::ALL.into_iter().any(|class| is_background(class) && self.can_send(class, budget))
    }

    pub(super) fn push(&mut self, class: Class, stream: StreamId) {
        self.lane_mut(class).ready.push_back(stream);
    }

    pub(super) fn remove(&mut self, class: Class, stream: StreamId) {
        let lane = self.lane_mut(class);
        lane.ready.retain(|&other| other != stream);
        if lane.ready.is_empty() {
            lane.passed_over = 0;
        }
    }

    /// Memory held beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        let ready: usize = self.lanes.iter().map(|lane| lane.ready.capacity()).sum();
        ready * size_of::<StreamId>()
    }

    pub(super) fn queued_bytes(&self, class: Class) -> usize {
        self.lane(class).queued_bytes
    }

    /// Remembers that somebody waits.
    pub(super) fn wait(&mut self, class: Class, who: Waiting) {
        let waiting = &mut self.lane_mut(class).waiting;
        *waiting = who.max(*waiting);
    }

    pub(super) fn waiting(&self, class: Class) -> Waiting {
        self.lane(class).waiting
    }

    pub(super) fn take_waiting(&mut self, class: Class) -> Waiting {
        std::mem::take(&mut self.lane_mut(class).waiting)
    }

    pub(super) fn last_woken(&self, class: Class) -> StreamId {
        self.lane(class).last_woken
    }

    pub(super) fn set_last_woken(&mut self, class: Class, stream: StreamId) {
        self.lane_mut(class).last_woken = stream;
    }

    pub(super) fn add_queued(&mut self, class: Class, bytes: usize) {
        self.lane_mut(class).queued_bytes += bytes;
    }

    pub(super) fn remove_queued(&mut self, class: Class, bytes: usize) {
        self.lane_mut(class).queued_bytes -= bytes;
    }

    fn can_send(&self, class: Class, budget: Budget) -> bool {
        !self.lane(class).ready.is_empty() && budget.usable(class) > FRAME_CREDIT_BYTES
    }

    fn lane(&self, class: Class) -> &Lane {
        &self.lanes[usize::from(class.index())]
    }

    fn lane_mut(&mut self, class: Class) -> &mut Lane {
        &mut self.lanes[usize::from(class.index())]
    }
}
