//! The process that decodes and encodes one file, from within.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use antiphon_media::{DecodeLimits, Source, encode_file};

use super::frames::{Frame, PIECE_BYTES, Report};
use super::limits::{self, ChildLimits};

/// How often it looks whether its parent is there.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// The arguments that [`Worker`](super::Worker) gives to a child. The file is
/// its standard input, and temporary files are made in its current folder.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    #[arg(long)]
    cpu_seconds: u64,
    #[arg(long)]
    memory_bytes: u64,
    #[arg(long)]
    file_bytes: u64,
    #[arg(long)]
    open_files: u64,
    /// What the file is called. Nothing is opened by it.
    #[arg(last = true)]
    name: PathBuf,
}

impl ChildArgs {
    /// What a parent writes, in the same order.
    pub(super) fn line(limits: &ChildLimits, name: &std::ffi::OsStr) -> Vec<std::ffi::OsString> {
        let numbers = [
            ("--cpu-seconds", limits.cpu_seconds),
            ("--memory-bytes", limits.memory_bytes),
            ("--file-bytes", limits.file_bytes),
            ("--open-files", limits.open_files),
        ];
        let numbers = numbers.map(|(option, number)| [option.into(), number.to_string().into()]);
        numbers.into_iter().flatten().chain(["--".into(), name.to_owned()]).collect()
    }
}

/// Does it all, and says how it went on standard output.
pub(crate) fn run(args: &ChildArgs) -> ExitCode {
    // A panic is told to the parent; nobody reads it here.
    std::panic::set_hook(Box::new(|_| {}));
    let voice = Voice(Arc::new(Mutex::new(io::stdout())));
    let limits = ChildLimits {
        cpu_seconds: args.cpu_seconds,
        wall: Duration::MAX,
        memory_bytes: args.memory_bytes,
        file_bytes: args.file_bytes,
        open_files: args.open_files,
    };
    let last = limits::apply(&limits)
        .map_err(|error| format!("its process cannot be limited: {error}"))
        .and_then(|()| work(&args.name, &voice))
        .unwrap_or_else(|reason| Frame::Failed(reason.into_bytes()));
    match voice.say(&last) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work(name: &Path, voice: &Voice) -> Result<Frame, String> {
    let share = Arc::new(AtomicU32::new(0));
    watch_parent(voice.clone(), Arc::clone(&share));
    let file = standard_input().map_err(|error| format!("the file cannot be read: {error}"))?;
    let spool = tempfile::tempfile_in(".")
        .map_err(|error| format!("a temporary file cannot be made in the data folder: {error}"))?;
    let outputs = [0, 1, 2].map(|place| {
        BufWriter::with_capacity(PIECE_BYTES, RenditionWriter { place, voice: voice.clone() })
    });
    let source = Source { file: &file, name };
    let track = encode_file(source, &DecodeLimits::default(), spool, outputs, &|done| {
        share.store(done.to_bits(), Ordering::Relaxed);
    })
    .map_err(|error| error.to_string())?;
    if let Some(cover) = track.cover {
        for piece in cover.bytes.chunks(PIECE_BYTES) {
            voice.say(&Frame::Cover(piece.to_vec())).map_err(|error| error.to_string())?;
        }
    }
    let report = Report::new(track.tags, track.loudness, &track.renditions);
    serde_json::to_vec(&report).map(Frame::Done).map_err(|error| error.to_string())
}

/// Ends the process when nobody listens to it any more, whatever it does.
fn watch_parent(voice: Voice, share: Arc<AtomicU32>) {
    std::thread::spawn(move || {
        while voice.say(&Frame::Progress(f32::from_bits(share.load(Ordering::Relaxed)))).is_ok() {
            std::thread::sleep(HEARTBEAT);
        }
        std::process::exit(1);
    });
}

/// The open file that is standard input.
#[cfg(unix)]
fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// The open file that is standard input.
#[cfg(windows)]
fn standard_input() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// The child's standard output, shared by its threads.
#[derive(Clone)]
struct Voice(Arc<Mutex<Stdout>>);

impl Voice {
    fn say(&self, frame: &Frame) -> io::Result<()> {
        frame.write(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sends a rendition's bytes.
struct RenditionWriter {
    place: usize,
    voice: Voice,
}

impl Write for RenditionWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        self.voice.say(&Frame::Rendition(self.place, piece.to_vec()))?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
