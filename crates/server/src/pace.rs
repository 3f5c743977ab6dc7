//! How much is pushed, and how fast.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use antiphon_types::{BLOCK_BYTES, NodeId, Rendition, SAMPLE_RATE};
use tokio::time::Instant;

/// So much audio is sent as fast as it goes, so that the music is safe.
const START_MS: u32 = 5_000;
/// What follows is sent so many times faster than it is heard.
const PACE: u32 = 4;
/// Who clicks so soon after somebody else belongs to the same crowd.
const CROWD: Duration = Duration::from_secs(10);

/// The pushes of late, to tell a crowd by.
#[derive(Debug, Default)]
pub(crate) struct Pushes(Mutex<Option<Latest>>);

#[derive(Debug)]
struct Latest {
    device: NodeId,
    at: Instant,
    /// When one began before to another device.
    another_at: Option<Instant>,
}

impl Pushes {
    /// How many milliseconds of audio a listener gets unasked that wishes for so many;
    /// counts it.
    ///
    /// In a crowd, who was told of peers gets the start alone and asks for the rest
    /// where it is to be had: when many click at once on a narrow uplink, the last of
    /// them would otherwise wait for what the first get ahead.
    pub(crate) fn admit(&self, device: NodeId, wish_ms: u32, has_peers: bool) -> u32 {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let another_at = match &*latest {
            Some(latest) if latest.device == device => latest.another_at,
            latest => latest.as_ref().map(|latest| latest.at),
        };
        let at = Instant::now();
        *latest = Some(Latest { device, at, another_at });
        let crowded = another_at.is_some_and(|another| at - another < CROWD);
        if crowded && has_peers { wish_ms.min(START_MS) } else { wish_ms }
    }
}

/// When the blocks of a push are due to be sent: a start at once, so that the
/// music is safe, then no faster than the asker said. What peers give meanwhile
/// need not be sent at all.
pub(crate) struct Pace {
    /// The first block that is held back.
    from: u32,
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// Of a push at `push_kbps`, or without a wish at the usual pace.
    pub(crate) fn new(rendition: &Rendition, push_kbps: u32) -> Self {
        let kbps = match push_kbps {
            0 => rendition.bitrate().kbps().saturating_mul(PACE),
            kbps => kbps.max(rendition.bitrate().kbps()),
        };
        Self {
            from: first_block_after(rendition, START_MS),
            interval: Duration::from_secs(u64::from(BLOCK_BYTES) * 8) / kbps.saturating_mul(1000),
            next: None,
        }
    }

    /// Waits until a block may be sent.
    pub(crate) async fn wait(&mut self, block: u32) {
        if block < self.from {
            return;
        }
        let next = self.next.unwrap_or_else(Instant::now) + self.interval;
        self.next = Some(next);
        tokio::time::sleep_until(next).await;
    }
}

/// The first block that begins after so much audio.
fn first_block_after(rendition: &Rendition, millis: u32) -> u32 {
    let sample = u64::from(millis) * u64::from(SAMPLE_RATE) / 1000;
    let last = rendition.size().block_at(rendition.offset_at(sample));
    last.map_or(u32::MAX, |block| block.get() + 1)
}

#[cfg(test)]
mod tests {
    use antiphon_types::{Bitrate, BlobId, BlobSize, Segment};

    use super::*;

    /// A minute at 160 kbit/s.
    fn rendition() -> Rendition {
        let segments = (0..6)
            .map(|n| Segment {
                offset: 4_000 + n * 200_000,
                sample: n * Rendition::SEGMENT_SAMPLES,
            })
            .collect();
        let size = BlobSize::new(1_204_000).unwrap();
        let samples = 60 * u64::from(SAMPLE_RATE);
        let blob = BlobId::new([1; 32]);
        Rendition::new(Bitrate::Kbps160, blob, size, 4_000, samples, segments).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_starts_with_five_seconds_at_once() {
        let mut pace = Pace::new(&rendition(), 0);
        let began = Instant::now();
        for block in 0..6 {
            pace.wait(block).await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        // A block is 0.8 s of audio, and waits for a quarter of that.
        pace.wait(7).await;
        assert!(began.elapsed().as_millis().abs_diff(205) <= 1, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_crowd_who_has_peers_gets_the_start_alone() {
        let pushes = Pushes::default();
        let (one, other) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        assert_eq!(pushes.admit(one, 15_000, true), 15_000, "nobody clicked before");
        assert_eq!(pushes.admit(one, 15_000, true), 15_000, "it is no crowd with itself");
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(pushes.admit(other, 15_000, true), 5_000);
        assert_eq!(pushes.admit(other, 15_000, true), 5_000, "the first one was there before");
        assert_eq!(pushes.admit(one, 15_000, false), 15_000, "it has nobody else");
        assert_eq!(pushes.admit(one, 2_000, true), 2_000, "no more than is wished for");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(pushes.admit(one, 15_000, true), 15_000, "the crowd has gone");
    }
}
