//! How much may be under way before the less urgent classes must wait.

use std::time::Duration;

use antiphon_types::{Class, Timestamp};

use crate::frame::{FRAME_HEADER_BYTES, MAX_FRAME_PAYLOAD_BYTES};
use crate::limits::Limits;

/// What a ping needs at the end of a record.
pub(super) const MARKER_BYTES: usize = FRAME_HEADER_BYTES + 8;

/// Data that stands before a marker at least. The other side bears one ping
/// for that much data (see the guard), so this is part of the protocol.
pub(super) const BYTES_PER_MARKER: u64 = 1024;

/// Records that a window is spread over, each with a marker: what comes in one
/// piece opens the window in one jolt, and the link would stand idle between.
const RECORDS_PER_WINDOW: u64 = 8;

/// The least frame that is cut off a block to fit the window: below that
/// headers and tags would cost more than a few percent.
const MIN_FRAME_BYTES: u64 = 1024;

/// From this window on blocks are not cut to fit it. Below, waiting for the
/// room of a whole block would leave the link idle.
const WHOLE_BLOCKS_WINDOW_BYTES: u64 = RECORDS_PER_WINDOW * MAX_FRAME_PAYLOAD_BYTES as u64;

/// The largest window; more than any path of ours holds.
const MAX_WINDOW_BYTES: u64 = 64 << 20;

/// The least delay that is aimed at: schedulers and radio links add that much
/// without any queue.
const MIN_DELAY: Duration = Duration::from_millis(4);

/// Age at which the base is measured again: meanwhile the route may have
/// changed, and our own standing queue hides that it did.
const BASE_LIFETIME: Duration = Duration::from_secs(30);

/// Round trips at the least window that were still too long: then the queue is
/// not ours, and their length is the new base.
const MAX_ROUNDS_AT_LEAST: u8 = 8;

/// The classes that yield.
pub(super) fn is_background(class: Class) -> bool {
    class > Class::Now
}

/// What a ping is sent behind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    /// Data sent before it, since the connection began.
    sent: u64,
    /// That of the yielding classes.
    background: u64,
    /// Data under way when it left.
    in_flight: u64,
}

/// The shortest round trip, which no queue adds to.
#[derive(Debug, Clone, Copy)]
struct Base {
    round_trip: Duration,
    measured: Timestamp,
}

/// What one round trip has told.
#[derive(Debug, Default)]
struct Round {
    /// It ends when that much has arrived.
    until: u64,
    /// The largest window that a sample speaks for.
    estimate: u64,
    /// The shortest sample.
    shortest: Option<Duration>,
    longest: Duration,
    /// Whether the window held anything back.
    held: bool,
}

/// The window of prefetch and offline copies.
///
/// What is sent fills the buffers of kernel and router, and what is sent later
/// waits behind it, however urgent. So data under way, of all classes, is
/// counted, and less urgent classes wait once it is as much as the path holds
/// with a queue of a few milliseconds. Urgent ones never wait: what they
/// have under way only leaves the others less.
///
/// Pings are the measure. A ping behind data comes back when all before it has
/// arrived, so `in_flight / sample` is the rate at which the path delivers, and
/// that times (base + delay aimed at) is the window (the update of FAST TCP,
/// Wei et al. 2006, with the aim of LEDBAT, RFC 6817). It does not depend on
/// the size of a packet, so it finds 4 KiB and 4 MiB in as few round trips; and
/// a burst of urgent data counts on both sides of the fraction, so that it
/// moves nothing. At first the window doubles, until the time that its data takes
/// shows the end of that. Twice a minute it shrinks to its least for two round trips, to see
/// the path without our queue (as BBR does; LEDBAT drifts without).
#[derive(Debug)]
pub(super) struct Background {
    /// The delay aimed at, at most; `None` if nothing is held back.
    max_delay: Option<Duration>,
    initial: u64,
    least: u64,

    window: u64,
    slow_start: bool,
    base: Option<Base>,
    /// Ends of rounds until the base is taken anew; 0 if it is good.
    probe: u8,
    rounds_at_least: u8,
    round: Round,
    last_sent: Timestamp,
    /// What the yielding classes have in the record that is being made.
    in_record: u64,

    /// Data of all classes, and of the yielding ones.
    sent: u64,
    arrived: u64,
    background_sent: u64,
    background_arrived: u64,
    /// `sent` at the last mark.
    marked: u64,
}

impl Background {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            max_delay: limits.background_delay,
            initial: limits.initial_background_bytes,
            least: limits.min_background_bytes,
            window: limits.initial_background_bytes,
            slow_start: true,
            base: None,
            probe: 0,
            rounds_at_least: 0,
            round: Round::default(),
            last_sent: Timestamp::ZERO,
            in_record: 0,
            sent: 0,
            arrived: 0,
            background_sent: 0,
            background_arrived: 0,
            marked: 0,
        }
    }

    /// How much the yielding classes may send now; 0 if that is not worth a
    /// frame.
    pub(super) fn allowance(&self) -> u64 {
        if self.max_delay.is_none() {
            return u64::MAX;
        }
        if self.base.is_none() {
            return 0;
        }
        let window = if self.probe > 0 { self.least } else { self.window };
        // Urgent data alone may fill the window for long; a little goes on.
        let of_all = window.saturating_sub(self.sent - self.arrived);
        let of_own = self.least.saturating_sub(self.background_in_flight());
        let of_record = self.spacing().saturating_sub(self.in_record);
        let allowance = of_all.max(of_own).min(of_record);
        let worth_it = if window >= WHOLE_BLOCKS_WINDOW_BYTES {
            MAX_FRAME_PAYLOAD_BYTES as u64
        } else {
            MIN_FRAME_BYTES
        };
        if allowance >= worth_it { allowance } else { 0 }
    }

    /// The window held something back. True if a ping must be sent first, since
    /// nothing is known of the path.
    pub(super) fn hold(&mut self) -> bool {
        self.round.held = true;
        self.base.is_none()
    }

    /// A data frame leaves.
    pub(super) fn data_sent(&mut self, now: Timestamp, class: Class, bytes: u64) {
        self.sent += bytes;
        if is_background(class) {
            self.background_sent += bytes;
            self.in_record += bytes;
            self.last_sent = now;
        }
    }

    /// Before the yielding classes send: after a pause the path is not what it
    /// was.
    pub(super) fn resume(&mut self, now: Timestamp, idle: Duration) {
        let Some(base) = self.base else { return };
        if now.saturating_since(self.last_sent) >= idle && self.background_in_flight() == 0 {
            self.window = self.window.min(self.initial);
            self.slow_start = true;
        }
        if self.probe == 0 && now.saturating_since(base.measured) >= BASE_LIFETIME {
            self.probe = 2;
        }
    }

    /// A record begins.
    pub(super) fn begin_record(&mut self) {
        self.in_record = 0;
    }

    /// Whether a ping should follow what was sent; `more` if the yielding
    /// classes can send more at once.
    pub(super) fn wants_mark(&self, more: bool) -> bool {
        let unmarked = self.sent - self.marked;
        let spacing = if more { self.spacing() } else { 0 };
        self.max_delay.is_some()
            && self.background_in_flight() > 0
            && unmarked >= spacing.max(BYTES_PER_MARKER)
    }

    /// How much of the yielding classes one record and one marker carry.
    fn spacing(&self) -> u64 {
        (self.window / RECORDS_PER_WINDOW).max(MIN_FRAME_BYTES)
    }

    /// What stands before a ping that leaves now.
    pub(super) fn mark(&mut self) -> Mark {
        self.marked = self.sent;
        Mark {
            sent: self.sent,
            background: self.background_sent,
            in_flight: self.sent - self.arrived,
        }
    }

    /// All that was sent before a mark has arrived; the answer took `sample`.
    pub(super) fn arrived(&mut self, now: Timestamp, mark: Mark, sample: Duration) {
        let Some(max_delay) = self.max_delay else { return };
        self.arrived = self.arrived.max(mark.sent);
        self.background_arrived = self.background_arrived.max(mark.background);
        let base = self.measure_base(now, mark, sample);
        let window = mark.in_flight.saturating_mul(micros(base + aim(base, max_delay)));
        self.round.estimate = self.round.estimate.max(window / micros(sample));
        let shortest = self.round.shortest.map_or(sample, |shortest| shortest.min(sample));
        self.round.shortest = Some(shortest);
        self.round.longest = self.round.longest.max(sample);
        if self.arrived >= self.round.until {
            self.end_round(now, max_delay, base, shortest);
        }
    }

    /// The base, after a sample.
    fn measure_base(&mut self, now: Timestamp, mark: Mark, sample: Duration) -> Duration {
        let renewed = self.base.is_none_or(|base| {
            let expired = now.saturating_since(base.measured) >= BASE_LIFETIME;
            sample <= base.round_trip || expired && mark.in_flight <= self.least
        });
        if renewed {
            if self.probe > 0 {
                self.end_probe(now, sample);
            }
            self.base = Some(Base { round_trip: sample, measured: now });
        }
        self.base.map_or(sample, |base| base.round_trip)
    }

    fn end_probe(&mut self, now: Timestamp, round_trip: Duration) {
        self.probe = 0;
        self.base = Some(Base { round_trip, measured: now });
        // All of the window at once would be the very queue it avoids.
        self.window = (self.window / 2).max(self.least);
    }

    fn end_round(
        &mut self,
        now: Timestamp,
        max_delay: Duration,
        base: Duration,
        shortest: Duration,
    ) {
        let round = std::mem::take(&mut self.round);
        self.round.until = self.sent.max(self.arrived + 1);
        if self.probe > 0 {
            self.probe -= 1;
            if self.probe == 0 {
                self.end_probe(now, shortest);
            }
            return;
        }
        let aim = aim(base, max_delay);
        let too_long = shortest > base + aim;
        let doubled = self.window * 2;
        // A burst arrives as slowly as the path lets it: with half a base
        // between begin and end, twice as much is what the path holds.
        let slow_start = self.slow_start && round.longest <= base + aim.max(base / 2);
        let left_slow_start = std::mem::replace(&mut self.slow_start, slow_start) && !slow_start;
        // Half and double: one odd round trip decides little.
        self.window = match (too_long || left_slow_start, round.held) {
            (false, false) => self.window,
            (false, true) if slow_start => doubled,
            // It was used up, but for less than a frame, which must not count.
            (false, true) => {
                let grown = self.window.saturating_mul(micros(base + aim)) / micros(shortest);
                grown.max(round.estimate).min(doubled)
            }
            (true, true) => round.estimate.clamp(self.window / 2, doubled),
            (true, false) => round.estimate.clamp(self.window / 2, self.window),
        };
        self.window = self.window.clamp(self.least, MAX_WINDOW_BYTES);
        self.count_at_least(now, too_long, shortest);
    }

    /// A queue that is long although we send the least is not ours.
    fn count_at_least(&mut self, now: Timestamp, too_long: bool, shortest: Duration) {
        let at_least = too_long && self.window == self.least;
        self.rounds_at_least = if at_least { self.rounds_at_least + 1 } else { 0 };
        if self.rounds_at_least >= MAX_ROUNDS_AT_LEAST {
            self.rounds_at_least = 0;
            self.slow_start = true;
            self.base = Some(Base { round_trip: shortest, measured: now });
        }
    }

    fn background_in_flight(&self) -> u64 {
        self.background_sent - self.background_arrived
    }
}

/// The delay aimed at: little beside the round trip, and little in itself.
fn aim(base: Duration, max_delay: Duration) -> Duration {
    (base / 4).max(MIN_DELAY).min(max_delay)
}

/// At least 1: a divisor.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1)
}
