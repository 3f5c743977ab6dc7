use std::collections::VecDeque;
use std::time::Duration;

use antiphon_types::{BlobId, Class, Timestamp};

use crate::bucket::Bucket;
use crate::offers::Offer;
use crate::{Limits, Network, RateMeter, Weights};

/// What counts as lately, and as long ago, where usefulness is judged (B31).
const RECENT: Duration = Duration::from_secs(10 * 60);
const LASTING: Duration = Duration::from_secs(60 * 60);
/// A round trip of this and more is worth nothing.
const FAR: Duration = Duration::from_millis(200);
/// Tracks in common that count.
const COMMON_MOST: usize = 32;

/// How a link came to be.
///
/// A bare round-trip time makes one that we dialled, from nowhere in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// Round-trip time of the link.
    pub rtt: Duration,
    /// Where the other is, as the socket says; `None` if that is our own network.
    pub network: Option<Network>,
    /// Whether we connected to it, and not it to us.
    pub dialled: bool,
}

impl From<Duration> for Met {
    fn from(rtt: Duration) -> Self {
        Self { rtt, network: None, dialled: true }
    }
}

/// A peer that we have a link to, and what it has been worth.
#[derive(Debug, Clone)]
pub struct Neighbour {
    pub(crate) met: Met,
    pub(crate) since: Timestamp,
    pub(crate) meter: RateMeter,
    pub(crate) choked_until: Timestamp,
    pub(crate) recent: WindowSum,
    pub(crate) lasting: WindowSum,
    pub(crate) hits: WindowSum,
    pub(crate) broken: WindowSum,
    /// Blobs that both had or wanted, the latest last.
    pub(crate) common: VecDeque<BlobId>,
    /// When a request of it was last served.
    pub(crate) served_at: Option<Timestamp>,
    /// What it wants, the most at the front.
    pub(crate) wants: Vec<Wanted>,
    /// What it said it holds of what we want.
    pub(crate) offers: Vec<Offer>,
    pub(crate) queries: Bucket,
    pub(crate) notices: Bucket,
    pub(crate) excess: u32,
    pub(crate) vain: Bucket,
}

/// A blob that a neighbour wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) blob: BlobId,
    pub(crate) class: Class,
    /// When it was last told what we hold of it.
    pub(crate) told_at: Timestamp,
    /// We hold more than it was told.
    pub(crate) news: bool,
}

impl Neighbour {
    pub(crate) fn new(now: Timestamp, met: Met, limits: &Limits) -> Self {
        let window = WindowSum::default();
        Self {
            met,
            since: now,
            meter: RateMeter::new(limits.prior_rate),
            choked_until: Timestamp::ZERO,
            recent: window.clone(),
            lasting: window.clone(),
            hits: window.clone(),
            broken: window,
            common: VecDeque::new(),
            served_at: None,
            wants: Vec::new(),
            offers: Vec::new(),
            queries: Bucket::full(now, limits.query_burst),
            notices: Bucket::full(now, limits.notice_burst),
            excess: 0,
            vain: Bucket::full(now, limits.vain_burst),
        }
    }

    /// Round-trip time of the link.
    pub fn rtt(&self) -> Duration {
        self.met.rtt
    }

    /// How the link came to be.
    pub fn met(&self) -> Met {
        self.met
    }

    /// How fast it delivers, bytes per second.
    pub fn rate(&self) -> u64 {
        self.meter.rate()
    }

    /// All bytes that it gave us on this link.
    pub fn delivered(&self) -> u64 {
        self.meter.delivered()
    }

    /// Until when it asked us not to ask again.
    pub fn choked_until(&self) -> Timestamp {
        self.choked_until
    }

    /// What it wants of us now, and how urgently.
    pub fn wants(&self) -> impl Iterator<Item = (BlobId, Class)> + '_ {
        self.wants.iter().map(|wanted| (wanted.blob, wanted.class))
    }

    /// How many tracks we have in common, of the last 32.
    pub fn in_common(&self) -> usize {
        self.common.len()
    }

    /// What it is worth, in points ([`Weights`]).
    pub fn usefulness(&self, now: Timestamp, weights: &Weights) -> u64 {
        let near = FAR.saturating_sub(self.met.rtt).as_millis();
        let near = u64::try_from(near).unwrap_or(u64::MAX);
        let points = [
            (self.recent.sum(now, RECENT) / 1_024, weights.recent_kib),
            (self.lasting.sum(now, LASTING) / 1_024, weights.lasting_kib),
            (self.hits.sum(now, LASTING), weights.hit),
            (self.common.len() as u64, weights.common),
            (near, weights.near_ms),
        ];
        let sum = points
            .into_iter()
            .fold(0_u64, |sum, (count, weight)| sum.saturating_add(count.saturating_mul(weight)));
        sum.saturating_sub(self.broken.sum(now, LASTING).saturating_mul(weights.broken))
    }

    /// Bytes that it gave us in the last hour.
    pub(crate) fn gave(&self, now: Timestamp) -> u64 {
        self.lasting.sum(now, LASTING)
    }

    /// Whether it was of any use in the last hour.
    pub(crate) fn was_of_use(&self, now: Timestamp) -> bool {
        self.gave(now) > 0 || self.hits.sum(now, LASTING) > 0
    }

    pub(crate) fn delivers(&mut self, now: Timestamp, bytes: u32) {
        self.meter.handle_delivered(now, bytes);
        self.recent.add(now, RECENT, u64::from(bytes));
        self.lasting.add(now, LASTING, u64::from(bytes));
    }

    pub(crate) fn finds(&mut self, now: Timestamp) {
        self.hits.add(now, LASTING, 1);
    }

    pub(crate) fn breaks(&mut self, now: Timestamp) {
        self.broken.add(now, LASTING, 1);
    }

    pub(crate) fn shares_taste(&mut self, blob: BlobId) {
        if self.common.contains(&blob) {
            return;
        }
        if self.common.len() >= COMMON_MOST {
            self.common.pop_front();
        }
        self.common.push_back(blob);
    }
}

/// A sum over the last window or a little more: cheap, and the same everywhere.
///
/// The window moves in steps of a quarter.
#[derive(Debug, Clone, Default)]
pub(crate) struct WindowSum {
    /// Number of the step in which `sums[0]` lies.
    step: u64,
    /// Of this step and the four before it.
    sums: [u64; STEPS + 1],
}

const STEPS: usize = 4;

impl WindowSum {
    pub(crate) fn add(&mut self, now: Timestamp, window: Duration, amount: u64) {
        let step = step(now, window);
        let passed = usize::try_from(step.saturating_sub(self.step)).unwrap_or(usize::MAX);
        if passed > STEPS {
            self.sums = [0; STEPS + 1];
        } else {
            self.sums.rotate_right(passed);
            self.sums[..passed].fill(0);
        }
        self.step = self.step.max(step);
        self.sums[0] = self.sums[0].saturating_add(amount);
    }

    pub(crate) fn sum(&self, now: Timestamp, window: Duration) -> u64 {
        let passed = step(now, window).saturating_sub(self.step);
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        let kept = (STEPS + 1).saturating_sub(passed);
        self.sums[..kept].iter().fold(0, |sum, amount| sum.saturating_add(*amount))
    }
}

fn step(now: Timestamp, window: Duration) -> u64 {
    let micros = u64::try_from(window.as_micros() / STEPS as u128).unwrap_or(u64::MAX);
    now.as_micros() / micros.max(1)
}
