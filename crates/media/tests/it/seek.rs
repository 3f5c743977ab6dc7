//! Parts of renditions: exact from any sample and any byte on.

use antiphon_media::{
    Bitrate, Encoded, Entry, PartDecoder, PartSpan, SPLICE_FADE_SAMPLES, SPLICE_TAIL_BYTES,
    StreamError, start_offset_guess,
};
use antiphon_types::{BLOCK_BYTES, BlobId, Rendition};
use proptest::prelude::*;

use crate::garbage::{changes, mutated, reseal};
use crate::support::{decoded, encoded, music};

/// What came of a part, block by block as a player would do it.
struct Played {
    body: Vec<f32>,
    tail: Vec<f32>,
    /// Blocks of audio that were pushed until the first sample.
    blocks: Vec<u64>,
    too_late: u32,
}

fn rendition(encoded: &Encoded) -> Rendition {
    encoded.rendition(BlobId::new([7; 32])).unwrap()
}

/// A decoder that has the headers.
fn part(encoded: &Encoded, span: PartSpan, entry: Entry) -> PartDecoder {
    let mut part = PartDecoder::new(rendition(encoded), span, entry);
    part.push(0, &encoded.bytes[..encoded.header_bytes as usize]).unwrap();
    part
}

fn play(part: &mut PartDecoder, bytes: &[u8]) -> Result<Played, StreamError> {
    let mut played = Played { body: Vec::new(), tail: Vec::new(), blocks: Vec::new(), too_late: 0 };
    let mut next = part.position();
    while let Some(wanted) = part.wanted() {
        let block = wanted.start / u64::from(BLOCK_BYTES);
        if played.body.is_empty() && !played.blocks.contains(&block) {
            played.blocks.push(block);
        }
        let at = block * u64::from(BLOCK_BYTES);
        let end = (at as usize + BLOCK_BYTES as usize).min(bytes.len());
        assert!(part.push(at, &bytes[at as usize..end])? > 0);
        while let Some(chunk) = part.next_chunk()? {
            assert_eq!(chunk.first_sample, next);
            next += chunk.samples.len() as u64 / 2;
            let out = if chunk.tail { &mut played.tail } else { &mut played.body };
            out.extend_from_slice(chunk.samples);
        }
    }
    played.too_late = part.too_late();
    Ok(played)
}

fn same(encoded: &Encoded, straight: &[f32], from: u64, length: u64, entry: Entry) -> Played {
    let to = (from + length).min(encoded.samples);
    let mut part = part(encoded, PartSpan::new(from, to), entry);
    let played = play(&mut part, &encoded.bytes).unwrap();
    let wanted = &straight[from as usize * 2..to as usize * 2];
    assert_eq!(played.body.len(), wanted.len(), "{entry:?} from {from}");
    let differ = played.body.iter().zip(wanted).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differ, None, "{entry:?} from {from}");
    assert!(played.tail.is_empty());
    played
}

fn straight(bitrate: Bitrate) -> &'static [f32] {
    static DECODED: [std::sync::OnceLock<Vec<f32>>; 3] = [const { std::sync::OnceLock::new() }; 3];
    DECODED[bitrate as usize].get_or_init(|| decoded(encoded(bitrate)))
}

fn a_bitrate() -> impl Strategy<Value = Bitrate> {
    prop::sample::select(Bitrate::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_part_from_any_entry_equals_the_straight_decode(
        bitrate in a_bitrate(),
        from in 0..music().len() as u64 / 2,
        length in 1_u64..30_000,
        offset in 0.0..1.0_f64,
    ) {
        let encoded = encoded(bitrate);
        let straight = straight(bitrate);
        same(encoded, straight, from, length, Entry::Segment);
        same(encoded, straight, from, length, Entry::Guess);
        // Wherever the bytes begin, even behind the part.
        let offset = (encoded.bytes.len() as f64 * offset) as u64;
        same(encoded, straight, from, length, Entry::Offset(offset));
    }

    #[test]
    fn damaged_audio_ends_in_samples_or_an_error(
        changes in changes(), from in 0_u64..150_000, offset in 0_u64..60_000,
    ) {
        let encoded = encoded(Bitrate::Kbps96);
        let mut bytes = encoded.bytes.clone();
        let audio = encoded.header_bytes as usize;
        let damaged = mutated(bytes[audio..audio + 60_000].to_vec(), &changes);
        bytes[audio..audio + 60_000].copy_from_slice(&damaged);
        reseal(&mut bytes);
        for entry in [Entry::Segment, Entry::Guess, Entry::Offset(offset)] {
            let span = PartSpan::new(from, from + 50_000).with_splice_tail();
            let _ = play(&mut part(encoded, span, entry), &bytes);
        }
    }
}

#[test]
fn a_search_among_false_pages_is_given_up() {
    let encoded = encoded(Bitrate::Kbps160);
    let mut bytes = encoded.bytes.clone();
    let page = encoded.bytes[encoded.header_bytes as usize..][..27].to_vec();
    for (i, place) in bytes[100_000..].chunks_exact_mut(27).enumerate() {
        place.copy_from_slice(&page);
        // A body of nothing, of which only the checksum is wrong.
        place[26] = u8::from(i % 2 == 0);
    }
    let mut part = part(encoded, PartSpan::new(400_000, 400_001), Entry::Offset(150_000));
    assert!(matches!(play(&mut part, &bytes), Err(StreamError::Vorbis(_))));
    assert_eq!(part.too_late(), 0, "before the end of all false pages");
}

#[test]
fn every_byte_near_a_page_is_an_entry() {
    let encoded = encoded(Bitrate::Kbps160);
    let straight = straight(Bitrate::Kbps160);
    let segment = encoded.segments[1];
    let mut part = part(encoded, PartSpan::new(0, 1), Entry::Segment);
    for offset in segment.offset - 300..segment.offset + 300 {
        let from = segment.sample + 20_000;
        part.restart(PartSpan::new(from, from + 50), Entry::Offset(offset));
        let played = play(&mut part, &encoded.bytes).unwrap();
        assert!(played.body == straight[from as usize * 2..][..100], "{offset}");
    }
}

#[test]
fn the_first_and_the_last_sample_can_be_sought() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        for entry in [Entry::Segment, Entry::Guess, Entry::Offset(u64::MAX), Entry::Offset(0)] {
            same(encoded, straight(bitrate), 0, 1, entry);
            same(encoded, straight(bitrate), encoded.samples - 1, 1, entry);
            same(encoded, straight(bitrate), 0, u64::MAX / 2, entry);
        }
    }
}

#[test]
fn nothing_is_wanted_for_nothing() {
    let encoded = encoded(Bitrate::Kbps96);
    for span in [PartSpan::new(5, 5), PartSpan::new(9, 3), PartSpan::new(u64::MAX, u64::MAX)] {
        let part = PartDecoder::new(rendition(encoded), span, Entry::Guess);
        assert_eq!(part.wanted(), None, "{span:?}");
    }
}

#[test]
fn a_guess_needs_about_two_blocks() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        let (mut blocks, mut late, mut seeks) = (0, 0, 0);
        for from in (0..encoded.samples).step_by(30_011) {
            let played = same(encoded, straight(bitrate), from, 1, Entry::Guess);
            blocks += played.blocks.len();
            late += played.too_late;
            seeks += 1;
        }
        // Real music: two on average; this song's drums make the rate swing more.
        assert!(4 * blocks <= 9 * seeks, "{bitrate}: {blocks} blocks for {seeks} seeks");
        assert!(late * 10 <= seeks as u32, "{bitrate}: {late} of {seeks} too late");
    }
}

#[test]
fn a_guess_begins_a_block_or_a_segment() {
    let rendition = rendition(encoded(Bitrate::Kbps320));
    for sample in (0..rendition.samples()).step_by(7_919) {
        let (guess, segment) =
            (start_offset_guess(&rendition, sample), rendition.segment_for(sample));
        assert!(guess == segment.offset || guess % u64::from(BLOCK_BYTES) == 0);
        assert!((segment.offset..=rendition.offset_at(sample)).contains(&guess));
    }
}

#[test]
fn a_part_to_a_boundary_needs_the_boundarys_page_and_has_its_tail_in_it() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        let straight = straight(bitrate);
        for (index, segment) in encoded.segments.iter().enumerate().skip(1) {
            let to = index as u64 * Rendition::SEGMENT_SAMPLES;
            let span = PartSpan::new(to - 1_000, to).with_splice_tail();
            let end = segment.offset + SPLICE_TAIL_BYTES;
            let mut part = part(encoded, span, Entry::Segment);
            assert_eq!(part.wanted().unwrap().end, end.min(encoded.bytes.len() as u64));
            let bytes = &encoded.bytes[..encoded.bytes.len().min(end as usize)];
            let played = play(&mut part, bytes).unwrap();
            assert_eq!(played.tail.len(), 2 * SPLICE_FADE_SAMPLES as usize);
            let first = to as usize * 2;
            assert!(played.body == straight[first - 2_000..first]);
            assert!(played.tail == straight[first..first + played.tail.len()]);
        }
    }
}

#[test]
fn a_crossfades_tail_is_whole_or_as_long_as_the_track() {
    let encoded = encoded(Bitrate::Kbps96);
    let straight = straight(Bitrate::Kbps96);
    for (to, tail, expected) in [(200_000, 300_000, 300_000), (encoded.samples - 10, 99, 10)] {
        let span = PartSpan::new(to - 5, to).with_crossfade_tail(tail);
        let played = play(&mut part(encoded, span, Entry::Guess), &encoded.bytes).unwrap();
        assert!(played.tail == straight[to as usize * 2..][..expected * 2], "{to}");
    }
}

#[test]
fn an_end_can_be_moved_until_it_is_passed() {
    let encoded = encoded(Bitrate::Kbps160);
    let straight = straight(Bitrate::Kbps160);
    let mut part = part(encoded, PartSpan::new(1_000, u64::MAX), Entry::Segment);
    assert!(part.set_end(PartSpan::new(0, 50_000)));
    let first = play(&mut part, &encoded.bytes).unwrap();
    assert!(first.body == straight[2_000..100_000]);
    assert!(!part.set_end(PartSpan::new(0, 49_999)), "given already");
    assert!(part.set_end(PartSpan::new(0, 60_000).with_splice_tail()), "it goes on where it was");
    let second = play(&mut part, &encoded.bytes).unwrap();
    assert!(second.body == straight[100_000..120_000]);
    assert!(!part.set_end(PartSpan::new(0, 70_000)), "the tail was given");
}

#[test]
fn bytes_that_are_not_wanted_are_passed_over() {
    let encoded = encoded(Bitrate::Kbps96);
    let mut part = PartDecoder::new(rendition(encoded), PartSpan::new(0, 9_000), Entry::Segment);
    assert_eq!(part.push(1, &encoded.bytes[1..]).unwrap(), 0, "the headers come first");
    let header_bytes = encoded.header_bytes as usize;
    assert_eq!(part.wanted(), Some(0..header_bytes as u64));
    assert_eq!(part.push(0, &encoded.bytes[..100]).unwrap(), 100);
    assert_eq!(part.push(0, &encoded.bytes[..header_bytes]).unwrap(), header_bytes - 100);
    assert_eq!(part.wanted().unwrap().start, header_bytes as u64);
    assert_eq!(part.push(0, &encoded.bytes[..header_bytes]).unwrap(), 0);
    assert!(part.next_chunk().unwrap().is_none());
    let played = play(&mut part, &encoded.bytes).unwrap();
    assert_eq!(played.body.len(), 18_000);
    assert_eq!(part.push(0, &encoded.bytes).unwrap(), 0, "complete");
}

#[test]
fn a_part_that_cannot_be_completed_says_so() {
    let encoded = encoded(Bitrate::Kbps96);
    let mut damaged = encoded.bytes.clone();
    damaged[encoded.segments[1].offset as usize + 500] ^= 1;
    // Beginning with the damaged page, by the table, or running into it.
    for (from, entry) in [(445_000, Entry::Segment), (300_000, Entry::Guess)] {
        let mut part = part(encoded, PartSpan::new(from, from + 200_000), entry);
        assert!(matches!(play(&mut part, &damaged), Err(StreamError::Vorbis(_))), "{entry:?}");
    }
    // Beginning after it, nobody notices.
    let mut part = part(encoded, PartSpan::new(600_000, 600_001), Entry::Guess);
    assert!(play(&mut part, &damaged).is_ok());
}
