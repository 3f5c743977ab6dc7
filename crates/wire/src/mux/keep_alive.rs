//! Pings, round-trip time, and the two deadlines of a connection.

use std::time::Duration;

use antiphon_types::Timestamp;

use super::ConnectionError;
use crate::limits::Limits;

/// What happens at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The connection is dead.
    Idle,
    /// A ping is sent.
    KeepAlive,
}

#[derive(Debug)]
enum Ping {
    None,
    Wanted,
    Sent { token: u64, at: Timestamp },
}

/// Knows when the other side was last heard, and how far away it is.
#[derive(Debug)]
pub(super) struct KeepAlive {
    interval: Duration,
    idle_timeout: Duration,
    last_heard: Timestamp,
    ping: Ping,
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
            ping: Ping::None,
            next_token: 0,
            unanswered: None,
            round_trip: None,
        }
    }

    /// Smoothed round-trip time.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(super) fn heard(&mut self, now: Timestamp) {
        self.last_heard = now;
    }

    /// Asks for a ping, unless one is under way.
    pub(super) fn want_ping(&mut self) {
        if matches!(self.ping, Ping::None) {
            self.ping = Ping::Wanted;
        }
    }

    pub(super) fn ping_received(&mut self, token: u64) {
        self.unanswered = Some(token);
    }

    /// The sample that an answer gives.
    pub(super) fn pong_received(
        &mut self,
        now: Timestamp,
        token: u64,
    ) -> Result<Duration, ConnectionError> {
        let at = match self.ping {
            Ping::Sent { token: sent, at } if sent == token => at,
            _ => return Err(ConnectionError::UnexpectedPong),
        };
        self.ping = Ping::None;
        let sample = now.saturating_since(at);
        // The weights of RFC 6298, section 2.
        self.round_trip = Some(self.round_trip.map_or(sample, |old| (old * 7 + sample) / 8));
        Ok(sample)
    }

    pub(super) fn has_output(&self) -> bool {
        self.unanswered.is_some() || matches!(self.ping, Ping::Wanted)
    }

    /// The token of an answer to be sent.
    pub(super) fn take_pong(&mut self) -> Option<u64> {
        self.unanswered.take()
    }

    /// The token of a ping to be sent, which leaves now.
    pub(super) fn take_ping(&mut self, now: Timestamp) -> Option<u64> {
        if !matches!(self.ping, Ping::Wanted) {
            return None;
        }
        let token = self.next_token;
        self.next_token = token.wrapping_add(1);
        self.ping = Ping::Sent { token, at: now };
        Some(token)
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
                Timer::KeepAlive => self.want_ping(),
            }
        }
        Ok(())
    }

    /// All deadlines, the gravest first.
    fn deadlines(&self) -> [(Timestamp, Timer); 2] {
        let keep_alive = match self.ping {
            Ping::None => self.last_heard + self.interval,
            Ping::Wanted | Ping::Sent { .. } => Timestamp::MAX,
        };
        [(self.last_heard + self.idle_timeout, Timer::Idle), (keep_alive, Timer::KeepAlive)]
    }
}
