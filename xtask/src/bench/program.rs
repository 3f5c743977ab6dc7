//! The program that plays every role: `xtask/peers`, a workspace of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::machine::Cores;
use crate::binaries;
use crate::failure::{Context as _, Failure, Result};
use crate::workspace::{self, cargo};

const MANIFEST: &str = "xtask/peers/Cargo.toml";

/// With which primitives ours is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitives {
    /// What the two programs use.
    AwsLcRs,
    /// What a crate of ours uses by default.
    RustCrypto,
}

/// The program, built.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    cores: Cores,
}

/// What one role does: see `bench-peers --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A process that shakes hands with itself.
    Handshake(&'static [&'static str]),
    /// A server and a client of a stack, and what the client does.
    Link {
        /// Over what.
        stack: &'static str,
        /// What the client is told.
        work: &'static [&'static str],
    },
}

/// What a role printed. Which fields are there depends on the role.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Figures {
    handshakes: Option<f64>,
    cpu_seconds: Option<f64>,
    bytes: Option<f64>,
    seconds: Option<f64>,
    round_trips: Option<f64>,
    median_us: Option<f64>,
    p99_us: Option<f64>,
    resident_bytes_each: Option<f64>,
    resident_bytes: Option<f64>,
    pairs: Option<f64>,
    announces_per_second: Option<f64>,
    finds_per_second: Option<f64>,
    cpu: Cpu,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Cpu {
    client: Option<f64>,
    server: Option<f64>,
}

impl Figures {
    /// Handshakes in a second.
    pub(super) fn handshakes_per_second(&self) -> Option<f64> {
        Some(self.handshakes? / self.seconds?)
    }

    /// CPU time of one handshake, both sides, in microseconds.
    pub(super) fn cpu_us_per_handshake(&self) -> Option<f64> {
        Some(self.cpu_seconds? * 1e6 / self.handshakes?)
    }

    /// Millions of bytes in a second.
    pub(super) fn megabytes_per_second(&self) -> Option<f64> {
        Some(self.bytes? / 1e6 / self.seconds?)
    }

    /// CPU seconds of both processes for each 10^9 bytes.
    pub(super) fn cpu_seconds_per_gigabyte(&self) -> Option<f64> {
        Some(self.cpu_of_both()? * 1e9 / self.bytes?)
    }

    /// CPU seconds of the process for each 10^9 bytes.
    pub(super) fn own_cpu_seconds_per_gigabyte(&self) -> Option<f64> {
        Some(self.cpu_seconds? * 1e9 / self.bytes?)
    }

    /// How long it took.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// CPU time of both processes for one round trip, in microseconds.
    pub(super) fn cpu_us_per_round_trip(&self) -> Option<f64> {
        Some(self.cpu_of_both()? * 1e6 / self.round_trips?)
    }

    /// The median time of one operation, in microseconds.
    pub(super) fn median_us(&self) -> Option<f64> {
        self.median_us
    }

    /// The time that 99 of 100 operations do not exceed, in microseconds.
    pub(super) fn p99_us(&self) -> Option<f64> {
        self.p99_us
    }

    /// Memory of the server for each idle connection, in KiB.
    pub(super) fn resident_kib_each(&self) -> Option<f64> {
        Some(self.resident_bytes_each? / 1024.0)
    }

    /// Memory for each block of a store.
    pub(super) fn resident_bytes_each(&self) -> Option<f64> {
        self.resident_bytes_each
    }

    /// Memory of a server, in millions of bytes.
    pub(super) fn resident_megabytes(&self) -> Option<f64> {
        Some(self.resident_bytes? / 1e6)
    }

    /// Announcements, each with a query, for each CPU second of the server.
    pub(super) fn pairs_per_cpu_second(&self) -> Option<f64> {
        Some(self.pairs? / self.cpu_seconds?)
    }

    /// The same in a second of the clock.
    pub(super) fn pairs_per_second(&self) -> Option<f64> {
        Some(self.pairs? / self.seconds?)
    }

    /// Announcements to the index alone.
    pub(super) fn announces_per_second(&self) -> Option<f64> {
        self.announces_per_second
    }

    /// Queries to the index alone.
    pub(super) fn finds_per_second(&self) -> Option<f64> {
        self.finds_per_second
    }

    #[cfg(test)]
    pub(super) fn of_seconds(seconds: f64) -> Self {
        Self { seconds: Some(seconds), ..Self::default() }
    }

    fn cpu_of_both(&self) -> Option<f64> {
        Some(self.cpu.client? + self.cpu.server?)
    }
}

impl Program {
    /// Builds the program, for as long as it takes: the peers are many crates.
    ///
    /// # Errors
    ///
    /// It does not build.
    pub(super) fn build(primitives: Primitives, cores: Cores) -> Result<Self> {
        eprintln!("bench: building {MANIFEST} ({primitives:?})");
        let target = workspace::target_folder()?.join("peers");
        let mut build = cargo();
        build.args(["build", "--release", "--locked", "--manifest-path", MANIFEST]);
        build.arg("--target-dir").arg(&target);
        if primitives == Primitives::AwsLcRs {
            build.args(["--features", "aws-lc-rs"]);
        }
        let built = binaries::executables(&mut build).map_err(|failure| {
            failure
                .hint(format!("`cargo metadata --manifest-path {MANIFEST}` mends its Cargo.lock"))
        })?;
        let built = built.into_iter().next().ok_or_else(|| Failure::new("cargo built nothing"))?;
        // The next build would put another program in its place.
        let path = target.join(format!("bench-peers-{primitives:?}").to_lowercase());
        fs::copy(&built, &path).context(|| format!("write {}", path.display()))?;
        Ok(Self { path, cores })
    }

    /// Plays a role once.
    ///
    /// # Errors
    ///
    /// The program failed; it has said why.
    pub(super) fn play(&self, role: &Role) -> Result<Figures> {
        let printed = match role {
            Role::Handshake(arguments) => {
                self.finish(self.command(self.cores.client).arg("handshake").args(*arguments))?
            }
            Role::Link { stack, work } => {
                let server = Server::start(
                    self.command(self.cores.server).args(["serve", "--stack", stack]),
                )?;
                let mut fetch = self.command(self.cores.client);
                fetch.args(["fetch", "--stack", stack, "--server", &server.address]).args(*work);
                self.finish(&mut fetch)?
            }
        };
        serde_json::from_str(&printed).context(|| format!("understand `{printed}`"))
    }

    /// Does something to the blobs of a folder, and gives what each side took.
    ///
    /// # Errors
    ///
    /// The program failed; it has said why.
    pub(super) fn store(&self, folder: &Path, work: &[&str]) -> Result<BTreeMap<String, Figures>> {
        let mut command = self.command(self.cores.client);
        command.arg("store").arg("--dir").arg(folder).args(work);
        let printed = self.finish(&mut command)?;
        serde_json::from_str(&printed).context(|| format!("understand `{printed}`"))
    }

    /// Measures something of who holds what.
    ///
    /// # Errors
    ///
    /// The program failed; it has said why.
    pub(super) fn tracker(&self, work: &[&str]) -> Result<Figures> {
        let printed = self.run_tracker(work)?;
        serde_json::from_str(&printed).context(|| format!("understand `{printed}`"))
    }

    /// The same, with whatever it prints.
    ///
    /// # Errors
    ///
    /// As [`tracker`](Self::tracker).
    pub(super) fn run_tracker(&self, work: &[&str]) -> Result<String> {
        self.finish(self.command(self.cores.client).arg("tracker").args(work))
    }

    fn command(&self, core: Option<usize>) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(core) = core {
            command.arg("--core").arg(core.to_string());
        }
        command
    }

    /// Runs a command to its end and gives what it printed.
    #[expect(clippy::unused_self, reason = "it reads as what the program does")]
    fn finish(&self, command: &mut Command) -> Result<String> {
        let output = command.output().context(|| format!("start {command:?}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(said.trim().to_owned()))
    }
}

/// A server process; it ends with this value.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(|| format!("start {command:?}"))?;
        let stdout = process.stdout.take().expect("stdout was asked for");
        let mut server = Self { process, address: String::new() };
        BufReader::new(stdout).read_line(&mut server.address)?;
        server.address.truncate(server.address.trim_end().len());
        if server.address.is_empty() {
            return Err(Failure::new("the server did not start"));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
