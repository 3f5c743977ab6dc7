//! The processes of the demo, ended with it however it ends.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::binaries::Binaries;
use crate::failure::{Context as _, Failure, Result};

/// How long a process may take to end when told to.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the server of a demo keeps its data.
pub(super) fn server_folder(folder: &Path) -> PathBuf {
    folder.join("server")
}

/// A process that is killed when this is dropped.
pub(super) struct Process {
    name: String,
    child: Child,
}

impl Process {
    pub(super) fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    pub(super) fn take_stdout(&mut self) -> Option<BufReader<ChildStdout>> {
        self.child.stdout.take().map(BufReader::new)
    }

    /// Tells it to stop, and waits until it has.
    pub(super) fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return match status.success() || cfg!(not(unix)) {
                    true => Ok(()),
                    false => Err(Failure::new(format!("{} ended badly: {status}", self.name))),
                };
            }
            if begun.elapsed() > END_TIMEOUT {
                return Err(Failure::new(format!("{} did not end when told to", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[cfg(target_os = "linux")]
    fn terminate(&mut self) -> Result<()> {
        use nix::sys::signal::{Signal, kill};
        let pid = i32::try_from(self.child.id())
            .map_err(|_| Failure::new("the system numbers its processes strangely"))?;
        Ok(kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn terminate(&mut self) -> Result<()> {
        if cfg!(unix) {
            let kill = Command::new("kill").arg(self.child.id().to_string()).status()?;
            return match kill.success() {
                true => Ok(()),
                false => Err(Failure::new(format!("cannot stop {}", self.name))),
            };
        }
        Ok(self.child.kill()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server of the demo.
pub(crate) struct Server {
    process: Process,
    link: String,
}

impl Server {
    /// Starts it on a free port; returns when it accepts connections.
    pub(crate) fn start(binaries: &Binaries, folder: &Path) -> Result<Self> {
        let mut command = Command::new(&binaries.server);
        command.arg("--data-dir").arg(server_folder(folder));
        command.args(["run", "--listen", "127.0.0.1:0", "--open", "--name", "Demo"]);
        command.env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(log(folder, "server")?);
        let mut process = Process::spawn("the server", &mut command)?;
        let mut link = String::new();
        if let Some(mut stdout) = process.take_stdout() {
            stdout.read_line(&mut link).context(|| "read the server's link".to_owned())?;
        }
        if link.trim().is_empty() {
            let log = folder.join("server.log").display().to_string();
            return Err(Failure::new("the server did not start").hint(format!("look into {log}")));
        }
        Ok(Self { process, link: link.trim().to_owned() })
    }

    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    /// The number of its process.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    pub(crate) fn stop(self) -> Result<()> {
        self.process.stop()
    }
}

/// A file for what a process says on standard error.
pub(super) fn log(folder: &Path, name: &str) -> Result<Stdio> {
    let path = folder.join(format!("{name}.log"));
    let file = std::fs::File::create(&path).context(|| format!("create {}", path.display()))?;
    Ok(file.into())
}
