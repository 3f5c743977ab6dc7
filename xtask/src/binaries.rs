//! The two programs, built as the tests and the demo use them, or as people do.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Message;

use crate::failure::{Context as _, Failure, Result};
use crate::workspace::cargo;

const CLIENT: &str = "antiphon-client";
const SERVER: &str = "antiphon-server";
/// The feature of the client that lets it misbehave on purpose.
const FAULTS: &str = "faults";
/// The program that has it.
const FAULTY: &str = "antiphon-faulty";

/// Where the two programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// `antiphon`
    pub client: PathBuf,
    /// `antiphon-server`
    pub server: PathBuf,
}

/// Builds both programs as the demo and the tests use them.
///
/// # Errors
///
/// They do not build.
pub fn build() -> Result<Binaries> {
    build_with(&[])
}

/// Builds both programs as they are given to people, for what is measured.
///
/// # Errors
///
/// They do not build.
pub fn build_for_release() -> Result<Binaries> {
    build_with(&["--release"])
}

fn build_with(profile: &[&str]) -> Result<Binaries> {
    let mut build = cargo();
    let built =
        executables(build.args(["build", "--locked", "-p", CLIENT, "-p", SERVER]).args(profile))?;
    let find = |name: &str| {
        let found = built.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
        found.cloned().ok_or_else(|| Failure::new(format!("cargo built no `{name}`")))
    };
    Ok(Binaries { client: find("antiphon")?, server: find("antiphon-server")? })
}

/// Builds the client that can misbehave on purpose: a program of its own beside
/// the ordinary one.
///
/// # Errors
///
/// It does not build.
pub fn build_faulty_client() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--locked", "-p", CLIENT, "--features", FAULTS, "--bin", FAULTY]);
    let built = executables(&mut build)?;
    built.into_iter().next().ok_or_else(|| Failure::new("cargo built no faulty client"))
}

/// Runs a `cargo build`; the programs it built or found fresh.
pub(crate) fn executables(build: &mut Command) -> Result<Vec<PathBuf>> {
    build.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let mut child = build.spawn().context(|| "start cargo".to_owned())?;
    let stdout = child.stdout.take().expect("stdout was asked for");
    let mut executables = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message? {
            executables.extend(artifact.executable.map(PathBuf::from));
        }
    }
    let status = child.wait().context(|| "wait for cargo".to_owned())?;
    if !status.success() {
        let package = build.get_args().last().map(Path::new);
        return Err(Failure::new(format!("cargo build failed ({status}): {package:?}")));
    }
    Ok(executables)
}
