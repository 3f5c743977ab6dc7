//! The programs of the fuzz workspace.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::{env, fs};

use cargo_metadata::semver::Version;

use super::{Target, folder};
use crate::failure::{Context as _, Failure, Result};
use crate::workspace::cargo;
use crate::{binaries, floors};

/// What `cargo fuzz` gives to the compiler for its coverage: a counter for each
/// edge, and a look at what is compared with what. The release profile of
/// `fuzz/Cargo.toml` does the rest.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // How deep the stack grew; only ELF has what it needs.
    #[cfg(target_os = "linux")]
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
    // Branches that are folded into one cannot be told apart.
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Builds every program, in the order of `fuzz/Cargo.toml`.
pub(super) fn programs() -> Result<Vec<Target>> {
    check_compiler()?;
    eprintln!("fuzz: building the programs");
    let manifest = folder("Cargo.toml");
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--bins", "--manifest-path"]).arg(&manifest);
    // With a target named, build scripts and macros are not counted.
    build.args(["--target", &host()?]);
    build.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"));
    let built = binaries::executables(&mut build)?;

    let text = fs::read_to_string(&manifest).context(|| format!("read {}", manifest.display()))?;
    let mut targets = Vec::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")) {
        let name = name.trim_end_matches(".rs\"");
        let program = built.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
        let program = program.ok_or_else(|| Failure::new(format!("cargo built no `{name}`")))?;
        targets.push(Target { name: name.to_owned(), program: program.clone() });
    }
    Ok(targets)
}

/// libFuzzer comes as C++ source.
fn check_compiler() -> Result<()> {
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut version = Command::new(&compiler);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match version.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(format!(
            "libFuzzer is written in C++, and `{}` is no compiler for it",
            compiler.display()
        ))
        .hint("install one (Debian: g++; macOS: the command line tools), or name it in CXX")),
    }
}

/// The platform of this compiler, as `--target` wants it.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context(|| "start rustc".to_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("rustc -vV names no host"))
}

/// Checks that what is fuzzed is built from the versions that were reviewed.
///
/// # Errors
///
/// Names each crate that `fuzz/Cargo.lock` has in another version than the
/// workspace.
pub fn check_versions() -> Result<()> {
    let path = folder("Cargo.lock");
    let lock = fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
    let faults = faults(&floors::committed()?, &floors::locked(&lock)?);
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(faults.join("\n")).hint(
        "`cp Cargo.lock fuzz/Cargo.lock`, then `cargo metadata --manifest-path \
         fuzz/Cargo.toml > fuzz/target/metadata`, which drops what is not used there",
    ))
}

fn faults(reviewed: &[(String, Version)], used: &[(String, Version)]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for (name, version) in reviewed {
        versions.entry(name).or_default().push(version);
    }
    let strange = used.iter().filter(|(name, version)| {
        versions.get(name.as_str()).is_some_and(|known| !known.contains(&version))
    });
    strange
        .map(|(name, version)| {
            format!("fuzz/ uses {name} {version}, which Cargo.lock does not name")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_caught_and_a_crate_of_its_own_is_not() {
        let locked = |rows: &[(&str, &str)]| -> Vec<(String, Version)> {
            rows.iter()
                .map(|(name, version)| ((*name).to_owned(), version.parse().unwrap()))
                .collect()
        };
        let reviewed = locked(&[("bytes", "1.12.0"), ("rand", "0.9.0"), ("rand", "0.10.0")]);
        let good = locked(&[("bytes", "1.12.0"), ("rand", "0.9.0"), ("libfuzzer-sys", "0.4.0")]);
        assert!(faults(&reviewed, &good).is_empty());
        let bad = locked(&[("bytes", "1.12.1")]);
        assert_eq!(
            faults(&reviewed, &bad),
            ["fuzz/ uses bytes 1.12.1, which Cargo.lock does not name"]
        );
    }

    #[test]
    fn the_lock_files_agree() {
        check_versions().unwrap();
    }
}
