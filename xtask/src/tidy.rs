//! `cargo xtask tidy`: what needs no test run: formatting, lints, crate edges,
//! generated code, dependency floors, tests that pages name, documentation.

use crate::failure::{Context as _, Failure, Result};
use crate::workspace::{self, cargo};
use crate::{codegen, edges, floors, fuzz, threats};

/// A named check; its failure says what to run.
type Check = (&'static str, fn() -> Result<()>);

/// The quick ones first.
const CHECKS: &[Check] = &[
    ("crate edges", edges::check),
    ("dependency floors", floors::check),
    ("versions that are fuzzed", fuzz::check_versions),
    ("generated code", codegen::check),
    ("tests that are named", threats::check),
    ("formatting", formatting),
    ("lints", lints),
    ("documentation", documentation),
];

/// Runs every check, also after one has failed.
///
/// # Errors
///
/// Names the checks that failed; each has said before what is wrong.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        eprintln!("tidy: {name}");
        if let Err(failure) = check() {
            eprintln!("error: {failure}");
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        eprintln!("tidy: all {} checks hold", CHECKS.len());
        return Ok(());
    }
    Err(Failure::new(format!("not tidy: {}", failed.join(", "))))
}

/// Projects beside the workspace, which `cargo fmt --all` does not reach.
const BESIDE: &[&str] = &["xtask/outside", "xtask/peers", "fuzz"];

fn formatting() -> Result<()> {
    workspace::run(cargo().args(["fmt", "--all", "--check"]))
        .map_err(|failure| failure.hint("run `cargo fmt --all`"))?;
    for folder in BESIDE {
        let manifest = format!("{folder}/Cargo.toml");
        let fmt = ["fmt", "--manifest-path", &manifest];
        workspace::run(cargo().args(fmt).args(["--", "--check"]))
            .map_err(|failure| failure.hint(format!("run `cargo {}`", fmt.join(" "))))?;
    }
    Ok(())
}

fn lints() -> Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked"]);
    workspace::run(clippy.args(["--", "-D", "warnings"])).map_err(|failure| {
        failure
            .hint("run `cargo clippy --workspace --all-targets --locked`, and mend what it names")
    })
}

fn documentation() -> Result<()> {
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--locked"]);
    workspace::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
        .context(|| "RUSTDOCFLAGS='-D warnings'".to_owned())
        .map_err(|failure| {
            failure.hint("run `cargo doc --workspace --no-deps --locked`, and mend what it names")
        })
}
