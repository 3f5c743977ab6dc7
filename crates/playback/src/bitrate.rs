//! Which rendition is fetched next (B09, B10).
//!
//! The default, [`BitratePolicy::Predictive`], simulates for each rendition how
//! the play would go on with it, on the chain that was learned of the link, and
//! takes the one of which most is to be had: its bitrate, less what standing
//! still would cost. Standing still weighs far more than bits do.
//!
//! # What is in the cache
//!
//! A segment that is in the cache costs nothing and cannot be late. In `auto` it
//! is taken before any that would have to be fetched if it has 160 kbit/s or
//! more, or no less than what the link bears. A listener who saves data is given
//! whatever is there, the best of it.

use std::fmt;
use std::time::Duration;

use antiphon_types::Bitrate;

use crate::random::Random;
use crate::simulate::Outlook;
use crate::throughput::Throughput;

/// What a listener wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserPolicy {
    /// What the link bears.
    #[default]
    Auto,
    /// This, whatever happens.
    Fixed(Bitrate),
    /// The fewest bytes.
    DataSaver,
    /// Each byte costs: 160 kbit/s at most, and 96 to begin with (B10).
    Metered,
}

/// How `auto` is decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BitratePolicy {
    /// By simulating how it would go on.
    #[default]
    Predictive,
    /// B09: a step down with less than 2 s buffered, a step up with more than
    /// 10 s and more than 1.5 Mbit/s.
    Ladder,
}

/// One of the renditions that may come next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its bitrate.
    pub bitrate: Bitrate,
    /// Bytes that a second of it takes, from where it would take over.
    pub bytes_per_second: f64,
    /// The segment from where it would take over is in the cache.
    pub cached: bool,
}

/// How a play stands when it is decided how it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What is known of the link.
    pub link: &'a Throughput,
    /// What was chosen last.
    pub current: Bitrate,
    /// What is there ahead of the position, without a gap.
    pub buffered: Duration,
    /// What is left to be played, `buffered` included.
    pub remaining: Duration,
    /// How far ahead is fetched.
    pub most_buffered: Duration,
    /// The renditions, from the lowest.
    pub candidates: &'a [Candidate],
    /// Draws of the simulation follow from it.
    pub seed: u64,
}

/// What is fetched next, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitrateDecision {
    /// The rendition.
    pub bitrate: Bitrate,
    /// Why.
    pub reason: BitrateReason,
}

/// Why a rendition was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BitrateReason {
    /// The listener wants this one.
    Wanted,
    /// The listener wants to save data.
    SavesData,
    /// It is in the cache.
    Cached,
    /// Nothing is known of the network (B10).
    NetworkUnknown,
    /// The link was learned to bear it.
    LinkKnown,
    /// Of it most is to be had.
    BestExpected,
    /// More could be had, but not so much more that it is worth a change.
    NotWorthASwitch,
    /// Too little is buffered for more.
    BufferLow,
    /// Enough is buffered, and the link is fast.
    BufferHigh,
    /// Neither is the case.
    Steady,
}

impl fmt::Display for BitrateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wanted => "as the listener wants it",
            Self::SavesData => "to save data",
            Self::Cached => "it is in the cache",
            Self::NetworkUnknown => "nothing is known of the network yet",
            Self::LinkKnown => "the link bore it before",
            Self::BestExpected => "it promises most",
            Self::NotWorthASwitch => "another promises hardly more",
            Self::BufferLow => "too little is buffered for more",
            Self::BufferHigh => "enough is buffered and the link is fast",
            Self::Steady => "nothing calls for a change",
        })
    }
}

/// Less than this and the ladder goes down (B09).
const LADDER_LOW: Duration = Duration::from_secs(2);
/// More than this and the ladder goes up, if the link is fast (B09).
const LADDER_HIGH: Duration = Duration::from_secs(10);
/// That fast, in bytes per second: 1.5 Mbit/s (B09).
const LADDER_FAST: f64 = 187_500.0;

/// How far is looked ahead.
const HORIZON: Duration = Duration::from_secs(120);
/// How many futures are simulated for each rendition.
const FUTURES: u32 = 60;
/// What a second of standing still in each minute costs, in kbit/s: as much as
/// listeners are said to mind it, and three times over, since a simulation knows
/// less than it seems.
const STALL_COST: f64 = 3.0 * 64.0;
/// What a change must promise, in kbit/s, to be worth it.
const WORTH: f64 = 8.0;
/// With less than this buffered nothing higher than before is begun.
const UP_FROM: Duration = Duration::from_secs(12);

/// Chooses renditions for one play.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chooser {
    user: UserPolicy,
    policy: BitratePolicy,
}

impl Chooser {
    /// For a listener who wants this.
    pub fn new(user: UserPolicy, policy: BitratePolicy) -> Self {
        Self { user, policy }
    }

    /// What a play begins with. `whole` are the renditions that are in the cache
    /// from where it begins to the end.
    pub fn first(&self, link: &Throughput, whole: &[Bitrate]) -> BitrateDecision {
        let decided = |bitrate, reason| BitrateDecision { bitrate, reason };
        let cached = whole.iter().copied().max();
        match (self.user, cached) {
            (UserPolicy::Fixed(bitrate), _) => decided(bitrate, BitrateReason::Wanted),
            (UserPolicy::DataSaver | UserPolicy::Metered, Some(cached)) => {
                decided(cached, BitrateReason::Cached)
            }
            (UserPolicy::DataSaver | UserPolicy::Metered, None) => {
                decided(Bitrate::Kbps96, BitrateReason::SavesData)
            }
            (UserPolicy::Auto, Some(cached)) if cached >= Bitrate::Kbps160 => {
                decided(cached, BitrateReason::Cached)
            }
            (UserPolicy::Auto, _) if !link.is_known() || self.policy == BitratePolicy::Ladder => {
                decided(Bitrate::Kbps160, BitrateReason::NetworkUnknown)
            }
            (UserPolicy::Auto, _) => decided(borne(link), BitrateReason::LinkKnown),
        }
    }

    /// What is fetched from the next segment on that nobody was asked for.
    pub fn next(&self, now: &Situation<'_>) -> BitrateDecision {
        let decided = |bitrate, reason| BitrateDecision { bitrate, reason };
        let cached = now.candidates.iter().filter(|c| c.cached).map(|c| c.bitrate).max();
        match self.user {
            UserPolicy::Fixed(bitrate) => decided(bitrate, BitrateReason::Wanted),
            UserPolicy::DataSaver => match cached {
                Some(cached) => decided(cached, BitrateReason::Cached),
                None => decided(lowest(now.candidates), BitrateReason::SavesData),
            },
            UserPolicy::Auto | UserPolicy::Metered => {
                let metered = self.user == UserPolicy::Metered;
                let most = if metered { Bitrate::Kbps160 } else { Bitrate::Kbps320 };
                let fetched = match self.policy {
                    BitratePolicy::Ladder => ladder(now),
                    BitratePolicy::Predictive => predict(now),
                };
                let fetched = decided(fetched.bitrate.min(most), fetched.reason);
                let enough = if metered { Bitrate::Kbps96 } else { Bitrate::Kbps160 };
                match cached {
                    Some(cached) if cached >= enough || cached >= fetched.bitrate => {
                        decided(cached, BitrateReason::Cached)
                    }
                    _ => fetched,
                }
            }
        }
    }
}

/// The highest that a link of that rate bears with a good deal to spare.
fn borne(link: &Throughput) -> Bitrate {
    let kbps = link.rate() * 8.0 / 1_000.0;
    let bears = |bitrate: &&Bitrate| kbps >= 2.0 * f64::from(bitrate.kbps());
    Bitrate::ALL.iter().rev().find(bears).copied().unwrap_or(Bitrate::Kbps96)
}

fn lowest(candidates: &[Candidate]) -> Bitrate {
    candidates.iter().map(|candidate| candidate.bitrate).min().unwrap_or(Bitrate::Kbps96)
}

fn ladder(now: &Situation<'_>) -> BitrateDecision {
    let below = now.candidates.iter().map(|c| c.bitrate).filter(|b| *b < now.current).max();
    let above = now.candidates.iter().map(|c| c.bitrate).filter(|b| *b > now.current).min();
    let fast = now.link.rate() > LADDER_FAST;
    match (below, above) {
        (Some(below), _) if now.buffered < LADDER_LOW => {
            BitrateDecision { bitrate: below, reason: BitrateReason::BufferLow }
        }
        (_, Some(above)) if now.buffered > LADDER_HIGH && fast => {
            BitrateDecision { bitrate: above, reason: BitrateReason::BufferHigh }
        }
        _ => BitrateDecision { bitrate: now.current, reason: BitrateReason::Steady },
    }
}

fn predict(now: &Situation<'_>) -> BitrateDecision {
    let lowest_rate = now.candidates.first().map_or(1.0, |lowest| lowest.bytes_per_second);
    let promises = now.candidates.iter().map(|candidate| {
        let promise = promise(now, candidate, lowest_rate);
        (candidate.bitrate, promise)
    });
    let promises = promises.collect::<Vec<_>>();
    let promise_of = |bitrate| {
        let found = promises.iter().find(|(of, _)| *of == bitrate);
        found.map_or(f64::MIN, |(_, promise)| *promise)
    };
    let best = promises.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((best, promise)) = best else {
        return BitrateDecision { bitrate: now.current, reason: BitrateReason::Steady };
    };
    let keep = |reason| BitrateDecision { bitrate: now.current, reason };
    if best == now.current {
        keep(BitrateReason::BestExpected)
    } else if best > now.current && now.buffered < UP_FROM {
        keep(BitrateReason::BufferLow)
    } else if promise - promise_of(now.current) < WORTH {
        keep(BitrateReason::NotWorthASwitch)
    } else {
        BitrateDecision { bitrate: best, reason: BitrateReason::BestExpected }
    }
}

/// What is to be had of a rendition, in kbit/s: how much of it is played, less
/// what standing still costs.
fn promise(now: &Situation<'_>, candidate: &Candidate, lowest_rate: f64) -> f64 {
    let chain = now.link.chain();
    let mut random = Random::new(now.seed);
    let outlook = Outlook {
        buffered: now.buffered,
        remaining: now.remaining,
        bytes_per_second: candidate.bytes_per_second,
        lowest_bytes_per_second: lowest_rate.min(candidate.bytes_per_second),
        most_buffered: now.most_buffered,
    };
    let minutes = now.remaining.min(HORIZON).as_secs_f64() / 60.0;
    let (mut stalled, mut high) = (0.0, 0.0);
    for _ in 0..FUTURES {
        let future = outlook.play_on(&chain, &mut random, HORIZON);
        stalled += future.stalled;
        high += future.share_high;
    }
    let (stalled, high) = (stalled / f64::from(FUTURES), high / f64::from(FUTURES));
    let (top, low) = (f64::from(candidate.bitrate.kbps()), 96.0);
    low + (top - low) * high - STALL_COST * stalled / minutes.max(0.1)
}
