//! Finding out what is on disk when a store is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use antiphon_types::{BlobId, BlobSize, BlockSet};

use crate::blob::Blob;
use crate::common::{Common, DATA, HEAD, ONE_FILE};
use crate::disk::{self, BESIDE, DiskFile, FileError};
use crate::head::{self, BadHeader, Layout};

/// Heads that are read at a time: a cold disk answers many questions at once
/// about as fast as one.
const READERS: usize = 8;
/// Blobs that one reader alone looks at.
const LEAST_SHARE: usize = 256;

/// What is on disk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) blobs: Vec<Arc<Blob>>,
    /// Blobs of later format versions, and which.
    pub(crate) refused: BTreeMap<BlobId, u32>,
}

/// Reads the header and bitmap of every blob, and clears away what crashes and
/// damage left. A file whose name we would not give is left alone.
///
/// # Errors
///
/// The folder cannot be listed; or the process lacks what it takes to open a
/// file: a blob that is left out for that would be begun anew, and lost.
pub(crate) fn scan(common: &Arc<Common>) -> Result<Found, FileError> {
    let names: BTreeSet<String> = disk::list(&*common.disk, &common.folder)?.into_iter().collect();
    let mut candidates = Vec::new();
    for name in &names {
        let has = |id: BlobId, kind| names.contains(&format!("{id}.{kind}"));
        match name.split_once('.').and_then(|(id, kind)| Some((canonical_id(id)?, kind))) {
            Some((id, ONE_FILE)) => candidates.push((Layout::OneFile, id)),
            Some((id, HEAD)) if has(id, DATA) && !has(id, ONE_FILE) => {
                candidates.push((Layout::TwoFiles, id));
            }
            Some((id, DATA)) if has(id, HEAD) && !has(id, ONE_FILE) => {}
            Some((_, HEAD | DATA)) => clear_away(common, name),
            Some((_, kind)) if kind.ends_with(&format!(".{BESIDE}")) => clear_away(common, name),
            _ => {}
        }
    }
    look_at_all(common, &candidates)
}

/// The id that a file name begins with, if it is spelt as we would.
fn canonical_id(text: &str) -> Option<BlobId> {
    text.parse().ok().filter(|id: &BlobId| id.to_string() == text)
}

fn look_at_all(common: &Arc<Common>, candidates: &[(Layout, BlobId)]) -> Result<Found, FileError> {
    let share = candidates.len().div_ceil(READERS).max(LEAST_SHARE);
    if candidates.len() <= share {
        return look_at(common, candidates);
    }
    let mut found = Found::default();
    thread::scope(|scope| {
        let readers: Vec<_> = candidates
            .chunks(share)
            .map(|part| {
                let reader = thread::Builder::new().spawn_scoped(scope, || look_at(common, part));
                (part, reader)
            })
            .collect();
        for (part, reader) in readers {
            let part = match reader.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(part)) => part?,
                // There is no thread to be had.
                _ => look_at(common, part)?,
            };
            found.blobs.extend(part.blobs);
            found.refused.extend(part.refused);
        }
        Ok(found)
    })
}

fn look_at(common: &Arc<Common>, candidates: &[(Layout, BlobId)]) -> Result<Found, FileError> {
    let mut found = Found::default();
    for &(layout, id) in candidates {
        match read_claims(common, layout, id) {
            Ok((size, have)) => {
                found.blobs.push(Arc::new(Blob::found(common, layout, id, size, have)));
            }
            Err(Bad::Header(BadHeader::UnknownVersion(version))) => {
                found.refused.insert(id, version);
            }
            // Nothing in it can be found again; it will be fetched again.
            Err(Bad::Header(BadHeader::Damaged)) => clear_away_blob(common, layout, id),
            Err(Bad::Unreadable(error)) if error.is_passing() => return Err(error),
            // The disk fails now, and may not tomorrow.
            Err(Bad::Unreadable(_)) => {}
        }
    }
    Ok(found)
}

enum Bad {
    Header(BadHeader),
    Unreadable(FileError),
}

impl From<FileError> for Bad {
    fn from(error: FileError) -> Self {
        match error.is_missing() {
            true => Self::Header(BadHeader::Damaged),
            false => Self::Unreadable(error),
        }
    }
}

/// The size of a blob, and the blocks that it claims to have.
fn read_claims(common: &Common, layout: Layout, id: BlobId) -> Result<(BlobSize, BlockSet), Bad> {
    let path = common.path_of_head(layout, id);
    let file = disk::open_to_read(&*common.disk, &path)?;
    let read = |len, offset| read_part(&*file, len, offset).map_err(FileError::at("read", &path));
    let header = read(head::HEADER_BYTES, 0)?;
    let header = header.first_chunk().ok_or(Bad::Header(BadHeader::Damaged))?;
    let size = head::parse_header(layout, id, header).map_err(Bad::Header)?;
    let bitmap = read(head::bitmap_bytes(size), head::bit_offset(0))?;
    Ok((size, head::parse_bitmap(size, &bitmap)))
}

fn read_part(file: &dyn DiskFile, len: usize, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    file.read_at(&mut bytes, len, offset)?;
    Ok(bytes)
}

fn clear_away_blob(common: &Common, layout: Layout, id: BlobId) {
    match layout {
        Layout::OneFile => clear_away(common, &format!("{id}.{ONE_FILE}")),
        Layout::TwoFiles => {
            clear_away(common, &format!("{id}.{HEAD}"));
            clear_away(common, &format!("{id}.{DATA}"));
        }
    }
}

fn clear_away(common: &Common, name: &str) {
    // On a disk that may not be written it stays, and does no harm.
    let _ = disk::remove(&*common.disk, &common.folder.join(name));
}
