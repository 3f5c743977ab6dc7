//! `antiphon cache`.

use std::process::ExitCode;

use antiphon_store::{Config, Store};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use super::{Common, Failure};
use crate::settings::DataDir;

#[derive(Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand, Clone, Copy)]
enum Action {
    /// Show how much there is and may be (the default)
    Status,
    /// List what is there
    List,
    /// Check every block; what is damaged is dropped and fetched again
    Verify,
    /// Throw everything away
    Clear,
}

pub(super) fn cache(
    common: &Common,
    data: &DataDir,
    args: &CacheArgs,
) -> Result<ExitCode, Failure> {
    let config = Config {
        budget_bytes: common.cache_mb.map(|megabytes| megabytes.saturating_mul(1_000_000)),
        ..Config::default()
    };
    let store = Store::open(&data.path("cache"), config)?;
    match args.action.unwrap_or(Action::Status) {
        Action::Status => status(common.json, &store),
        Action::List => list(common.json, &store),
        Action::Verify => return Ok(verify(common.json, &store)),
        Action::Clear => {
            let cleared = store.clear()?;
            if common.json {
                println!("{}", serde_json::json!({"blobs": cleared.blobs, "bytes": cleared.bytes}));
            } else {
                println!(
                    "{} renditions, {} MB thrown away",
                    cleared.blobs,
                    megabytes(cleared.bytes)
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn status(json: bool, store: &Store) {
    let status = store.status();
    if json {
        println!(
            "{}",
            serde_json::json!({
                "bytes": status.bytes, "budget_bytes": status.budget, "blobs": status.blobs,
                "pinned_bytes": status.pinned_bytes,
            })
        );
    } else {
        println!(
            "{} MB of {} MB, {} renditions",
            megabytes(status.bytes),
            megabytes(status.budget),
            status.blobs
        );
    }
}

fn list(json: bool, store: &Store) {
    for entry in store.list() {
        if json {
            println!(
                "{}",
                serde_json::json!({
                    "blob": entry.blob.to_string(), "bytes": entry.size.bytes(),
                    "blocks": entry.size.block_count(), "blocks_held": entry.blocks_held,
                    "complete": entry.complete, "pinned": entry.pinned,
                })
            );
        } else {
            println!(
                "{}  {:>5} MB  {:>3} %{}",
                entry.blob,
                megabytes(entry.size.bytes()),
                u64::from(entry.blocks_held) * 100 / u64::from(entry.size.block_count()),
                if entry.pinned { "  pinned" } else { "" }
            );
        }
    }
}

fn verify(json: bool, store: &Store) -> ExitCode {
    let bar = ProgressBar::new(0);
    let report = store.verify(&mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    if json {
        println!(
            "{}",
            serde_json::json!({"blocks": report.blocks, "damaged": report.damaged, "unreadable": report.unreadable})
        );
    } else {
        println!(
            "{} blocks checked, {} damaged and dropped, {} unreadable",
            report.blocks, report.damaged, report.unreadable
        );
    }
    if report.damaged == 0 && report.unreadable == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
