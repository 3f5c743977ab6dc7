//! `cargo xtask torture`: the store's torture tests for as long as one likes.
//!
//! The tests are those of `cargo test -p antiphon-store`, which takes a bounded
//! part of them: lives on a simulated disk, each from a seed; many threads on one
//! that fails; processes that are killed; and power cuts of a real file system, where one may mount it.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::{Context as _, Failure, Result};
use crate::workspace::{self, cargo};

const SEEDS: &str = "torture::random::nothing_owed_is_lost_and_nothing_false_is_served";
const KILLS: &str = "torture::kill::c1_killed_at_any_instant_nothing_noted_is_lost";
const CROWDS: &str = "torture::crowd::many_threads_and_a_failing_disk";
const CUTS: &str = "torture::power::c2_the_power_cut_of_a_real_file_system";

/// Arguments of `cargo xtask torture`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long new seeds are tried, in seconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Only this seed, told step by step
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seconds", "crowds", "kills", "cuts"])]
    seed: Option<u64>,
    /// How many crowds of threads are let loose on a store besides
    #[arg(long, value_name = "N", default_value_t = 0)]
    crowds: u64,
    /// How many processes are killed besides
    #[arg(long, value_name = "N", default_value_t = 0)]
    kills: u64,
    /// How often a real file system loses its power besides; wants root
    #[arg(long, value_name = "N", default_value_t = 0)]
    cuts: u64,
    /// With the release profile: more seeds a second, but to be built first
    #[arg(long)]
    release: bool,
}

/// Runs the tests in turn, also after one has failed. A seed that fails is
/// printed with the line that replays it.
///
/// # Errors
///
/// Something that the store owed was lost, or something false was served.
pub fn run(args: &Args) -> Result<()> {
    check_names(args)?;
    let mut failed = Vec::new();
    for (test, variables) in plan(args, first_seed()) {
        let mut command = test_binary(args);
        command.args(["--exact", test, "--nocapture"]).env("RUST_BACKTRACE", "0");
        command.envs(variables);
        if workspace::run(&mut command).is_err() {
            failed.push(test);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::new(failed.join(", "))) }
}

/// A test, and what it is told by the environment.
type Run = (&'static str, Vec<(&'static str, String)>);

fn plan(args: &Args, first_seed: u64) -> Vec<Run> {
    if let Some(seed) = args.seed {
        return vec![(SEEDS, vec![("ANTIPHON_TORTURE_SEED", seed.to_string())])];
    }
    let mut runs = Vec::new();
    if args.seconds > 0 {
        let seconds = ("ANTIPHON_TORTURE_SECONDS", args.seconds.to_string());
        runs.push((SEEDS, vec![seconds, ("ANTIPHON_TORTURE_FIRST", first_seed.to_string())]));
    }
    if args.crowds > 0 {
        runs.push((CROWDS, vec![("ANTIPHON_TORTURE_CROWDS", args.crowds.to_string())]));
    }
    if args.kills > 0 {
        let kills = ("ANTIPHON_TORTURE_KILLS", args.kills.to_string());
        runs.push((KILLS, vec![kills, ("ANTIPHON_TORTURE_SEED", first_seed.to_string())]));
    }
    if args.cuts > 0 {
        runs.push((CUTS, vec![("ANTIPHON_TORTURE_CUTS", args.cuts.to_string())]));
    }
    runs
}

/// Another one in every run: seeds that were tried show nothing new.
fn first_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| u64::from(since.subsec_nanos()) << 20)
}

/// The store's tests; what follows is for them.
fn test_binary(args: &Args) -> Command {
    let mut command = cargo();
    command.args(["test", "--quiet", "--locked", "-p", "antiphon-store", "--test", "it"]);
    if args.release {
        command.arg("--release");
    }
    command.arg("--");
    command
}

/// A test that is not there would pass.
fn check_names(args: &Args) -> Result<()> {
    let mut list = test_binary(args);
    let output = list.arg("--list").output().context(|| "list the store's tests".to_owned())?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let is_missing =
        |test: &&str| !listed.lines().any(|line| line.strip_suffix(": test") == Some(*test));
    match plan(args, 0).into_iter().map(|(test, _)| test).find(is_missing) {
        Some(test) => Err(Failure::new(format!("the store has no test {test} here"))
            .hint("`cargo test -p antiphon-store --test it -- --list` says which it has")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn planned(line: &str) -> Vec<Run> {
        let words = std::iter::once("torture").chain(line.split_whitespace());
        plan(&Line::try_parse_from(words).expect("it is a line").args, 7)
    }

    #[test]
    fn what_is_asked_for_is_run() {
        let names = |line| planned(line).into_iter().map(|(test, _)| test).collect::<Vec<_>>();
        assert_eq!(names(""), [SEEDS]);
        assert_eq!(names("--seconds 5 --kills 9 --cuts 2"), [SEEDS, KILLS, CUTS]);
        assert_eq!(names("--seconds 5 --crowds 3"), [SEEDS, CROWDS]);
        assert_eq!(names("--seconds 0 --kills 9"), [KILLS]);
    }

    #[test]
    fn a_seed_is_replayed_alone() {
        let seed = ("ANTIPHON_TORTURE_SEED", "12".to_owned());
        assert_eq!(planned("--seed 12"), [(SEEDS, vec![seed])]);
    }
}
