//! `cargo xtask test`: everything that CI checks.

use std::collections::BTreeSet;
use std::fs;

use crate::failure::{Context as _, Failure, Result};
use crate::tools::{self, Tool};
use crate::workspace::{self, cargo};
use crate::{binaries, floors, packages, tidy};

/// A named step.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("tidy", tidy::run),
    ("programs", || binaries::build().map(drop)),
    ("faulty client", || binaries::build_faulty_client().map(drop)),
    ("tests", tests),
    ("packages", packages::run),
    ("outside project", outside),
];

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only the steps whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// A project that uses two of our crates as a stranger would.
const OUTSIDE: &str = "xtask/outside";

/// Runs the steps, also after one has failed, and ends with a line that
/// counts them.
///
/// # Errors
///
/// Names the steps that failed. Under `CI=true` a missing tool fails before
/// anything runs.
pub fn run(args: &Args) -> Result<()> {
    let absent = report_absent_tools()?;
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let steps: Vec<&Step> = STEPS.iter().filter(|(name, _)| wanted(name)).collect();
    if steps.is_empty() {
        return Err(Failure::new("no step has that name"));
    }
    let mut failed = Vec::new();
    for (name, step) in &steps {
        eprintln!("\n== {name}");
        if let Err(failure) = step() {
            eprintln!("error: {failure}");
            failed.push(*name);
        }
    }
    let passed = steps.len() - failed.len();
    println!("\nchecks: {passed} passed, {} failed, {absent} skipped", failed.len());
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join(", "))) }
}

/// Says which tools are absent and what is left out so; how many.
fn report_absent_tools() -> Result<usize> {
    let absent: Vec<(Tool, String)> =
        Tool::ALL.into_iter().filter_map(|tool| Some((tool, tool.absent()?))).collect();
    for (tool, reason) in &absent {
        eprintln!("without {}: {reason}\n  skipped: {}", tool.name(), tool.tests());
    }
    if tools::in_ci() && !absent.is_empty() {
        return Err(Failure::new("CI may leave no test out").hint(".ci/run installs the tools"));
    }
    Ok(absent.len())
}

fn tests() -> Result<()> {
    workspace::run(cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

fn outside() -> Result<()> {
    let folder = workspace::root().join(OUTSIDE);
    let lock = folder.join("Cargo.lock");
    // The versions that were reviewed for the workspace hold here too.
    fs::copy(workspace::root().join("Cargo.lock"), &lock)
        .context(|| format!("write {}", lock.display()))?;
    let mut run = cargo();
    run.args(["run", "--quiet", "--manifest-path"]).arg(folder.join("Cargo.toml"));
    workspace::run(run.arg("--target-dir").arg(workspace::target_folder()?.join("outside")))?;

    let reviewed = BTreeSet::from_iter(floors::committed()?);
    let used = fs::read_to_string(&lock).context(|| format!("read {}", lock.display()))?;
    let strange = floors::locked(&used)?
        .into_iter()
        .find(|package| package.0 != "outside" && !reviewed.contains(package));
    strange.map_or(Ok(()), |(name, version)| {
        Err(Failure::new(format!(
            "{OUTSIDE} uses {name} {version}, which Cargo.lock does not name"
        )))
    })
}
