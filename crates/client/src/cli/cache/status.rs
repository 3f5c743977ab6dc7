//! `antiphon cache status`.

use std::io::{self, Write};
use std::path::PathBuf;

use antiphon_store::Store;
use serde::Serialize;

use super::{bytes, renditions};

/// The cache in figures.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    folder: PathBuf,
    bytes: u64,
    budget_bytes: u64,
    /// Whether the budget follows the disk.
    budget_automatic: bool,
    blobs: usize,
    complete: usize,
    partial: usize,
    /// Those too that are not there.
    pinned: usize,
    pinned_bytes: u64,
    /// Left by a newer version of this program.
    refused_blobs: usize,
    trouble: Option<String>,
}

impl Report {
    pub(super) fn of(store: &Store, folder: PathBuf, budget_automatic: bool) -> Self {
        let status = store.status();
        let complete = store.list().iter().filter(|entry| entry.complete).count();
        Self {
            folder: std::path::absolute(&folder).unwrap_or(folder),
            bytes: status.bytes,
            budget_bytes: status.budget,
            budget_automatic,
            blobs: status.blobs,
            complete,
            partial: status.blobs - complete,
            pinned: store.pins().len(),
            pinned_bytes: status.pinned_bytes,
            refused_blobs: status.refused_blobs,
            trouble: status.trouble,
        }
    }

    pub(super) fn print(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            return writeln!(out, "{}", serde_json::to_string(self)?);
        }
        let rule = match self.budget_automatic {
            true => "a tenth of the free disk, 50 MB to 10 GB",
            false => "--cache-mb",
        };
        writeln!(out, "folder   {}", self.folder.display())?;
        writeln!(out, "used     {} of {} ({rule})", bytes(self.bytes), bytes(self.budget_bytes))?;
        if self.bytes > self.budget_bytes {
            writeln!(out, "         what was not played for longest goes at the next play")?;
        }
        let (whole, part) = (self.complete, self.partial);
        writeln!(out, "holds    {}: {whole} whole, {part} in part", renditions(self.blobs))?;
        writeln!(out, "pinned   {}, {}", renditions(self.pinned), bytes(self.pinned_bytes))?;
        if self.refused_blobs > 0 {
            let count = renditions(self.refused_blobs);
            writeln!(out, "unused   {count} left by a newer version of this program")?;
        }
        if let Some(trouble) = &self.trouble {
            writeln!(out, "trouble  {trouble}")?;
        }
        Ok(())
    }
}
