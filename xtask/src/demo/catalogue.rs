//! The music of the demo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use antiphon_media::synth;
use serde::Deserialize;

use super::processes::server_folder;
use crate::binaries::Binaries;
use crate::failure::{Context as _, Failure, Result};

/// Songs of the demo's own catalogue: a seed makes each.
const SONGS: [&str; 8] =
    ["Lauds", "Prime", "Terce", "Sext", "None", "Vespers", "Compline", "Matins"];
const SONG_SECONDS: u32 = 60;

/// What was ingested.
pub(super) struct Catalogue {
    /// Ids and names, in the order of their files.
    pub(super) tracks: Vec<(String, String)>,
    /// Files that were not taken, and why.
    pub(super) skipped: Vec<(String, String)>,
}

/// A line that `antiphon-server ingest --json` prints.
#[derive(Deserialize)]
struct Line {
    path: String,
    status: String,
    track: Option<String>,
    name: Option<String>,
    reason: Option<String>,
}

/// Makes the first song alone and ingests it.
pub(crate) fn of_one(binaries: &Binaries, folder: &Path) -> Result<()> {
    Catalogue::synthesise(binaries, folder, &SONGS[..1]).map(drop)
}

/// Makes a song of each length in seconds and ingests them; their ids, in order.
#[cfg(target_os = "linux")]
pub(crate) fn of_lengths(
    binaries: &Binaries,
    folder: &Path,
    seconds: &[u32],
) -> Result<Vec<String>> {
    let music = folder.join("music");
    std::fs::create_dir_all(&music)?;
    for (seconds, seed) in seconds.iter().zip(1..) {
        let path = music.join(format!("{seed:03}.wav"));
        synth::write_wav(&path, seed, *seconds).context(|| format!("write {}", path.display()))?;
    }
    let catalogue = Catalogue::ingest(binaries, folder, &music)?;
    std::fs::remove_dir_all(&music)?;
    Ok(catalogue.tracks.into_iter().map(|(track, _)| track).collect())
}

impl Catalogue {
    /// Makes all songs and ingests them.
    pub(super) fn of_all(binaries: &Binaries, folder: &Path) -> Result<Self> {
        Self::synthesise(binaries, folder, &SONGS)
    }

    fn synthesise(binaries: &Binaries, folder: &Path, songs: &[&str]) -> Result<Self> {
        println!("making {} songs of {SONG_SECONDS} s", songs.len());
        let music = folder.join("music");
        std::fs::create_dir_all(&music)?;
        for (song, seed) in songs.iter().zip(1..) {
            let path = music.join(format!("{seed} {song}.wav"));
            synth::write_wav(&path, seed, SONG_SECONDS)
                .context(|| format!("write {}", path.display()))?;
        }
        Self::ingest(binaries, folder, &music)
    }

    /// Ingests a folder of music.
    pub(super) fn ingest(binaries: &Binaries, folder: &Path, music: &Path) -> Result<Self> {
        println!("ingesting {}", music.display());
        let mut ingest = Command::new(&binaries.server);
        ingest.arg("--data-dir").arg(server_folder(folder)).arg("ingest");
        ingest.arg("--json").arg(music);
        let output = ingest
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .context(|| "start antiphon-server ingest".to_owned())?;
        let mut lines: Vec<(PathBuf, Line)> = Vec::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let line: Line = serde_json::from_str(line)
                .context(|| "antiphon-server ingest printed no JSON".to_owned())?;
            lines.push((PathBuf::from(&line.path), line));
        }
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        let mut catalogue = Self { tracks: Vec::new(), skipped: Vec::new() };
        for (path, line) in lines {
            match (line.status.as_str(), line.track) {
                ("skipped", _) => {
                    let reason = line.reason.unwrap_or_default();
                    println!("  skipped {}: {reason}", path.display());
                    catalogue.skipped.push((line.path, reason));
                }
                (_, Some(track)) => {
                    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                    let name = line.name.unwrap_or_else(|| stem.into_owned());
                    if catalogue.tracks.iter().all(|(known, _)| *known != track) {
                        println!("  {name}");
                        catalogue.tracks.push((track, name));
                    }
                }
                _ => {}
            }
        }
        // Status 1 says that files were skipped, which is named above.
        if catalogue.tracks.is_empty() {
            return Err(Failure::new(format!("nothing in {} could be ingested", music.display())));
        }
        Ok(catalogue)
    }
}
