//! What some tests need beyond a Rust toolchain and a C compiler.
//!
//! Where it is absent, those tests are skipped and say so; under `CI=true`
//! they fail instead, so that a green run has left nothing out.

use std::ffi::OsString;
use std::process::{Command, Stdio};

/// Something that is not part of every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Decodes what `antiphon-server export` writes.
    Ffmpeg,
    /// Decodes it too, by the reference decoder.
    Ogg123,
    /// A sound server of a test's own, with its recorder.
    Pulseaudio,
    /// Reads what was captured on a link.
    Tcpdump,
    /// Lets a system call fail, or kills who makes it.
    Strace,
    /// Network namespaces and TUN devices: see [`crate::lab`].
    Link,
    /// Rules of routers in the lab.
    Nft,
    /// Runs the client of `docs/python`: see [`python`].
    Python,
    /// Keeps the index that several servers share.
    Redis,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Ffmpeg,
        Self::Ogg123,
        Self::Pulseaudio,
        Self::Tcpdump,
        Self::Strace,
        Self::Link,
        Self::Nft,
        Self::Python,
        Self::Redis,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ffmpeg => "ffmpeg",
            Self::Ogg123 => "ogg123",
            Self::Pulseaudio => "pulseaudio",
            Self::Tcpdump => "tcpdump",
            Self::Strace => "strace",
            Self::Link => "lab link",
            Self::Nft => "nft",
            Self::Python => "python",
            Self::Redis => "redis-server",
        }
    }

    /// The tests that are left out where it is absent.
    #[must_use]
    pub const fn tests(self) -> &'static str {
        match self {
            Self::Ffmpeg | Self::Ogg123 => "other decoders hear in an export what we hear",
            Self::Pulseaudio => "a sound server plays what was sent, sample for sample",
            Self::Tcpdump => "a capture of the traffic shows nothing in the clear",
            Self::Strace => "the store killed in, and failed by, real system calls",
            Self::Nft => "routers of the lab are what they are said to be",
            Self::Link => "sessions, first sound and recovery over a slow or failing link",
            Self::Python => "a client written from docs/protocol.md alone logs in and plays",
            Self::Redis => "several servers share one index, which may come and go",
        }
    }

    /// Why it cannot be used here and how to get it, or `None` if it can.
    #[must_use]
    pub fn absent(self) -> Option<String> {
        let (arguments, package): (&[&str], _) = match self {
            Self::Ffmpeg => (&["-version"], "ffmpeg"),
            Self::Ogg123 => (&["--version"], "vorbis-tools"),
            Self::Pulseaudio => return pulseaudio_absent(),
            Self::Tcpdump => (&["--version"], "tcpdump"),
            Self::Strace => return strace_absent(),
            Self::Link => return link_absent(),
            Self::Nft => (&["--version"], "nftables"),
            Self::Python => return python_absent(),
            Self::Redis => (&["--version"], "redis-server"),
        };
        let mut command = Command::new(self.name());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let runs = command.status().is_ok();
        (!runs).then(|| format!("not installed; Debian has it in the package {package}"))
    }

    /// Whether a test that needs it can run. Says so where it cannot.
    ///
    /// # Panics
    ///
    /// It is absent under `CI=true`.
    #[must_use]
    pub fn present_or_skip(self) -> bool {
        let Some(reason) = self.absent() else { return true };
        assert!(!in_ci(), "CI needs {}: {reason}", self.name());
        eprintln!("skipped, for want of {}: {reason}", self.name());
        false
    }
}

/// The interpreter for `docs/python`: the one that the environment variable
/// `ANTIPHON_PYTHON` names, else `python3`.
#[must_use]
pub fn python() -> OsString {
    std::env::var_os("ANTIPHON_PYTHON").unwrap_or_else(|| "python3".into())
}

fn python_absent() -> Option<String> {
    let mut probe = Command::new(python());
    probe.args(["-c", "import blake3, cryptography, grpc_tools, noise"]);
    let output = probe.stdin(Stdio::null()).output();
    let runs = output.is_ok_and(|output| output.status.success());
    (!runs).then(|| {
        format!(
            "{} does not have what docs/python/requirements.txt lists; \
             docs/python/README.md says how to install it",
            python().display()
        )
    })
}

fn pulseaudio_absent() -> Option<String> {
    let runs = ["pulseaudio", "pactl", "parec"].iter().all(|program| {
        let mut probe = Command::new(program);
        probe.arg("--version").stdin(Stdio::null());
        probe.output().is_ok_and(|output| output.status.success())
    });
    (!runs).then(|| {
        "not installed; Debian has it in the packages pulseaudio and pulseaudio-utils".to_owned()
    })
}

#[cfg(target_os = "linux")]
fn strace_absent() -> Option<String> {
    let mut probe = Command::new("strace");
    probe.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null());
    let traces = probe.output().is_ok_and(|output| output.status.success());
    (!traces).then(|| {
        "not installed, or not allowed to trace; Debian has it in the package strace".to_owned()
    })
}

#[cfg(not(target_os = "linux"))]
fn strace_absent() -> Option<String> {
    Some("only Linux has it".to_owned())
}

#[cfg(target_os = "linux")]
fn link_absent() -> Option<String> {
    crate::lab::link::unavailable()
}

#[cfg(not(target_os = "linux"))]
fn link_absent() -> Option<String> {
    Some("only Linux has network namespaces".to_owned())
}

/// Whether this is a run that must leave nothing out.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}
