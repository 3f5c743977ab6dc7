//! Network namespaces that are removed when they are dropped.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::failure::{Context as _, Failure, Result};

/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";
/// What the names of all our namespaces begin with; the id of the process that
/// made it follows.
const PREFIX: &str = "antiphon-";
/// How long processes in a namespace have to end when they are asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// A network namespace of our own. When it is dropped, the processes in it are
/// ended and it is removed.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with a name that no other has and its loopback up.
    ///
    /// # Errors
    ///
    /// `ip` is missing, or this process may not make namespaces.
    pub(super) fn new(label: &str) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{label}", process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Lets TCP find its pace as nearly all hosts do, whatever this machine prefers.
    ///
    /// With BBR in particular, a connection remembers the rate that it got when all
    /// were served at once, and begins with that after a rest.
    pub(super) fn choose_congestion_control(&self) {
        // A machine may not let a namespace have CUBIC (`tcp_allowed_congestion_control`);
        // at the rates and times of a lab Reno is much the same.
        for algorithm in ["cubic", "reno"] {
            if self.set("ipv4/tcp_congestion_control", algorithm).is_ok() {
                return;
            }
        }
    }

    /// Where the kernel shows this namespace.
    pub(super) fn path(&self) -> PathBuf {
        Path::new(NAMES).join(&self.name)
    }

    /// Runs `ip` on this namespace.
    pub(super) fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", self.name.as_str()], arguments].concat())
    }

    /// Runs lines of `ip` on this namespace, all of them or up to the first that
    /// fails.
    pub(super) fn ip_lines(&self, lines: &str) -> Result<()> {
        let mut command = Command::new("ip");
        feed(command.args(["-n", &self.name, "-batch", "-"]), lines).map(drop)
    }

    /// Has `nft` read a script on this namespace.
    pub(super) fn nft(&self, script: &str) -> Result<()> {
        self.within(|| feed(Command::new("nft").args(["-f", "-"]), script))?.map(drop)
    }

    /// Sets a value of `/proc/sys/net`, which shows each namespace its own.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(name);
        let written = self.within(|| fs::write(&path, value))?;
        written.context(|| format!("write {}", path.display()))
    }

    /// Hands an interface of this namespace to another, under another name.
    pub(super) fn give(&self, interface: &str, to: &Self, name: &str) -> Result<()> {
        self.ip(&["link", "set", interface, "netns", &to.name, "name", name])
    }

    /// Runs `work` on a thread that lives in this namespace: the sockets it
    /// opens and the processes it starts belong there, and stay there when
    /// they are handed out.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let door = File::open(&path).context(|| format!("open {}", path.display()))?;
        thread::scope(|scope| {
            let inside =
                scope.spawn(move || setns(door, CloneFlags::CLONE_NEWNET).map(|()| work()));
            match inside.join() {
                Ok(done) => done.context(|| format!("enter {}", path.display())),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Starts a process in this namespace.
    ///
    /// It begins with no signal blocked, whatever is blocked here: a child
    /// inherits that.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        let started = self.within(|| {
            SigSet::empty().thread_set_mask()?;
            command.spawn()
        })?;
        started.context(|| format!("start `{program}` in {}", self.name))
    }

    /// Asks every process in the namespace to end, and makes those that do
    /// not.
    pub(super) fn end_processes(&self) {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let since = Instant::now();
            for process in self.processes() {
                // One that has just ended by itself is no fault.
                let _: std::result::Result<(), Errno> = kill(process, signal);
            }
            while since.elapsed() < PATIENCE {
                if self.processes().is_empty() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// The processes in the namespace, but for those that have ended and wait
    /// for their parent to notice.
    fn processes(&self) -> Vec<Pid> {
        let Ok(output) = Command::new("ip").args(["netns", "pids", &self.name]).output() else {
            return Vec::new();
        };
        let listed = String::from_utf8_lossy(&output.stdout);
        listed.split_whitespace().filter_map(|id| id.parse().ok()).map(Pid::from_raw).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.end_processes();
        if let Err(failure) = ip(&["netns", "delete", &self.name]) {
            eprintln!("lab: {} stays behind: {failure}", self.name);
        }
    }
}

/// Removes namespaces whose maker was killed before it could.
pub(super) fn remove_leftovers() {
    for name in names().unwrap_or_default() {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if maker.is_some_and(|id| !PathBuf::from("/proc").join(id).exists()) {
            drop(Namespace { name });
        }
    }
}

fn names() -> io::Result<Vec<String>> {
    let entries = fs::read_dir(NAMES)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Runs a command on some input; what it says on standard output.
fn feed(command: &mut Command, input: &str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(|| format!("start `{program}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read all says why on standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().context(|| format!("wait for `{program}`"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("`{program}` on\n{input}\n{}", said.trim())))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let said = || format!("ip {}", arguments.join(" "));
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context(said)
        .map_err(|failure| failure.hint("install iproute2"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{}: {}", said(), String::from_utf8_lossy(&output.stderr).trim())))
}
