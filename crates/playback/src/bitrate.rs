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
    let best = crate::plan::best(now);
    let reason = match best {
        Some(_) => BitrateReason::BestExpected,
        None => BitrateReason::Steady,
    };
    BitrateDecision { bitrate: best.unwrap_or(now.current), reason }
}
