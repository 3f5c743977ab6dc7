//! What was played, as the listener's own record: one line of JSON for each
//! event in `events.jsonl`, and the plays that the server has yet to hear of.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use antiphon_net::wall_clock_ms;
use antiphon_types::{Bitrate, TrackId};
use antiphon_wire::proto::{self, Message as _};
use bytes::Bytes;
use serde::Serialize;

use crate::meeting::MetBy;
use crate::settings::replace_file;

/// Plays told to the server at once.
const REPORTED_AT_ONCE: usize = 100;

/// Bytes of audio payload, each counted once where it first came from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BytesBySource {
    /// In the cache when the play began.
    pub cache: u64,
    /// From other listeners.
    pub peers: u64,
    /// From HTTP edges.
    pub edge: u64,
    /// From the server.
    pub server: u64,
}

impl BytesBySource {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.cache + self.peers + self.edge + self.server
    }
}

/// One play, as it is recorded when it ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlayRecord {
    /// Drawn by this client.
    #[serde(serialize_with = "as_hex")]
    pub id: [u8; 16],
    /// The track.
    #[serde(serialize_with = "as_text")]
    pub track: TrackId,
    /// Its name.
    pub name: String,
    /// The rendition.
    #[serde(rename = "bitrate_kbps", serialize_with = "as_kbps")]
    pub bitrate: Bitrate,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How much of it was heard, in milliseconds of music.
    pub listened_ms: u64,
    /// From the click to the first byte of audio off a network; 0 if none was
    /// needed.
    pub first_byte_ms: f64,
    /// From the click until the first block was there, verified and stored; 0 if
    /// none came off a network.
    pub first_block_ms: f64,
    /// The same of as many bytes as 15 s of music have at this bitrate.
    pub first_15s_ms: f64,
    /// The same of all that the cache did not have.
    pub whole_ms: f64,
    /// From the click to the first sample handed to the sink; of a track that
    /// merely followed, 0.
    pub first_sound_ms: f64,
    /// Whether the listener asked for it; else it followed the track before.
    pub clicked: bool,
    /// How often another rendition took over.
    pub switches: u32,
    /// How often the music stopped for want of data.
    pub stalls: u32,
    /// For how long in all.
    pub stalled_ms: f64,
    /// Where its bytes came from.
    pub bytes: BytesBySource,
    /// Blocks that did not verify, each from a peer that was dropped for it.
    pub bad_blocks: u64,
    /// BLAKE3 hash of the samples handed to the sink: 16 bit, little-endian,
    /// interleaved. Of the whole track if `finished`; empty where the listener
    /// jumped to and fro.
    pub pcm_blake3: String,
    /// Whether it was heard to the end.
    pub finished: bool,
}

fn as_hex<S: serde::Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&TrackId::new(*bytes))
}

fn as_text<S: serde::Serializer>(track: &TrackId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(track)
}

fn as_kbps<S: serde::Serializer>(bitrate: &Bitrate, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u32(bitrate.kbps())
}

/// A thing worth a line in `events.jsonl`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A play ended.
    Play(PlayRecord),
    /// Sound after a jump to another place of the track.
    Seek {
        /// The track.
        #[serde(serialize_with = "as_text")]
        track: TrackId,
        /// Where to, in milliseconds of music.
        to_ms: u64,
        /// From the click to the first sample handed to the sink.
        sound_ms: f64,
    },
    /// Something was decided about what is played.
    Decision {
        /// The track.
        #[serde(serialize_with = "as_text")]
        track: TrackId,
        /// What, and why.
        what: String,
    },
    /// The sound device did something.
    Sound {
        /// What it says.
        condition: String,
    },
    /// A peer sent a block that does not verify; it was dropped and reported.
    BadBlock {
        /// The peer's key.
        peer: String,
        /// The blob.
        blob: String,
        /// The block.
        block: u32,
    },
    /// A link to a peer came about.
    PeerUp {
        /// The peer's key.
        peer: String,
        /// Whether we connected to it, or it to us.
        dialled: bool,
        /// Over what: `tcp` or `quic`.
        transport: String,
        /// How it came about.
        path: MetBy,
        /// How long after we began to try; 0 if we did not.
        took_ms: u64,
    },
    /// A link to a peer ended.
    PeerDown {
        /// The peer's key.
        peer: String,
    },
    /// The session with the server stands.
    ServerUp,
    /// The session with the server is gone.
    ServerDown {
        /// What happened.
        reason: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    at_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// The event records of one listener, written by a thread of their own: a disk
/// may take its time, and music does not wait for it. The thread ends when this
/// is dropped, with all written.
pub struct Records {
    events: Option<mpsc::Sender<Event>>,
    writer: Option<JoinHandle<()>>,
    unreported: Unreported,
}

/// Plays that the disk did not take, for the server to hear of as long as the
/// process runs.
type Unwritten = Arc<Mutex<VecDeque<proto::PlayEvent>>>;

/// Most of them; the oldest go.
const MAX_UNWRITTEN: usize = 1000;

/// A file of records that grows beyond this is set aside, and the one set aside
/// before it goes.
const MAX_RECORDS_BYTES: u64 = 16 * 1024 * 1024;

impl Records {
    /// Opens them. `lost` is told why a line was lost; `recorded` is called when
    /// a play waits to be told to the server.
    pub fn open(
        lines: PathBuf,
        unreported: PathBuf,
        lost: impl Fn(&io::Error) + Send + 'static,
        recorded: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let unreported = Unreported { folder: unreported, unwritten: Unwritten::default() };
        let mut writer = Writer { file: None, lines, unreported: unreported.clone() };
        let (events, queue) = mpsc::channel::<Event>();
        let thread = std::thread::Builder::new().name("antiphon-records".to_owned());
        let writer = thread.spawn(move || {
            for event in queue {
                if let Err(error) = writer.write(&event) {
                    lost(&error);
                }
                if matches!(event, Event::Play(_)) {
                    recorded();
                }
            }
            writer.unreported.write_again();
        })?;
        Ok(Self { events: Some(events), writer: Some(writer), unreported })
    }

    /// Adds a line. A play also waits for the server to hear of it. A line that
    /// cannot be written is lost: music goes on.
    pub fn add(&self, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.send(event);
        }
    }

    /// The plays that the server has yet to hear of.
    pub fn unreported(&self) -> Unreported {
        self.unreported.clone()
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.events = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    /// Opened with the first line, and again after a line was lost.
    file: Option<File>,
    lines: PathBuf,
    unreported: Unreported,
}

impl Writer {
    fn write(&mut self, event: &Event) -> io::Result<()> {
        let queued = match event {
            Event::Play(play) => self.unreported.add(play_event(play)),
            _ => Ok(()),
        };
        let line = serde_json::to_string(&Line { at_ms: wall_clock_ms(), event })
            .map_err(io::Error::other)?;
        self.write_line(&line).and(queued)
    }

    /// Writes a line, or nothing.
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => append(&self.lines)?,
        };
        if file.metadata()?.len() > MAX_RECORDS_BYTES {
            fs::rename(&self.lines, self.lines.with_extension("old.jsonl"))?;
            file = append(&self.lines)?;
        }
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            // A disk that is full may have taken a part.
            file.set_len(before)?;
            return Err(error);
        }
        self.file = Some(file);
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Where plays wait that the server has yet to hear of: a file for each, or
/// memory where the disk takes none.
#[derive(Clone)]
pub struct Unreported {
    folder: PathBuf,
    unwritten: Unwritten,
}

impl Unreported {
    /// Adds a play. The error is why it is in memory alone.
    fn add(&self, play: proto::PlayEvent) -> io::Result<()> {
        let written = self.write(&play);
        if written.is_err() {
            let mut unwritten = self.unwritten();
            unwritten.push_back(play);
            let surplus = unwritten.len().saturating_sub(MAX_UNWRITTEN);
            unwritten.drain(..surplus);
        }
        written
    }

    fn write(&self, play: &proto::PlayEvent) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        replace_file(&self.folder.join(crate::hex(&play.id)), &play.encode_to_vec(), false)
    }

    /// Writes what is in memory, if the disk takes it now.
    fn write_again(&self) {
        self.unwritten().retain(|play| self.write(play).is_err());
    }

    fn unwritten(&self) -> MutexGuard<'_, VecDeque<proto::PlayEvent>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Some of them, at most 100, with what to say when the server has them.
    pub fn read(&self) -> (Vec<proto::PlayEvent>, Reported) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let files: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_none()).collect();
        let (mut plays, files): (Vec<_>, _) = files
            .into_iter()
            .filter_map(|file| {
                let bytes = Bytes::from(fs::read(&file).ok()?);
                Some((proto::PlayEvent::decode(bytes).ok()?, file))
            })
            .take(REPORTED_AT_ONCE)
            .unzip();
        let room = REPORTED_AT_ONCE - plays.len();
        let unwritten: Vec<_> = self.unwritten().iter().take(room).cloned().collect();
        let ids = unwritten.iter().map(|play| play.id.clone()).collect();
        plays.extend(unwritten);
        (plays, Reported { files, ids, from: self.clone() })
    }
}

/// Plays that were told to the server.
pub struct Reported {
    files: Vec<PathBuf>,
    /// Those that are in memory.
    ids: BTreeSet<Bytes>,
    from: Unreported,
}

impl Reported {
    /// The server has them. The error is why one of them will be reported again,
    /// some other time; it counts them once all the same.
    pub fn acknowledged(self) -> io::Result<()> {
        self.from.unwritten().retain(|play| !self.ids.contains(&play.id));
        let removed: Vec<_> = self.files.iter().map(fs::remove_file).collect();
        removed.into_iter().collect()
    }
}

fn play_event(play: &PlayRecord) -> proto::PlayEvent {
    proto::PlayEvent {
        id: Bytes::copy_from_slice(&play.id),
        track: Bytes::copy_from_slice(play.track.as_bytes()),
        kbps: play.bitrate.kbps(),
        started_ms: play.started_ms,
        listened_ms: play.listened_ms,
        bytes_cache: play.bytes.cache,
        bytes_peers: play.bytes.peers,
        bytes_edge: play.bytes.edge,
        bytes_server: play.bytes.server,
        first_byte_us: micros(play.first_byte_ms),
        first_sound_us: micros(play.first_sound_ms),
        stalls: play.stalls,
        stalled_us: micros(play.stalled_ms),
        finished: play.finished,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations of our own, never negative"
)]
fn micros(millis: f64) -> u64 {
    (millis * 1000.0) as u64
}

/// A duration as the records tell it: milliseconds with three decimals.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_play_is_recorded_and_waits_until_the_server_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, queue) = (folder.path().join("events.jsonl"), folder.path().join("queue"));
        let records = Records::open(lines.clone(), queue.clone(), |_| (), || ()).unwrap();
        let play = PlayRecord {
            id: [1; 16],
            track: TrackId::new([2; 16]),
            name: "A – B".to_owned(),
            bitrate: Bitrate::Kbps160,
            started_ms: 5,
            listened_ms: 60_000,
            first_byte_ms: 1.5,
            first_block_ms: 1.75,
            first_15s_ms: 90.0,
            whole_ms: 400.0,
            first_sound_ms: 2.25,
            clicked: true,
            switches: 0,
            stalls: 0,
            stalled_ms: 0.0,
            bytes: BytesBySource { cache: 1, peers: 2, edge: 0, server: 3 },
            bad_blocks: 0,
            pcm_blake3: "ab".repeat(32),
            finished: true,
        };
        records.add(Event::Play(play.clone()));
        drop(records);

        let line = fs::read_to_string(lines.clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["event"], "play");
        assert_eq!(line["track"], "02".repeat(16));
        assert_eq!(line["bitrate_kbps"], 160);
        assert_eq!(line["bytes"]["peers"], 2);

        let records = Records::open(lines, queue, |_| (), || ()).unwrap();
        let (plays, reported) = records.unreported().read();
        assert_eq!(plays, [play_event(&play)]);
        assert_eq!(plays[0].first_sound_us, 2250);
        reported.acknowledged().unwrap();
        assert!(records.unreported().read().0.is_empty());
    }

    #[test]
    fn a_play_that_the_disk_does_not_take_is_reported_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // A file where a folder should be takes nothing.
        let blocked = folder.path().join("blocked");
        fs::write(&blocked, b"").unwrap();
        let unreported = Unreported { folder: blocked.clone(), unwritten: Unwritten::default() };
        let play = |id| proto::PlayEvent { id: vec![id; 16].into(), ..Default::default() };
        unreported.add(play(1)).unwrap_err();
        unreported.add(play(2)).unwrap_err();
        let (plays, reported) = unreported.read();
        assert_eq!(plays, [play(1), play(2)]);
        unreported.add(play(3)).unwrap_err();
        reported.acknowledged().unwrap();
        assert_eq!(unreported.read().0, [play(3)]);

        fs::remove_file(&blocked).unwrap();
        unreported.write_again();
        let next = Unreported { folder: blocked, unwritten: Unwritten::default() };
        assert_eq!(next.read().0, [play(3)], "it is there for the next process");
    }
}
