//! Where in a rendition's bytes a sample is likely to be, between the places
//! that its seek table knows.

use antiphon_types::{BLOCK_BYTES, Rendition};

/// An offset from which decoding soon reaches `sample`: the beginning of a
/// block (blocks are fetched whole), or the segment's offset where that is no
/// earlier.
///
/// It is a guess. Where the rate of the music swings within the 10 s of a
/// segment it may lie behind the sample; a
/// [`PartDecoder`](crate::PartDecoder) notices and wants earlier bytes.
pub fn start_offset_guess(rendition: &Rendition, sample: u64) -> u64 {
    rendition.seek_offset(sample)
}

/// A better guess after one that was too late: decoding at `offset` began with
/// the sample `found`, which comes after `sample`. Always earlier than
/// `offset`, unless that is where the segment begins.
pub(crate) fn earlier_guess(
    rendition: &Rendition,
    sample: u64,
    offset: u64,
    found: Option<u64>,
) -> u64 {
    let segment = rendition.segment_for(sample);
    let before = offset.saturating_sub(1);
    let block_before = (before - before % u64::from(BLOCK_BYTES)).max(segment.offset);
    let Some(found) = found else { return block_before };
    let bytes = u128::from(offset.saturating_sub(segment.offset));
    let samples = u128::from(found.saturating_sub(segment.sample)).max(1);
    let along = u128::from(sample.saturating_sub(segment.sample));
    let forward = u64::try_from(bytes * along / samples).unwrap_or(u64::MAX);
    let expected = segment.offset.saturating_add(forward);
    rendition.seek_offset_near(sample, expected).min(block_before)
}
