//! Pings, round-trip time, and the deadlines of a connection.

use std::collections::VecDeque;
use std::time::Duration;

use antiphon_types::Timestamp;

use super::ConnectionError;
use super::background::Mark;
use crate::limits::Limits;

/// Pings that may be under way at once.
const MAX_PINGS: usize = 16;

/// What happens at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The connection is dead.
    Idle,
    /// The other side is there and does not answer.
    Unanswered,
    /// A ping is sent.
    KeepAlive,
}

/// A ping under way.
#[derive(Debug)]
struct Ping {
    token: u64,
    at: Timestamp,
    /// Whether it was asked for, and is not only a marker behind data.
    asked: bool,
    mark: Mark,
}

/// What the answer to a ping tells.
#[derive(Debug)]
pub(super) struct Answer {
    /// How long it took.
    pub(super) sample: Duration,
    /// What was sent before the ping, all of which has arrived.
    pub(super) mark: Mark,
    /// How long a ping took that was asked for.
    pub(super) asked: Option<Duration>,
}

/// Knows when the other side was last heard, and how far away it is.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    idle_timeout: Duration,
    last_heard: Timestamp,
    /// Whether a ping is asked for and not sent.
    wanted: bool,
    /// By rising token.
    under_way: VecDeque<Ping>,
    next_token: u64,
    /// The token of the last ping that came and is not answered. One is
    /// enough: an answer to the latest answers all.
    unanswered: Option<u64>,
    round_trip: Option<Duration>,
}

impl KeepAlive {
    pub(super) fn new(limits: &Limits, now: Timestamp) -> Self {
        Self {
            interval: limits.keep_alive,
            idle_timeout: limits.idle_timeout,
            last_heard: now,
            wanted: false,
            under_way: VecDeque::new(),
            next_token: 0,
            unanswered: None,
            round_trip: None,
        }
    }

    /// Memory held beside itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.under_way.capacity() * size_of::<Ping>()
    }

    /// Smoothed round-trip time.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(super) fn heard(&mut self, now: Timestamp) {
        self.last_heard = now;
    }

    /// Asks for a ping, unless one that was asked for is under way.
    pub(super) fn want_ping(&mut self) {
        self.wanted |= !self.under_way.iter().any(|ping| ping.asked);
    }

    pub(super) fn ping_received(&mut self, token: u64) {
        self.unanswered = Some(token);
    }

    /// The answer to the ping with that token, and to all before it.
    pub(super) fn pong_received(
        &mut self,
        now: Timestamp,
        token: u64,
    ) -> Result<Answer, ConnectionError> {
        if !self.under_way.iter().any(|ping| ping.token == token) {
            return Err(ConnectionError::UnexpectedPong);
        }
        let mut asked = None;
        while let Some(ping) = self.under_way.pop_front() {
            let sample = now.saturating_since(ping.at);
            if ping.asked {
                asked = Some(sample);
            }
            if ping.token == token {
                // The weights of RFC 6298, section 2.
                self.round_trip =
                    Some(self.round_trip.map_or(sample, |old| (old * 7 + sample) / 8));
                return Ok(Answer { sample, mark: ping.mark, asked });
            }
        }
        Err(ConnectionError::UnexpectedPong)
    }

    pub(super) fn has_output(&self) -> bool {
        self.unanswered.is_some() || self.wanted && self.has_room()
    }

    /// The token of an answer to be sent.
    pub(super) fn take_pong(&mut self) -> Option<u64> {
        self.unanswered.take()
    }

    /// Whether one more ping may be under way.
    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < MAX_PINGS
    }

    /// Whether a ping that was asked for must be sent.
    pub(super) fn wants_ping(&self) -> bool {
        self.wanted && self.has_room()
    }

    /// The token of a ping that leaves now, behind `mark`.
    pub(super) fn ping_sent(&mut self, now: Timestamp, mark: Mark) -> u64 {
        let token = self.next_token;
        self.next_token = token.wrapping_add(1);
        let asked = std::mem::take(&mut self.wanted);
        self.under_way.push_back(Ping { token, at: now, asked, mark });
        token
    }

    pub(super) fn next_deadline(&self) -> Timestamp {
        self.deadlines().map(|(at, _)| at).into_iter().min().unwrap_or(Timestamp::MAX)
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Result<(), ConnectionError> {
        for (at, timer) in self.deadlines() {
            if at > now {
                continue;
            }
            match timer {
                Timer::Idle => return Err(ConnectionError::IdleTimeout),
                Timer::Unanswered => return Err(ConnectionError::PingUnanswered),
                Timer::KeepAlive => self.want_ping(),
            }
        }
        Ok(())
    }

    /// All deadlines, the gravest first.
    fn deadlines(&self) -> [(Timestamp, Timer); 3] {
        let oldest = self.under_way.front();
        let keep_alive = match (self.wanted, oldest) {
            (false, None) => self.last_heard + self.interval,
            _ => Timestamp::MAX,
        };
        let unanswered = oldest.map_or(Timestamp::MAX, |ping| ping.at + self.idle_timeout);
        [
            (self.last_heard + self.idle_timeout, Timer::Idle),
            (unanswered, Timer::Unanswered),
            (keep_alive, Timer::KeepAlive),
        ]
    }
}
