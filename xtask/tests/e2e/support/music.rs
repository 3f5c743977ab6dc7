//! Songs, ingested once; and what they sound like.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use antiphon_media::{PcmHasher, StreamDecoder, extend_i16, synth};
use antiphon_types::TrackId;

use super::programs;

/// What every listener here asks for.
pub(crate) const KBPS: &str = "160";

/// A song of the catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) title: String,
}

/// A server's folder with songs in it, to be copied.
pub(crate) struct Music {
    folder: PathBuf,
    /// Songs of 20 s.
    pub(crate) short: Vec<Track>,
    /// One of 60 s.
    pub(crate) middle: Track,
    /// One of 100 s.
    pub(crate) long: Track,
    pcm: Mutex<BTreeMap<TrackId, Vec<i16>>>,
    /// Held as long as the folder is used: other runs of these tests wait.
    _lock: File,
}

/// What every song says of its artist.
pub(crate) const ARTIST: &str = "Quodlibet Ensemble of Zwickau";

/// The songs.
pub(crate) fn music() -> &'static Music {
    static MUSIC: OnceLock<Music> = OnceLock::new();
    MUSIC.get_or_init(Music::make)
}

impl Music {
    fn make() -> Self {
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(tmp).unwrap();
        let lock = File::create(tmp.join("e2e.lock")).unwrap();
        lock.lock().unwrap();
        let folder = tmp.join("e2e");
        let _ = fs::remove_dir_all(&folder);
        let songs = folder.join("songs");
        fs::create_dir_all(&songs).unwrap();
        let lengths = [20, 20, 20, 20, 20, 20, 60, 100];
        for (seed, seconds) in (1..).zip(lengths) {
            let song = songs.join(format!("{seed}.wav"));
            synth::write_wav(&song, seed, seconds).unwrap();
            add_tags(&song, &format!("Serenade {seed} for a Xylophone"), ARTIST);
        }
        let server = folder.join("server");
        let (ingested, well) = ingest(&server, &songs);
        assert!(well, "{ingested:?}");
        let mut tracks: Vec<Track> = ingested
            .iter()
            .zip(1..)
            .map(|(line, seed)| Track {
                id: line["track"].as_str().unwrap().parse().unwrap(),
                title: format!("Serenade {seed} for a Xylophone"),
            })
            .collect();
        let long = tracks.pop().unwrap();
        let middle = tracks.pop().unwrap();
        Self { folder: server, short: tracks, middle, long, pcm: Mutex::default(), _lock: lock }
    }

    /// Copies the server's folder.
    pub(crate) fn copy_to(&self, folder: &Path) {
        copy(&self.folder, folder);
    }

    /// What the server's own rendition decodes to.
    pub(crate) fn pcm(&self, track: &Track) -> Vec<i16> {
        let mut known = self.pcm.lock().unwrap();
        known.entry(track.id).or_insert_with(|| decode(&self.export(track))).clone()
    }

    /// The hash that a listener records who heard all of it, and rightly.
    pub(crate) fn pcm_blake3(&self, track: &Track) -> String {
        let mut hasher = PcmHasher::new();
        hasher.update(&self.pcm(track));
        hasher.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The rendition as a plain Ogg file.
    pub(crate) fn export(&self, track: &Track) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("exported.ogg");
        let mut export = Command::new(&programs().server);
        export.arg("--data-dir").arg(&self.folder).arg("export").arg(track.id.to_string());
        let output = export.args(["--bitrate", KBPS]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::read(file).unwrap()
    }
}

/// Ingests a folder: a line of JSON for each file, by the files' names, and
/// whether all went well.
pub(crate) fn ingest(server: &Path, songs: &Path) -> (Vec<serde_json::Value>, bool) {
    let mut ingest = Command::new(&programs().server);
    let output =
        ingest.arg("--data-dir").arg(server).args(["ingest", "--json"]).arg(songs).output();
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["path"].as_str().unwrap().to_owned());
    (lines, output.status.success())
}

fn decode(ogg: &[u8]) -> Vec<i16> {
    let mut decoder = StreamDecoder::new();
    decoder.push(ogg);
    let mut pcm = Vec::new();
    while let Some(chunk) = decoder.next_chunk().unwrap() {
        extend_i16(&mut pcm, chunk.samples);
    }
    decoder.finish().unwrap();
    pcm
}

/// Gives a WAV file a `LIST` of `INFO`, as programs that rip CDs do.
fn add_tags(wav: &Path, title: &str, artist: &str) {
    let mut info = b"INFO".to_vec();
    for (name, text) in [(b"INAM", title), (b"IART", artist)] {
        let length = text.len() + text.len() % 2;
        info.extend(name);
        info.extend(u32::try_from(length).unwrap().to_le_bytes());
        info.extend(text.bytes().chain([0; 2]).take(length));
    }
    let mut bytes = fs::read(wav).unwrap();
    bytes.extend(b"LIST");
    bytes.extend(u32::try_from(info.len()).unwrap().to_le_bytes());
    bytes.extend(info);
    let riff = u32::try_from(bytes.len() - 8).unwrap();
    bytes[4..8].copy_from_slice(&riff.to_le_bytes());
    fs::write(wav, bytes).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
