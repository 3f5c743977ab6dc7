//! Playbacks as they may go on, by what is known of the link (B08).

use std::time::Duration;

use crate::random::Random;
use crate::throughput::{BIN, Chain};

/// What is left to be played and to be fetched.
///
/// Media time throughout: at speed *X* the owner divides rates by *X*.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// What is there ahead of the position, without a gap.
    pub buffered: Duration,
    /// What is to be played from the position on, `buffered` included.
    pub remaining: Duration,
    /// Bytes that a second of it takes.
    pub bytes_per_second: f64,
    /// Bytes that a second of the lowest rendition takes that may be fetched when
    /// little is buffered; the same if the bitrate is fixed.
    pub lowest_bytes_per_second: f64,
    /// How far ahead is fetched: a buffer that is full does not grow.
    pub most_buffered: Duration,
}

/// With fewer seconds than this in the buffer of a simulated play the lowest
/// rendition is fetched.
const FALL_BACK: f64 = 12.0;

/// What is begun in a rendition is fetched in it to the end of the segment.
const SEGMENT: f64 = 10.0;
/// Seconds that are none: what is left of many sums.
const NOTHING: f64 = 1e-6;

/// What became of a simulated playback.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Future {
    /// It stood still for so long, in seconds.
    pub(crate) stalled: f64,
    /// How often it began to.
    pub(crate) stalls: u32,
    /// The share of what was fetched that was fetched in the rendition in
    /// question, not in the lowest.
    pub(crate) share_high: f64,
}

impl Outlook {
    /// Plays on until the end, or for `horizon`. With little buffered the lowest
    /// rendition is fetched: what would be done.
    pub(crate) fn play_on(&self, chain: &Chain, random: &mut Random, horizon: Duration) -> Future {
        let step = BIN.as_secs_f64();
        let most = self.most_buffered.as_secs_f64().max(step);
        let mut buffered = self.buffered.as_secs_f64();
        let mut left = self.remaining.as_secs_f64().min(horizon.as_secs_f64());
        let mut missing = self.remaining.as_secs_f64() - buffered;
        let mut level = chain.start();
        let mut future = Future::default();
        let mut dry = false;
        let (mut fetched, mut high) = (0.0, 0.0);
        let (mut segment, mut is_high) = (0.0, true);
        // Rates may be so low that it never ends: then it is stalled long enough.
        let mut patience = 4.0 * left + 60.0;
        while left > NOTHING && patience > 0.0 {
            patience -= step;
            level = chain.step(level, random);
            if segment <= 0.0 {
                segment = SEGMENT;
                is_high = buffered >= FALL_BACK;
            }
            let consumed = match is_high {
                true => self.bytes_per_second,
                false => self.lowest_bytes_per_second,
            };
            let came = Chain::bytes(level) / consumed.max(1.0);
            let came = came.min(missing).min((most - buffered + step).max(0.0));
            missing -= came;
            segment -= came;
            fetched += came;
            high += if is_high { came } else { 0.0 };
            let played = step.min(buffered + came).min(left);
            buffered += came - played;
            left -= played;
            let short = if left > NOTHING { step - played } else { 0.0 };
            if short > NOTHING {
                future.stalled += short;
                future.stalls += u32::from(!dry);
            }
            dry = short > NOTHING;
        }
        future.share_high = if fetched > 0.0 { high / fetched } else { 1.0 };
        future
    }
}
