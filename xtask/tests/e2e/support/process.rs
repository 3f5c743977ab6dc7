//! Programs that run while a test does.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::wait_for;

/// A program that is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// Open if it obeys what it is told there.
    stdin: Option<ChildStdin>,
    stderr: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program. What it says goes to a file in `folder`.
    pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        Self::start_by(folder, name, command, |command| command.spawn().unwrap())
    }

    /// Starts a program the way `spawn` does, as in another network.
    pub(crate) fn start_by(
        folder: &Path,
        name: &str,
        command: &mut Command,
        spawn: impl FnOnce(&mut Command) -> Child,
    ) -> Self {
        let stderr = folder.join(format!("{name}.stderr"));
        let obeys = command.get_args().any(|argument| argument == "--control");
        let stdin = if obeys { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(File::create(&stderr).unwrap());
        let mut child = spawn(command);
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, stdin, stderr, lines, reader: Some(reader) }
    }

    /// Its id.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells a program that was started with `--control` to do something.
    pub(crate) fn tell(&mut self, command: &str) {
        let stdin = self.stdin.as_mut().expect("it was started with --control");
        stdin.write_all(format!("{command}\n").as_bytes()).unwrap();
    }

    /// The lines on standard output so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it said on standard error so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits for a line on standard output.
    pub(crate) fn wait_for_line(&mut self, what: &str) -> String {
        wait_for(what, || {
            let first = self.lines().into_iter().next();
            assert!(first.is_some() || self.is_running(), "ended early: {}", self.stderr());
            first
        })
    }

    /// Waits until standard error has `words`.
    pub(crate) fn wait_for_words(&self, words: &str) {
        wait_for(words, || self.stderr().contains(words).then_some(()));
    }

    fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = wait_for("the end of a program", || child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// SIGTERM.
    #[cfg(target_os = "linux")]
    pub(crate) fn terminate(&self) {
        use nix::sys::signal::{Signal, kill};
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- {}:\n{}", self.stderr.display(), self.stderr());
        }
    }
}
