//! Packs every crate that is published, and builds each from its package and
//! those of the crates it uses, not from the folders beside it.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use cargo_metadata::Package;

use crate::failure::{Context as _, Failure, Result};
use crate::workspace::{self, cargo};

/// Packs and builds them.
///
/// # Errors
///
/// A crate that does not build from what would be published.
pub fn run() -> Result<()> {
    let metadata = workspace::metadata()?;
    // `publish = false` is an empty list of registries.
    let (kept, published): (Vec<&Package>, Vec<&Package>) = metadata
        .workspace_packages()
        .into_iter()
        .partition(|member| member.publish.as_ref().is_some_and(Vec::is_empty));
    forget_verified(&published)?;

    let mut package = cargo();
    package.args(["package", "--workspace", "--locked", "--allow-dirty"]);
    for member in kept {
        package.args(["--exclude", &member.name]);
    }
    workspace::run(&mut package)
}

/// Makes cargo unpack and build these packages again.
///
/// While it verifies, cargo takes the packages from a registry in the target
/// folder, named by that folder's path, unpacks them in its home under that
/// name, and builds them from there. A registry's package of one version never
/// changes, it believes: a later clone in the same place, or a later commit in
/// the same clone, would be built with the sources of the earlier one.
fn forget_verified(packages: &[&Package]) -> Result<()> {
    let sources = cargo_home()?.join("registry/src");
    // A registry in a folder has no host, which the name of another begins with.
    for registry in entries(&sources)? {
        let name = registry.file_name().unwrap_or_default();
        for package in packages.iter().filter(|_| name.as_encoded_bytes().starts_with(b"-")) {
            remove(&registry.join(format!("{}-{}", package.name, package.version)))?;
        }
    }
    let from_a_folder = sources.join("-");
    let built = workspace::target_folder()?.join("debug");
    for listing in entries(&built.join("deps"))? {
        let Some(unit) = unit_of(&listing, packages) else { continue };
        let used =
            fs::read_to_string(&listing).context(|| format!("read {}", listing.display()))?;
        if used.contains(&*from_a_folder.to_string_lossy()) {
            remove(&built.join(".fingerprint").join(unit))?;
        }
    }
    Ok(())
}

/// The fingerprint that belongs to a list of dependencies, where that is of one
/// of `packages`: `antiphon_mesh-0a1b.d` to `antiphon-mesh-0a1b`.
fn unit_of(listing: &Path, packages: &[&Package]) -> Option<String> {
    let (crate_name, hash) = listing.file_name()?.to_str()?.strip_suffix(".d")?.split_once('-')?;
    let package = packages.iter().find(|package| package.name.replace('-', "_") == crate_name)?;
    Some(format!("{}-{hash}", package.name))
}

/// Removes a folder, if it is there.
fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What is in a folder; nothing when it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let named = || format!("list {}", folder.display());
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.context(named)?.map(|entry| Ok(entry.context(named)?.path())).collect(),
    }
}

fn cargo_home() -> Result<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .ok_or_else(|| Failure::new("neither CARGO_HOME nor a home folder is known"))
}
