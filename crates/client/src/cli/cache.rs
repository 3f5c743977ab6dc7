//! `antiphon cache`.

mod clear;
mod list;
mod pin;
mod resolve;
mod shelf;
mod status;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use antiphon_store::{Config, Store};
use clap::{Args, Subcommand};

use super::{Common, Failure};
use crate::settings::DataDir;

#[derive(Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Show how much there is and may be (the default)
    Status,
    /// List what is there, the last played first
    List,
    /// Keep a track until it is unpinned, whatever else is played
    Pin(pin::PinArgs),
    /// Let a track make room for others again
    Unpin(pin::PinArgs),
    /// Check every block; what is damaged is dropped, and fetched again when it
    /// is played. Exit status 1 if something was
    Verify,
    /// Throw away what is not pinned
    Clear(clear::ClearArgs),
}

pub(super) fn cache(common: &Common, data: &DataDir, args: CacheArgs) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    let done = run(common, data, args, &mut out).and_then(|status| {
        out.flush()?;
        Ok(status)
    });
    match done {
        // Who reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

fn is_broken_pipe(error: &Failure) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(
    common: &Common,
    data: &DataDir,
    args: CacheArgs,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let (folder, json) = (data.path("cache"), common.json);
    let config = Config {
        budget_bytes: common.cache_mb.map(|megabytes| megabytes.saturating_mul(1_000_000)),
        // Whoever runs with a larger `--cache-mb` would not want a look to cost
        // what that holds.
        evict_on_open: false,
        ..Config::default()
    };
    let store = Store::open(&folder, config)?;
    match args.action.unwrap_or(Action::Status) {
        Action::Status => {
            let is_automatic = common.cache_mb.is_none();
            status::Report::of(&store, folder, is_automatic).print(json, out)?;
        }
        Action::List => list::list(&shelf::Shelf::read(&store, data), json, out)?,
        Action::Pin(args) => pin::pin(&store, data, &args, json, out)?,
        Action::Unpin(args) => pin::unpin(&store, data, &args, json, out)?,
        Action::Verify => return verify::verify(&store, data, json, out),
        Action::Clear(args) => return clear::clear(&store, &args, json, out),
    }
    Ok(ExitCode::SUCCESS)
}

/// Bytes for people, in the decimal units of `--cache-mb`.
fn bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

/// "1 rendition", "2 renditions".
fn renditions(count: usize) -> String {
    format!("{count} rendition{}", if count == 1 { "" } else { "s" })
}

/// What is there, in percent; 100 only if all is.
fn percent(held: u32, of: u32) -> u64 {
    u64::from(held) * 100 / u64::from(of.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_decimal_units_and_never_rounded_up() {
        let told =
            [0, 999, 1_000, 16_384, 999_999, 1_000_000, 7_249_000, 10_000_000_000].map(bytes);
        let wanted =
            ["0 B", "999 B", "1.0 kB", "16.3 kB", "999.9 kB", "1.0 MB", "7.2 MB", "10.0 GB"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn only_what_is_whole_is_at_100_percent() {
        assert_eq!([percent(0, 3), percent(999, 1000), percent(3, 3)], [0, 99, 100]);
    }
}
