//! `antiphon cache clear`.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::process::ExitCode;

use antiphon_store::Store;
use clap::Args;

use super::super::Failure;
use super::{bytes, renditions};

#[derive(Args)]
pub(super) struct ClearArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Throw away what is pinned, too
    #[arg(long)]
    pinned_too: bool,
}

/// Throws away what is not pinned, or all.
pub(super) fn clear(
    store: &Store,
    args: &ClearArgs,
    json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let plan = Plan::of(store, args.pinned_too);
    if !args.yes && !plan.is_nothing() && !plan.is_agreed_to()? {
        eprintln!("nothing was thrown away");
        return Ok(ExitCode::FAILURE);
    }
    if args.pinned_too {
        store.pins().into_iter().try_for_each(|blob| store.unpin(blob))?;
    }
    let cleared = store.clear()?;
    if json {
        let line = serde_json::json!({
            "blobs": cleared.blobs, "bytes": cleared.bytes, "kept": cleared.kept,
            "unpinned": plan.unpinned,
        });
        writeln!(out, "{line}")?;
    } else {
        let thrown = amount(cleared.blobs, cleared.bytes, plan.unpinned);
        let kept = kept(cleared.kept).map(|kept| format!("; {kept}")).unwrap_or_default();
        writeln!(out, "{thrown} thrown away{kept}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What would be thrown away.
struct Plan {
    blobs: usize,
    bytes: u64,
    kept: usize,
    unpinned: usize,
}

impl Plan {
    fn of(store: &Store, pinned_too: bool) -> Self {
        let status = store.status();
        if pinned_too {
            let unpinned = store.pins().len();
            return Self { blobs: status.blobs, bytes: status.bytes, kept: 0, unpinned };
        }
        let kept = store.list().iter().filter(|entry| entry.pinned).count();
        let bytes = status.bytes.saturating_sub(status.pinned_bytes);
        Self { blobs: status.blobs - kept, bytes, kept, unpinned: 0 }
    }

    fn is_nothing(&self) -> bool {
        self.blobs == 0 && self.unpinned == 0
    }

    fn is_agreed_to(&self) -> Result<bool, Failure> {
        let what = amount(self.blobs, self.bytes, self.unpinned);
        if !io::stdin().is_terminal() {
            return Err(format!("this throws away {what}: say --yes if that is meant").into());
        }
        let mut err = io::stderr();
        let kept = kept(self.kept).map(|kept| format!(" ({kept})")).unwrap_or_default();
        write!(err, "Throw away {what}{kept}? [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

fn amount(blobs: usize, size: u64, pins: usize) -> String {
    let pins = match pins {
        0 => String::new(),
        1 => " and 1 pin".to_owned(),
        _ => format!(" and {pins} pins"),
    };
    format!("{}, {}{pins}", renditions(blobs), bytes(size))
}

/// What stays, if anything does.
fn kept(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 that is pinned stays".to_owned()),
        _ => Some(format!("{count} that are pinned stay")),
    }
}
