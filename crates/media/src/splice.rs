//! Parts of renditions, one after the other, become one sound.

use antiphon_types::SAMPLE_RATE;

use crate::crossfade::{Curve, Fade};
use crate::part::PartChunk;

/// How long one rendition fades into another of the same track, in samples of
/// one channel: 10 ms. Long enough that the small difference between two
/// encodings makes no click, and a fraction of the page that the tail is in.
pub const SPLICE_FADE_SAMPLES: u32 = 441;
/// The longest fade from track to track, in samples of one channel: 30 s,
/// which are 10.6 MB while they wait.
pub const MAX_CROSSFADE_SAMPLES: u32 = 30 * SAMPLE_RATE;

/// How a part follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// It goes on with the same track, out of any rendition: no sample is
    /// missing or double, and the tail of the part before, as far as there is
    /// one, fades into it within [`SPLICE_FADE_SAMPLES`].
    Splice,
    /// Another track, or another place of the same one, follows at once: not
    /// faded, so that a recording that was cut in two goes on as it did.
    Gapless,
    /// Another place of the same track: the tail fades into it within
    /// [`SPLICE_FADE_SAMPLES`], so that a seek does not click.
    Seek,
    /// Another track: all of the tail fades into its beginning at equal power.
    Crossfade,
}

/// Where samples that came out belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spliced {
    /// Place of the first of them, in samples of one channel from the start of
    /// the track whose part is played.
    pub first_sample: u64,
    /// How many samples of one channel.
    pub frames: usize,
}

/// Samples are missing between two parts, or inside one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sound goes on at sample {found}, where {expected} should follow")]
pub struct SpliceError {
    /// The sample that should follow.
    pub expected: u64,
    /// The sample that was pushed.
    pub found: u64,
}

/// Joins parts, sample-exact, in floating point.
///
/// Push all chunks of a part, its tail included; call [`begin`](Self::begin);
/// push the next part. Samples are appended to a buffer of the caller's. The
/// tail alone waits in here: 10 ms of it, or as long as a fade between tracks
/// is. Once buffers have grown to the size of a page and of a tail, nothing is
/// allocated.
///
/// Of a splice, what comes out is `a + w * (b - a)` with `w` rising from 0 to
/// 1, so it is nowhere further from either rendition than they are from each
/// other. A fade at equal power can pass full scale where both tracks are
/// loud; making 16 bits of it clips that.
#[derive(Debug, Default)]
pub struct Splicer {
    tail: Vec<f32>,
    /// How the part that begins is joined, until its first sample is there.
    join: Option<Join>,
    /// The fade, and how many frames of the tail are used up.
    fade: Option<Fade>,
    tail_used: usize,
    /// The place of the next sample; nobody knows before the first.
    next: Option<u64>,
}

impl Splicer {
    /// A splicer that takes the first part as it comes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the chunks to come are of another part.
    pub fn begin(&mut self, join: Join) {
        if self.fade.take().is_some() {
            self.drop_tail();
        }
        self.join = Some(join);
    }

    /// Takes a chunk, and appends to `out` what is ready.
    pub fn push(
        &mut self,
        chunk: &PartChunk<'_>,
        out: &mut Vec<f32>,
    ) -> Result<Spliced, SpliceError> {
        let start = out.len();
        if chunk.tail {
            self.keep(chunk.samples);
        } else {
            self.join_on(chunk, out)?;
        }
        Ok(self.advance(start, out))
    }

    /// Gives up the fade that the tail waits for: the tail is appended to
    /// `out` as it is. For when the next track does not come in time.
    pub fn release_tail(&mut self, out: &mut Vec<f32>) -> Spliced {
        let start = out.len();
        out.extend_from_slice(&self.tail[2 * self.tail_used..]);
        self.fade = None;
        self.drop_tail();
        self.advance(start, out)
    }

    /// The place of the next sample, once there was one.
    pub fn position(&self) -> Option<u64> {
        self.next
    }

    /// How many samples of one channel wait to be faded out.
    pub fn tail_samples(&self) -> usize {
        self.tail.len() / 2 - self.tail_used
    }

    fn keep(&mut self, samples: &[f32]) {
        if self.fade.take().is_some() {
            self.drop_tail();
        }
        let room = 2 * MAX_CROSSFADE_SAMPLES as usize - self.tail.len();
        self.tail.extend_from_slice(&samples[..samples.len().min(room)]);
    }

    fn drop_tail(&mut self) {
        self.tail.clear();
        self.tail_used = 0;
    }

    /// Appends a chunk of a part's body, joined to what was before.
    fn join_on(&mut self, chunk: &PartChunk<'_>, out: &mut Vec<f32>) -> Result<(), SpliceError> {
        let elsewhere = matches!(self.join, Some(Join::Gapless | Join::Seek | Join::Crossfade));
        let expected = match self.next {
            Some(next) if !elsewhere => next,
            _ => chunk.first_sample,
        };
        let known = expected.saturating_sub(chunk.first_sample);
        let known = usize::try_from(known).unwrap_or(usize::MAX).saturating_mul(2);
        let Some(fresh) = chunk.samples.get(known..).filter(|fresh| !fresh.is_empty()) else {
            return Ok(());
        };
        let missing = chunk.first_sample.saturating_sub(expected);
        self.bridge(missing, out).ok_or(SpliceError { expected, found: chunk.first_sample })?;
        self.next = Some(expected);
        if let Some(join) = self.join.take() {
            self.set_fade(join);
        }
        let start = out.len();
        out.extend_from_slice(fresh);
        self.mix(&mut out[start..]);
        Ok(())
    }

    /// Appends the tail itself where the next part begins later than it should.
    fn bridge(&mut self, missing: u64, out: &mut Vec<f32>) -> Option<()> {
        if missing == 0 {
            return Some(());
        }
        let missing = usize::try_from(missing).ok().filter(|_| self.join == Some(Join::Splice))?;
        let until = self.tail_used.checked_add(missing)?;
        let samples = self.tail.get(2 * self.tail_used..until.checked_mul(2)?)?;
        out.extend_from_slice(samples);
        self.tail_used = until;
        Some(())
    }

    fn set_fade(&mut self, join: Join) {
        let tail = self.tail_samples();
        let short = tail.min(SPLICE_FADE_SAMPLES as usize);
        self.fade = match join {
            Join::Splice | Join::Seek => Fade::new(Curve::EqualGain, short),
            Join::Crossfade => Fade::new(Curve::EqualPower, tail),
            Join::Gapless => None,
        };
        if self.fade.is_none() {
            self.drop_tail();
        }
    }

    /// Fades the tail into samples that begin where it stands.
    fn mix(&mut self, new: &mut [f32]) {
        let Some(fade) = &mut self.fade else { return };
        let before = fade.left();
        fade.mix(&self.tail[2 * self.tail_used..], new);
        self.tail_used += before - fade.left();
        if fade.left() == 0 {
            self.fade = None;
            self.drop_tail();
        }
    }

    fn advance(&mut self, start: usize, out: &[f32]) -> Spliced {
        let frames = (out.len() - start) / 2;
        let first_sample = self.next.unwrap_or(0);
        if frames > 0 {
            self.next = Some(first_sample + frames as u64);
        }
        Spliced { first_sample, frames }
    }
}
