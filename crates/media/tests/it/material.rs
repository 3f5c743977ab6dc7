//! What splices and joins are tested with.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use antiphon_media::{
    Bitrate, DecodeLimits, Encoded, Entry, PartDecoder, PartSpan, Splicer, decode_file, encode,
    to_44100,
};
use antiphon_types::{BLOCK_BYTES, BlobId};

use crate::support::{decoded, encoded, music};

/// Where Debian's `supertuxkart-data` puts its music.
const REAL_MUSIC: &str = "/usr/share/games/supertuxkart/data/music";
const SECOND: usize = 44_100;

/// A recording, its three renditions, and what each decodes to.
pub(crate) struct Material {
    pub(crate) name: String,
    pub(crate) renditions: [Encoded; 3],
    pub(crate) pure: [Vec<f32>; 3],
}

impl Material {
    fn new(name: &str, samples: &[f32]) -> Self {
        Self::of(name, Bitrate::ALL.map(|bitrate| encode(samples, bitrate).unwrap()))
    }

    fn of(name: &str, renditions: [Encoded; 3]) -> Self {
        let pure = std::array::from_fn(|index| decoded(&renditions[index]));
        Self { name: name.to_owned(), renditions, pure }
    }

    /// Samples of one channel.
    pub(crate) fn samples(&self) -> u64 {
        self.renditions[0].samples
    }
}

/// A song, a sweep and clicks.
pub(crate) fn synthetic() -> &'static [Material] {
    static MATERIAL: OnceLock<Vec<Material>> = OnceLock::new();
    MATERIAL.get_or_init(|| {
        vec![
            Material::of("song", Bitrate::ALL.map(|bitrate| encoded(bitrate).clone())),
            Material::new("sweep", &sweep(26 * SECOND + 77)),
            // Its last segment is shorter than any fade.
            Material::new("clicks", &clicks(20 * SECOND + 1)),
        ]
    })
}

pub(crate) fn song() -> &'static [f32] {
    music()
}

/// A sine from 20 Hz to 20 kHz, louder on the left.
pub(crate) fn sweep(frames: usize) -> Vec<f32> {
    let growth = 1_000_f64.ln() / frames as f64;
    let phase = |i: usize| TAU * 20.0 / 44_100.0 * ((growth * i as f64).exp() - 1.0) / growth;
    (0..frames).flat_map(|i| [0.5, 0.3].map(|gain| (gain * phase(i).sin()) as f32)).collect()
}

/// A tone that never changes.
pub(crate) fn tone(frames: usize) -> Vec<f32> {
    let sine = |i: usize| 0.5 * (TAU * 440.0 * i as f64 / 44_100.0).sin();
    (0..frames).flat_map(|i| [sine(i) as f32; 2]).collect()
}

/// Single samples at 0.9 in silence, 8.1 a second, some of them within
/// milliseconds of the 10 s boundaries.
pub(crate) fn clicks(frames: usize) -> Vec<f32> {
    let mut clicks = vec![0.0; 2 * frames];
    let near = [9_990, 10_000, 10_004, 19_998, 20_000, 20_011].map(|ms| ms * SECOND / 1_000);
    for frame in (0..frames).step_by(5_443).chain(near).filter(|frame| *frame < frames) {
        clicks[2 * frame..2 * frame + 2].fill(0.9);
    }
    clicks
}

/// Real music: all of the folder that `ANTIPHON_MUSIC` names, or the first 31 s
/// of two pieces of Debian's supertuxkart-data where that is installed.
pub(crate) fn real() -> &'static [(String, Vec<f32>)] {
    static MUSIC: OnceLock<Vec<(String, Vec<f32>)>> = OnceLock::new();
    MUSIC.get_or_init(|| {
        let given = std::env::var_os("ANTIPHON_MUSIC").map(PathBuf::from);
        let all = given.is_some();
        let files = files(&given.unwrap_or_else(|| REAL_MUSIC.into()));
        if files.is_empty() {
            println!(
                "skipped: no real music (apt-get install supertuxkart-data, or set ANTIPHON_MUSIC)"
            );
        }
        let (step, frames) = if all { (1, usize::MAX / 2) } else { (17, 31 * SECOND + 4_321) };
        files
            .into_iter()
            .step_by(step)
            .take(if all { usize::MAX } else { 2 })
            .map(|file| {
                let pcm = decode_file(&file, &DecodeLimits::default(), &|_| ()).unwrap();
                let mut samples = to_44100(pcm.samples.into(), pcm.rate).unwrap().into_owned();
                samples.truncate(frames.saturating_mul(2));
                (file.file_name().unwrap().to_string_lossy().into_owned(), samples)
            })
            .collect()
    })
}

/// Real music with its renditions.
pub(crate) fn real_material() -> impl Iterator<Item = Material> {
    real().iter().map(|(name, samples)| Material::new(name, samples))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let music = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| ["ogg", "flac", "mp3", "m4a", "wav"].contains(&extension))
    };
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(music).collect();
    files.sort();
    files
}

/// Plays a part, a block at a time, out of no bytes past `end`, and checks that
/// places join.
pub(crate) fn play_part(
    encoded: &Encoded,
    (span, entry): (PartSpan, Entry),
    end: u64,
    splicer: &mut Splicer,
    out: &mut Vec<f32>,
) {
    let rendition = encoded.rendition(BlobId::new([7; 32])).unwrap();
    let bytes = &encoded.bytes[..encoded.bytes.len().min(end as usize)];
    let mut part = PartDecoder::new(rendition, span, entry);
    let mut expected = span.from();
    while let Some(wanted) = part.wanted() {
        let at = (wanted.start - wanted.start % u64::from(BLOCK_BYTES)) as usize;
        let block = &bytes[at..bytes.len().min(at + BLOCK_BYTES as usize)];
        assert!(part.push(at as u64, block).unwrap() > 0, "bytes past {end} are wanted");
        while let Some(chunk) = part.next_chunk().unwrap() {
            let placed = splicer.push(&chunk, out).unwrap();
            assert!(placed.frames == 0 || placed.first_sample == expected);
            expected += placed.frames as u64;
        }
    }
}

pub(crate) fn rms(samples: impl Iterator<Item = f32>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for sample in samples {
        sum += f64::from(sample).powi(2);
        count += 1;
    }
    (sum / f64::from(count.max(1))).sqrt()
}
