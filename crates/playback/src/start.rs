//! When sound begins, and goes on after a stall (B08).

use std::fmt;
use std::time::Duration;

use crate::random::Random;
use crate::simulate::Outlook;
use crate::throughput::Throughput;

/// How it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPolicy {
    /// When of so many simulated playbacks at most so many stall, or when
    /// `patience` is buffered: who waits for longer is not served better.
    Markov {
        /// How many are simulated. Default 100 (B08).
        simulations: u32,
        /// How many of them may stall. Default 1 (B08).
        may_stall: u32,
        /// What is enough in any case.
        patience: Duration,
    },
    /// When so much is buffered.
    Fixed(Duration),
    /// When the rate is well above what is consumed, or so much is buffered that
    /// at the present rate the rest comes in time.
    Threshold,
}

/// Rates this much above the consumption are safe, says [`StartPolicy::Threshold`].
const SAFE_RATE: f64 = 1.5;

/// What a buffer that counts as full may lack.
const RUN: Duration = Duration::from_secs(6);

impl Default for StartPolicy {
    fn default() -> Self {
        Self::Markov { simulations: 100, may_stall: 1, patience: Duration::from_secs(12) }
    }
}

/// Whether sound may begin, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartDecision {
    /// It may.
    pub start: bool,
    /// Why, or why not.
    pub reason: StartReason,
    /// The share of playbacks from here that are expected to stall, where that
    /// was simulated.
    pub predicted_stall_share: f64,
}

/// Why sound begins or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StartReason {
    /// Everything to the end is there.
    AllThere,
    /// Nothing that could be decoded is there.
    NothingThere,
    /// So many of the simulated playbacks stall, which is few enough.
    FewStall {
        /// How many.
        stalled: u32,
        /// Of how many.
        of: u32,
    },
    /// So many of them stall, which is too many.
    ManyStall {
        /// How many.
        stalled: u32,
        /// Of how many.
        of: u32,
    },
    /// Many of them stall, but so much is buffered that waiting does not help.
    Patience {
        /// How many.
        stalled: u32,
        /// Of how many.
        of: u32,
    },
    /// Enough is buffered.
    Enough,
    /// Not enough is buffered.
    TooLittle,
    /// The rate is well above the consumption.
    FastEnough,
}

impl fmt::Display for StartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllThere => write!(f, "everything is there"),
            Self::NothingThere => write!(f, "nothing is there"),
            Self::FewStall { stalled, of } => write!(f, "{stalled} of {of} simulated plays stall"),
            Self::ManyStall { stalled, of } => {
                write!(f, "{stalled} of {of} simulated plays would stall")
            }
            Self::Patience { stalled, of } => {
                write!(f, "{stalled} of {of} simulated plays stall, but waiting does not help")
            }
            Self::Enough => write!(f, "enough is buffered"),
            Self::TooLittle => write!(f, "too little is buffered"),
            Self::FastEnough => write!(f, "the link is fast enough"),
        }
    }
}

impl StartPolicy {
    /// Decides. Equal seeds give equal decisions.
    pub fn decide(&self, link: &Throughput, outlook: &Outlook, seed: u64) -> StartDecision {
        let plain = |start, reason, predicted_stall_share| StartDecision {
            start,
            reason,
            predicted_stall_share,
        };
        if outlook.buffered >= outlook.remaining {
            return plain(true, StartReason::AllThere, 0.0);
        }
        if outlook.buffered.is_zero() {
            return plain(false, StartReason::NothingThere, 1.0);
        }
        match *self {
            Self::Markov { simulations, may_stall, patience } => {
                let waits = outlook.buffered < patience;
                // Too many are too many: it need not be known how many more.
                let enough = if waits { may_stall.saturating_add(5) } else { u32::MAX };
                let (stalled, of) = count_up_to(link, outlook, simulations.max(1), enough, seed);
                let share = f64::from(stalled) / f64::from(of);
                if stalled <= may_stall {
                    plain(true, StartReason::FewStall { stalled, of }, share)
                } else if !waits {
                    plain(true, StartReason::Patience { stalled, of }, share)
                } else {
                    plain(false, StartReason::ManyStall { stalled, of }, share)
                }
            }
            Self::Fixed(enough) => match outlook.buffered >= enough {
                true => plain(true, StartReason::Enough, 0.0),
                false => plain(false, StartReason::TooLittle, 0.0),
            },
            Self::Threshold => decide_by_rate(link, outlook),
        }
    }
}

/// How many of so many simulated playbacks stall.
pub fn count_stalled(link: &Throughput, outlook: &Outlook, of: u32, seed: u64) -> u32 {
    count_up_to(link, outlook, of, u32::MAX, seed).0
}

/// How many stall, of how many; no more are simulated once `enough` do.
fn count_up_to(
    link: &Throughput,
    outlook: &Outlook,
    simulations: u32,
    enough: u32,
    seed: u64,
) -> (u32, u32) {
    let chain = link.chain();
    let mut random = Random::new(seed);
    let (mut stalled, mut of) = (0, 0);
    while of < simulations && stalled < enough {
        let number = usize::try_from(of).unwrap_or(0);
        stalled += u32::from(outlook.stalls(chain.walk(number, &mut random)));
        of += 1;
    }
    (stalled, of)
}

fn decide_by_rate(link: &Throughput, outlook: &Outlook) -> StartDecision {
    let ratio = link.rate() / outlook.bytes_per_second.max(1.0);
    let left = outlook.remaining.saturating_sub(outlook.buffered).as_secs_f64();
    let needed = left * (1.0 / ratio.max(1e-6) - 1.0);
    // A buffer that is full does not grow; it is filled in runs of blocks.
    let full = outlook.most_buffered.saturating_sub(RUN).as_secs_f64().max(1.0);
    let (start, reason) = if ratio >= SAFE_RATE {
        (true, StartReason::FastEnough)
    } else if outlook.buffered.as_secs_f64() >= needed.clamp(1.0, full) {
        (true, StartReason::Enough)
    } else {
        (false, StartReason::TooLittle)
    };
    StartDecision { start, reason, predicted_stall_share: 0.0 }
}
