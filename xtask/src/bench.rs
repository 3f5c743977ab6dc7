//! `cargo xtask bench`: how fast ours is, and with `--compare` beside others.
//!
//! A group measures related rows. Ours and its peer run in turn within one
//! run, as pairs; a ratio is the median over the pairs' ratios, so that what
//! else the machine does falls on both.

mod duel;
mod ingest;
mod link;
mod machine;
mod program;
mod row;
mod store;
mod table;
mod tracker;

use std::fs;
use std::path::PathBuf;

use crate::failure::{Context as _, Failure, Result};
use row::Measured;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Measure the peers too, in the same run
    #[arg(long)]
    compare: bool,
    /// Only this group, or the rows whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How many times each side of a row is measured
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Write the rows to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    store: store::Options,
    #[command(flatten)]
    ingest: ingest::Options,
}

/// Rows that are measured by the same means.
struct Group {
    name: &'static str,
    /// The names of its rows.
    rows: fn() -> Vec<&'static str>,
    /// Measures the rows that are wanted.
    measure: fn(&Plan<'_>) -> Result<Outcome>,
}

const GROUPS: &[Group] = &[
    Group { name: "link", rows: link::rows, measure: link::measure },
    Group { name: "ingest", rows: ingest::rows, measure: ingest::measure },
    Group { name: "store", rows: store::rows, measure: store::measure },
    Group { name: "tracker", rows: tracker::rows, measure: tracker::measure },
];

/// What is to be measured, and how often.
struct Plan<'a> {
    compare: bool,
    pairs: u32,
    rows: Vec<&'a str>,
    store: &'a store::Options,
    ingest: &'a ingest::Options,
}

impl Plan<'_> {
    fn wants(&self, row: &str) -> bool {
        self.rows.contains(&row)
    }
}

/// What came of a group.
#[derive(Default)]
struct Outcome {
    rows: Vec<Measured>,
    /// What was not measured, and why.
    failures: Vec<String>,
}

/// Runs `cargo xtask bench`.
///
/// # Errors
///
/// No row has the name, or one could not be measured. The others are printed
/// and written first. A target that is missed is no error: the table says so.
pub fn run(args: &Args) -> Result<()> {
    let mut outcome = Outcome::default();
    let mut named = false;
    for group in GROUPS {
        let names = (group.rows)();
        let rows: Vec<&str> = names.into_iter().filter(|row| args.wants(group, row)).collect();
        if rows.is_empty() {
            continue;
        }
        named = true;
        let plan = Plan {
            compare: args.compare,
            pairs: args.pairs,
            rows,
            store: &args.store,
            ingest: &args.ingest,
        };
        let measured = (group.measure)(&plan)?;
        outcome.rows.extend(measured.rows);
        outcome.failures.extend(measured.failures);
    }
    if !named {
        let all: Vec<&str> = GROUPS.iter().flat_map(|group| (group.rows)()).collect();
        return Err(Failure::new("no group and no row has that name")
            .hint(format!("the rows are: {}", all.join(", "))));
    }
    table::print(&outcome.rows);
    if let Some(path) = &args.json {
        let rows: Vec<_> = outcome.rows.iter().map(|measured| &measured.row).collect();
        fs::write(path, serde_json::to_vec_pretty(&rows)?)
            .context(|| format!("write {}", path.display()))?;
    }
    if outcome.failures.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("not measured:\n{}", outcome.failures.join("\n"))))
}

impl Args {
    fn wants(&self, group: &Group, row: &str) -> bool {
        self.only.as_deref().is_none_or(|only| group.name == only || row.contains(only))
    }
}
