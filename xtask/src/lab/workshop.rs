//! The folder in which a lab's programs keep their files and logs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context as _, Failure, Result};

/// A folder that goes with this value, unless somebody wants to keep it.
pub(super) enum Workshop {
    Passing(tempfile::TempDir),
    Kept(PathBuf),
}

impl Workshop {
    /// A new folder, or the one to keep.
    ///
    /// # Errors
    ///
    /// The folder cannot be made, or holds something: what programs find of an earlier
    /// run, blocks in a cache above all, they need not fetch.
    pub(super) fn open(keep: Option<&Path>) -> Result<Self> {
        let Some(keep) = keep else { return Ok(Self::Passing(tempfile::tempdir()?)) };
        let named = || format!("open {}", keep.display());
        fs::create_dir_all(keep).context(named)?;
        if fs::read_dir(keep).context(named)?.next().is_some() {
            let used = Failure::new(format!("{} is not empty", keep.display()));
            return Err(used.hint("name a folder that is new"));
        }
        Ok(Self::Kept(keep.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Passing(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_an_earlier_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("new/folder");
        assert_eq!(Workshop::open(Some(&keep)).unwrap().path(), keep);
        assert!(Workshop::open(Some(&keep)).is_ok(), "it is still empty");
        fs::write(keep.join("cache"), "block").unwrap();
        assert!(Workshop::open(Some(&keep)).is_err());
        let passing = Workshop::open(None).unwrap().path().to_owned();
        assert!(!passing.exists());
    }
}
