//! Antiphon's chores, each behind `cargo xtask NAME`.

use std::process::ExitCode;

use clap::Parser as _;

pub mod bench;
pub mod binaries;
pub mod codegen;
pub mod demo;
pub mod edges;
pub mod failure;
pub mod floors;
pub mod fuzz;
pub mod lab;
pub mod memory;
pub mod packages;
pub mod test;
pub mod threats;
pub mod tidy;
pub mod tools;
pub mod torture;
pub mod traces;
pub mod workspace;

/// Antiphon's chores.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, clap::Subcommand)]
enum Chore {
    /// The main job: a server, listeners, music, and where every byte came from.
    Demo(demo::Args),
    /// How fast ours is, and beside others.
    Bench(bench::Args),
    /// Everything that CI checks: tidy, tests, packages, a project outside.
    Test(test::Args),
    /// Formatting, lints, crate edges, dependency floors, generated code, documentation.
    Tidy,
    /// Write the message types of `proto/` into `crates/wire`.
    Codegen(codegen::Args),
    /// Real programs across networks with rates, delays and faults.
    #[command(subcommand)]
    Lab(lab::Lab),
    /// Every parser and state machine in turn, under any input.
    Fuzz(fuzz::Args),
    /// A store on disks that fail, through crashes at any instant.
    Torture(torture::Args),
    /// Start and bitrate policies on recorded and made-up links.
    Traces(traces::TracesArgs),
}

/// Runs the chore that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Demo(args) => demo::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Bench(args) => bench::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Test(args) => test::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
        Chore::Codegen(args) => codegen::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Lab(lab) => lab::run(&lab),
        Chore::Fuzz(args) => fuzz::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Torture(args) => torture::run(&args).map(|()| ExitCode::SUCCESS),
        Chore::Traces(args) => traces::run(&args).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
