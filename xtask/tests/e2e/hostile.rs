//! Cases I of the threats, against the program as an operator runs it: a folder
//! of files that are out to harm, with music among them. Whatever they are, the
//! music is ingested, in bounded time and memory, each of them is refused in
//! clean words or taken with clean ones, and nothing is written elsewhere.

#[path = "../../../crates/server/tests/it/made.rs"]
#[expect(clippy::cast_possible_truncation, reason = "files made by hand are small")]
mod made;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use antiphon_media::{Bitrate, encode, synth};
use serde_json::Value;
use xtask::memory;

use crate::support::{beside_others, programs};
use made::{Flac, m4a, mp3, mp4_box, ogg_page, seal, vorbis_head, wav};

/// Longer than any of these folders takes on a busy machine.
const MOST_TIME: Duration = Duration::from_secs(120);
/// Of all processes together, two files at a time: music takes a fifth of it.
const MOST_MEMORY: u64 = 512 << 20;

/// A folder with music and worse, and one for the server.
struct Raid(tempfile::TempDir);

/// What became of each file, by its name: `added`, or why it was skipped.
type Outcomes = BTreeMap<String, String>;

impl Raid {
    fn new() -> Self {
        let raid = Self(tempfile::tempdir().unwrap());
        fs::create_dir(raid.music()).unwrap();
        synth::write_wav(&raid.music().join("good.wav"), 7, 2).unwrap();
        raid
    }

    /// With files among the music.
    fn of(files: &[(&str, Vec<u8>)]) -> Self {
        let raid = Self::new();
        for (name, bytes) in files {
            fs::write(raid.music().join(name), bytes).unwrap();
        }
        raid
    }

    fn music(&self) -> PathBuf {
        self.0.path().join("music")
    }

    fn server(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&programs().server);
        command.current_dir(self.music()).arg("--data-dir").arg(self.0.path().join("data"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Ingests the music, and some paths besides, and holds the program to what
    /// this module promises of it.
    fn ingest(&self, besides: &[&str]) -> Outcomes {
        let before = self.names();
        let mut ingest = self.server(&["ingest", "--json", "--jobs", "2", "--"]);
        let (text, well) = finish(ingest.arg(self.music()).args(besides).spawn().unwrap());
        let outcomes: Outcomes = text.lines().map(outcome).collect();
        assert_eq!(outcomes.get("good.wav").map(String::as_str), Some("added"), "{outcomes:?}");
        assert_eq!(well, outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
        for reason in outcomes.values() {
            assert!(!reason.contains(char::is_control) && reason.len() < 500, "{reason:?}");
        }
        assert_eq!(self.names(), before, "something was written beside the data");
        outcomes
    }

    /// The same, where nothing but the good file is music.
    fn refuse(&self, besides: &[&str]) -> Outcomes {
        let mut outcomes = self.ingest(besides);
        outcomes.remove("good.wav");
        for (name, outcome) in &outcomes {
            assert!(outcome != "added" && outcome.len() > 10, "{name}: {outcome}");
        }
        outcomes
    }

    /// What lies in the folder above and among the music.
    fn names(&self) -> Vec<PathBuf> {
        let folders = [self.0.path().to_owned(), self.music()];
        let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.retain(|path| !path.ends_with("data"));
        names.sort();
        names
    }

    /// Titles of the catalogue, as JSON and as a terminal gets it.
    fn listed(&self) -> (Vec<Value>, String) {
        let (json, _) = finish(self.server(&["list", "--json"]).spawn().unwrap());
        let (plain, _) = finish(self.server(&["list"]).spawn().unwrap());
        (json.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), plain)
    }
}

/// Waits for a program within bounds; what it said, and whether it was well.
fn finish(mut child: Child) -> (String, bool) {
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let used = memory::of_tree(child.id()).unwrap_or(0);
        if begun.elapsed() > MOST_TIME || used > MOST_MEMORY {
            child.kill().unwrap();
            panic!("after {:?} it has {used} bytes of memory", begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    (reader.join().unwrap(), status.success())
}

fn outcome(line: &str) -> (String, String) {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let path = PathBuf::from(text("path").unwrap());
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    (name, text("reason").or(text("status")).unwrap())
}

fn ogg() -> Vec<u8> {
    encode(&synth::synthesise(3, 2), Bitrate::Kbps96).unwrap().bytes
}

#[test]
fn i1_lengths_near_the_largest_number() {
    let _beside_others = beside_others();
    let flac = |stated_samples| Flac { rate: 44_100, channels: 2, stated_samples, frames: 2 };
    let endless = [b"\0\0\0\x01moov", &u64::MAX.to_be_bytes()[..], &[0; 64]].concat();
    let mut xing = mp3(&[]);
    xing[46..58].copy_from_slice(b"Xing\0\0\0\x01\xff\xff\xff\xff");
    let mut late = ogg();
    let last = late.windows(4).rposition(|window| window == b"OggS").unwrap();
    late[last + 6..last + 14].copy_from_slice(&u64::MAX.to_le_bytes());
    seal(&mut late[last..]);
    let raid = Raid::of(&[
        ("36 bits.flac", flac(u64::MAX).bytes()),
        ("box.m4a", [mp4_box(b"ftyp", b"M4A \0\0\0\0"), endless].concat()),
        ("duration.m4a", m4a(u32::MAX, u32::MAX, 4)),
        ("xing.mp3", xing),
    ]);
    let outcomes = raid.refuse(&[]);
    assert!(outcomes["36 bits.flac"].contains("longer than"), "{outcomes:?}");
    // A last page that says -1 is refused or taken for what is there.
    Raid::of(&[("granule.ogg", late)]).ingest(&[]);
}

#[test]
fn i2_headers_that_ask_for_giant_buffers() {
    let _beside_others = beside_others();
    let mut setup = b"\x05vorbis\xffBCV".to_vec();
    setup.extend([0xff; 400]);
    let comment = b"\x03vorbis\xff\xff\xff\x7f\xff\xff\xff\x7f";
    let codebooks = [
        ogg_page(2, 0, 0, &[&vorbis_head(2, 44_100)]),
        ogg_page(0, 0, 1, &[comment, &setup]),
        ogg_page(4, 1_000, 2, &[&[0; 30]]),
    ];
    Raid::of(&[
        ("codebooks.ogg", codebooks.concat()),
        ("tag.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7fAPIC\x7f\x7f\x7f\x0f\0\0\xff\xff\xff".to_vec()),
        ("sizes.m4a", m4a(44_100, u32::MAX, 0)),
        ("sample.m4a", m4a(44_100, 43, u32::MAX)),
        ("chunk.wav", b"RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xfe".to_vec()),
    ])
    .refuse(&[]);
}

#[test]
fn i3_bombs_of_silence_channels_rates_and_covers() {
    let _beside_others = beside_others();
    let nine_days =
        Flac { rate: 44_100, channels: 2, stated_samples: 44_100 * 800_000, frames: 20 };
    let raid = Raid::of(&[
        ("silence.flac", nine_days.bytes()),
        ("no channels.wav", wav(0, 44_100, 1_000, 1_000)),
        ("255 channels.wav", wav(255, 44_100, 51_000, 51_000)),
        ("255 channels.ogg", ogg_page(2, 0, 0, &[&vorbis_head(255, 44_100)])),
        ("no rate.wav", wav(2, 0, 1_000, 1_000)),
        ("four gigahertz.wav", wav(2, u32::MAX, 1_000, 1_000)),
    ]);
    // Holes: a terabyte that takes no room.
    File::create(raid.music().join("terabyte.wav")).unwrap().set_len(1 << 40).unwrap();
    raid.refuse(&[]);

    let mut picture = b"\0image/png\0\x03\0\x89PNG\r\n\x1a\n".to_vec();
    picture.resize(32 << 20, 0x55);
    let text = [&b"\x03"[..], &vec![b'A'; 8 << 20]].concat();
    let raid = Raid::of(&[
        ("cover.mp3", mp3(&[(b"TIT2", b"\x03Covered"), (b"APIC", &picture)])),
        ("title.mp3", mp3(&[(b"TIT2", &text)])),
    ]);
    let outcomes = raid.ingest(&[]);
    assert!(outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
    let (tracks, plain) = raid.listed();
    assert!(tracks.iter().any(|track| track["title"] == "Covered"), "{tracks:?}");
    assert!(plain.len() < 3_000, "{} bytes", plain.len());
}

#[test]
fn i4_streams_without_end() {
    let _beside_others = beside_others();
    let raid = Raid::of(&[("chained.ogg", ogg().repeat(50))]);
    let pipe = raid.music().join("pipe.ogg");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    symlink("/dev/zero", raid.music().join("link.wav")).unwrap();
    // In a folder they are passed over; named, they are refused.
    let outcomes = raid.refuse(&["pipe.ogg", "link.wav", "/dev/zero"]);
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
    for name in ["pipe.ogg", "link.wav", "zero"] {
        assert!(outcomes[name].contains("not a regular file"), "{name}: {}", outcomes[name]);
    }
    assert!(outcomes["chained.ogg"].contains("changes its format"), "{outcomes:?}");
}

#[test]
fn i5_names_and_tags_that_would_be_paths_or_commands_to_a_terminal() {
    let _beside_others = beside_others();
    let tags: [(&[u8; 4], &[u8]); 3] = [
        (b"TIT2", b"\x03../../../escaped\x1b[2J"),
        (b"TALB", b"\x03/etc/passwd"),
        (b"TPE1", b"\x03CON\x07\r\n\xe2\x80\xaenoc"),
    ];
    let raid = Raid::of(&[("tags.mp3", mp3(&tags)), ("\u{1b}[2Jred\n.flac", b"x".to_vec())]);
    let said = raid.server(&["ingest", "."]).output().unwrap();
    for text in [said.stdout, said.stderr] {
        let text = String::from_utf8(text).unwrap();
        assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
    }
    let (tracks, plain) = raid.listed();
    assert_eq!(tracks.len(), 2, "{tracks:?}");
    assert!(!plain.replace('\n', "").contains(char::is_control), "{plain:?}");
    assert!(!plain.contains('\u{202e}') && plain.contains("escaped"), "{plain:?}");
    let beside = fs::read_dir(raid.0.path()).unwrap().count();
    assert_eq!(beside, 2, "something was written beside the data");
}

#[test]
fn i6_addresses_in_a_playlist_or_a_tag_are_asked_nothing() {
    let _beside_others = beside_others();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/latest/meta-data", server.local_addr().unwrap());
    let (title, text) = (format!("\u{3}{url}"), format!("#EXTM3U\n{url}\n"));
    let raid = Raid::of(&[
        ("list.ogg", text.into_bytes()),
        ("tag.mp3", mp3(&[(b"TIT2", title.as_bytes()), (b"WOAF", url.as_bytes())])),
    ]);
    let outcomes = raid.ingest(&[]);
    assert_eq!(outcomes["tag.mp3"], "added");
    assert_ne!(outcomes["list.ogg"], "added");
    let asked = server.accept();
    assert!(asked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
}

#[test]
fn i7_names_that_would_be_options() {
    let _beside_others = beside_others();
    let raid = Raid::new();
    let names = ["--memory-bytes=1", "--help", "-", "--", "--name", "-h.wav", "; exit 1 #.wav"];
    for (seed, name) in (1..).zip(names) {
        synth::write_wav(&raid.music().join(name), seed, 1).unwrap();
    }
    let outcomes = raid.ingest(&[]);
    assert_eq!(outcomes.len(), names.len() + 1, "{outcomes:?}");
    assert!(outcomes.values().all(|outcome| outcome == "added"), "{outcomes:?}");
}

#[test]
fn i8_script_in_a_title_is_text_and_a_drawing_is_no_cover() {
    let _beside_others = beside_others();
    let svg = b"\0image/png\0\x03\0<svg onload='alert(1)'/>";
    let title = b"\x03<script>alert(1)</script>";
    let raid = Raid::of(&[("a.mp3", mp3(&[(b"TIT2", title), (b"APIC", svg)]))]);
    assert_eq!(raid.ingest(&[])["a.mp3"], "added");
    let (tracks, _) = raid.listed();
    let kept = |track: &Value| track["title"] == "<script>alert(1)</script>";
    assert!(tracks.iter().any(kept), "{tracks:?}");
    let catalogue = fs::read(raid.0.path().join("data/catalog.sqlite")).unwrap();
    assert!(!catalogue.windows(4).any(|window| window == b"<svg"));
}
