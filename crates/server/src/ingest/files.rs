//! Which files are music, and how they are opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

/// What lies beside music and is not meant to be played.
const SIDECARS: [&str; 22] = [
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "txt", "md", "cue", "log", "m3u", "m3u8", "pls",
    "xspf", "nfo", "pdf", "html", "xml", "json", "sfv", "md5", "lrc",
];

/// Finds the files under some paths, in order of name. What is named itself
/// is taken whatever it is called; in folders, sidecars and hidden files are
/// passed over and links are not followed.
pub fn find_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            find_in_folder(path, &mut found);
        } else {
            found.push(path.clone());
        }
    }
    found
}

fn find_in_folder(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let Ok(kind) = path.symlink_metadata().map(|metadata| metadata.file_type()) else {
            continue;
        };
        if hidden {
            continue;
        } else if kind.is_dir() {
            find_in_folder(&path, found);
        } else if kind.is_file() && !is_sidecar(&path) {
            found.push(path);
        }
    }
}

fn is_sidecar(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        SIDECARS.iter().any(|sidecar| sidecar.eq_ignore_ascii_case(extension))
    })
}

/// Opens a file for reading if it is a regular one. Never waits, not even for
/// a pipe that nobody writes to.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file"));
    }
    Ok(file)
}

/// The hash of a file's bytes, of `limit` of them at most; leaves it at its
/// start. `None` if it has more.
pub(super) fn hash_of(mut file: &File, limit: u64) -> io::Result<Option<[u8; 32]>> {
    if file.metadata()?.len() > limit {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(&mut file.take(limit.saturating_add(1)), &mut hasher)?;
    file.rewind()?;
    Ok((bytes <= limit).then(|| *hasher.finalize().as_bytes()))
}
