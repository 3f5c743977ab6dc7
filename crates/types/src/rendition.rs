//! A track at one bitrate, as all parts see it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{BLOCK_BYTES, BlobId, BlobSize};

/// Samples per second and channel of every rendition.
pub const SAMPLE_RATE: u32 = 44_100;
/// Channels of every rendition.
pub const CHANNELS: u16 = 2;

/// Samples of one channel in so much media time, rounded down.
pub fn samples_of(media: Duration) -> u64 {
    let samples = media.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// The three encodings of a track (B09).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bitrate {
    /// 96 kbit/s.
    Kbps96,
    /// 160 kbit/s.
    Kbps160,
    /// 320 kbit/s.
    Kbps320,
}

impl Bitrate {
    /// All of them, from the lowest.
    pub const ALL: [Self; 3] = [Self::Kbps96, Self::Kbps160, Self::Kbps320];

    /// Kilobits (1000 bits) per second.
    pub const fn kbps(self) -> u32 {
        match self {
            Self::Kbps96 => 96,
            Self::Kbps160 => 160,
            Self::Kbps320 => 320,
        }
    }

    /// The bitrate of that many kilobits per second, if it is one of ours.
    pub const fn from_kbps(kbps: u32) -> Option<Self> {
        match kbps {
            96 => Some(Self::Kbps96),
            160 => Some(Self::Kbps160),
            320 => Some(Self::Kbps320),
            _ => None,
        }
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kbps())
    }
}

/// Why a text is not a bitrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bitrate is 96, 160 or 320")]
pub struct ParseBitrateError;

impl FromStr for Bitrate {
    type Err = ParseBitrateError;

    fn from_str(text: &str) -> Result<Self, ParseBitrateError> {
        text.parse().ok().and_then(Self::from_kbps).ok_or(ParseBitrateError)
    }
}

/// How urgent a transfer is. A class is served before the next one (B22, B35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Session upkeep: small and rare.
    Control,
    /// The track that is playing now.
    Now,
    /// The track that is likely to play next.
    Prefetch,
    /// A copy for offline use.
    Offline,
}

impl Class {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Now, Self::Prefetch, Self::Offline];

    /// Its place in [`Class::ALL`]; this number stands on the wire.
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// The class at that place.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            0 => Some(Self::Control),
            1 => Some(Self::Now),
            2 => Some(Self::Prefetch),
            3 => Some(Self::Offline),
            _ => None,
        }
    }
}

/// A place where decoding can begin: one for each 10 s of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the blob of a page that begins at least one packet before the
    /// boundary.
    pub offset: u64,
    /// The first sample (of each channel, counted from the start of the track)
    /// that is exact when decoding starts at `offset`; at most the boundary.
    pub sample: u64,
}

/// One encoding of a track: the blob that holds it, and how time maps to bytes.
///
/// The blob is an Ogg Vorbis file, encrypted. Its first `header_bytes` bytes
/// are the three Vorbis headers; audio pages follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    bitrate: Bitrate,
    blob: BlobId,
    size: BlobSize,
    header_bytes: u32,
    samples: u64,
    segments: Vec<Segment>,
}

/// Why a rendition is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenditionError {
    /// The headers do not fit into the blob.
    #[error("the headers do not fit into the blob")]
    Header,
    /// There is no audio.
    #[error("the rendition holds no audio")]
    Empty,
    /// The first segment does not begin with the audio, or segments do not rise.
    #[error("segment {0} is out of order or out of bounds")]
    Segment(usize),
}

impl Rendition {
    /// Length of a segment in samples: 10 s (B52).
    pub const SEGMENT_SAMPLES: u64 = 10 * SAMPLE_RATE as u64;
    /// The longest Ogg page of a rendition: 8 KiB of packets, a header of 27
    /// bytes and 255 lacing values. What ends at a boundary stands in the page
    /// that begins with it, which is therefore needed too.
    pub const PAGE_BYTES: u64 = 8 * 1024 + 27 + 255;

    /// Checks that the parts fit together.
    ///
    /// `samples` counts one channel. Segments rise strictly in offset and not
    /// at all backwards in sample; the first begins at `header_bytes` with
    /// sample 0; segment *i* is exact from at most *i* × 10 s, and from before
    /// the end.
    pub fn new(
        bitrate: Bitrate,
        blob: BlobId,
        size: BlobSize,
        header_bytes: u32,
        samples: u64,
        segments: Vec<Segment>,
    ) -> Result<Self, RenditionError> {
        if u64::from(header_bytes) >= size.bytes() {
            return Err(RenditionError::Header);
        }
        if samples == 0 || segments.is_empty() {
            return Err(RenditionError::Empty);
        }
        let mut last: Option<Segment> = None;
        for (i, segment) in segments.iter().enumerate() {
            let boundary = (i as u64).saturating_mul(Self::SEGMENT_SAMPLES);
            let rises = match last {
                None => segment.offset == u64::from(header_bytes) && segment.sample == 0,
                Some(last) => segment.offset > last.offset && segment.sample >= last.sample,
            };
            let within = segment.offset < size.bytes() && segment.sample < samples;
            if !rises || !within || segment.sample > boundary {
                return Err(RenditionError::Segment(i));
            }
            last = Some(*segment);
        }
        Ok(Self { bitrate, blob, size, header_bytes, samples, segments })
    }

    /// Nominal bitrate.
    pub fn bitrate(&self) -> Bitrate {
        self.bitrate
    }

    /// The blob that holds it.
    pub fn blob(&self) -> BlobId {
        self.blob
    }

    /// Size of the blob.
    pub fn size(&self) -> BlobSize {
        self.size
    }

    /// Bytes before the first audio page.
    pub fn header_bytes(&self) -> u32 {
        self.header_bytes
    }

    /// Samples of one channel.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Where decoding can begin, every 10 s.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The last segment from which `sample` can be decoded exactly.
    pub fn segment_for(&self, sample: u64) -> Segment {
        let after = self.segments.partition_point(|segment| segment.sample <= sample);
        // The first segment begins at sample 0, so at least one is not after.
        self.segments[after.saturating_sub(1)]
    }

    /// Where to begin decoding for `sample`: the start of the block in which a
    /// page before its own probably begins, or the segment's first page.
    ///
    /// A guess, since the rate of the music swings within a segment. A decoder
    /// that finds itself too late wants earlier bytes.
    pub fn seek_offset(&self, sample: u64) -> u64 {
        self.seek_offset_near(sample, self.offset_at(sample))
    }

    /// The same where `sample` is expected at that offset.
    pub fn seek_offset_near(&self, sample: u64, expected: u64) -> u64 {
        let guess = expected.saturating_sub(self.seek_margin());
        let block = guess - guess % u64::from(BLOCK_BYTES);
        block.max(self.segment_for(sample).offset)
    }

    /// How far before the expected place a seek begins, in bytes: a page (an
    /// eighth of a second) and what the place is commonly off by. More would cost
    /// a block more often than less costs a round trip.
    const fn seek_margin(&self) -> u64 {
        match self.bitrate {
            Bitrate::Kbps96 => 3_584,
            Bitrate::Kbps160 => 4_608,
            Bitrate::Kbps320 => 7_680,
        }
    }

    /// The offset up to which bytes are needed to decode everything before
    /// `sample`, a segment's boundary, and the rest of the page that it is in.
    pub fn splice_end(&self, sample: u64) -> u64 {
        (self.offset_at(sample) + Self::PAGE_BYTES).min(self.size.bytes())
    }

    /// The sample that is certainly decodable once all bytes before `offset`
    /// are there: interpolated within a segment, exact at its ends.
    pub fn sample_at(&self, offset: u64) -> u64 {
        let after = self.segments.partition_point(|segment| segment.offset <= offset);
        if after == 0 {
            return 0;
        }
        let from = self.segments[after - 1];
        let to = self
            .segments
            .get(after)
            .copied()
            .unwrap_or(Segment { offset: self.size.bytes(), sample: self.samples });
        interpolate(offset, (from.offset, from.sample), (to.offset, to.sample))
    }

    /// The offset up to which bytes are needed to decode `sample`:
    /// interpolated within a segment, exact at its ends.
    pub fn offset_at(&self, sample: u64) -> u64 {
        let after = self.segments.partition_point(|segment| segment.sample <= sample);
        let from = self.segments[after.saturating_sub(1)];
        let to = self
            .segments
            .get(after)
            .copied()
            .unwrap_or(Segment { offset: self.size.bytes(), sample: self.samples });
        interpolate(sample, (from.sample, from.offset), (to.sample, to.offset))
    }
}

/// Where `x` lies between two points, clamped to them.
fn interpolate(x: u64, from: (u64, u64), to: (u64, u64)) -> u64 {
    let (width, height) = (to.0.saturating_sub(from.0), to.1.saturating_sub(from.1));
    if width == 0 {
        return from.1;
    }
    let along = x.saturating_sub(from.0).min(width);
    let up = u128::from(along) * u128::from(height) / u128::from(width);
    from.1 + u64::try_from(up).unwrap_or(height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendition(segments: Vec<Segment>) -> Result<Rendition, RenditionError> {
        let size = BlobSize::new(500_000).unwrap();
        let samples = 25 * u64::from(SAMPLE_RATE);
        Rendition::new(Bitrate::Kbps160, BlobId::new([1; 32]), size, 4_000, samples, segments)
    }

    fn good() -> Vec<Segment> {
        vec![
            Segment { offset: 4_000, sample: 0 },
            Segment { offset: 204_000, sample: 440_500 },
            Segment { offset: 404_000, sample: 881_000 },
        ]
    }

    #[test]
    fn time_maps_to_bytes_and_back_at_segment_starts() {
        let rendition = rendition(good()).unwrap();
        for segment in rendition.segments() {
            assert_eq!(rendition.sample_at(segment.offset), segment.sample);
            assert_eq!(rendition.offset_at(segment.sample), segment.offset);
            assert_eq!(rendition.segment_for(segment.sample), *segment);
        }
        assert_eq!(rendition.sample_at(u64::MAX), rendition.samples());
        assert_eq!(rendition.offset_at(u64::MAX), rendition.size().bytes());
        assert_eq!(rendition.sample_at(0), 0);
        assert_eq!(rendition.segment_for(440_499), good()[0]);
    }

    #[test]
    fn tables_that_do_not_rise_are_refused() {
        let mut late = good();
        late[1].sample = 441_001;
        assert_eq!(
            rendition(late),
            Err(RenditionError::Segment(1)),
            "exact only after its boundary"
        );
        let mut back = good();
        back[2].offset = 204_000;
        assert_eq!(rendition(back), Err(RenditionError::Segment(2)));
        let mut far = good();
        far[2].offset = 500_000;
        assert_eq!(rendition(far), Err(RenditionError::Segment(2)));
        let size = BlobSize::new(500_000).unwrap();
        let short =
            Rendition::new(Bitrate::Kbps160, BlobId::new([1; 32]), size, 4_000, 881_000, good());
        assert_eq!(short, Err(RenditionError::Segment(2)), "exact only after the end");
        assert_eq!(rendition(vec![]), Err(RenditionError::Empty));
    }
}
