//! A server of a test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::RwLockReadGuard;

use tempfile::TempDir;

use super::{Listener, Process, beside_others, music, programs};

/// A server with all songs, and a folder in which all that belongs to a test
/// lies.
pub(crate) struct Service {
    process: Option<Process>,
    link: String,
    options: Vec<String>,
    folder: TempDir,
    _beside_others: RwLockReadGuard<'static, ()>,
}

impl Service {
    /// Starts a server that lets everyone in.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--open"])
    }

    /// Starts a server on a free port of the loopback, with `options`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let songs = music();
        let beside_others = beside_others();
        let folder = tempfile::tempdir().unwrap();
        songs.copy_to(&folder.path().join("server"));
        let mut service = Self {
            process: None,
            link: String::new(),
            options: options.iter().map(ToString::to_string).collect(),
            folder,
            _beside_others: beside_others,
        };
        service.listen("127.0.0.1:0");
        service
    }

    fn listen(&mut self, address: &str) {
        let mut command = Command::new(&programs().server);
        command.arg("--data-dir").arg(self.data()).args(["run", "--listen", address]);
        let mut process = Process::start(self.folder.path(), "server", command.args(&self.options));
        self.link = process.wait_for_line("the server's link");
        self.process = Some(process);
    }

    /// What listeners log in with.
    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.link.strip_prefix("antiphon://").unwrap().split_once('/').unwrap().0
    }

    /// Where all that belongs to the test lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the server keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    /// `kill -9`
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// Starts the server again, where it was.
    pub(crate) fn come_back(&mut self) {
        let address = self.address().to_owned();
        self.listen(&address);
    }

    /// The program.
    #[cfg(target_os = "linux")]
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// A listener who is logged in and shares.
    pub(crate) fn listener(&self, name: &str) -> Listener {
        let listener = self.stranger(name);
        let output = listener.run(&["--peers", "on", "login", self.link()]);
        assert!(output.status.success(), "{output:?}");
        listener
    }

    /// A listener whom the server does not know.
    pub(crate) fn stranger(&self, name: &str) -> Listener {
        Listener::new(self.folder.path(), name)
    }
}
