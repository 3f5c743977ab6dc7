//! The servers that are asked: ours and its peers, each a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::machine::Cores;
use super::super::program::Program;
use super::write_catalogue;
use crate::binaries;
use crate::failure::{Context as _, Failure, Result};
use crate::workspace::{self, cargo};

const AQUATIC: &str = "aquatic_udp";
const AQUATIC_VERSION: &str = "0.9.0";
/// With the allocator that it has by default, and without `prometheus`, which it
/// has too: that does nothing unless it is configured, and its `metrics` 0.22 does
/// not compile with compilers of today.
const AQUATIC_FEATURES: [&str; 3] = ["--no-default-features", "--features", "mimalloc"];
const REDIS: &str = "redis-server";

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Aquatic,
    Redis,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Aquatic => "aquatic",
            Self::Redis => "redis",
        }
    }
}

/// All of them, built.
pub(super) struct Servers {
    cores: Cores,
    ours: PathBuf,
    folder: PathBuf,
}

/// A server process; it ends with this value.
pub(super) struct Server {
    pub(super) side: Side,
    process: Child,
    pub(super) address: String,
    /// Of ours; else empty.
    pub(super) key: String,
}

impl Servers {
    /// Builds ours, and gives it a catalogue.
    pub(super) fn build(cores: Cores, program: &Program, folder: &Path) -> Result<Self> {
        eprintln!("bench: building antiphon-server");
        let mut build = cargo();
        build.args(["build", "--release", "--locked", "-p", "antiphon-server"]);
        let built = binaries::executables(&mut build)?;
        let ours = built.into_iter().next().ok_or_else(|| Failure::new("cargo built nothing"))?;
        let servers = Self { cores, ours, folder: folder.to_owned() };
        // Founds the service, which must come before its catalogue.
        let mut found = Command::new(&servers.ours);
        found.arg("--data-dir").arg(servers.data()).arg("list").stdout(Stdio::null());
        found.status().context(|| format!("start {found:?}"))?;
        write_catalogue(program, &servers.data())?;
        Ok(servers)
    }

    /// Starts a server that has heard nothing yet.
    pub(super) fn start(&self, side: Side) -> Result<Server> {
        match side {
            Side::Ours => self.start_ours(),
            Side::Aquatic => self.start_aquatic(),
            Side::Redis => self.start_redis(),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn start_ours(&self) -> Result<Server> {
        let mut command = Command::new(&self.ours);
        command.arg("--data-dir").arg(self.data());
        command.args(["run", "--open", "--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = self.spawn(Side::Ours, &mut command)?;
        let stdout = server.process.stdout.take().expect("stdout was asked for");
        let mut link = String::new();
        BufReader::new(stdout).read_line(&mut link)?;
        let (address, key) = link
            .trim_end()
            .strip_prefix("antiphon://")
            .and_then(|link| link.split_once('/'))
            .ok_or_else(|| Failure::new(format!("the server says `{}`", link.trim_end())))?;
        (server.address, server.key) = (address.to_owned(), key.to_owned());
        Ok(server)
    }

    fn start_aquatic(&self) -> Result<Server> {
        let program = aquatic()?;
        let address = free_address()?;
        let config = self.folder.join("aquatic.toml");
        fs::write(&config, format!("[network]\naddress = \"{address}\"\n"))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = self.spawn(Side::Aquatic, &mut command)?;
        server.address = address;
        Ok(server)
    }

    fn start_redis(&self) -> Result<Server> {
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default();
        let mut command = Command::new(REDIS);
        command.args(["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(&self.folder).stdout(Stdio::null());
        let mut server = self
            .spawn(Side::Redis, &mut command)
            .map_err(|failure| failure.hint(format!("install it: apt install {REDIS}")))?;
        for _ in 0..100 {
            if std::net::TcpStream::connect(&address).is_ok() {
                server.address = address;
                return Ok(server);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Err(Failure::new("redis-server does not listen"))
    }

    fn spawn(&self, side: Side, command: &mut Command) -> Result<Server> {
        let spawned = self.cores.on_server_core(|| command.stdin(Stdio::null()).spawn());
        let process = spawned.context(|| format!("start {command:?}"))?;
        Ok(Server { side, process, address: String::new(), key: String::new() })
    }
}

impl Server {
    pub(super) fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `aquatic_udp`, installed in `target/` the first time.
fn aquatic() -> Result<PathBuf> {
    let root = workspace::target_folder()?.join("aquatic");
    let program = root.join("bin").join(AQUATIC);
    if !program.exists() {
        eprintln!("bench: building {AQUATIC}");
        let mut install = cargo();
        install.args(["install", "--locked", AQUATIC, "--version", AQUATIC_VERSION, "--root"]);
        install.arg(&root).args(AQUATIC_FEATURES);
        let status = install.status().context(|| "start cargo".to_owned())?;
        if !status.success() {
            return Err(Failure::new(format!("cargo install {AQUATIC} failed ({status})")));
        }
    }
    Ok(program)
}

/// An address of this machine where nobody listens.
fn free_address() -> Result<String> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.to_string())
}
