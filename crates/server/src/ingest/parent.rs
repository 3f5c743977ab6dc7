//! The process that decodes and encodes one file, from without.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use antiphon_media::{Cover, DecodeLimits, Loudness, MAX_COVER_BYTES, Rendered, Tags, clean_text};

use super::child::ChildArgs;
use super::frames::{Frame, Report};
use super::limits::ChildLimits;

/// The command of `antiphon-server` that a child runs.
pub(crate) const CHILD_COMMAND: &str = "ingest-one";
/// Frames that wait for the parent at most; then the child waits.
const WAITING_FRAMES: usize = 4;
/// How long a child that has said all may take to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes of a second of the largest rendition, at most: libvorbis asked for
/// 480 kbit/s, with room.
const RENDITION_BYTES_PER_SECOND: u64 = 100_000;

/// Why nothing comes of a file in the process that decodes and encodes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The process cannot be started.
    #[error("the process that decodes it cannot be started: {0}")]
    Start(#[source] io::Error),
    /// The file is no music that we understand, or is damaged.
    #[error("{0}")]
    Refused(String),
    /// It took too much CPU time.
    #[error("decoding it took more than {0} s of CPU time and was ended")]
    Cpu(u64),
    /// It took too long.
    #[error("decoding it took more than {} s and was ended", .0.as_secs())]
    Slow(Duration),
    /// It wanted too much memory, or a check in a library failed.
    #[error(
        "decoding it was aborted: it wanted more than {0} bytes of memory, or broke the decoder"
    )]
    Aborted(u64),
    /// It decoded to more than may be written.
    #[error("decoding it was ended: it wrote more than the {0} bytes that are allowed")]
    FileSize(u64),
    /// The process died.
    #[error("the process that decoded it died ({0})")]
    Died(ExitStatus),
    /// The process said what it cannot say.
    #[error("the process that decoded it answered nonsense: {0}")]
    Nonsense(&'static str),
    /// What it said cannot be kept.
    #[error("a temporary file in the data folder cannot be used: {0}")]
    Temporary(#[source] io::Error),
}

/// Decodes and encodes files, each in a process of its own.
#[derive(Debug, Clone)]
pub struct Worker {
    program: PathBuf,
    folder: PathBuf,
    limits: fn(u64) -> ChildLimits,
}

/// What a child made of a file.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) tags: Tags,
    pub(super) cover: Option<Cover>,
    pub(super) loudness: Loudness,
    /// Length in samples of one channel.
    pub(super) samples: u64,
    pub(super) renditions: [MadeRendition; 3],
}

/// A rendition in plain text, in a file without a name.
#[derive(Debug)]
pub(super) struct MadeRendition {
    pub(super) rendered: Rendered,
    pub(super) file: File,
    pub(super) plaintext_hash: [u8; 32],
}

impl Worker {
    /// Runs `program`, an `antiphon-server`, with temporary files under the data
    /// folder.
    pub fn new(program: PathBuf, data_folder: &Path) -> io::Result<Self> {
        let folder = data_folder.join("ingest");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { program, folder, limits: ChildLimits::for_file })
    }

    /// With other limits, by the size of the file in bytes.
    #[must_use]
    pub fn with_limits(self, limits: fn(u64) -> ChildLimits) -> Self {
        Self { limits, ..self }
    }

    /// Decodes and encodes an open file. Whatever is in it, this returns within
    /// the limits' time, and the child is gone then.
    pub(super) fn make(
        &self,
        file: File,
        name: &OsStr,
        progress: &dyn Fn(f32),
    ) -> Result<Made, ChildError> {
        let limits = (self.limits)(file.metadata().map_err(ChildError::Start)?.len());
        let (mut guard, frames) = self.start(file, name, &limits)?;
        let deadline = Instant::now() + limits.wall;
        let mut intake = Intake::new(&self.folder)?;
        loop {
            // A child that never falls silent must not outrun the clock.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChildError::Slow(limits.wall));
            }
            match frames.recv_timeout(left) {
                Ok(Ok(Frame::Rendition(place, bytes))) => intake.rendition(place, &bytes)?,
                Ok(Ok(Frame::Progress(share))) => progress(share),
                Ok(Ok(Frame::Cover(bytes))) => intake.cover(&bytes)?,
                Ok(Ok(Frame::Done(report))) => return intake.done(&report),
                Ok(Ok(Frame::Failed(reason))) => {
                    let reason = clean_text(&String::from_utf8_lossy(&reason));
                    return Err(ChildError::Refused(reason.unwrap_or_default()));
                }
                Ok(Err(_)) => return Err(ChildError::Nonsense("frames that are none")),
                Err(RecvTimeoutError::Timeout) => return Err(ChildError::Slow(limits.wall)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(death(guard.farewell(), &limits));
                }
            }
        }
    }

    /// Starts a child: a fixed list of arguments, no shell, no environment, and
    /// the file as an open descriptor.
    fn start(
        &self,
        file: File,
        name: &OsStr,
        limits: &ChildLimits,
    ) -> Result<(Guard, Receiver<io::Result<Frame>>), ChildError> {
        let mut command = Command::new(&self.program);
        command.arg(CHILD_COMMAND).args(ChildArgs::line(limits, name));
        command.current_dir(&self.folder).stdin(file).stdout(Stdio::piped()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            command.env_clear();
            // What the child might start dies with it.
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        }
        let mut child = command.spawn().map_err(ChildError::Start)?;
        let stdout = child.stdout.take();
        let guard = Guard(child);
        let (sender, frames) = sync_channel(WAITING_FRAMES);
        if let Some(stdout) = stdout {
            let listener = std::thread::Builder::new().name("ingest".to_owned());
            listener.spawn(move || listen(stdout, &sender)).map_err(ChildError::Start)?;
        }
        Ok((guard, frames))
    }
}

/// Passes on what a child says, until it ends or nobody wants to hear it. It is
/// a thread of its own because reading a pipe cannot be given a time.
fn listen(stdout: ChildStdout, sender: &SyncSender<io::Result<Frame>>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let frame = match Frame::read(&mut stdout) {
            Ok(None) => return,
            Ok(Some(frame)) => Ok(frame),
            // A child that was killed may have been in the middle of a word.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return,
            Err(error) => Err(error),
        };
        let last = frame.is_err();
        if sender.send(frame).is_err() || last {
            return;
        }
    }
}

/// Why a child died that had not said all.
fn death(status: Option<ExitStatus>, limits: &ChildLimits) -> ChildError {
    let Some(status) = status else {
        return ChildError::Nonsense("it fell silent and did not end");
    };
    #[cfg(unix)]
    {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt as _;

        let was = |signal: Signal| status.signal() == Some(signal.as_raw());
        if was(Signal::XCPU) {
            return ChildError::Cpu(limits.cpu_seconds);
        }
        if was(Signal::XFSZ) {
            return ChildError::FileSize(limits.file_bytes);
        }
        if was(Signal::ABORT) {
            return ChildError::Aborted(limits.memory_bytes);
        }
    }
    ChildError::Died(status)
}

/// A child that is killed and waited for when this is dropped.
struct Guard(Child);

impl Guard {
    /// Waits a little for a child that has closed its output; how it ended.
    fn farewell(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // These fail only for one that is gone already. It has not been waited
        // for, or its group is empty: the number is nobody else's.
        #[cfg(unix)]
        if let Some(group) =
            i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes what a child sends, within bounds.
struct Intake {
    files: [File; 3],
    hashers: [blake3::Hasher; 3],
    came: [u64; 3],
    cover: Vec<u8>,
}

impl Intake {
    fn new(folder: &Path) -> Result<Self, ChildError> {
        let file = || tempfile::tempfile_in(folder).map_err(ChildError::Temporary);
        Ok(Self {
            files: [file()?, file()?, file()?],
            hashers: Default::default(),
            came: [0; 3],
            cover: Vec::new(),
        })
    }

    fn rendition(&mut self, place: usize, bytes: &[u8]) -> Result<(), ChildError> {
        let most = u64::from(DecodeLimits::default().max_seconds) * RENDITION_BYTES_PER_SECOND;
        self.came[place] += bytes.len() as u64;
        if self.came[place] > most {
            return Err(ChildError::Nonsense("a rendition that is too large"));
        }
        self.hashers[place].update(bytes);
        self.files[place].write_all(bytes).map_err(ChildError::Temporary)
    }

    fn cover(&mut self, bytes: &[u8]) -> Result<(), ChildError> {
        if self.cover.len() + bytes.len() > MAX_COVER_BYTES {
            return Err(ChildError::Nonsense("a cover that is too large"));
        }
        self.cover.extend_from_slice(bytes);
        Ok(())
    }

    fn done(self, report: &[u8]) -> Result<Made, ChildError> {
        let report: Report = serde_json::from_slice(report)
            .map_err(|_| ChildError::Nonsense("a report that is none"))?;
        let loudness =
            report.loudness().ok_or(ChildError::Nonsense("a loudness that cannot be"))?;
        let rendered =
            report.renditions(self.came).ok_or(ChildError::Nonsense("lengths that differ"))?;
        let samples = rendered[0].samples;
        let mut parts = self.files.into_iter().zip(self.hashers);
        let renditions = rendered.map(|rendered| {
            let (file, hasher) = parts.next().expect("three files");
            MadeRendition { rendered, file, plaintext_hash: *hasher.finalize().as_bytes() }
        });
        let cover = Cover::of(&self.cover);
        Ok(Made { tags: report.tags(), cover, loudness, samples, renditions })
    }
}
