//! Ingest of good and bad files.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use antiphon_media::{
    Bitrate, DecodeError, DecodeLimits, Encoded, EncodedTrack, IngestError, Pcm, Rendered, Source,
    TARGET_LUFS, decode_file, encode_file, measure, resampled_length, synth,
};

use crate::support::{decoded, encoded, music, write_wav};

fn decode(path: &Path) -> Result<Pcm, DecodeError> {
    decode_file(path, &DecodeLimits::default(), &|_| {})
}

fn wav(path: &Path, channels: u16, rate: u32, frames: u32) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..frames {
        for channel in 0..channels {
            writer.write_sample((i % 200) as i16 * 15 * (channel as i16 + 1)).unwrap();
        }
    }
    writer.finalize().unwrap();
}

#[test]
fn wav_is_decoded_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_wav(folder.path(), 3, 2);
    let pcm = decode(&path).unwrap();
    assert_eq!((pcm.rate, pcm.samples.len()), (44_100, 2 * 88_200));
    let truth = synth::synthesise(3, 2);
    assert!(pcm.samples.iter().zip(&truth).all(|(a, b)| (a - b).abs() <= 1.0 / 32_768.0));
}

#[test]
fn mono_is_doubled_and_surround_mixed_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mono.wav");
    wav(&path, 1, 22_050, 1_000);
    let pcm = decode(&path).unwrap();
    assert_eq!((pcm.rate, pcm.samples.len()), (22_050, 2_000));
    assert!(pcm.samples.chunks_exact(2).all(|frame| frame[0] == frame[1]));
    let path = folder.path().join("surround.wav");
    wav(&path, 6, 48_000, 1_000);
    assert_eq!(decode(&path).unwrap().samples.len(), 2_000);
}

#[test]
fn ogg_vorbis_is_decoded_as_the_player_decodes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ogg");
    let encoded = encoded(Bitrate::Kbps160);
    fs::write(&path, &encoded.bytes).unwrap();
    assert!(decode(&path).unwrap().samples == decoded(encoded));
}

#[test]
fn bad_files_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("song.mp3");
    fs::write(&path, "").unwrap();
    assert!(matches!(decode(&path), Err(DecodeError::Empty)));
    fs::write(&path, "Shopping list: bread, milk, eggs.\n".repeat(300)).unwrap();
    assert!(matches!(decode(&path), Err(DecodeError::NotAudio)), "{:?}", decode(&path));
    assert!(matches!(decode(folder.path()), Err(DecodeError::NotAFile)));
    assert!(matches!(decode(&folder.path().join("none")), Err(DecodeError::Read(_))));
}

#[test]
fn truncated_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_wav(folder.path(), 3, 2);
    let whole = fs::read(&path).unwrap();
    for share in [3, 50, 99] {
        fs::write(&path, &whole[..whole.len() * share / 100]).unwrap();
        let refused = decode(&path);
        assert!(
            matches!(refused, Err(DecodeError::Truncated { .. } | DecodeError::Cut { .. })),
            "{share} %: {refused:?}"
        );
    }
    let path = folder.path().join("a.ogg");
    let whole = &encoded(Bitrate::Kbps96).bytes;
    fs::write(&path, &whole[..whole.len() * 9 / 10]).unwrap();
    assert!(
        matches!(decode(&path), Err(DecodeError::Cut { found_seconds }) if found_seconds > 20.0)
    );
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(decode(&path), Err(DecodeError::Damaged { .. })));
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    wav(&path, 2, 4_000, 100);
    assert!(matches!(decode(&path), Err(DecodeError::Rate(4_000))));
    wav(&path, 9, 44_100, 100);
    let refused = decode(&path);
    assert!(refused.is_err(), "{refused:?}");
    wav(&path, 2, 8_000, 8_000 * 3);
    let limits = DecodeLimits { max_seconds: 2, ..DecodeLimits::default() };
    let refused = decode_file(&path, &limits, &|_| {});
    assert!(matches!(refused, Err(DecodeError::TooLong { limit_seconds: 2 })));
    let limits = DecodeLimits { max_file_bytes: 1_000, ..DecodeLimits::default() };
    let refused = decode_file(&path, &limits, &|_| {});
    assert!(matches!(refused, Err(DecodeError::FileTooLarge { .. })));
}

/// Ingests a file; its renditions' bytes too.
fn ingest(
    path: &Path,
    progress: &(dyn Fn(f32) + Sync),
) -> Result<(EncodedTrack, [Vec<u8>; 3]), IngestError> {
    let file = fs::File::open(path).unwrap();
    let mut outputs = [const { Vec::new() }; 3];
    let source = Source { file: &file, name: path };
    let spool = tempfile::tempfile().unwrap();
    let track = encode_file(source, &DecodeLimits::default(), spool, outputs.each_mut(), progress)?;
    Ok((track, outputs))
}

#[test]
fn a_file_becomes_a_track_at_the_common_loudness() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_wav(folder.path(), 5, 12);
    let seen = Mutex::new(Vec::new());
    let progress = |share: f32| seen.lock().unwrap().push(share);
    let (track, bytes) = ingest(&path, &progress).unwrap();
    assert_eq!(track.tags.title, "5");
    assert_eq!(track.duration_samples, 12 * 44_100);
    assert_eq!(track.renditions.each_ref().map(|rendered| rendered.bitrate), Bitrate::ALL);
    for (rendered, bytes) in track.renditions.iter().zip(&bytes) {
        assert_eq!(rendered.samples, track.duration_samples);
        assert_eq!(rendered.bytes, bytes.len() as u64);
    }
    assert_eq!(seen.lock().unwrap().last(), Some(&1.0));

    let Rendered { bitrate, header_bytes, samples, segments, .. } = track.renditions[2].clone();
    let high = Encoded { bitrate, bytes: bytes[2].clone(), header_bytes, samples, segments };
    let heard = measure(&decoded(&high)).unwrap();
    assert!((heard.lufs - track.loudness.achieved_lufs).abs() < 0.3, "{heard:?}");
    assert!(track.loudness.achieved_lufs <= TARGET_LUFS + 1e-9);
    assert!(ingest(&path, &|_| {}).unwrap() == (track, bytes));
}

#[test]
fn another_rate_is_resampled_on_the_way_to_the_exact_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    wav(&path, 2, 48_000, 48_000 * 3 + 17);
    let (track, bytes) = ingest(&path, &|_| {}).unwrap();
    assert_eq!(track.duration_samples, resampled_length(48_000 * 3 + 17, 48_000));
    assert!(bytes.iter().all(|bytes| bytes.starts_with(b"OggS")));
}

/// Takes so many bytes, then fails like a full disk.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_ends_the_ingest_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_wav(folder.path(), 5, 6);
    let file = fs::File::open(&path).unwrap();
    let source = Source { file: &file, name: &path };
    let outputs = [Full(usize::MAX), Full(50_000), Full(usize::MAX)];
    let spool = tempfile::tempfile().unwrap();
    let failed = encode_file(source, &DecodeLimits::default(), spool, outputs, &|_| {});
    assert!(failed.unwrap_err().to_string().contains("no storage space"));
}

#[test]
fn a_refused_file_says_why_at_ingest_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.flac");
    fs::write(&path, "").unwrap();
    let refused = ingest(&path, &|_| {}).unwrap_err();
    assert!(matches!(refused, IngestError::Decode(DecodeError::Empty)));
    assert_eq!(refused.to_string(), "the file is empty");
    assert!(!music().is_empty());
}

#[test]
fn i3_a_small_file_may_not_last_for_hours() {
    let limits = DecodeLimits::default();
    assert_eq!(limits.seconds_for(264_000), 600 + 528, "silence, packed as FLAC does");
    // An hour of speech at 8 kbit/s, and a symphony.
    assert!(limits.seconds_for(3_600_000) >= 3_600);
    assert_eq!(limits.seconds_for(300 << 20), limits.max_seconds);
}
