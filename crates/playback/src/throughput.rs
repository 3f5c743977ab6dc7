//! What a link delivers: a Markov chain over quantised throughput (B08; Kreitz
//! and Niemelä 2010 model TCP so).

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use antiphon_types::Timestamp;

use crate::random::Random;

/// Levels of throughput: 0 for next to nothing, then half octaves from
/// [`LOWEST`] on.
pub(crate) const LEVELS: usize = 28;
/// Throughput of level 1, in bytes per second: 1 kB/s (8 kbit/s).
const LOWEST: f64 = 1_000.0;
/// Octaves between two levels.
const STEP: f64 = 0.5;

/// One observation, and one step of a simulation.
pub const BIN: Duration = Duration::from_secs(1);
/// How long an observation counts (B08).
const WINDOW: usize = 15 * 60;
/// A bin in which less than this was waited for data says nothing.
const LEAST_BUSY: Duration = Duration::from_millis(200);
/// How much of what earlier sessions learned is believed, in observations: as
/// much as some minutes of this one.
const MOST_LEARNED: f64 = 240.0;
/// The prior of each row of the chain, in observations.
const PRIOR_WEIGHT: f32 = 3.0;
/// What is believed of a link before it is seen: how much of its distance from
/// its mean level it keeps in a step ...
const KEEPS: f32 = 0.91;
/// ... how far it strays from that in most steps, in levels (deviation) ...
const STRAYS: f32 = 0.8;
/// ... and in some: how many, and how far ...
const JUMPS: (f32, f32) = (0.06, 2.7);
/// ... how often it is gone, and how often it then stays so ...
const GONE: (f32, f32) = (0.000_5, 0.7);
/// ... how far what is seen in a moment is from the mean of the next minutes
/// (deviation, in levels) ...
const WANDERS: f32 = 1.5;
/// ... in how many steps it moves on, so that more are worth a sight more ...
const FORGETS: f32 = 12.0;
/// ... and how far the mean itself moves, however long it was watched.
const DRIFTS: f32 = 0.5;
/// Eight values of equal probability, of a normal distribution.
const QUANTILES: [f32; 8] = [-0.157, 0.489, -1.534, 0.887, 0.157, -0.489, 1.534, -0.887];

/// Silence while something should come: after so long it is a sight of the link.
const SILENCE: Duration = Duration::from_secs(1);
/// What was seen longer ago than this may have become something else.
const FRESH: Duration = Duration::from_secs(10);

/// The throughput of a source, or of all together, as it was observed.
///
/// Only the time in which something was asked for and had not come counts: an
/// idle link says nothing of itself. Say what is asked, delivered and settled
/// as it happens; everything else follows.
#[derive(Debug, Clone)]
pub struct Throughput {
    prior_rate: f64,
    learned: Option<Learned>,
    /// Levels of the last bins in which the link was busy, the newest last.
    bins: VecDeque<u8>,
    /// Transitions in `bins`.
    counts: Box<[[u32; LEVELS]; LEVELS]>,
    busy_since: Option<Timestamp>,
    /// The bin that is being filled.
    current: Bin,
    /// When the last full bin ended.
    filled_at: Timestamp,
    /// The latest time seen.
    now: Timestamp,
    /// Bytes of the latest delivery.
    delivery: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    bytes: f64,
    busy: Duration,
}

/// What a session learned of the links that it used, for the next one.
///
/// As text it is a line of numbers; text that is none is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Transitions from level to level, as far as they were seen: from, to, how
    /// often.
    transitions: Vec<(u8, u8, f64)>,
}

/// A text does not tell what a session learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not what a session learned of its links")]
pub struct ParseLearnedError;

impl Throughput {
    /// A model that believes in `prior_rate` bytes per second, and in what
    /// earlier sessions learned, until it sees better.
    pub fn new(prior_rate: u64, learned: Option<Learned>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let prior_rate = prior_rate.max(1) as f64;
        Self {
            prior_rate,
            learned,
            bins: VecDeque::new(),
            counts: Box::new([[0; LEVELS]; LEVELS]),
            busy_since: None,
            current: Bin::default(),
            filled_at: Timestamp::ZERO,
            now: Timestamp::ZERO,
            delivery: 0,
        }
    }

    /// Something is asked for, of which the first byte can be here after `rtt`.
    /// While more is on its way this changes nothing.
    pub fn handle_asked(&mut self, now: Timestamp, rtt: Duration) {
        if self.busy_since.is_none() {
            self.busy_since = Some(now + rtt);
        }
    }

    /// So many bytes came. They flowed evenly since the delivery before.
    pub fn handle_delivered(&mut self, now: Timestamp, bytes: u32) {
        self.now = self.now.max(now);
        // What was not waited for says nothing of what the link bears.
        if let Some(since) = self.busy_since {
            self.delivery = bytes;
            self.spread(since, f64::from(bytes));
        }
    }

    /// Time passed.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Nothing is on its way any more.
    pub fn handle_idle(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if let Some(since) = self.busy_since.filter(|_| self.silent() >= SILENCE) {
            // It was given up: nothing came in all that time.
            self.spread(since, 0.0);
        }
        self.busy_since = None;
    }

    /// How long nothing has come though something should.
    fn silent(&self) -> Duration {
        self.busy_since.map_or(Duration::ZERO, |since| self.now.saturating_since(since))
    }

    /// Bytes per second as they are now: of the last bins in which the link was
    /// busy, the newest counting most. Before any, what is believed.
    pub fn rate(&self) -> f64 {
        let mut weight = 1.0;
        let (mut sum, mut weights) = (0.0, 0.0);
        if let Some(rate) = self.current.rate() {
            let share = self.current.busy.as_secs_f64() / BIN.as_secs_f64();
            (sum, weights) = (rate * share, share);
        }
        for level in self.bins.iter().rev().take(10) {
            sum += weight * rate_of(usize::from(*level));
            weights += weight;
            weight *= 0.7;
        }
        let silent = self.silent();
        if silent >= SILENCE {
            weights += silent.as_secs_f64();
        }
        match weights > 0.0 {
            true => sum / weights,
            false => self.believed_rate(),
        }
    }

    /// The level at which the link is now, and whether it was seen.
    fn level(&self) -> (usize, bool) {
        let last = self.bins.back().filter(|_| self.now.saturating_since(self.filled_at) < FRESH);
        let seen = match self.current.rate() {
            Some(rate) => Some(rate),
            None => last.map(|level| rate_of(usize::from(*level))),
        };
        let silent = self.silent();
        if silent > BIN / 4 {
            // At best the next delivery comes this instant.
            let time = (self.current.busy + silent).as_secs_f64();
            let most = (self.current.bytes + f64::from(self.delivery)) / time;
            if seen.map_or(silent >= SILENCE, |seen| most < seen) {
                return (level_of(most), true);
            }
        }
        (level_of(seen.unwrap_or_else(|| self.believed_rate())), seen.is_some())
    }

    /// Whether anything was seen or learned of the link, in this session or an
    /// earlier one.
    pub fn is_known(&self) -> bool {
        self.learned.is_some() || !self.bins.is_empty()
    }

    /// What the next session may begin with: this one's observations and, with
    /// less weight the more of these there are, what it began with itself.
    pub fn learned(&self) -> Option<Learned> {
        let mut chain = vec![[0.0; LEVELS]; LEVELS];
        #[expect(clippy::cast_precision_loss, reason = "at most 900")]
        let rest = (MOST_LEARNED - self.bins.len() as f64).max(0.0) / MOST_LEARNED;
        for (from, to, count) in self.learned.iter().flat_map(|learned| &learned.transitions) {
            chain[usize::from(*from)][usize::from(*to)] += count * rest;
        }
        for (row, counts) in chain.iter_mut().zip(self.counts.iter()) {
            for (sum, count) in row.iter_mut().zip(counts) {
                *sum += f64::from(*count);
            }
        }
        Learned::new(&chain)
    }

    /// The mean level of the next minutes, and how sure that is (deviation).
    fn middle(&self) -> (f32, f32) {
        let (level, seen) = self.level();
        let mut weight = if seen { FORGETS / 2.0 } else { 1.0 };
        let mut sum = number(level) * weight;
        for level in self.bins.iter().filter(|level| **level > 0) {
            sum += f32::from(*level);
            weight += 1.0;
        }
        for (_, to, count) in self.learned.iter().flat_map(|learned| &learned.transitions) {
            if *to > 0 {
                sum += f32::from(*to) * share(*count);
                weight += share(*count);
            }
        }
        (sum / weight, (WANDERS / (1.0 + weight / FORGETS).sqrt()).hypot(DRIFTS))
    }

    fn believed_rate(&self) -> f64 {
        let Some(learned) = &self.learned else { return self.prior_rate };
        let (mut sum, mut weights) = (0.0, 0.0);
        for (_, to, count) in &learned.transitions {
            sum += rate_of(usize::from(*to)) * count;
            weights += count;
        }
        if weights > 0.0 { sum / weights } else { self.prior_rate }
    }

    /// So many bytes flowed evenly from then until now.
    fn spread(&mut self, mut since: Timestamp, bytes: f64) {
        let took = self.now.saturating_since(since);
        if took.is_zero() {
            self.current.bytes += bytes;
        }
        // Of a silence no more than the history counts.
        since = since.max(self.now.saturating_sub(BIN * u32::try_from(WINDOW).unwrap_or(1)));
        while since < self.now {
            let room = BIN.saturating_sub(self.current.busy);
            let part = self.now.saturating_since(since).min(room);
            self.current.bytes += bytes * part.as_secs_f64() / took.as_secs_f64();
            self.current.busy += part;
            since = since + part;
            if self.current.busy >= BIN {
                self.filled_at = since;
                self.close_bin();
            }
        }
        self.busy_since = Some(since);
    }

    fn close_bin(&mut self) {
        let bin = std::mem::take(&mut self.current);
        let Some(rate) = bin.rate() else { return };
        let level = level_of(rate);
        if let Some(before) = self.bins.back() {
            self.counts[usize::from(*before)][level] += 1;
        }
        self.bins.push_back(u8::try_from(level).unwrap_or(u8::MAX));
        if self.bins.len() > WINDOW
            && let (Some(gone), Some(next)) = (self.bins.pop_front(), self.bins.front())
        {
            let count = &mut self.counts[usize::from(gone)][usize::from(*next)];
            *count = count.saturating_sub(1);
        }
    }

    /// The chains that these observations make likely.
    pub(crate) fn chain(&self) -> Chain {
        let mut steps = [[0.0_f32; LEVELS]; LEVELS];
        for (from, to, count) in self.learned.iter().flat_map(|learned| &learned.transitions) {
            steps[usize::from(*from)][usize::from(*to)] += share(*count);
        }
        for (row, counts) in steps.iter_mut().zip(self.counts.iter()) {
            for (sum, count) in row.iter_mut().zip(counts) {
                *sum += share(f64::from(*count));
            }
        }
        let (middle, deviation) = self.middle();
        let guess = |quantile: &f32| {
            Guess::new(&steps, (middle + quantile * deviation).clamp(0.0, number(LEVELS)))
        };
        Chain { guesses: QUANTILES.iter().map(guess).collect(), start: self.level().0 }
    }
}

impl Bin {
    fn rate(&self) -> Option<f64> {
        (self.busy >= LEAST_BUSY).then(|| self.bytes / self.busy.as_secs_f64())
    }
}

/// What is believed of steps from a level of a link with that mean level.
fn prior(from: usize, middle: f32) -> [f32; LEVELS] {
    let (jumps, far) = if from == 0 { (1.0, 1.5) } else { JUMPS };
    let gone = if from == 0 { GONE.1 } else { GONE.0 };
    let keeps = if from == 0 { 0.0 } else { KEEPS };
    let center = middle + keeps * (number(from) - middle);
    let bell = |to: usize, strays: f32| match (number(to) - center) / strays {
        // Far out there is nothing, and half the work.
        away if away.abs() > 4.0 => 0.0,
        away => (-0.5 * away * away).exp(),
    };
    let (mut near, mut jump) = ([0.0; LEVELS], [0.0; LEVELS]);
    for to in 1..LEVELS {
        (near[to], jump[to]) = (bell(to, STRAYS), bell(to, far));
    }
    let (nears, all) = (near.iter().sum::<f32>(), jump.iter().sum::<f32>());
    let mut row = [0.0; LEVELS];
    for (weight, (near, jump)) in row.iter_mut().zip(near.iter().zip(jump)) {
        let near = (1.0 - jumps) * near / nears.max(f32::MIN_POSITIVE);
        *weight = (1.0 - gone) * (near + jumps * jump / all.max(f32::MIN_POSITIVE));
    }
    row[0] += gone;
    row
}

#[expect(clippy::cast_precision_loss, reason = "a level")]
fn number(level: usize) -> f32 {
    level as f32
}

#[expect(clippy::cast_possible_truncation, reason = "a count of some hundreds")]
fn share(count: f64) -> f32 {
    count as f32
}

fn level_of(rate: f64) -> usize {
    if rate < LOWEST {
        return 0;
    }
    let level = 1.0 + (rate / LOWEST).log2() / STEP;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1")]
    let level = level.round() as usize;
    level.min(LEVELS - 1)
}

fn rate_of(level: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 27")]
    let octaves = STEP * (level as f64 - 1.0);
    if level == 0 { 0.0 } else { LOWEST * octaves.exp2() }
}

/// Markov chains, ready to be walked: not one but all that fit what was seen.
/// Each walk takes another guess at the link's mean level, the wider apart the
/// less was seen, and then draws as from a chain drawn from the posterior
/// (Dirichlet, by Pólya's urn): what was seen twice is believed less than what
/// was seen 200 times.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    guesses: Vec<Guess>,
    start: usize,
}

/// Weights of steps, by level.
#[derive(Debug, Clone)]
struct Guess {
    weights: [[f32; LEVELS]; LEVELS],
    totals: [f32; LEVELS],
}

impl Guess {
    fn new(steps: &[[f32; LEVELS]; LEVELS], middle: f32) -> Self {
        let mut weights = *steps;
        for (from, row) in weights.iter_mut().enumerate() {
            for (weight, prior) in row.iter_mut().zip(prior(from, middle)) {
                *weight += PRIOR_WEIGHT * prior;
            }
        }
        Self { totals: weights.map(|row| row.iter().sum()), weights }
    }
}

impl Chain {
    /// One future of many, of which `number` is different for each.
    pub(crate) fn walk<'a>(&self, number: usize, random: &'a mut Random) -> Walk<'a> {
        let guess = self.guesses[number % self.guesses.len()].clone();
        Walk { guess, level: self.start, begun: false, random }
    }
}

/// See [`Chain::walk`].
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    guess: Guess,
    level: usize,
    begun: bool,
    random: &'a mut Random,
}

impl Walk<'_> {
    /// Bytes that come in the next bin; the first is like the present.
    pub(crate) fn step(&mut self) -> f64 {
        if std::mem::replace(&mut self.begun, true) {
            let (row, total) =
                (&mut self.guess.weights[self.level], &mut self.guess.totals[self.level]);
            let mut left = share(self.random.unit()) * *total;
            let next = row.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            // Rounding may leave a little: then it stays.
            let next = next.unwrap_or(self.level);
            // Pólya's urn: what happened once becomes more probable on this walk.
            row[next] += 1.0;
            *total += 1.0;
            self.level = next;
        }
        rate_of(self.level) * BIN.as_secs_f64()
    }
}

impl Learned {
    fn new(chain: &[[f64; LEVELS]]) -> Option<Self> {
        let total: f64 = chain.iter().flatten().sum();
        if total <= 0.0 {
            return None;
        }
        let scale = (MOST_LEARNED / total).min(1.0);
        let mut transitions = Vec::new();
        for (from, row) in (0_u8..).zip(chain) {
            for (to, count) in (0_u8..).zip(row) {
                // What is left of a single observation after long is forgotten.
                if count * scale >= 0.05 {
                    transitions.push((from, to, count * scale));
                }
            }
        }
        Some(Self { transitions })
    }
}

impl fmt::Display for Learned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, to, count)) in self.transitions.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{from}>{to}:{count:.2}")?;
        }
        Ok(())
    }
}

impl FromStr for Learned {
    type Err = ParseLearnedError;

    fn from_str(text: &str) -> Result<Self, ParseLearnedError> {
        let mut chain = vec![[0.0_f64; LEVELS]; LEVELS];
        for word in text.split_whitespace() {
            let (from, rest) = word.split_once('>').ok_or(ParseLearnedError)?;
            let (to, count) = rest.split_once(':').ok_or(ParseLearnedError)?;
            let level = |text: &str| {
                let level = text.parse::<usize>().map_err(|_| ParseLearnedError)?;
                (level < LEVELS).then_some(level).ok_or(ParseLearnedError)
            };
            let count: f64 = count.parse().map_err(|_| ParseLearnedError)?;
            if !(0.0..=1e6).contains(&count) {
                return Err(ParseLearnedError);
            }
            chain[level(from)?][level(to)?] += count;
        }
        Self::new(&chain).ok_or(ParseLearnedError)
    }
}
