//! Encoding, layout, decoding from the start and from every segment.

use antiphon_media::{Bitrate, EncodeError, Segment, StreamDecoder, StreamError, encode, synth};
use antiphon_types::{BlobId, Rendition};

use crate::support::{decode_all, decoded, encoded, music};

#[test]
fn decoding_gives_exactly_as_many_samples_as_were_encoded() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        assert_eq!(encoded.samples, music().len() as u64 / 2);
        assert_eq!(decoded(encoded).len(), music().len());
    }
    for frames in [1, 63, 64, 1_000, 2_048, 4_097, 30_000] {
        let clip = &music()[..frames * 2];
        assert_eq!(decoded(&encode(clip, Bitrate::Kbps96).unwrap()).len(), clip.len(), "{frames}");
    }
}

#[test]
fn the_music_comes_back_in_place() {
    let (truth, heard) = (music(), decoded(encoded(Bitrate::Kbps320)));
    let energy: f64 = truth.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let error: f64 = truth.iter().zip(&heard).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    assert!(error < energy / 50.0, "signal to error ratio {}", energy / error);
}

#[test]
fn encoding_twice_gives_the_same_bytes() {
    for bitrate in Bitrate::ALL {
        let clip = &music()[..2 * 44_100 * 3];
        assert_eq!(encode(clip, bitrate).unwrap(), encode(clip, bitrate).unwrap());
    }
}

#[test]
fn mean_bitrates_keep_to_their_names() {
    for bitrate in Bitrate::ALL {
        let mean = encoded(bitrate).mean_bits_per_second() / 1000.0;
        let name = f64::from(bitrate.kbps());
        assert!((mean / name - 1.0).abs() < 0.15, "{name}: {mean}");
    }
}

#[test]
fn the_seek_table_is_what_a_rendition_wants() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        let rendition = encoded.rendition(BlobId::new([3; 32])).unwrap();
        assert_eq!(rendition.segments().len(), 4);
        for (i, segment) in rendition.segments().iter().enumerate() {
            let boundary = i as u64 * Rendition::SEGMENT_SAMPLES;
            assert!(segment.sample <= boundary && boundary - segment.sample < 2_048);
            let page = &encoded.bytes[segment.offset as usize..];
            assert!(page.starts_with(b"OggS"), "segment {i} begins with a page");
        }
    }
}

#[test]
fn decoding_from_every_segment_equals_the_straight_decode() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        let straight = decoded(encoded);
        let headers = &encoded.bytes[..encoded.header_bytes as usize];
        for segment in &encoded.segments {
            let mut decoder = StreamDecoder::resume_at(headers, *segment).unwrap();
            let tail = &encoded.bytes[segment.offset as usize..];
            let (first, samples) = decode_all(&mut decoder, tail, 4_000).unwrap();
            assert_eq!(first, Some(segment.sample));
            assert!(samples == straight[segment.sample as usize * 2..], "{bitrate} {segment:?}");
            decoder.finish().unwrap();
        }
    }
}

#[test]
fn sound_comes_out_within_the_first_block_and_however_bytes_are_cut() {
    for bitrate in Bitrate::ALL {
        let encoded = encoded(bitrate);
        let mut decoder = StreamDecoder::new();
        let (first, samples) = decode_all(&mut decoder, &encoded.bytes[..16 * 1024], 1).unwrap();
        assert_eq!(first, Some(0));
        assert!(samples.len() > 2 * 4_410, "{bitrate}: {} samples", samples.len());
        let first_page = encoded.header_bytes as usize + 4_096;
        let mut decoder = StreamDecoder::new();
        let (_, samples) = decode_all(&mut decoder, &encoded.bytes[..first_page], 77).unwrap();
        assert!(!samples.is_empty(), "{bitrate}: no sound after {first_page} bytes");
    }
}

#[test]
fn a_rendition_cut_short_is_noticed() {
    let encoded = encoded(Bitrate::Kbps96);
    let mut decoder = StreamDecoder::new();
    decode_all(&mut decoder, &encoded.bytes[..encoded.bytes.len() / 2], 9_999).unwrap();
    assert!(!decoder.is_finished());
    assert!(matches!(decoder.finish(), Err(StreamError::Truncated { samples }) if samples > 0));
}

#[test]
fn resuming_needs_whole_headers() {
    let encoded = encoded(Bitrate::Kbps96);
    let segment = Segment { offset: 0, sample: 0 };
    for bytes in [0, 30, encoded.header_bytes as usize - 1] {
        let refused = StreamDecoder::resume_at(&encoded.bytes[..bytes], segment);
        assert!(matches!(refused, Err(StreamError::Headers)), "{bytes}");
    }
}

#[test]
fn nothing_cannot_be_encoded_and_silence_can() {
    assert!(matches!(encode(&[], Bitrate::Kbps96), Err(EncodeError::Empty)));
    let silence = encode(&vec![0.0; 2 * 44_100 * 11], Bitrate::Kbps320).unwrap();
    assert_eq!(silence.segments.len(), 2);
    assert!(decoded(&silence).iter().all(|sample| sample.abs() < 1e-4));
}

#[test]
fn synthesised_songs_repeat_by_seed_and_differ_by_seed() {
    let song = synth::synthesise(1, 20);
    assert_eq!(song, synth::synthesise(1, 20));
    let other = synth::synthesise(2, 20);
    let same = song.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(same < song.len() / 4);
    let peak = song.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    assert!((0.2..1.0).contains(&peak), "{peak}");
    let sides = song.chunks_exact(2).filter(|frame| frame[0] != frame[1]).count();
    assert!(sides > song.len() / 4, "stereo");
}
