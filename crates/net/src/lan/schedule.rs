//! When a listener announces itself: a pure clockwork.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

use super::networks::Network;

/// Between two announcements at rest, milliseconds: about 30 s, so that many
/// listeners do not fall into step.
const INTERVAL_MS: std::ops::Range<u64> = 25_000..35_000;

/// Announcements that follow each other quickly at the start: broadcasts over
/// radio are sent once and often lost.
const QUICK: u8 = 3;

/// Between two of those, milliseconds.
const QUICK_MS: std::ops::Range<u64> = 1_000..2_000;

/// The least time between any two announcements, so that nobody can make a
/// listener say more than this.
const LEAST: Duration = Duration::from_secs(1);

/// How long a listener takes to greet a newcomer, milliseconds: all of a network
/// do it, and not at once.
const GREETING_MS: std::ops::Range<u64> = 0..500;

/// Networks on which newcomers wait to be greeted.
const MAX_WAITING: usize = 8;

/// Where to announce.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    /// On all networks.
    Everywhere,
    /// On these, each by one packet as long as the one that asked for it.
    Greeting(Vec<Network>),
}

/// The clockwork.
#[derive(Debug)]
pub(super) struct Schedule {
    next: Instant,
    quick: u8,
    last: Option<Instant>,
    /// Networks where a newcomer was heard, and when they are greeted.
    greeting: Option<(Instant, Vec<Network>)>,
}

impl Schedule {
    /// The first announcement is due at once.
    pub(super) fn start(now: Instant) -> Self {
        Self { next: now, quick: QUICK, last: None, greeting: None }
    }

    /// The networks are others than before: as at the start.
    pub(super) fn restart(&mut self, now: Instant) {
        self.quick = QUICK;
        self.next = self.not_before(now);
    }

    /// A listener was heard on `network` who was not known: it does not know us.
    pub(super) fn newcomer(&mut self, network: Network, now: Instant, rng: &mut impl Rng) {
        let at = self.not_before(now) + Duration::from_millis(rng.random_range(GREETING_MS));
        let (_, networks) = self.greeting.get_or_insert_with(|| (at, Vec::new()));
        if networks.len() < MAX_WAITING && !networks.contains(&network) {
            networks.push(network);
        }
    }

    /// When [`Self::take`] has something to say next.
    pub(super) fn due(&self) -> Instant {
        self.greeting.as_ref().map_or(self.next, |&(at, _)| at.min(self.next))
    }

    /// What is due.
    pub(super) fn take(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Announcement> {
        if self.next <= now {
            self.quick = self.quick.saturating_sub(1);
            let range = if self.quick > 0 { QUICK_MS } else { INTERVAL_MS };
            self.next = now + Duration::from_millis(rng.random_range(range));
            (self.last, self.greeting) = (Some(now), None);
            return Some(Announcement::Everywhere);
        }
        let (_, networks) = self.greeting.take_if(|(at, _)| *at <= now)?;
        self.last = Some(now);
        // One announcement at a time.
        self.next = self.next.max(now + LEAST);
        Some(Announcement::Greeting(networks))
    }

    fn not_before(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| now.max(last + LEAST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::lan::networks::Networks;

    /// Runs it for a time, and says when it announced what. `heard` is how many
    /// newcomers come in each millisecond.
    fn run(length: Duration, newcomer_every_ms: Option<u64>) -> Vec<(u64, Announcement)> {
        let mut rng = StdRng::seed_from_u64(7);
        let begin = Instant::now();
        let mut schedule = Schedule::start(begin);
        let network = *Networks::test("192.168.7.20", 22).broadcasting().next().unwrap();
        let mut said = Vec::new();
        for ms in 0..u64::try_from(length.as_millis()).unwrap() {
            let now = begin + Duration::from_millis(ms);
            if newcomer_every_ms.is_some_and(|every| ms % every == 0) {
                schedule.newcomer(network, now, &mut rng);
            }
            if schedule.due() <= now {
                said.push((ms, schedule.take(now, &mut rng).unwrap()));
            }
        }
        said
    }

    #[test]
    fn three_come_quickly_and_then_one_in_half_a_minute() {
        let said = run(Duration::from_secs(300), None);
        let at: Vec<u64> = said.iter().map(|&(at, _)| at).collect();
        let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(at[0], 0);
        assert!(pauses[..2].iter().all(|pause| QUICK_MS.contains(pause)), "{pauses:?}");
        assert!(pauses[2..].iter().all(|pause| INTERVAL_MS.contains(pause)), "{pauses:?}");
        assert!(pauses.len() > 10);
    }

    #[test]
    fn a_newcomer_is_greeted_within_a_second_and_a_half_on_its_network_alone() {
        let said = run(Duration::from_secs(20), Some(10_000));
        let greetings: Vec<_> =
            said.iter().filter(|(_, said)| *said != Announcement::Everywhere).collect();
        let [(at, Announcement::Greeting(networks))] = greetings.as_slice() else {
            panic!("{said:?}")
        };
        assert!((10_000..11_500).contains(at), "{at}");
        assert_eq!(networks.len(), 1);
    }

    #[test]
    fn a_flood_of_newcomers_makes_one_announcement_a_second_at_most() {
        let said = run(Duration::from_secs(100), Some(1));
        assert!(said.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 1_000), "{said:?}");
        assert!(said.len() > 50, "the flood was heard at all");
    }

    proptest! {
        /// In whatever order networks change and newcomers are heard: there is a second
        /// between any two announcements, never more than 35 s, and nobody waits for long.
        #[test]
        fn nobody_makes_it_say_more_or_less_than_so(
            events in proptest::collection::vec((0..3_u8, 0..4_000_u64), 0..200),
            seed in any::<u64>(),
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut now = Instant::now();
            let mut schedule = Schedule::start(now);
            let network = *Networks::test("192.168.7.20", 22).broadcasting().next().unwrap();
            let (mut last, mut owed) = (None, None::<Instant>);
            for (event, pause_ms) in events {
                let until = now + Duration::from_millis(pause_ms);
                while schedule.due() <= until {
                    now = now.max(schedule.due());
                    prop_assert!(schedule.take(now, &mut rng).is_some(), "what is due is said");
                    prop_assert!(schedule.due() > now, "it does not fire for ever");
                    if let Some(last) = last.replace(now) {
                        let pause = now.saturating_duration_since(last);
                        prop_assert!((LEAST..Duration::from_secs(35)).contains(&pause));
                    }
                    prop_assert!(owed.take().is_none_or(|by| now <= by));
                }
                now = until;
                match event {
                    0 => schedule.restart(now),
                    1 => schedule.newcomer(network, now, &mut rng),
                    _ => continue,
                }
                owed.get_or_insert(now + LEAST + Duration::from_millis(GREETING_MS.end));
            }
        }
    }

    #[test]
    fn another_network_is_told_quickly() {
        let mut rng = StdRng::seed_from_u64(7);
        let begin = Instant::now();
        let mut schedule = Schedule::start(begin);
        let mut now = begin;
        for _ in 0..QUICK {
            now = schedule.due();
            assert!(schedule.take(now, &mut rng).is_some());
        }
        schedule.restart(now);
        assert_eq!(schedule.due(), now + LEAST);
        assert!(schedule.take(now, &mut rng).is_none());
    }
}
