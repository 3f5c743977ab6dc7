//! Whatever comes in, nothing panics.

use std::fs;

use antiphon_media::{
    Bitrate, DecodeLimits, Segment, StreamDecoder, decode_file, read_tags, synth,
};
use proptest::prelude::*;

use crate::support::encoded;

fn play(decoder: &mut StreamDecoder, bytes: &[u8]) {
    for piece in bytes.chunks(500) {
        decoder.push(piece);
        loop {
            match decoder.next_chunk() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Recomputes page checksums so that damage reaches the decoder.
pub(crate) fn reseal(bytes: &mut [u8]) {
    let mut at = 0;
    while at + 27 <= bytes.len() && &bytes[at..at + 4] == b"OggS" {
        let lacing = usize::from(bytes[at + 26]);
        let Some(values) = bytes.get(at + 27..at + 27 + lacing) else { return };
        let end = at + 27 + lacing + values.iter().map(|value| usize::from(*value)).sum::<usize>();
        let Some(page) = bytes.get_mut(at..end) else { return };
        page[22..26].fill(0);
        let mut sum: u32 = 0;
        for byte in page.iter() {
            sum ^= u32::from(*byte) << 24;
            for _ in 0..8 {
                sum = (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            }
        }
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

pub(crate) fn mutated(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (place, value) in changes {
        let place = place.index(bytes.len());
        bytes[place] ^= value;
    }
    bytes
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn noise_never_panics_the_player(noise in prop::collection::vec(any::<u8>(), 0..4000)) {
        play(&mut StreamDecoder::new(), &noise);
        let mut ogg = b"OggS\0\x02".to_vec();
        ogg.extend(&noise);
        reseal(&mut ogg);
        play(&mut StreamDecoder::new(), &ogg);
        let _ = StreamDecoder::resume_at(&noise, Segment { offset: 0, sample: u64::MAX });
    }

    #[test]
    fn damaged_audio_never_panics_the_player(changes in changes(), sample in any::<u64>()) {
        let encoded = encoded(Bitrate::Kbps96);
        let headers = &encoded.bytes[..encoded.header_bytes as usize];
        let audio = encoded.bytes[headers.len()..headers.len() + 20_000].to_vec();
        let mut audio = mutated(audio, &changes);
        reseal(&mut audio);
        let segment = Segment { offset: 0, sample };
        play(&mut StreamDecoder::resume_at(headers, segment).unwrap(), &audio);
    }

    #[test]
    fn damaged_headers_never_panic_the_player(changes in changes()) {
        let encoded = encoded(Bitrate::Kbps96);
        let mut bytes = mutated(encoded.bytes[..12_000].to_vec(), &changes);
        reseal(&mut bytes);
        play(&mut StreamDecoder::new(), &bytes);
    }

    #[test]
    fn damaged_files_never_panic_ingest(changes in changes(), kind in 0..3, cut in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let whole = match kind {
            0 => encoded(Bitrate::Kbps96).bytes[..30_000].to_vec(),
            1 => {
                synth::write_wav(&path, 1, 1).unwrap();
                fs::read(&path).unwrap()[..20_000].to_vec()
            }
            _ => [b"ID3\x04\0\0\0\0\x02\0", &[0x41; 300][..], &[0xff, 0xfb, 0x90, 0x64].repeat(400)].concat(),
        };
        // Most damage should hit the start, where the structure is.
        let mut bytes = mutated(whole[..200].to_vec(), &changes);
        bytes.extend(&whole[200..]);
        bytes.truncate(cut.index(bytes.len()) + 1);
        reseal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let _ = decode_file(&path, &DecodeLimits::default(), &|_| {});
        prop_assert_eq!(read_tags(&path).0.title, "file");
    }
}
