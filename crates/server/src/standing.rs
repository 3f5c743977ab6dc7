//! What other listeners say of one (bad blocks), and what it comes to.
//!
//! Anyone may lie about anyone, so one who speaks alone changes nothing, however
//! often: only what is said from several networks counts, and even that puts a
//! listener last among those named, for an hour. She goes on hearing music.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use antiphon_types::Timestamp;

use crate::bucket::Rate;

/// From how many networks a listener must be reported before it counts.
pub(crate) const BELIEVED_FROM: usize = 3;

/// Reports are forgotten after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60 * 60);

/// Reporters that are kept; they are of different networks.
const MAX_REPORTERS: usize = 16;

/// How many reports of one listener are looked at: a few at once, since whoever
/// plays from a bad swarm meets several, then one in a minute.
pub(crate) const REPORTS_OF_ONE: Rate = Rate { burst: 8, interval: Duration::from_secs(60) };

/// A network: addresses in it are easily had by one and the same, so they speak
/// with one voice. /24 of IPv4, and of IPv6 the /48 that a site has (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Voice(IpAddr);

impl Voice {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                IpAddr::from([a, b, c, 0])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                IpAddr::from(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        })
    }

    pub(crate) fn address(self) -> IpAddr {
        self.0
    }
}

/// What was said of one listener.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    reporters: BTreeMap<Voice, Timestamp>,
}

impl Standing {
    /// A report of a bad block.
    pub(crate) fn report(&mut self, now: Timestamp, voice: Voice) {
        self.forget(now);
        if self.reporters.len() < MAX_REPORTERS || self.reporters.contains_key(&voice) {
            self.reporters.insert(voice, now);
        }
    }

    /// Faults that count: the number of networks, or 0 while they are too few.
    pub(crate) fn faults(&mut self, now: Timestamp) -> u16 {
        self.forget(now);
        let voices = self.reporters.len();
        if voices < BELIEVED_FROM { 0 } else { u16::try_from(voices).unwrap_or(u16::MAX) }
    }

    fn forget(&mut self, now: Timestamp) {
        self.reporters.retain(|_, at| now.saturating_since(*at) < FORGOTTEN_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(address: &str) -> Voice {
        Voice::of(address.parse().unwrap())
    }

    #[test]
    fn one_network_alone_changes_nothing_however_often_it_speaks() {
        let mut standing = Standing::default();
        for host in 0..=255_u8 {
            standing.report(Timestamp::ZERO, Voice::of([203, 0, 113, host].into()));
            standing.report(Timestamp::ZERO, voice(&format!("2001:db8:1:{host:x}::1")));
        }
        assert_eq!(standing.faults(Timestamp::ZERO), 0);
    }

    #[test]
    fn three_networks_count_for_an_hour() {
        let mut standing = Standing::default();
        for address in ["203.0.113.5", "198.51.100.5", "2001:db8::5"] {
            assert_eq!(standing.faults(Timestamp::ZERO), 0);
            standing.report(Timestamp::ZERO, voice(address));
        }
        let hour = Timestamp::ZERO + FORGOTTEN_AFTER;
        assert_eq!(standing.faults(hour.saturating_sub(Duration::from_millis(1))), 3);
        assert_eq!(standing.faults(hour), 0);
    }

    #[test]
    fn many_networks_take_bounded_memory() {
        let mut standing = Standing::default();
        for network in 0..=255_u8 {
            standing.report(Timestamp::ZERO, Voice::of([203, 0, network, 1].into()));
        }
        assert_eq!(standing.faults(Timestamp::ZERO), 16);
    }
}
