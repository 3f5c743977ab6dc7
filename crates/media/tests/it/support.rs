//! Material and helpers shared by the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use antiphon_media::{Bitrate, Encoded, StreamDecoder, StreamError, encode, synth};

/// 33 s of music, not a whole number of blocks.
pub(crate) fn music() -> &'static [f32] {
    static MUSIC: OnceLock<Vec<f32>> = OnceLock::new();
    MUSIC.get_or_init(|| {
        let mut music = synth::synthesise(42, 34);
        music.truncate(2 * (33 * 44_100 + 1_234));
        music
    })
}

pub(crate) fn encoded(bitrate: Bitrate) -> &'static Encoded {
    static ENCODED: [OnceLock<Encoded>; 3] = [const { OnceLock::new() }; 3];
    ENCODED[bitrate as usize].get_or_init(|| encode(music(), bitrate).unwrap())
}

/// Decodes bytes pushed in pieces of `step`, and checks that chunks join.
pub(crate) fn decode_all(
    decoder: &mut StreamDecoder,
    bytes: &[u8],
    step: usize,
) -> Result<(Option<u64>, Vec<f32>), StreamError> {
    let (mut first, mut samples) = (None, Vec::new());
    for piece in bytes.chunks(step) {
        decoder.push(piece);
        while let Some(chunk) = decoder.next_chunk()? {
            let start = *first.get_or_insert(chunk.first_sample);
            assert_eq!(chunk.first_sample, start + samples.len() as u64 / 2);
            samples.extend_from_slice(chunk.samples);
        }
    }
    Ok((first, samples))
}

pub(crate) fn decoded(encoded: &Encoded) -> Vec<f32> {
    let mut decoder = StreamDecoder::new();
    let (first, samples) = decode_all(&mut decoder, &encoded.bytes, 16 * 1024).unwrap();
    assert_eq!(first, Some(0));
    decoder.finish().unwrap();
    samples
}

/// Runs FFmpeg. `None`, with a message, where it is not installed, which
/// fails under `CI=true`.
pub(crate) fn ffmpeg(arguments: &[&str]) -> Option<Vec<u8>> {
    let run = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(arguments).output();
    match run {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(output.stdout)
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "ffmpeg: {error}");
            println!("skipped: ffmpeg is not installed (apt-get install ffmpeg)");
            None
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A 16-bit stereo WAV of that music.
pub(crate) fn write_wav(directory: &Path, seed: u64, seconds: u32) -> PathBuf {
    let path = directory.join(format!("{seed}.wav"));
    synth::write_wav(&path, seed, seconds).unwrap();
    path
}
