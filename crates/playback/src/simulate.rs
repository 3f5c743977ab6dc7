//! Playbacks as they may go on, by what is known of the link (B08).

use std::time::Duration;

use crate::throughput::{BIN, Walk};

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

impl Outlook {
    /// Whether a play stalls before its end if the link goes on like this. With
    /// little buffered the lowest rendition is fetched: what would be done.
    pub(crate) fn stalls(&self, mut walk: Walk<'_>) -> bool {
        let step = BIN.as_secs_f64();
        let most = self.most_buffered.as_secs_f64().max(step);
        let mut buffered = self.buffered.as_secs_f64();
        let mut missing = self.remaining.as_secs_f64() - buffered;
        // The segment under way stays what it is. Where it ends is known only if
        // the position is at a segment's beginning, as at most starts.
        let mut segment = SEGMENT - buffered % SEGMENT;
        let mut consumed = self.bytes_per_second;
        while missing > 0.0 {
            if segment <= 0.0 {
                segment = SEGMENT;
                let is_low = buffered < FALL_BACK;
                consumed =
                    if is_low { self.lowest_bytes_per_second } else { self.bytes_per_second };
            }
            let came = walk.step() / consumed.max(1.0);
            let came = came.min((most - buffered + step).max(0.0));
            missing -= came;
            segment -= came;
            buffered += came - step;
            if missing > 0.0 && buffered < 0.0 {
                return true;
            }
        }
        false
    }
}
