//! A part of a rendition: from one sample to another, out of as few bytes as
//! will do.

use std::ops::Range;

use antiphon_types::Rendition;

use crate::player::{FORMAT, StreamError};
use crate::seek::{earlier_guess, start_offset_guess};
use crate::splice::{MAX_CROSSFADE_SAMPLES, SPLICE_FADE_SAMPLES};
use crate::vorbis::{Placed, VorbisStream};

/// Bytes of a rendition, from a segment's offset on, that a decoder needs to
/// give every sample before the segment's boundary and a tail to fade out.
///
/// The page at the offset begins with the packet that ends at the segment's
/// `sample`; what comes before that sample is in the packet, so a part that
/// ends at the boundary is not complete without this page. The format bounds
/// it: a page is closed before its packets pass 8 KiB, and has a header of 27
/// bytes and at most 255 lacing values. It holds a tenth of a second or more
/// at every bitrate, so the tail is there too.
pub const SPLICE_TAIL_BYTES: u64 = Rendition::PAGE_BYTES;

/// Which samples of a track a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSpan {
    from: u64,
    to: u64,
    tail: u64,
    whole_tail: bool,
}

impl PartSpan {
    /// Samples of one channel from `from` to before `to`, counted from the
    /// start of the track, and no tail. An end past the rendition's is its end.
    pub const fn new(from: u64, to: u64) -> Self {
        Self { from, to, tail: 0, whole_tail: false }
    }

    /// With a tail to fade into another rendition: up to
    /// [`SPLICE_FADE_SAMPLES`] past the end, as far as the page that holds the
    /// end reaches. No further bytes are asked for.
    #[must_use]
    pub const fn with_splice_tail(mut self) -> Self {
        (self.tail, self.whole_tail) = (SPLICE_FADE_SAMPLES as u64, false);
        self
    }

    /// With `samples` past the end to fade into another track; at most
    /// [`MAX_CROSSFADE_SAMPLES`], and as many as the rendition has.
    #[must_use]
    pub const fn with_crossfade_tail(mut self, samples: u64) -> Self {
        let most = MAX_CROSSFADE_SAMPLES as u64;
        (self.tail, self.whole_tail) = (if samples < most { samples } else { most }, true);
        self
    }

    /// The first sample.
    pub const fn from(&self) -> u64 {
        self.from
    }

    /// The sample after the last, without the tail.
    pub const fn to(&self) -> u64 {
        self.to
    }

    fn within(mut self, samples: u64) -> Self {
        self.to = self.to.min(samples);
        self.tail = self.tail.min(samples - self.to);
        self
    }
}

/// Where in the bytes a part begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// At the segment before its first sample, by the seek table.
    Segment,
    /// Where the first sample is likely to be: see [`start_offset_guess`].
    Guess,
    /// At that byte of the rendition, or at the first of the audio.
    Offset(u64),
}

/// Samples of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PartChunk<'a> {
    /// Place of the first of them, in samples of one channel from the start
    /// of the track.
    pub first_sample: u64,
    /// The samples, interleaved stereo.
    pub samples: &'a [f32],
    /// They come after the part's end, and are there to be faded out.
    pub tail: bool,
}

/// Decodes one part of a rendition, sample-exact at both ends.
///
/// It says which bytes it needs ([`wanted`](Self::wanted)), takes them
/// ([`push`](Self::push)), and gives samples ([`next_chunk`](Self::next_chunk),
/// to be called until it gives none after each push). Samples equal those of a
/// decoder that began at the rendition's start, bit for bit, wherever this one
/// began.
///
/// A part that begins by a guess may find that its first sample lies before
/// what it was given. It then wants earlier bytes, from a better guess, a block
/// before at least, and from the segment's offset at last, which never fails.
/// [`too_late`](Self::too_late) counts this.
///
/// It holds what was pushed since the last whole page, at most 64 KiB and the
/// last push, and the samples of one page.
pub struct PartDecoder {
    rendition: Rendition,
    span: PartSpan,
    stream: VorbisStream,
    /// All of the headers have come.
    has_headers: bool,
    /// The next byte to take.
    next_offset: u64,
    /// Where audio began to be taken.
    entry_offset: u64,
    /// The entry is not one of the seek table.
    guessed: bool,
    too_late: u32,
    /// The next sample to give.
    position: u64,
    /// Decoded samples that were not given yet.
    pending: Option<Placed>,
}

impl PartDecoder {
    /// A decoder that wants the headers first. Nothing is decoded if the span
    /// is empty.
    pub fn new(rendition: Rendition, span: PartSpan, entry: Entry) -> Self {
        let mut part = Self {
            span: span.within(rendition.samples()),
            rendition,
            stream: VorbisStream::new(Some(FORMAT)),
            has_headers: false,
            next_offset: 0,
            entry_offset: 0,
            guessed: false,
            too_late: 0,
            position: 0,
            pending: None,
        };
        part.plan(span, entry);
        part
    }

    /// Begins another part of the same rendition. The headers are not wanted
    /// again if they have come already.
    pub fn restart(&mut self, span: PartSpan, entry: Entry) {
        self.plan(span, entry);
        if self.has_headers {
            self.enter();
        }
    }

    /// Moves the end, to an earlier or a later sample, and says whether that
    /// was still possible: samples past the new end must not have been given,
    /// nor any of the tail. The span's beginning stays what it was.
    pub fn set_end(&mut self, span: PartSpan) -> bool {
        let span = span.within(self.rendition.samples());
        if self.position > span.to.min(self.span.to) {
            return false;
        }
        self.span = PartSpan { from: self.span.from, ..span };
        true
    }

    /// The bytes that are needed next: push from the first of them on. `None`
    /// once the part is complete.
    ///
    /// The end is an upper bound by the seek table, for whoever plans what to
    /// fetch; decoding is often done before.
    pub fn wanted(&self) -> Option<Range<u64>> {
        if self.is_finished() {
            return None;
        }
        let end = if self.has_headers {
            self.end_offset()
        } else {
            u64::from(self.rendition.header_bytes())
        };
        Some(self.next_offset..end.max(self.next_offset + 1))
    }

    /// Takes plaintext bytes that stand at `offset` in the rendition, and says
    /// how many were of use: what comes before the wanted byte is passed over,
    /// and all of it if the wanted byte is not among them.
    pub fn push(&mut self, offset: u64, bytes: &[u8]) -> Result<usize, StreamError> {
        let mut taken = 0;
        while let Some(rest) = self.wanted_of(offset, bytes) {
            if self.has_headers {
                self.stream.push(rest);
                self.next_offset += rest.len() as u64;
                return Ok(taken + rest.len());
            }
            let missing = u64::from(self.rendition.header_bytes()) - self.next_offset;
            let count = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.len());
            self.stream.push(&rest[..count]);
            self.next_offset += count as u64;
            taken += count;
            if count as u64 == missing {
                self.take_headers()?;
            }
        }
        Ok(taken)
    }

    /// The next samples, or `None` until more is pushed.
    ///
    /// A chunk holds up to a page, which is an eighth of a second or less.
    /// After an error the decoder is of no more use.
    pub fn next_chunk(&mut self) -> Result<Option<PartChunk<'_>>, StreamError> {
        if !self.has_headers {
            return Ok(None);
        }
        loop {
            if let Some((first_sample, frames, tail)) = self.take_pending() {
                let samples = self.stream.samples(frames);
                return Ok(Some(PartChunk { first_sample, samples, tail }));
            }
            if self.is_finished() {
                return Ok(None);
            }
            match self.stream.next_placed()? {
                Some(placed) => self.accept(placed)?,
                None if self.is_out_of_bytes() => {
                    if self.begun() || !self.guessed {
                        return Err(StreamError::Truncated { samples: self.position });
                    }
                    self.go_back(None);
                    return Ok(None);
                }
                None => return Ok(None),
            }
        }
    }

    /// Whether all samples were given. A tail of a splice need not be whole.
    pub fn is_finished(&self) -> bool {
        let left = self.span.to + self.span.tail;
        let nothing_more = !self.span.whole_tail && self.pending.is_none();
        self.position >= left || (self.position >= self.span.to && nothing_more)
    }

    /// The place of the next sample.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is decoded.
    pub fn span(&self) -> PartSpan {
        self.span
    }

    /// The rendition whose bytes are wanted.
    pub fn rendition(&self) -> &Rendition {
        &self.rendition
    }

    /// How often a guess turned out to lie behind the first sample, so that
    /// earlier bytes were wanted.
    pub fn too_late(&self) -> u32 {
        self.too_late
    }

    /// Sets out for the beginning of a part.
    fn plan(&mut self, span: PartSpan, entry: Entry) {
        self.span = span.within(self.rendition.samples());
        self.position = self.span.from;
        self.pending = None;
        self.too_late = 0;
        let segment = self.rendition.segment_for(self.span.from).offset;
        let offset = match entry {
            Entry::Segment => segment,
            Entry::Guess => start_offset_guess(&self.rendition, self.span.from),
            Entry::Offset(offset) => offset
                .min(self.rendition.size().bytes() - 1)
                .max(u64::from(self.rendition.header_bytes())),
        };
        self.entry_offset = offset;
        self.guessed = offset != segment;
    }

    /// Begins to take audio at the entry.
    fn enter(&mut self) {
        self.next_offset = self.entry_offset;
        if self.guessed {
            self.stream.search();
        } else {
            self.stream.jump_to(self.rendition.segment_for(self.span.from).sample);
        }
    }

    fn take_headers(&mut self) -> Result<(), StreamError> {
        let early = self.stream.next_placed()?.is_some();
        if early || self.stream.decoder().is_none() || self.stream.pending() > 0 {
            return Err(StreamError::Headers);
        }
        self.has_headers = true;
        self.enter();
        Ok(())
    }

    /// From the wanted byte on, if it is among these and anything is wanted.
    fn wanted_of<'a>(&self, offset: u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let skip = usize::try_from(self.next_offset.checked_sub(offset)?).ok()?;
        let rest = bytes.get(skip..).filter(|rest| !rest.is_empty())?;
        (!self.is_finished()).then_some(rest)
    }

    /// Whether the first sample was reached: from then on the place is sure.
    fn begun(&self) -> bool {
        self.pending.is_some() || self.position > self.span.from
    }

    fn is_out_of_bytes(&self) -> bool {
        self.stream.ended() || self.next_offset >= self.rendition.size().bytes()
    }

    /// Keeps what the stream decoded, unless it comes after what is missing.
    fn accept(&mut self, placed: Placed) -> Result<(), StreamError> {
        let end = placed.first_sample + placed.frames.len() as u64;
        if placed.first_sample > self.position {
            if self.begun() || !self.guessed {
                let (expected, found) = (self.position, placed.first_sample);
                return Err(StreamError::Gap { expected, found });
            }
            self.go_back(Some(placed.first_sample));
        } else if end > self.position {
            self.pending = Some(placed);
        }
        Ok(())
    }

    /// Wants earlier bytes, the entry having been too late. `found` is the
    /// sample that was found near the entry.
    fn go_back(&mut self, found: Option<u64>) {
        self.too_late += 1;
        let segment = self.rendition.segment_for(self.span.from).offset;
        let guess = earlier_guess(&self.rendition, self.span.from, self.entry_offset, found);
        self.guessed = guess > segment;
        self.entry_offset = guess.max(segment);
        self.enter();
    }

    /// Takes as many of the decoded samples as belong together: place, where
    /// they are, whether they are of the tail.
    fn take_pending(&mut self) -> Option<(u64, Range<usize>, bool)> {
        let tail = self.position >= self.span.to;
        let limit = self.span.to + if tail { self.span.tail } else { 0 };
        let pending = self.pending.as_mut()?;
        let skip = usize::try_from(self.position - pending.first_sample).ok()?;
        let start = pending.frames.start + skip;
        let count = pending.frames.len().checked_sub(skip)?;
        let count = count.min(usize::try_from(limit.checked_sub(self.position)?).ok()?);
        if count == 0 {
            return None;
        }
        let first_sample = self.position;
        self.position += count as u64;
        let end = start + count;
        if end == pending.frames.end {
            self.pending = None;
        } else {
            pending.first_sample = self.position;
            pending.frames.start = end;
        }
        Some((first_sample, start..end, tail))
    }

    /// An offset before which everything of the part lies.
    fn end_offset(&self) -> u64 {
        let tail = if self.span.whole_tail { self.span.tail } else { 0 };
        let end = self.span.to + tail;
        let boundary = usize::try_from(end.div_ceil(Rendition::SEGMENT_SAMPLES)).ok();
        let size = self.rendition.size().bytes();
        boundary
            .and_then(|index| self.rendition.segments().get(index))
            .map_or(size, |segment| (segment.offset + SPLICE_TAIL_BYTES).min(size))
    }
}
