//! One play over one link: the decisions are the product's, the link and the
//! sink are simulated.
//!
//! The link delivers at the rate of the recording whatever was asked for, one
//! round trip after it was asked if nothing was on its way. Blocks of 16 KiB are
//! asked for in order, up to 30 s ahead of the position. A block counts when it
//! is there whole.

use std::time::Duration;

use antiphon_playback::{
    BitratePolicy, Candidate, Chooser, Learned, Outlook, Situation, StartPolicy, Throughput,
    UserPolicy, count_stalled,
};
use antiphon_types::{BLOCK_BYTES, Bitrate, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::recording::Recording;

/// How long a play is, in seconds of music.
pub(super) const LENGTH: f64 = 240.0;
/// Length of a segment, in seconds.
const SEGMENT: f64 = 10.0;
/// From asking to the first byte.
const ROUND_TRIP: f64 = 0.08;
/// How far ahead of the position is fetched, in seconds (B11).
const AHEAD: f64 = 30.0;
/// Blocks that are asked for at once when there is room again.
const RUN: f64 = 4.0;
/// Step of the simulation, in seconds.
const STEP: f64 = 0.02;
/// A start that was not allowed is looked at again after so many steps.
const LOOK_AGAIN: u32 = 5;
/// A play that takes longer than this on the clock is given up, in seconds.
const GIVE_UP: f64 = 6.0 * LENGTH;
/// What the listener assumes of a link of which nothing is known.
const PRIOR_RATE: u64 = 1_250_000;

/// How a play is played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policies {
    pub(super) start: StartPolicy,
    pub(super) user: UserPolicy,
    pub(super) bitrate: BitratePolicy,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub(super) start_delay: f64,
    pub(super) predicted_stall_share: f64,
    pub(super) stalls: u32,
    pub(super) stalled: f64,
    /// Mean over what was played.
    pub(super) kbps: f64,
    pub(super) switches: u32,
}

/// Plays from the second `offset` of a recording on, its rates times `scale`.
/// What was learned of the link goes in and out.
pub(super) fn play(
    link: &Recording,
    scale: f64,
    offset: f64,
    policies: Policies,
    seed: u64,
    learned: Option<Learned>,
) -> (Outcome, Option<Learned>) {
    let mut play = Play::new(policies, seed, learned);
    while play.position < LENGTH && play.clock < GIVE_UP {
        let bytes = link.rate_at(offset + play.clock) * scale * 125.0 * STEP;
        play.step(bytes);
    }
    play.finish()
}

struct Play {
    policies: Policies,
    chooser: Chooser,
    model: Throughput,
    seed: u64,
    draws: ChaCha8Rng,
    clock: f64,
    position: f64,
    /// The renditions of the segments that were asked for.
    fetched: Vec<Bitrate>,
    current: Bitrate,
    /// Bytes of the segment that is being fetched: all, and those that came.
    segment: (f64, f64),
    /// The first byte comes not before this; `None` while nothing is asked for.
    flows_at: Option<f64>,
    sounds: bool,
    look_in: u32,
    ladder_at: f64,
    outcome: Outcome,
    started: bool,
}

impl Play {
    fn new(policies: Policies, seed: u64, learned: Option<Learned>) -> Self {
        let model = Throughput::new(PRIOR_RATE, learned);
        let chooser = Chooser::new(policies.user, policies.bitrate);
        let current = chooser.first(&model, &[]).bitrate;
        let outcome = Outcome {
            start_delay: 0.0,
            predicted_stall_share: 0.0,
            stalls: 0,
            stalled: 0.0,
            kbps: 0.0,
            switches: 0,
        };
        Self {
            policies,
            chooser,
            model,
            seed,
            draws: ChaCha8Rng::seed_from_u64(seed),
            clock: 0.0,
            position: 0.0,
            fetched: Vec::new(),
            current,
            segment: (0.0, 0.0),
            flows_at: None,
            sounds: false,
            look_in: 0,
            ladder_at: 0.0,
            outcome,
            started: false,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs_f64(self.clock)
    }

    fn step(&mut self, bytes: f64) {
        self.ask();
        self.clock += STEP;
        self.deliver(bytes);
        self.consume();
    }

    /// Asks for what comes near enough.
    fn ask(&mut self) {
        let there = self.there();
        let ahead = there - self.position;
        let per_block = f64::from(BLOCK_BYTES) / bytes_per_second(self.current);
        let all = there >= LENGTH;
        let wanted = match self.flows_at {
            Some(_) => ahead < AHEAD && !all,
            None => ahead < AHEAD - RUN * per_block && !all,
        };
        if wanted && self.flows_at.is_none() {
            self.flows_at = Some(self.clock + ROUND_TRIP);
            self.model.handle_asked(self.now(), Duration::from_secs_f64(ROUND_TRIP));
        } else if !wanted && self.flows_at.take().is_some() {
            self.model.handle_idle(self.now());
        }
    }

    fn deliver(&mut self, bytes: f64) {
        if self.flows_at.is_none_or(|at| at > self.clock) {
            return;
        }
        let mut left = bytes;
        while left > 0.0 && self.there() < LENGTH {
            if self.segment.1 >= self.segment.0 {
                self.begin_segment();
            }
            let before = self.blocks();
            let taken = left.min(self.segment.0 - self.segment.1);
            self.segment.1 += taken;
            left -= taken;
            let came = self.blocks() - before;
            if came > 0 {
                self.model.handle_delivered(self.now(), came * BLOCK_BYTES);
            }
        }
    }

    /// Whole blocks of the current segment.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds")]
    fn blocks(&self) -> u32 {
        (self.segment.1 / f64::from(BLOCK_BYTES)) as u32
    }

    fn begin_segment(&mut self) {
        let chosen = if self.started { self.choose() } else { self.current };
        if chosen != self.current && !self.fetched.is_empty() {
            self.outcome.switches += 1;
        }
        self.current = chosen;
        self.fetched.push(chosen);
        #[expect(clippy::cast_precision_loss, reason = "32 bits are exact")]
        let draw = (self.draws.next_u64() >> 32) as f64 / (1_u64 << 32) as f64;
        // The rate follows the music.
        let bytes = bytes_per_second(chosen) * SEGMENT * (0.8 + 0.4 * draw);
        self.segment = (bytes, 0.0);
    }

    fn choose(&mut self) -> Bitrate {
        if self.policies.bitrate == BitratePolicy::Ladder {
            return self.current;
        }
        let candidates = candidates();
        self.seed = self.seed.wrapping_add(1);
        self.chooser.next(&self.situation(&candidates)).bitrate
    }

    /// B09 looks each second, and what it finds holds from the next segment on.
    fn climb(&mut self) {
        if self.policies.bitrate != BitratePolicy::Ladder
            || self.policies.user != UserPolicy::Auto
            || self.clock < self.ladder_at
        {
            return;
        }
        self.ladder_at = self.clock + 1.0;
        let candidates = candidates();
        let chosen = self.chooser.next(&self.situation(&candidates)).bitrate;
        if chosen != self.current {
            self.outcome.switches += 1;
            self.current = chosen;
        }
    }

    fn situation<'a>(&'a self, candidates: &'a [Candidate]) -> Situation<'a> {
        Situation {
            link: &self.model,
            current: self.current,
            buffered: seconds(self.there() - self.position),
            remaining: seconds(LENGTH - self.position),
            most_buffered: seconds(AHEAD),
            candidates,
            seed: self.seed,
        }
    }

    /// Up to which second the music is there.
    fn there(&self) -> f64 {
        let Some(whole) = self.fetched.len().checked_sub(1) else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "at most 24")]
        let before = whole as f64 * SEGMENT;
        let (all, came) = self.segment;
        let part = match came >= all {
            true => 1.0,
            false => f64::from(self.blocks() * BLOCK_BYTES) / all,
        };
        before + part * SEGMENT
    }

    fn consume(&mut self) {
        if !self.sounds {
            if self.started {
                self.outcome.stalled += STEP;
            }
            self.look_in = self.look_in.saturating_sub(1);
            if self.look_in == 0 {
                self.look_in = LOOK_AGAIN;
                self.consider_start();
            }
            return;
        }
        self.climb();
        let ahead = self.there() - self.position;
        if ahead < STEP && self.there() < LENGTH {
            self.sounds = false;
            self.outcome.stalls += 1;
            return;
        }
        self.position += STEP;
    }

    fn consider_start(&mut self) {
        self.model.handle_time(self.now());
        self.seed = self.seed.wrapping_add(1);
        let adapts = self.policies.user == UserPolicy::Auto;
        let lowest = if adapts { Bitrate::Kbps96 } else { self.current };
        let outlook = Outlook {
            buffered: seconds(self.there() - self.position),
            remaining: seconds(LENGTH - self.position),
            bytes_per_second: bytes_per_second(self.current),
            lowest_bytes_per_second: bytes_per_second(lowest),
            most_buffered: seconds(AHEAD),
        };
        let decision = self.policies.start.decide(&self.model, &outlook, self.seed);
        if !decision.start {
            return;
        }
        self.sounds = true;
        if !std::mem::replace(&mut self.started, true) {
            self.outcome.start_delay = self.clock;
            let stalled = count_stalled(&self.model, &outlook, 100, self.seed);
            self.outcome.predicted_stall_share = f64::from(stalled) / 100.0;
        }
    }

    fn finish(mut self) -> (Outcome, Option<Learned>) {
        if !self.started {
            self.outcome.start_delay = self.clock;
            self.outcome.predicted_stall_share = 1.0;
        }
        if self.position < LENGTH {
            // It never came to its end: it stood still for what is left.
            self.outcome.stalls += u32::from(self.outcome.stalls == 0);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 24")]
        let count = self.fetched.len().max(1) as f64;
        let sum: u32 = self.fetched.iter().map(|bitrate| bitrate.kbps()).sum();
        self.outcome.kbps = f64::from(sum) / count;
        (self.outcome, self.model.learned())
    }
}

fn candidates() -> [Candidate; 3] {
    Bitrate::ALL.map(|bitrate| Candidate {
        bitrate,
        bytes_per_second: bytes_per_second(bitrate),
        cached: false,
    })
}

fn bytes_per_second(bitrate: Bitrate) -> f64 {
    f64::from(bitrate.kbps()) * 125.0
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(kbps: f64) -> Recording {
        Recording::new("constant", vec![(0.0, kbps), (1.0, kbps)]).unwrap()
    }

    fn fixed(start: StartPolicy, bitrate: Bitrate) -> Policies {
        let user = UserPolicy::Fixed(bitrate);
        Policies { start, user, bitrate: BitratePolicy::Predictive }
    }

    #[test]
    fn the_link_brings_what_its_rate_says() {
        let policies = fixed(StartPolicy::Fixed(Duration::from_secs(15)), Bitrate::Kbps160);
        let (outcome, _) = play(&constant(320.0), 1.0, 0.0, policies, 1, None);
        // 15 s of 160 kbit/s at 320 kbit/s, and a round trip; the rate of the
        // music swings by a fifth.
        assert!((6.0..=9.5).contains(&outcome.start_delay), "{outcome:?}");
        assert_eq!((outcome.stalls, outcome.switches, outcome.kbps), (0, 0, 160.0));
    }

    #[test]
    fn a_link_that_is_too_slow_is_foretold() {
        let policies = fixed(StartPolicy::default(), Bitrate::Kbps160);
        let (outcome, _) = play(&constant(80.0), 1.0, 0.0, policies, 1, None);
        assert!(outcome.stalls > 0 && outcome.stalled > 100.0, "{outcome:?}");
        assert!(outcome.predicted_stall_share > 0.9, "{outcome:?}");
    }

    #[test]
    fn on_a_fast_link_sound_begins_at_once() {
        let policies = fixed(StartPolicy::default(), Bitrate::Kbps160);
        let (outcome, _) = play(&constant(10_000.0), 1.0, 0.0, policies, 1, None);
        assert!(outcome.start_delay < 0.3, "{outcome:?}");
        assert_eq!(outcome.stalls, 0);
    }
}
