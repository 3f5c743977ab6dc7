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
const PRIOR_WEIGHT: f64 = 3.0;
/// How much of its distance from the middle a level keeps in a step, says the
/// prior: rates wander, but not away.
const PRIOR_KEEPS: f64 = 0.8;
/// How far a step strays from that, in levels (standard deviation).
const PRIOR_STRAYS: f64 = 1.2;
/// How many steps fall by any number of levels, says the prior.
const PRIOR_FALLS: f64 = 0.02;
/// How many lead to nothing at all.
const PRIOR_OUTAGE: f64 = 0.003;
/// How many of those from nothing lead to nothing again.
const PRIOR_STAYS_OUT: f64 = 0.5;
/// What the believed rate counts beside what was seen, in observations.
const MIDDLE_WEIGHT: f64 = 2.0;

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
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    bytes: u64,
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
        }
    }

    /// Something is asked for, of which the first byte can be here after `rtt`.
    /// While more is on its way this changes nothing.
    pub fn handle_asked(&mut self, now: Timestamp, rtt: Duration) {
        if self.busy_since.is_none() {
            self.busy_since = Some(now + rtt);
        }
    }

    /// So many bytes came.
    pub fn handle_delivered(&mut self, now: Timestamp, bytes: u32) {
        if self.busy_since.is_none() {
            // It was not waited for, and says nothing of what the link bears.
            return;
        }
        self.pass(now);
        self.current.bytes = self.current.bytes.saturating_add(u64::from(bytes));
    }

    /// Time passed.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.pass(now);
    }

    /// Nothing is on its way any more.
    pub fn handle_idle(&mut self, now: Timestamp) {
        self.pass(now);
        self.busy_since = None;
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
        match weights > 0.0 {
            true => sum / weights,
            false => self.believed_rate(),
        }
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

    /// The level about which the rate wanders: the mean of what was seen and
    /// learned.
    #[expect(clippy::cast_precision_loss, reason = "levels and counts")]
    fn middle(&self) -> f64 {
        let mut sum = MIDDLE_WEIGHT * level_of(self.believed_rate()) as f64;
        let mut weights = MIDDLE_WEIGHT;
        for level in self.bins.iter().filter(|level| **level > 0) {
            sum += f64::from(*level);
            weights += 1.0;
        }
        for (_, to, count) in self.learned.iter().flat_map(|learned| &learned.transitions) {
            if *to > 0 {
                sum += f64::from(*to) * count;
                weights += count;
            }
        }
        if let Some(rate) = self.current.rate().filter(|_| self.bins.is_empty()) {
            sum += 2.0 * level_of(rate) as f64;
            weights += 2.0;
        }
        sum / weights
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

    fn pass(&mut self, now: Timestamp) {
        let Some(mut since) = self.busy_since else { return };
        while since < now {
            let left = BIN.saturating_sub(self.current.busy);
            let busy = now.saturating_since(since).min(left);
            self.current.busy += busy;
            since = since + busy;
            if self.current.busy >= BIN {
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

    /// The chain that these observations make likely.
    pub(crate) fn chain(&self) -> Chain {
        let mut rows = vec![[0.0_f64; LEVELS]; LEVELS];
        let middle = self.middle();
        for (from, row) in rows.iter_mut().enumerate() {
            add_prior(row, from, middle);
        }
        for (from, to, count) in self.learned.iter().flat_map(|learned| &learned.transitions) {
            rows[usize::from(*from)][usize::from(*to)] += count;
        }
        for (row, counts) in rows.iter_mut().zip(self.counts.iter()) {
            for (sum, count) in row.iter_mut().zip(counts) {
                *sum += f64::from(*count);
            }
        }
        Chain::new(&rows, level_of(self.rate()))
    }
}

impl Bin {
    fn rate(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let bytes = self.bytes as f64;
        (self.busy >= LEAST_BUSY).then(|| bytes / self.busy.as_secs_f64())
    }
}

/// What is believed of a level before anything was seen: that the next second
/// is much like this one but nearer to the middle, and sometimes much worse.
#[expect(clippy::cast_precision_loss, reason = "levels")]
fn add_prior(row: &mut [f64; LEVELS], from: usize, middle: f64) {
    let center =
        if from == 0 { middle - 2.0 } else { middle + PRIOR_KEEPS * (from as f64 - middle) };
    let bell = |level: usize| (-0.5 * ((level as f64 - center) / PRIOR_STRAYS).powi(2)).exp();
    let total: f64 = (1..LEVELS).map(bell).sum();
    let out = if from == 0 { PRIOR_STAYS_OUT } else { PRIOR_OUTAGE };
    let falls = if from > 1 { PRIOR_FALLS } else { 0.0 };
    row[0] += PRIOR_WEIGHT * out;
    for (level, weight) in row.iter_mut().enumerate().skip(1) {
        *weight += PRIOR_WEIGHT * (1.0 - out - falls) * bell(level) / total.max(f64::MIN_POSITIVE);
        if level < from {
            *weight += PRIOR_WEIGHT * falls / (from - 1) as f64;
        }
    }
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

/// A Markov chain, ready to be walked.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    /// For each level, the share of steps that lead to a level or to one below.
    below: Vec<[f64; LEVELS]>,
    start: usize,
}

impl Chain {
    fn new(rows: &[[f64; LEVELS]], start: usize) -> Self {
        let below = rows.iter().map(|row| {
            let total: f64 = row.iter().sum();
            let mut sum = 0.0;
            row.map(|weight| {
                sum += weight / total.max(f64::MIN_POSITIVE);
                sum
            })
        });
        Self { below: below.collect(), start }
    }

    /// Where a walk begins: as it is now.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The level a bin later.
    pub(crate) fn step(&self, from: usize, random: &mut Random) -> usize {
        let draw = random.unit();
        self.below[from].partition_point(|below| *below <= draw).min(LEVELS - 1)
    }

    /// Bytes in a bin at that level.
    pub(crate) fn bytes(level: usize) -> f64 {
        rate_of(level) * BIN.as_secs_f64()
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
