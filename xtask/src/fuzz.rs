//! `cargo xtask fuzz`: every parser and state machine in turn, under libFuzzer.
//!
//! The programs are those of the workspace `fuzz/`, around the functions of
//! `fuzz/targets`. They are built by the stable compiler with the coverage
//! counters that `cargo fuzz` asks for, but without a sanitizer, so that
//! nothing has to be installed but a C++ compiler: there is no unsafe code of
//! ours for a sanitizer to watch.

mod build;
mod corpus;
mod report;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::failure::{Context as _, Failure, Result};
use crate::workspace;
use report::{Figures, Finding};

pub use build::check_versions;

/// Memory of one program beyond which an input is a finding, in MB: many times
/// what any bound of ours allows.
const MAX_MEMORY_MB: u32 = 512;
/// Time of one input beyond which it is a finding, in seconds.
const MAX_INPUT_SECONDS: u32 = 10;

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long each target runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Only the targets whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How many targets run at once.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Put the inputs that reached something new into `fuzz/corpus`, as few
    /// as reach all of it.
    #[arg(long)]
    keep: bool,
}

/// One program, and where it keeps what.
#[derive(Debug)]
struct Target {
    name: String,
    program: PathBuf,
}

impl Target {
    /// The corpus that is kept.
    fn corpus(&self) -> PathBuf {
        folder("corpus").join(&self.name)
    }

    /// What it found on this machine, in all runs.
    fn found(&self) -> PathBuf {
        folder("target/corpus").join(&self.name)
    }

    fn artifacts(&self) -> PathBuf {
        folder("artifacts").join(&self.name)
    }

    fn log(&self) -> PathBuf {
        folder("target/logs").join(format!("{}.log", self.name))
    }
}

/// A folder of the fuzz workspace.
fn folder(name: &str) -> PathBuf {
    workspace::root().join("fuzz").join(name)
}

/// Runs the targets, also after one has found something, and prints a line for
/// each.
///
/// # Errors
///
/// There is no C++ compiler, the programs do not build, or an input breaks a
/// promise: its path and how to replay it have been printed then.
pub fn run(args: &Args) -> Result<()> {
    let mut targets = build::programs()?;
    if let Some(only) = &args.only {
        targets.retain(|target| target.name.contains(only.as_str()));
    }
    if targets.is_empty() {
        return Err(Failure::new("no target has that name").hint("they are in fuzz/Cargo.toml"));
    }
    let runs = run_all(&targets, args)?;
    for (target, figures, _) in &runs {
        println!("{}", figures.line(&target.name));
    }
    if args.keep {
        for target in &targets {
            corpus::keep(target)?;
        }
    }
    let found: Vec<&str> = runs
        .iter()
        .filter(|(.., finding)| finding.is_some())
        .map(|(target, ..)| target.name.as_str())
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("findings in {}", found.join(", "))).hint(
        "mend the fault, then keep the input as fuzz/corpus/TARGET/NAME-OF-THE-FAULT: \
         `cargo test -p antiphon-fuzz-targets` replays it",
    ))
}

type Run<'targets> = (&'targets Target, Figures, Option<Finding>);

/// Runs `jobs` targets at a time; in the order of `targets`.
fn run_all<'targets>(targets: &'targets [Target], args: &Args) -> Result<Vec<Run<'targets>>> {
    let waiting = Mutex::new(targets.iter().enumerate().collect::<VecDeque<_>>());
    let runs = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while let Some((place, target)) = lock(&waiting).pop_front() {
                    let run = run_one(target, args.seconds);
                    lock(&runs).push((place, target, run));
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    runs.sort_by_key(|(place, ..)| *place);
    let with_target = |(_, target, run): (usize, _, Result<(Figures, Option<Finding>)>)| {
        run.map(|(figures, finding)| (target, figures, finding))
    };
    runs.into_iter().map(with_target).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one target, and says at once what it found.
fn run_one(target: &Target, seconds: u32) -> Result<(Figures, Option<Finding>)> {
    eprintln!("fuzz: {} for {seconds} s", target.name);
    let log = target.log();
    for folder in [&target.found(), &target.corpus(), &target.artifacts()] {
        create(folder)?;
    }
    create(log.parent().unwrap_or(Path::new(".")))?;
    let stderr = File::create(&log).context(|| format!("write {}", log.display()))?;
    // Only the first folder is written to.
    let mut command = Command::new(&target.program);
    command.args([target.found(), target.corpus()]);
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-timeout={MAX_INPUT_SECONDS}"),
        format!("-rss_limit_mb={MAX_MEMORY_MB}"),
        format!("-artifact_prefix={}/", target.artifacts().display()),
        // Long scripts early: what is worth finding takes many operations.
        "-len_control=10".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let status = command.status().context(|| format!("start {}", target.program.display()))?;
    let text = fs::read(&log).context(|| format!("read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let finding = (!status.success()).then(|| Finding::read(&text));
    if let Some(finding) = &finding {
        eprintln!("{}", finding.text(target));
    }
    Ok((Figures::read(&text), finding))
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).context(|| format!("make {}", folder.display()))
}
