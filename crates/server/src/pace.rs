//! How fast a push is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_types::{BLOCK_BYTES, Rendition, SAMPLE_RATE};
use tokio::time::Instant;

/// So much audio is sent as fast as it goes, so that the music is safe.
const START_MS: u64 = 5_000;
/// So much while others begin as well: it is enough for sound.
const BEGINNING_MS: u64 = 2_000;
/// What follows is sent so many times faster than it is heard.
const PACE: u32 = 4;
/// While others begin it waits so many times longer: still faster than it is heard.
const PATIENCE: (u32, u32) = (8, 3);

/// Pushes whose listeners have next to nothing yet.
#[derive(Debug, Default)]
pub(crate) struct Beginners(AtomicU64);

/// When the blocks of a push are due to be sent: a start at once, so that the
/// music is safe, then no faster than the asker said. What peers give meanwhile
/// need not be sent at all.
///
/// Those who have heard for a while make room for those who have just clicked: on a
/// narrow uplink many who click at once would otherwise wait for what others get
/// ahead.
pub(crate) struct Pace<'a> {
    /// The first block that is held back, alone and while others begin.
    from: u32,
    from_beside_others: u32,
    interval: Duration,
    next: Option<Instant>,
    beginners: &'a Beginners,
    begins: bool,
}

impl<'a> Pace<'a> {
    /// Of a push at `push_kbps`, or without a wish at the usual pace.
    pub(crate) fn new(rendition: &Rendition, push_kbps: u32, beginners: &'a Beginners) -> Self {
        let kbps = match push_kbps {
            0 => rendition.bitrate().kbps().saturating_mul(PACE),
            kbps => kbps.max(rendition.bitrate().kbps()),
        };
        beginners.0.fetch_add(1, Ordering::Relaxed);
        Self {
            from: first_block_after(rendition, START_MS),
            from_beside_others: first_block_after(rendition, BEGINNING_MS),
            interval: Duration::from_secs(u64::from(BLOCK_BYTES) * 8) / kbps.saturating_mul(1000),
            next: None,
            beginners,
            begins: true,
        }
    }

    /// Waits until a block may be sent.
    pub(crate) async fn wait(&mut self, block: u32) {
        if block >= self.from_beside_others {
            self.has_begun();
        }
        let others = self.beginners.0.load(Ordering::Relaxed) > u64::from(self.begins);
        let from = if others { self.from_beside_others } else { self.from };
        if block < from {
            return;
        }
        let interval = match others {
            true => self.interval * PATIENCE.0 / PATIENCE.1,
            false => self.interval,
        };
        let next = self.next.unwrap_or_else(Instant::now) + interval;
        self.next = Some(next);
        tokio::time::sleep_until(next).await;
    }

    fn has_begun(&mut self) {
        if std::mem::take(&mut self.begins) {
            self.beginners.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.has_begun();
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
        let beginners = Beginners::default();
        let mut pace = Pace::new(&rendition(), 0, &beginners);
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
    async fn who_has_begun_makes_room_for_who_begins_but_stays_ahead_of_the_music() {
        let beginners = Beginners::default();
        let alone = twenty_blocks(&mut Pace::new(&rendition(), 0, &beginners)).await;
        let mut first = Pace::new(&rendition(), 0, &beginners);
        let second = Pace::new(&rendition(), 0, &beginners);
        let beside = twenty_blocks(&mut first).await;
        assert!(beside > alone * 3, "{beside:?} beside another, {alone:?} alone");
        assert!(beside < Duration::from_millis(20 * 819), "slower than it is heard: {beside:?}");
        drop((first, second));
        assert_eq!(beginners.0.load(Ordering::Relaxed), 0);
        assert_eq!(twenty_blocks(&mut Pace::new(&rendition(), 0, &beginners)).await, alone);
    }
}
