//! Which bitrate promises most over the next minute (model-predictive control as
//! in Yin et al., SIGCOMM 2015, over simulated futures instead of one forecast).
//!
//! For each future of the link and each choice for the next segment the play goes
//! on: what comes later is fetched by what is then buffered, up to a limit that
//! is tried too. The choice with the best mean over the futures wins.

use antiphon_types::Bitrate;

use crate::bitrate::{Candidate, Situation};
use crate::random::Random;
use crate::throughput::Chain;

/// Futures that are simulated for one decision.
const FUTURES: usize = 64;
/// How many seconds each goes.
const STEPS: usize = 90;
/// Segments that are looked at, and their length in seconds.
const SEGMENTS: usize = 6;
const SEGMENT: f64 = 10.0;
/// Parts of a segment, each taken as flowing evenly.
const PARTS: usize = 3;
/// What a second of silence costs, in kbit of sound: two and a half times 64
/// kbit/s for a minute, since a simulation knows less than it seems.
const STALL_COST: f64 = 9_600.0;
/// What a switch costs, in kbit of sound: 5 kbit/s for a minute.
const SWITCH_COST: f64 = 300.0;

/// The bitrate for the next segment with the best expectation; `None` if there
/// is nothing left or nothing to choose from.
pub(crate) fn best(now: &Situation<'_>) -> Option<Bitrate> {
    let left = now.remaining.saturating_sub(now.buffered).as_secs_f64();
    if left <= 0.0 {
        return None;
    }
    let futures = futures(&now.link.chain(), now.seed);
    let value = |first: &Candidate| {
        let limits = now.candidates.iter().map(|limit| {
            let plan = Plan { now, first, limit: limit.bitrate, left };
            futures.iter().map(|future| plan.value(future)).sum::<f64>()
        });
        limits.fold(f64::NEG_INFINITY, f64::max)
    };
    let valued = now.candidates.iter().map(|first| (first.bitrate, value(first)));
    valued.max_by(|one, other| one.1.total_cmp(&other.1)).map(|(bitrate, _)| bitrate)
}

/// One future: bytes that could have come by the end of each second.
struct Future(Vec<f64>);

fn futures(chain: &Chain, seed: u64) -> Vec<Future> {
    let mut random = Random::new(seed);
    let future = |number| {
        let mut walk = chain.walk(number, &mut random);
        let sums = (0..STEPS).scan(0.0, |sum, _| {
            *sum += walk.step();
            Some(*sum)
        });
        Future(sums.collect())
    };
    (0..FUTURES).map(future).collect()
}

/// The next segment at one bitrate, later ones at no more than a limit.
struct Plan<'a> {
    now: &'a Situation<'a>,
    first: &'a Candidate,
    limit: Bitrate,
    /// Seconds that are still to be fetched.
    left: f64,
}

impl Plan<'_> {
    /// Kbit of sound, less what stalls and switches cost.
    fn value(&self, future: &Future) -> f64 {
        let most = self.now.most_buffered.as_secs_f64();
        let (mut buffered, mut time, mut left) =
            (self.now.buffered.as_secs_f64(), 0.0_f64, self.left);
        let (mut value, mut current) = (0.0, self.now.current);
        for number in 0..SEGMENTS {
            if left <= 0.0 {
                break;
            }
            let candidate = if number == 0 { self.first } else { self.later(buffered) };
            let media = SEGMENT.min(left);
            left -= media;
            value += f64::from(candidate.bitrate.kbps()) * media;
            if std::mem::replace(&mut current, candidate.bitrate) != candidate.bitrate {
                value -= SWITCH_COST;
            }
            let is_held = number == 0 && candidate.cached;
            let bytes = if is_held { 0.0 } else { candidate.bytes_per_second * media };
            #[expect(clippy::cast_precision_loss, reason = "a small constant")]
            let (media, bytes) = (media / PARTS as f64, bytes / PARTS as f64);
            for _ in 0..PARTS {
                // What is too far ahead is not asked for yet.
                let near = time + (buffered + media - most).max(0.0);
                let done = future.when(time, bytes).max(near);
                buffered += media - (done - time);
                value -= STALL_COST * (-buffered).max(0.0);
                buffered = buffered.max(0.0);
                time = done;
            }
        }
        value
    }

    /// What a later segment is fetched in: nobody stays at 320 while the buffer
    /// runs empty.
    fn later(&self, buffered: f64) -> &Candidate {
        let most = match buffered {
            _ if buffered < 8.0 => Bitrate::Kbps96,
            _ if buffered < 15.0 => Bitrate::Kbps160,
            _ => Bitrate::Kbps320,
        };
        let most = most.min(self.limit);
        let fits = self.now.candidates.iter().rfind(|candidate| candidate.bitrate <= most);
        fits.or(self.now.candidates.first()).unwrap_or(self.first)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds from 0 on, some hundreds"
)]
impl Future {
    /// When so many bytes have come that are asked for at `from`, in seconds.
    fn when(&self, from: f64, bytes: f64) -> f64 {
        let target = self.sum(from) + bytes;
        let step = self.0.partition_point(|sum| *sum < target);
        let before = step.checked_sub(1).and_then(|at| self.0.get(at)).copied().unwrap_or(0.0);
        let when = match self.0.get(step) {
            Some(sum) => step as f64 + (target - before) / (sum - before).max(1.0),
            // Beyond what was simulated it goes on as in the mean.
            None => STEPS as f64 + (target - before) * STEPS as f64 / before.max(1.0),
        };
        when.max(from)
    }

    fn sum(&self, at: f64) -> f64 {
        let step = at as usize;
        let before = step.checked_sub(1).map_or(0.0, |at| self.at(at));
        before + (self.at(step) - before) * (at - step as f64).clamp(0.0, 1.0)
    }

    fn at(&self, step: usize) -> f64 {
        self.0.get(step).or(self.0.last()).copied().unwrap_or(0.0)
    }
}
