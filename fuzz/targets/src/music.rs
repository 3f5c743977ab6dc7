//! Music files, and what they say of themselves.

use std::fs;

use antiphon_media::{DecodeLimits, MAX_COVER_BYTES, MAX_TEXT_BYTES, decode_file, read_tags};

/// What files are called: decoders and readers of tags go by it too.
const NAMES: [&str; 8] = ["a.wav", "a.flac", "a.mp3", "a.m4a", "a.ogg", "a.oga", "a.aac", "a"];
/// Short, so that silence that compresses well costs no time.
const LIMITS: DecodeLimits = DecodeLimits {
    max_seconds: 10,
    min_rate: 8_000,
    max_rate: 48_000,
    max_channels: 2,
    max_file_bytes: 1 << 20,
};
/// The loudest sample that is believed: 24 dB above full scale.
const MAX_SAMPLE: f32 = 16.0;

/// What a file decodes to is within limits, and the same the next time; what is
/// not decoded is refused in a line; its tags are clean text of bounded length.
///
/// Input: a byte that chooses the file's name (its top bit: the checksums of
/// Ogg pages are made right), then the file.
pub fn music(data: &[u8]) {
    let [choice, file @ ..] = data else { return };
    let mut file = file.to_vec();
    if choice & 0x80 != 0 {
        seal(&mut file);
    }
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join(NAMES[usize::from(choice & 7)]);
    fs::write(&path, &file).expect("it can be written");

    let decode = || decode_file(&path, &LIMITS, &|share| assert!((0.0..=1.0).contains(&share)));
    match decode() {
        Ok(pcm) => {
            assert!((LIMITS.min_rate..=LIMITS.max_rate).contains(&pcm.rate), "{} Hz", pcm.rate);
            assert!(pcm.samples.len() % 2 == 0, "half a sample");
            let most = u64::from(LIMITS.max_seconds) * u64::from(pcm.rate) * 2;
            assert!(pcm.samples.len() as u64 <= most, "{} samples", pcm.samples.len());
            assert!(pcm.samples.iter().all(|sample| sample.abs() <= MAX_SAMPLE));
            assert!(decode().is_ok_and(|again| again == pcm), "it decodes to something else");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 500, "{text}");
        }
    }

    let (tags, cover) = read_tags(&path);
    assert!(!tags.title.is_empty(), "a track without a name");
    let others = [&tags.artist, &tags.album, &tags.album_artist, &tags.genre, &tags.isrc];
    for text in others.into_iter().flatten().chain([&tags.title]) {
        assert!(text.len() <= MAX_TEXT_BYTES, "{} bytes of text", text.len());
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    if let Some(cover) = cover {
        assert!(cover.bytes.len() <= MAX_COVER_BYTES, "{} bytes of cover", cover.bytes.len());
        assert!(cover.mime.starts_with("image/"), "{}", cover.mime);
    }
}

/// Makes the checksums of all pages right that stand in a row from the start
/// (RFC 3533 section 6), so that changes reach what is behind them.
fn seal(file: &mut [u8]) {
    let mut rest = file;
    while rest.starts_with(b"OggS") && rest.len() >= 27 {
        let lacing = usize::from(rest[26]);
        let Some(values) = rest.get(27..27 + lacing) else { return };
        let length = 27 + lacing + values.iter().map(|value| usize::from(*value)).sum::<usize>();
        let Some((page, after)) = rest.split_at_mut_checked(length) else { return };
        page[22..26].fill(0);
        let sum = page.iter().fold(0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
                sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        rest = after;
    }
}
