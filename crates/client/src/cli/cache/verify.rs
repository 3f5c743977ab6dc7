//! `antiphon cache verify`.

use std::io::{self, Write};
use std::process::ExitCode;

use antiphon_store::{Affected, Store, VerifyReport};
use antiphon_types::BLOCK_BYTES;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::Failure;
use super::shelf::Shelf;
use crate::settings::DataDir;

const BAR: &str = "{percent:>3} % {wide_bar} {decimal_bytes_per_sec}  {eta} to go";

/// Checks all that is there. On a terminal a bar goes with it.
pub(super) fn verify(
    store: &Store,
    data: &DataDir,
    json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    // What is found damaged changes what is there.
    let shelf = Shelf::read(store, data);
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(BAR)?);
    let report = store.verify(&mut |done, total| {
        bar.set_length(total * u64::from(BLOCK_BYTES));
        bar.set_position(done * u64::from(BLOCK_BYTES));
    });
    bar.finish_and_clear();
    match json {
        true => writeln!(out, "{}", as_json(&report, &shelf))?,
        false => tell(&report, &shelf, out)?,
    }
    if report.affected.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(trouble) = store.status().trouble {
        eprintln!("antiphon: what is damaged cannot be marked as such: {trouble}");
    }
    Ok(ExitCode::FAILURE)
}

fn as_json(report: &VerifyReport, shelf: &Shelf) -> serde_json::Value {
    let affected = |affected: &Affected| {
        let known = shelf.item(affected.blob).and_then(|item| item.known.as_ref());
        let track = known.map(|(track, _)| track);
        serde_json::json!({
            "blob": affected.blob.to_string(),
            "track": track.map(|track| track.id.to_string()),
            "title": track.map(|track| &track.title),
            "artist": track.map(|track| &track.artist),
            "bitrate_kbps": known.map(|(_, bitrate)| bitrate.kbps()),
            "damaged": affected.damaged, "unreadable": affected.unreadable,
        })
    };
    serde_json::json!({
        "blocks": report.blocks, "damaged": report.damaged, "unreadable": report.unreadable,
        "affected": report.affected.iter().map(affected).collect::<Vec<_>>(),
    })
}

fn tell(report: &VerifyReport, shelf: &Shelf, out: &mut dyn Write) -> io::Result<()> {
    if report.affected.is_empty() {
        return writeln!(out, "{} blocks checked, all are sound", report.blocks);
    }
    let count = counts(report.damaged, report.unreadable);
    writeln!(out, "{} blocks checked, {count}", report.blocks)?;
    for affected in &report.affected {
        let name = shelf
            .item(affected.blob)
            .map_or_else(|| format!("blob {}", affected.blob), super::shelf::Item::name);
        writeln!(out, "  {name}: {}", counts(affected.damaged, affected.unreadable))?;
    }
    if report.damaged > 0 {
        writeln!(out, "what is damaged is fetched again when it is played")?;
    }
    if report.unreadable > 0 {
        writeln!(out, "what is unreadable was left as it is; if it stays so, the disk is failing")?;
    }
    Ok(())
}

fn counts(damaged: u64, unreadable: u64) -> String {
    match (damaged, unreadable) {
        (damaged, 0) => format!("{damaged} damaged"),
        (0, unreadable) => format!("{unreadable} unreadable"),
        _ => format!("{damaged} damaged, {unreadable} unreadable"),
    }
}
