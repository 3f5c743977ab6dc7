//! Listeners, and what they record.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{Process, Track, music, programs, wait_for};
use crate::support::music::KBPS;

/// A listener's folder, and the program that uses it.
pub(crate) struct Listener {
    name: String,
    data: PathBuf,
    logs: PathBuf,
    /// `antiphon`, or one that misbehaves.
    program: PathBuf,
    /// Where others may connect.
    listen: String,
}

impl Listener {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data: folder.join(name),
            logs: folder.to_owned(),
            program: programs().client.clone(),
            listen: "127.0.0.1:0".to_owned(),
        }
    }

    /// Uses another program.
    pub(crate) fn with_program(self, program: &Path) -> Self {
        Self { program: program.to_owned(), ..self }
    }

    /// Lets others connect at this address.
    pub(crate) fn at(self, listen: SocketAddr) -> Self {
        Self { listen: listen.to_string(), ..self }
    }

    /// Passes on no more than so many kilobits a second, so that something is still
    /// under way when a test strikes.
    pub(crate) fn giving(self, kbit_s: u32) -> Self {
        let path = self.data.join("client.toml");
        let settings = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{settings}\n[upload]\nkbit_s = {kbit_s}\n")).unwrap();
        self
    }

    /// How much of all tracks has come to her cache so far, in bytes.
    #[cfg(unix)]
    pub(crate) fn received(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let blobs = fs::read_dir(self.data.join("cache/blobs")).into_iter().flatten();
        blobs.filter_map(|blob| Some(blob.ok()?.metadata().ok()?.blocks() * 512)).sum()
    }

    /// Waits until so much has come.
    #[cfg(unix)]
    pub(crate) fn wait_for_bytes(&self, bytes: u64) {
        wait_for("blocks in the cache", || (self.received() >= bytes).then_some(()));
    }

    /// Where her data lies.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A command in her folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(&self.data).args(["--listen", &self.listen]);
        command.args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&self.logs, &self.name, &mut self.command(arguments))
    }

    /// Clicks on a track, to be consumed `speed` times as fast as music.
    pub(crate) fn click(&self, track: &Track, speed: u32, more: &[&str]) -> Process {
        let (id, speed) = (track.id.to_string(), speed.to_string());
        let play = ["--json", "play", &id, "--bitrate", KBPS, "--speed", &speed];
        self.start(&[&play, more].concat())
    }

    /// Plays a track very fast and stays online, so that it is hers to serve.
    pub(crate) fn hold(&self, track: &Track, more: &[&str]) -> Process {
        let process = self.click(track, 500, &[&["--stay"], more].concat());
        wait_for("a track to be held", || self.plays().pop());
        process
    }

    /// What she recorded so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.data.join("events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The events of one kind.
    pub(crate) fn events_of(&self, kind: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == kind);
        events
    }

    /// Waits for an event of a kind.
    pub(crate) fn wait_for_event(&self, kind: &str) -> Value {
        wait_for(kind, || self.events_of(kind).into_iter().next())
    }

    /// What she played so far.
    pub(crate) fn plays(&self) -> Vec<Play> {
        self.events_of("play").into_iter().map(Play).collect()
    }
}

/// A play, as a listener recorded it.
#[derive(Debug)]
pub(crate) struct Play(Value);

impl From<Value> for Play {
    fn from(record: Value) -> Self {
        Self(record)
    }
}

impl Play {
    pub(crate) fn bytes(&self, source: &str) -> u64 {
        self.0["bytes"][source].as_u64().unwrap()
    }

    pub(crate) fn millis(&self, what: &str) -> f64 {
        self.0[what].as_f64().unwrap()
    }

    pub(crate) fn stalls(&self) -> u64 {
        self.0["stalls"].as_u64().unwrap()
    }

    pub(crate) fn bad_blocks(&self) -> u64 {
        self.0["bad_blocks"].as_u64().unwrap()
    }

    /// It was heard to its end, and was what the server has.
    pub(crate) fn assert_heard(&self, track: &Track) {
        assert_eq!(self.0["track"], track.id.to_string());
        assert_eq!(self.0["finished"], true, "{self:?}");
        assert_eq!(self.0["pcm_blake3"], music().pcm_blake3(track), "other music: {self:?}");
    }

    /// It was heard to its end without a stall, and was what the server has.
    pub(crate) fn assert_heard_without_a_stall(&self, track: &Track) {
        self.assert_heard(track);
        // At eight times the speed a packet lasts 3 ms. A thread that a busy
        // machine lets wait for some time slices is no want of music; what
        // waits for a source waits longer.
        assert!(self.millis("stalled_ms") < 25.0, "{self:?}");
    }
}

/// Waits until a play has ended well; what was recorded of it.
pub(crate) fn ended(listener: &Listener, process: &mut Process) -> Play {
    let status = process.wait();
    assert!(status.success(), "{status}: {}", process.stderr());
    listener.plays().pop().unwrap()
}
