//! Where the workspace is, and how its cargo is called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::failure::{Context as _, Failure, Result};

/// The folder that holds the workspace's `Cargo.toml`.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside the workspace")
}

/// The cargo that runs this chore, to be run at the root of the workspace.
///
/// What cargo told this process about the package `xtask` is taken away: it
/// would make the inner cargo build again what is built.
#[must_use]
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The workspace as cargo resolves it, with every feature.
///
/// # Errors
///
/// Cargo does not run, or `Cargo.lock` does not fit the manifests.
pub fn metadata() -> Result<Metadata> {
    MetadataCommand::new()
        .current_dir(root())
        .features(CargoOpt::AllFeatures)
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .context(|| "cargo metadata --locked".to_owned())
        .map_err(|failure| failure.hint("`cargo metadata` without --locked mends Cargo.lock"))
}

/// Where cargo puts what it builds.
///
/// # Errors
///
/// See [`metadata`].
pub fn target_folder() -> Result<PathBuf> {
    Ok(metadata()?.target_directory.into_std_path_buf())
}

/// Runs `command` to its end.
///
/// # Errors
///
/// It does not start, or does not end well.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().context(|| format!("start `{line}`"))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{line}` failed: {status}"))) }
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
