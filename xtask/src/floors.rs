//! The oldest versions of our dependencies that may be locked, and crates that
//! may not be used at all.
//!
//! The reason beside each row is the advisory or the defect that set it. Every
//! version in `Cargo.lock` counts, also of crates that only another platform
//! or a test builds. What the benchmark's peers lock counts too, and where
//! they share a crate with the workspace, they have to share its version.

use std::fs;

use cargo_metadata::semver::Version;

use crate::failure::{Context as _, Failure, Result};
use crate::workspace;

/// Crate, oldest version that may be locked, why.
const FLOORS: &[(&str, &str, &str)] = &[
    ("bytes", "1.11.1", "RUSTSEC-2026-0007"),
    ("crossbeam-channel", "0.5.15", "double free"),
    ("curve25519-dalek", "4.1.3", "RUSTSEC-2024-0344"),
    ("h2", "0.4.17", "RUSTSEC-2026-0258, 2024-0332, 2024-0003, 2023-0034"),
    ("lru", "0.18.2", "use after free on panic"),
    ("quinn-proto", "0.11.15", "RUSTSEC-2026-0185, 2026-0037, 2024-0373, 2023-0063"),
    ("redb", "4.3.0", "silent rollback and double-crash defects"),
    ("ring", "0.17.12", "RUSTSEC-2025-0009"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399, 2024-0336"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0104, 2026-0099, 2026-0098, 2026-0049"),
    ("snow", "0.9.5", "RUSTSEC-2024-0011"),
    ("symphonia", "0.6.0", "hangs, unbounded memory and panics on hostile files"),
    ("tar", "0.4.45", "links, modes and paths escape the folder"),
    ("time", "0.3.47", "RUSTSEC-2026-0009"),
    ("tokio", "1.44.2", "RUSTSEC-2025-0023"),
    ("tracing-subscriber", "0.3.20", "escape sequences reach the log"),
    ("yamux", "0.13.10", "CVE-2026-32314, CVE-2026-31814, CVE-2024-32984"),
    ("zip", "2.3.0", "links and paths escape the folder"),
];

/// Crate, the versions that are refused (all of them, if none is named), why.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("append-only-vec", &["0.1.9"], "hijacked release"),
    ("arrayref", &["0.3.10"], "hijacked release, RUSTSEC-2026-0260"),
    ("bincode", &[], "unmaintained"),
    ("internment", &["0.8.7"], "hijacked release"),
    ("lmdb", &[], "unmaintained; heed instead"),
    ("mp3-metadata", &[], "panics on hostile files"),
    ("quick-xml", &[], "quadratic and unbounded parsing: set its floor here before it is used"),
    ("rsa", &[], "Marvin attack, not mended"),
];

/// The other `Cargo.lock` that is committed.
const PEERS_LOCK: &str = "xtask/peers/Cargo.lock";

/// Checks every version in both committed `Cargo.lock`s.
///
/// # Errors
///
/// Names each crate that is below its floor or refused, or that the peers use
/// in another version than the workspace.
pub fn check() -> Result<()> {
    let (committed, peers) = (committed()?, read(PEERS_LOCK)?);
    let faults = [faults(&committed), faults(&peers)].concat();
    if !faults.is_empty() {
        return Err(Failure::new(faults.join("\n"))
            .hint("`cargo tree --invert NAME` says who wants it; `cargo update NAME` raises it"));
    }
    let strays = strays(&committed, &peers);
    if strays.is_empty() {
        return Ok(());
    }
    Err(Failure::new(strays.join("\n")).hint(format!(
        "copy Cargo.lock over {PEERS_LOCK}; `cargo metadata --manifest-path \
         xtask/peers/Cargo.toml` completes it"
    )))
}

/// Names and versions in the committed `Cargo.lock`.
///
/// # Errors
///
/// It is missing or not understood.
pub(crate) fn committed() -> Result<Vec<(String, Version)>> {
    read("Cargo.lock")
}

/// Names and versions in a `Cargo.lock` of this repository.
fn read(path: &str) -> Result<Vec<(String, Version)>> {
    let path = workspace::root().join(path);
    locked(&fs::read_to_string(&path).context(|| format!("read {}", path.display()))?)
}

/// Names and versions in the text of a `Cargo.lock`.
///
/// # Errors
///
/// It names no package, or a version that is none.
pub(crate) fn locked(lock: &str) -> Result<Vec<(String, Version)>> {
    let mut packages = Vec::new();
    let mut name = None;
    for line in lock.lines() {
        if let Some(value) = quoted(line, "name = ") {
            name = Some(value.to_owned());
        } else if let (Some(value), Some(name)) = (quoted(line, "version = "), name.take()) {
            let version = Version::parse(value).context(|| format!("version {value} of {name}"))?;
            packages.push((name, version));
        }
    }
    if packages.is_empty() {
        return Err(Failure::new("Cargo.lock names no package"));
    }
    Ok(packages)
}

/// The value in a line `KEY "VALUE"`.
fn quoted<'line>(line: &'line str, key: &str) -> Option<&'line str> {
    line.strip_prefix(key)?.strip_prefix('"')?.strip_suffix('"')
}

fn faults(locked: &[(String, Version)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, version) in locked {
        if let Some((_, floor, why)) = FLOORS.iter().find(|(row, ..)| row == name) {
            let floor = Version::parse(floor).expect("the table is tested");
            if *version < floor {
                faults.push(format!("{name} {version} is below {floor}: {why}"));
            } else if !version.pre.is_empty() {
                faults.push(format!("{name} {version} is a pre-release, and {name} is watched"));
            }
        }
        if let Some((_, versions, why)) = REFUSED.iter().find(|(row, ..)| row == name)
            && (versions.is_empty() || versions.contains(&version.to_string().as_str()))
        {
            faults.push(format!("{name} {version} is not to be used: {why}"));
        }
    }
    faults
}

/// Crates that the peers use in a version that could be the workspace's, and
/// is not: then both sides of a benchmark are not what is shipped.
fn strays(workspace: &[(String, Version)], peers: &[(String, Version)]) -> Vec<String> {
    let mut strays = Vec::new();
    for (name, version) in peers {
        let alike =
            |(other, reviewed): &&(String, Version)| other == name && compatible(reviewed, version);
        let mut reviewed = workspace.iter().filter(alike).map(|(_, reviewed)| reviewed).peekable();
        if let Some(first) = reviewed.peek().copied()
            && reviewed.all(|reviewed| reviewed != version)
        {
            strays.push(format!("{PEERS_LOCK} names {name} {version}, Cargo.lock {first}"));
        }
    }
    strays
}

/// Whether cargo would take one for the other.
fn compatible(one: &Version, other: &Version) -> bool {
    let significant = |version: &Version| match (version.major, version.minor) {
        (0, 0) => (0, 0, version.patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    };
    significant(one) == significant(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(name: &str, version: &str) -> Vec<String> {
        let lock = format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        faults(&locked(&lock).unwrap())
    }

    #[test]
    fn the_committed_lock_files_are_above_the_floors() {
        check().unwrap();
    }

    #[test]
    fn every_floor_is_a_version() {
        for (name, floor, _) in FLOORS {
            assert!(faults_of(name, floor).is_empty(), "{name} {floor}");
        }
    }

    #[test]
    fn a_version_below_its_floor_is_named_with_the_reason() {
        assert_eq!(faults_of("snow", "0.9.4"), ["snow 0.9.4 is below 0.9.5: RUSTSEC-2024-0011"]);
    }

    #[test]
    fn a_pre_release_of_a_watched_crate_is_refused() {
        assert_eq!(faults_of("rustls", "0.24.0-dev.0").len(), 1);
    }

    #[test]
    fn refused_crates_and_releases_are_caught() {
        assert_eq!(faults_of("rsa", "0.9.10").len(), 1);
        assert_eq!(faults_of("arrayref", "0.3.10").len(), 1);
        assert!(faults_of("arrayref", "0.3.9").is_empty());
    }

    fn strays_between(workspace: &str, peers: &str) -> usize {
        let one = |version: &str| vec![("tokio".to_owned(), Version::parse(version).unwrap())];
        strays(&one(workspace), &one(peers)).len()
    }

    #[test]
    fn the_peers_share_the_versions_of_what_they_share() {
        assert_eq!(strays_between("1.54.1", "1.54.1"), 0);
        assert_eq!(strays_between("1.54.1", "1.54.0"), 1);
        assert_eq!(strays_between("0.3.1", "0.3.2"), 1);
        assert_eq!(strays_between("0.3.1", "0.4.0"), 0, "both can be locked side by side");
    }

    #[test]
    fn a_lock_file_that_names_nothing_is_no_pass() {
        assert!(locked("version = 4\n").is_err());
    }
}
