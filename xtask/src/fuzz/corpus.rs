//! Which inputs are kept.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Target, create, folder};
use crate::failure::{Context as _, Failure, Result};

/// Inputs without a name that a target keeps at most. (Its tests bear 200.)
const MAX_INPUTS: usize = 160;
/// Their size in all, in bytes. (Its tests bear 160,000.)
const MAX_CORPUS_BYTES: u64 = 120_000;

/// Makes the corpus of a target the few inputs that reach all that was reached.
///
/// Inputs that bear a name (seeds, and faults that were mended) stay; those
/// named by their hash are chosen anew.
pub(super) fn keep(target: &Target) -> Result<()> {
    let chosen = folder("target/chosen").join(&target.name);
    if chosen.exists() {
        fs::remove_dir_all(&chosen).context(|| format!("empty {}", chosen.display()))?;
    }
    create(&chosen)?;
    for named in files(&target.corpus())?.iter().filter(|path| !is_hash(path)) {
        copy(named, &chosen)?;
    }
    merge(target, &chosen)?;

    for old in files(&target.corpus())?.iter().filter(|path| is_hash(path)) {
        fs::remove_file(old).context(|| format!("remove {}", old.display()))?;
    }
    let chosen = affordable(files(&chosen)?);
    for new in &chosen {
        copy(new, &target.corpus())?;
    }
    eprintln!("fuzz: {} keeps {} inputs besides the named ones", target.name, chosen.len());
    Ok(())
}

/// Of the inputs without a name as many as a repository can bear: the longest
/// first, which reach the most each.
fn affordable(chosen: Vec<PathBuf>) -> Vec<PathBuf> {
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    let mut inputs: Vec<(u64, PathBuf)> =
        chosen.into_iter().filter(|path| is_hash(path)).map(|path| (length(&path), path)).collect();
    inputs.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    inputs.truncate(MAX_INPUTS);
    let mut room = MAX_CORPUS_BYTES;
    inputs.retain(|(bytes, _)| {
        let left = room.checked_sub(*bytes);
        room = left.unwrap_or(room);
        left.is_some()
    });
    inputs.into_iter().map(|(_, path)| path).collect()
}

/// Adds to `chosen` what reaches edges that it does not. How often an edge is
/// passed is of use while searching, and not worth a file each.
fn merge(target: &Target, chosen: &Path) -> Result<()> {
    let mut command = Command::new(&target.program);
    command.args(["-merge=1", "-set_cover_merge=1", "-use_counters=0"]);
    command.arg(chosen).args([target.corpus(), target.found()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context(|| format!("start {}", target.program.display()))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("the corpus of {} cannot be made smaller: {status}", target.name))
        .hint("an input in it breaks a promise: run the target first"))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    read().context(|| format!("read {}", folder.display()))
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let to = folder.join(file.file_name().unwrap_or(OsStr::new("unnamed")));
    fs::copy(file, &to).context(|| format!("write {}", to.display())).map(drop)
}

/// Whether libFuzzer named the file: by its SHA-1.
fn is_hash(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_are_chosen_anew() {
        assert!(is_hash(Path::new("c/0123456789abcdef0123456789abcdef01234567")));
        assert!(!is_hash(Path::new("c/seed-open")));
        assert!(!is_hash(Path::new("c/credit-overflow")));
    }
}
