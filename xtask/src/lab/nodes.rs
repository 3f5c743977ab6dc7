//! The real programs, run on hosts of the lab.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use super::internet::Host;
use super::interrupt;
use crate::binaries::Binaries;
use crate::failure::{Context as _, Failure, Result};

/// How long a program may take to end when told to.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that is ended when this is dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.0.id()) {
            // One that has just ended by itself is no fault.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// On a busy machine it takes a while until the last thread has stopped.
    fn freeze(&self, frozen: bool) -> Result<()> {
        if !frozen {
            self.signal(Signal::SIGCONT);
            return Ok(());
        }
        self.signal(Signal::SIGSTOP);
        let threads = format!("/proc/{}/task", self.0.id());
        let stopped = interrupt::wait_for(END_TIMEOUT, || {
            for thread in fs::read_dir(&threads).context(|| format!("read {threads}"))? {
                let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
                // The state stands behind the name.
                if !stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('T')) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })?;
        stopped.ok_or_else(|| Failure::new("a program does not freeze"))
    }

    /// Tells it to end, and waits.
    fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM);
        let ended = interrupt::wait_for(END_TIMEOUT, || Ok(self.0.try_wait()?))?;
        ended.map(drop).ok_or_else(|| Failure::new("a program does not end when told to"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An `antiphon-server` that runs.
#[derive(Debug)]
pub(super) struct Service {
    process: Process,
    link: String,
}

impl Service {
    /// Starts one in a folder with a catalogue; returns when it listens.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(super) fn start(
        binaries: &Binaries,
        folder: &Path,
        host: &Host,
        port: u16,
    ) -> Result<Self> {
        let listen = format!("{}:{port}", host.address());
        let log = folder.with_extension("log");
        let mut command = Command::new(&binaries.server);
        command.arg("--data-dir").arg(folder).args(["run", "--open", "--listen", &listen]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(create(&log)?);
        let mut process = Process(host.spawn(quiet(&mut command))?);
        let mut link = String::new();
        if let Some(stdout) = process.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut link)?;
        }
        if link.trim().is_empty() {
            return Err(Failure::new("the server did not start")
                .hint(format!("look into {}", log.display())));
        }
        Ok(Self { process, link: link.trim().to_owned() })
    }

    /// Where listeners find it.
    pub(super) fn link(&self) -> &str {
        &self.link
    }

    /// Tells it to end, and waits.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }
}

/// An `antiphon` that runs on a host, and what it records.
#[derive(Debug)]
pub(super) struct Client {
    name: String,
    process: Process,
    orders: Option<ChildStdin>,
    records: PathBuf,
    read_to: u64,
    /// Events that were read.
    pub(super) events: Vec<Line>,
}

/// How a listener is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    /// The server's link.
    pub(super) link: &'a str,
    /// Where everything of it lies.
    pub(super) folder: &'a Path,
    /// Over what it connects: tcp, quic, auto.
    pub(super) transport: &'a str,
    /// The port for other listeners.
    pub(super) port: u16,
    /// What it plays first.
    pub(super) track: &'a str,
    /// At which bitrate.
    pub(super) kbps: u32,
    /// How fast the sink takes it.
    pub(super) speed: u32,
}

impl Client {
    /// Starts one that plays, then stays and obeys; a folder that was used goes on
    /// where it stood.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(super) fn start(binaries: &Binaries, host: &Host, start: Start<'_>) -> Result<Self> {
        let folder = start.folder;
        fs::create_dir_all(folder)?;
        // What `antiphon login` would write.
        let settings = format!("server = \"{}\"\npeers = \"on\"\n", start.link);
        fs::write(folder.join("client.toml"), settings)?;
        let records = folder.join("events.jsonl");
        let read_to = fs::metadata(&records).map_or(0, |records| records.len());
        let mut command = Command::new(&binaries.client);
        command.arg("--data-dir").arg(folder);
        command.args(["--json", "--transport", start.transport]);
        command.arg("--listen").arg(format!("0.0.0.0:{}", start.port));
        command.args(["play", start.track, "--control", "--stay"]);
        command.args(["--bitrate", &start.kbps.to_string()]);
        command.args(["--speed", &start.speed.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(create(&folder.with_extension("log"))?);
        let mut process = Process(host.spawn(quiet(&mut command))?);
        let orders = process.0.stdin.take();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, process, orders, records, read_to, events: Vec::new() })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Says a line that `antiphon play --control` obeys.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(super) fn order(&mut self, line: &str) -> Result<()> {
        let gone = || Failure::new(format!("{} has ended", self.name));
        let orders = self.orders.as_mut().ok_or_else(gone)?;
        orders.write_all(format!("{line}\n").as_bytes()).context(|| format!("tell {}", self.name))
    }

    /// Reads what it has recorded since.
    ///
    /// # Errors
    ///
    /// The records cannot be read, or it has ended.
    pub(super) fn read(&mut self) -> Result<()> {
        if let Ok(mut records) = File::open(&self.records) {
            let mut new = String::new();
            records.seek(SeekFrom::Start(self.read_to))?;
            records.read_to_string(&mut new)?;
            // The last line may be half written.
            let whole = new.rfind('\n').map_or(0, |end| end + 1);
            self.read_to += whole as u64;
            self.events
                .extend(new[..whole].lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        match self.process.0.try_wait()? {
            Some(status) => {
                let log = self.records.parent().map(|folder| folder.with_extension("log"));
                Err(Failure::new(format!("{} ended: {status}", self.name))
                    .hint(format!("look into {}", log.unwrap_or_default().display())))
            }
            None => Ok(()),
        }
    }

    /// Waits for an event that `wanted` takes, from the `from`th on.
    ///
    /// # Errors
    ///
    /// See [`Client::read`].
    pub(super) fn wait_for<T>(
        &mut self,
        from: usize,
        patience: Duration,
        mut wanted: impl FnMut(&Line) -> Option<T>,
    ) -> Result<Option<T>> {
        interrupt::wait_for(patience, || {
            self.read()?;
            Ok(self.events.iter().skip(from).find_map(&mut wanted))
        })
    }

    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Freezes it, every thread of it, or lets it go on.
    ///
    /// # Errors
    ///
    /// It does not freeze.
    pub(super) fn freeze(&self, frozen: bool) -> Result<()> {
        self.process.freeze(frozen)
    }

    /// Kills it.
    pub(super) fn kill(&self) {
        self.process.signal(Signal::SIGKILL);
    }

    /// Tells it to end, and waits.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(super) fn stop(mut self) -> Result<()> {
        self.process.stop()
    }
}

/// A line of `events.jsonl`. Fields that older or newer clients lack or have are
/// no fault.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    /// When it was written, in milliseconds since 1970.
    pub(super) at_ms: u64,
    #[serde(flatten)]
    pub(super) event: Event,
}

/// What the lab looks at of what clients record.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// A play ended.
    Play(Play),
    /// A link to another listener stands.
    PeerUp(PeerUp),
    /// The session with the server stands.
    ServerUp,
    /// It ended.
    ServerDown,
    #[serde(other)]
    Other,
}

/// A link to another listener.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PeerUp {
    /// We connected to it.
    #[serde(default)]
    pub(super) dialled: bool,
    /// How the other was found: direct, lan, mapped, introduced.
    pub(super) path: Option<String>,
}

/// A play that ended.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Play {
    pub(super) track: String,
    pub(super) first_byte_ms: f64,
    #[serde(default)]
    pub(super) first_block_ms: f64,
    #[serde(default)]
    pub(super) first_15s_ms: f64,
    #[serde(default)]
    pub(super) whole_ms: f64,
    pub(super) first_sound_ms: f64,
    pub(super) stalls: u32,
    pub(super) stalled_ms: f64,
    pub(super) bytes: Bytes,
    pub(super) finished: bool,
}

/// Bytes of audio payload by source.
#[derive(Debug, Default, Clone, Copy, Deserialize, serde::Serialize)]
pub(super) struct Bytes {
    pub(super) cache: u64,
    pub(super) peers: u64,
    pub(super) edge: u64,
    pub(super) server: u64,
}

impl Bytes {
    pub(super) const fn total(&self) -> u64 {
        self.cache + self.peers + self.edge + self.server
    }
}

impl Line {
    pub(super) const fn play(&self) -> Option<&Play> {
        match &self.event {
            Event::Play(play) => Some(play),
            _ => None,
        }
    }

    pub(super) const fn peer_up(&self) -> Option<&PeerUp> {
        match &self.event {
            Event::PeerUp(peer) => Some(peer),
            _ => None,
        }
    }

    pub(super) const fn is_server_up(&self) -> bool {
        matches!(self.event, Event::ServerUp)
    }

    pub(super) const fn is_server_down(&self) -> bool {
        matches!(self.event, Event::ServerDown)
    }
}

/// CPU time that a process has taken so far, in user and kernel mode.
pub(super) fn cpu_seconds(process: u32) -> Result<f64> {
    /// USER_HZ, which is 100 on every architecture that Rust knows well.
    const TICKS_PER_SECOND: f64 = 100.0;
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).context(|| format!("read {path}"))?;
    // Fields are counted behind the name, which may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// The most memory that a process had at a time, in bytes.
pub(super) fn peak_memory(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| Failure::new(format!("{path} tells no VmHWM")))? * 1024)
}

/// Copies a folder with all in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Logs little, unless the caller wants more.
fn quiet(command: &mut Command) -> &mut Command {
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "warn");
    }
    command
}

fn create(path: &Path) -> Result<File> {
    File::create(path).context(|| format!("create {}", path.display()))
}
