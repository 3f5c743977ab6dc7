//! How fast a push is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_types::{BLOCK_BYTES, Rendition, SAMPLE_RATE};
use tokio::time::Instant;

/// So much audio is sent as fast as it goes, so that the music is safe.
const START_MS: u64 = 5_000;
/// So much beside others: the reserve with which sound may begin where there are peers.
const START_BESIDE_MS: u64 = 3_500;
/// What follows is sent so many times faster than it is heard.
const PACE: u32 = 4;
/// Beside others it waits so many times longer: still faster than it is heard.
const PATIENCE: u32 = 2;

/// How many pushes are under way.
#[derive(Debug, Default)]
pub(crate) struct Pushes(AtomicU64);

/// When the blocks of a push are due to be sent: a start at once, so that the
/// music is safe, then no faster than the asker said. What peers give meanwhile
/// need not be sent at all.
///
/// A listener who has peers to turn to gets less while others want theirs too: when
/// many click at once on a narrow uplink, the last of them would otherwise wait for
/// what the first get ahead.
pub(crate) struct Pace<'a> {
    /// The first block that is held back, alone and beside others.
    from: u32,
    from_beside_others: u32,
    interval: Duration,
    next: Option<Instant>,
    has_peers: bool,
    pushes: &'a Pushes,
}

impl<'a> Pace<'a> {
    /// Of a push at `push_kbps`, or without a wish at the usual pace, to a listener who
    /// was told of peers or not.
    pub(crate) fn new(
        rendition: &Rendition,
        push_kbps: u32,
        has_peers: bool,
        pushes: &'a Pushes,
    ) -> Self {
        let kbps = match push_kbps {
            0 => rendition.bitrate().kbps().saturating_mul(PACE),
            kbps => kbps.max(rendition.bitrate().kbps()),
        };
        pushes.0.fetch_add(1, Ordering::Relaxed);
        Self {
            from: first_block_after(rendition, START_MS),
            from_beside_others: first_block_after(rendition, START_BESIDE_MS),
            interval: Duration::from_secs(u64::from(BLOCK_BYTES) * 8) / kbps.saturating_mul(1000),
            next: None,
            has_peers,
            pushes,
        }
    }

    /// Waits until a block may be sent.
    pub(crate) async fn wait(&mut self, block: u32) {
        let makes_room = self.has_peers && self.pushes.0.load(Ordering::Relaxed) > 1;
        let from = if makes_room { self.from_beside_others } else { self.from };
        if block < from {
            return;
        }
        let interval = match makes_room {
            true => self.interval * PATIENCE,
            false => self.interval,
        };
        let next = self.next.unwrap_or_else(Instant::now) + interval;
        self.next = Some(next);
        tokio::time::sleep_until(next).await;
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.pushes.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The first block that begins after so much audio.
fn first_block_after(rendition: &Rendition, millis: u64) -> u32 {
    let sample = millis * u64::from(SAMPLE_RATE) / 1000;
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

    /// How long the first 20 blocks take.
    async fn twenty_blocks(pace: &mut Pace<'_>) -> Duration {
        let began = Instant::now();
        for block in 0..20 {
            pace.wait(block).await;
        }
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_alone_starts_with_five_seconds_at_once() {
        let pushes = Pushes::default();
        let mut pace = Pace::new(&rendition(), 0, true, &pushes);
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
    async fn who_has_peers_makes_room_for_others_but_stays_ahead_of_the_music() {
        let pushes = Pushes::default();
        let alone = twenty_blocks(&mut Pace::new(&rendition(), 0, true, &pushes)).await;
        let without_peers = Pace::new(&rendition(), 0, false, &pushes);
        let mut with_peers = Pace::new(&rendition(), 0, true, &pushes);
        let beside = twenty_blocks(&mut with_peers).await;
        assert!(beside > alone * 2, "{beside:?} beside another, {alone:?} alone");
        assert!(beside < Duration::from_millis(20 * 819), "slower than it is heard: {beside:?}");
        let mut without_peers = without_peers;
        assert_eq!(twenty_blocks(&mut without_peers).await, alone, "it has nobody else");
        drop((with_peers, without_peers));
        assert_eq!(pushes.0.load(Ordering::Relaxed), 0);
    }
}
