//! What people have, and what they think is music.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use antiphon_media::synth;
use serde_json::Value;
use xtask::tools::Tool;

use crate::support::music::ingest;
use crate::support::{beside_others, programs};

/// Formats that ffmpeg makes of a WAV file.
const FORMATS: [(&str, &str); 4] =
    [("flac", "flac"), ("mp3", "libmp3lame"), ("m4a", "aac"), ("ogg", "libvorbis")];

#[test]
fn bad_files_are_named_and_the_rest_is_ingested() {
    let _beside_others = beside_others();
    let folder = tempfile::tempdir().unwrap();
    let (songs, server) = (folder.path().join("songs"), folder.path().join("server"));
    fs::create_dir_all(songs.join("album")).unwrap();
    let wav = songs.join("album/song.wav");
    synth::write_wav(&wav, 31, 6).unwrap();
    let mut good = vec!["song.wav".to_owned()];
    if Tool::Ffmpeg.present_or_skip() {
        good.extend(FORMATS.map(|(extension, codec)| convert(&wav, extension, codec)));
    }
    let bytes = fs::read(&wav).unwrap();
    fs::write(songs.join("truncated.wav"), &bytes[..20]).unwrap();
    fs::write(songs.join("empty.flac"), "").unwrap();
    fs::write(songs.join("text.mp3"), "This is no music, whatever it is called.\n".repeat(99))
        .unwrap();
    fs::write(songs.join("cover.jpg"), "a picture lies beside music").unwrap();
    let bad = ["empty.flac", "text.mp3", "truncated.wav"];

    let (lines, well) = ingest(&server, &songs);
    assert!(!well, "the exit status tells that files were skipped");
    assert_eq!(lines.len(), good.len() + bad.len(), "{lines:?}");
    for line in &lines {
        let name = file_name(line);
        if bad.contains(&name.as_str()) {
            assert_eq!(line["status"], "skipped", "{line}");
            assert!(line["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{line}");
        } else {
            assert_eq!(line["status"], "added", "{line}");
            assert!(good.contains(&name), "{line}");
        }
    }
    let said = plain_ingest(&server, &songs);
    for name in bad {
        assert!(said.contains(name), "{said}");
    }
    assert_twice_changes_nothing(&server, &songs, &lines);
}

#[test]
fn what_a_broken_download_leaves_is_named() {
    let _beside_others = beside_others();
    let folder = tempfile::tempdir().unwrap();
    let (songs, server) = (folder.path().join("songs"), folder.path().join("server"));
    fs::create_dir_all(&songs).unwrap();
    let wav = songs.join("song.wav");
    synth::write_wav(&wav, 32, 6).unwrap();
    let mut files = vec![wav.clone()];
    if Tool::Ffmpeg.present_or_skip() {
        files.extend(FORMATS.map(|(extension, codec)| songs.join(convert(&wav, extension, codec))));
    }
    for path in &files {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let (lines, well) = ingest(&server, &songs);
    assert!(!well);
    assert_eq!(lines.len(), files.len(), "{lines:?}");
    for line in lines {
        assert!(line["reason"].as_str().is_some_and(|why| why.contains("truncated")), "{line}");
    }
}

fn assert_twice_changes_nothing(server: &Path, songs: &Path, first: &[Value]) {
    let before = blobs(server);
    let (again, well) = ingest(server, songs);
    assert!(!well, "the bad files are still there");
    assert_eq!(again.len(), first.len());
    for (first, again) in first.iter().zip(&again) {
        match first["status"].as_str() {
            Some("added") => {
                assert_eq!(
                    (&again["status"], &again["track"]),
                    (&"already".into(), &first["track"])
                );
            }
            _ => assert_eq!(again, first),
        }
    }
    assert_eq!(blobs(server), before);
    assert_eq!(before.len() % 3, 0, "three renditions of each song");
}

/// Converts a song; the name of the new file.
fn convert(wav: &Path, extension: &str, codec: &str) -> String {
    let name = format!("song-{extension}.{extension}");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(wav).args(["-c:a", codec]);
    let output = ffmpeg.arg(wav.with_file_name(&name)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    name
}

fn file_name(line: &Value) -> String {
    let path = Path::new(line["path"].as_str().unwrap());
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What the operator sees.
fn plain_ingest(server: &Path, songs: &Path) -> String {
    let mut ingest = Command::new(&programs().server);
    let output = ingest.arg("--data-dir").arg(server).arg("ingest").arg(songs).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stdout).unwrap()
}

/// The files of blobs, with their lengths and the time of their last change.
fn blobs(server: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    fn list(folder: &Path, found: &mut BTreeMap<String, (u64, SystemTime)>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                list(&entry.path(), found);
            } else {
                let name = entry.path().to_str().unwrap().to_owned();
                found.insert(name, (metadata.len(), metadata.modified().unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    list(&server.join("blobs"), &mut found);
    found
}
