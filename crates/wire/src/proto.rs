//! The messages of `proto/antiphon/v1`, and their conversion to plain types.
//!
//! Generated types are what crosses the wire and a promise to other versions;
//! they end in the engines. What is checked once, here, is a plain type from
//! then on.

mod version;

use std::fmt;

use antiphon_types::{Bitrate, BlobId, BlobSize, BlockRange, RenditionError, Segment};

use crate::text::printable;

#[allow(missing_docs, clippy::all, unreachable_pub)]
mod generated {
    include!("generated/antiphon.v1.rs");
}

pub use generated::*;
pub use prost::{DecodeError, Message};
pub use version::{FEATURES, MAX_FEATURE_BYTES, MAX_FEATURES, MINOR_VERSION, Version};

/// The major version, which stands in the handshake's prologue.
pub const MAJOR_VERSION: u8 = 1;

/// Signature contexts: a signature in one is worth nothing in another.
pub mod context {
    /// Over an encoded `Ticket`, by the server.
    pub const TICKET: &[u8] = b"antiphon ticket v1";
    /// Over an encoded `Manifest`, by the server.
    pub const MANIFEST: &[u8] = b"antiphon manifest v1";
    /// Over device key and server key, by the peer key.
    pub const PEER_KEY: &[u8] = b"antiphon peer key v1";
}

/// Why a rendition in a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The bitrate is none of ours.
    #[error("{0} kbit/s is none of the known bitrates")]
    Bitrate(u32),
    /// The blob is not named by 32 bytes, or its size is absurd.
    #[error("the blob's name or size is malformed")]
    Blob,
    /// The segment table is too long, or its two columns differ in length.
    #[error("the segment table is malformed")]
    SegmentTable,
    /// The parts do not fit together.
    #[error("the rendition is inconsistent: {0}")]
    Inconsistent(#[from] RenditionError),
}

/// Segments in a table: six hours. Longer tracks are not ingested.
const MAX_SEGMENTS: usize = 6 * 360 + 1;

impl From<&antiphon_types::Rendition> for Rendition {
    fn from(from: &antiphon_types::Rendition) -> Self {
        let mut last_offset = 0;
        let mut to = Self {
            kbps: from.bitrate().kbps(),
            blob: bytes::Bytes::copy_from_slice(from.blob().as_bytes()),
            bytes: from.size().bytes(),
            header_bytes: from.header_bytes(),
            samples: from.samples(),
            segment_offset_deltas: Vec::with_capacity(from.segments().len()),
            segment_lead_samples: Vec::with_capacity(from.segments().len()),
        };
        for (segment, boundary) in from.segments().iter().zip(boundaries()) {
            // 10 s of audio and its lead-in lie far within 32 bits.
            let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
            to.segment_offset_deltas.push(narrow(segment.offset - last_offset));
            to.segment_lead_samples.push(narrow(boundary.saturating_sub(segment.sample)));
            last_offset = segment.offset;
        }
        to
    }
}

impl TryFrom<&Rendition> for antiphon_types::Rendition {
    type Error = ManifestError;

    fn try_from(from: &Rendition) -> Result<Self, ManifestError> {
        let bitrate = Bitrate::from_kbps(from.kbps).ok_or(ManifestError::Bitrate(from.kbps))?;
        let blob = BlobId::from_slice(&from.blob).ok_or(ManifestError::Blob)?;
        let size = BlobSize::new(from.bytes).map_err(|_| ManifestError::Blob)?;
        if from.segment_offset_deltas.len() != from.segment_lead_samples.len()
            || from.segment_offset_deltas.len() > MAX_SEGMENTS
        {
            return Err(ManifestError::SegmentTable);
        }
        let mut offset = 0_u64;
        let mut segments = Vec::with_capacity(from.segment_offset_deltas.len());
        for ((delta, lead), boundary) in
            from.segment_offset_deltas.iter().zip(&from.segment_lead_samples).zip(boundaries())
        {
            offset += u64::from(*delta);
            let sample =
                boundary.checked_sub(u64::from(*lead)).ok_or(ManifestError::SegmentTable)?;
            segments.push(Segment { offset, sample });
        }
        Ok(Self::new(bitrate, blob, size, from.header_bytes, from.samples, segments)?)
    }
}

/// The 10 s boundaries, in samples.
fn boundaries() -> impl Iterator<Item = u64> {
    (0..).map(|i| i * antiphon_types::Rendition::SEGMENT_SAMPLES)
}

impl From<BlockRange> for Range {
    fn from(range: BlockRange) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl From<Range> for BlockRange {
    fn from(range: Range) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl Refused {
    /// A refusal with a text for the listener's eyes.
    pub fn new(reason: refused::Reason, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), retry_after_ms: 0 }
    }

    /// The same, with the time after which to try again.
    pub fn retry_after_ms(mut self, millis: u32) -> Self {
        self.retry_after_ms = millis;
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text comes from a stranger and ends in terminals and logs.
        match self.message.as_str() {
            "" => f.write_str(self.reason().as_str_name()),
            text => f.write_str(&printable(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendition() -> antiphon_types::Rendition {
        antiphon_types::Rendition::new(
            Bitrate::Kbps96,
            BlobId::new([7; 32]),
            BlobSize::new(300_000).unwrap(),
            3_500,
            15 * 44_100,
            vec![
                Segment { offset: 3_500, sample: 0 },
                Segment { offset: 123_456, sample: 440_000 },
            ],
        )
        .unwrap()
    }

    #[test]
    fn a_rendition_survives_the_wire() {
        let sent = Rendition::from(&rendition());
        let received = Rendition::decode(sent.encode_to_vec().as_slice()).unwrap();
        assert_eq!(antiphon_types::Rendition::try_from(&received), Ok(rendition()));
    }

    #[test]
    fn malformed_renditions_are_refused_by_name() {
        let good = Rendition::from(&rendition());
        let parse = |change: fn(&mut Rendition)| {
            let mut bad = good.clone();
            change(&mut bad);
            antiphon_types::Rendition::try_from(&bad).unwrap_err()
        };
        assert_eq!(parse(|r| r.kbps = 128), ManifestError::Bitrate(128));
        assert_eq!(parse(|r| r.blob.truncate(31)), ManifestError::Blob);
        assert_eq!(parse(|r| r.bytes = u64::MAX), ManifestError::Blob);
        assert_eq!(parse(|r| r.segment_lead_samples[0] = 1), ManifestError::SegmentTable);
        assert_eq!(parse(|r| r.segment_lead_samples.truncate(1)), ManifestError::SegmentTable);
        assert_eq!(
            parse(|r| r.segment_offset_deltas = vec![0; 5_000]),
            ManifestError::SegmentTable
        );
        assert_eq!(
            parse(|r| r.segment_offset_deltas[1] = u32::MAX),
            ManifestError::Inconsistent(RenditionError::Segment(1))
        );
    }

    #[test]
    fn f10_a_refusal_never_carries_control_characters_to_a_terminal() {
        let refused = Refused::new(refused::Reason::Busy, "come\x1b[2J back\nlater");
        assert_eq!(refused.to_string(), "come\u{fffd}[2J back\u{fffd}later");
        assert_eq!(Refused::new(refused::Reason::Busy, "").to_string(), "BUSY");
    }
}
