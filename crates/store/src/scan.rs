//! Finding out what is on disk when a store is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use antiphon_types::{BlobId, BlobSize, BlockSet};

use crate::blob::Blob;
use crate::common::{Common, data_path, meta_path};
use crate::disk::{self, BESIDE, DiskFile, FileError};
use crate::meta::{self, BadHeader};

/// What is on disk.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) blobs: Vec<Arc<Blob>>,
    /// Blobs of later format versions, and which.
    pub(crate) refused: BTreeMap<BlobId, u32>,
}

/// Reads the header and bitmap of every blob, and clears away what crashes and
/// damage left. A file whose name we would not give is left alone.
pub(crate) fn scan(common: &Arc<Common>) -> Result<Found, FileError> {
    let names: BTreeSet<String> = disk::list(&common.folder)?.into_iter().collect();
    let mut found = Found::default();
    for name in &names {
        match name.split_once('.').and_then(|(id, kind)| Some((canonical_id(id)?, kind))) {
            Some((id, "meta")) if names.contains(&format!("{id}.data")) => {
                look_at(common, id, &mut found);
            }
            Some((id, "meta")) => clear_away(&meta_path(&common.folder, id)),
            Some((id, "data")) if !names.contains(&format!("{id}.meta")) => {
                clear_away(&data_path(&common.folder, id));
            }
            Some((_, kind)) if kind.ends_with(&format!(".{BESIDE}")) => {
                clear_away(&common.folder.join(name));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The id that a file name begins with, if it is spelt as we would.
fn canonical_id(text: &str) -> Option<BlobId> {
    text.parse().ok().filter(|id: &BlobId| id.to_string() == text)
}

fn look_at(common: &Arc<Common>, id: BlobId, found: &mut Found) {
    match read_claims(&common.folder, id) {
        Ok((size, have)) => found.blobs.push(Arc::new(Blob::found(common, id, size, have))),
        Err(Bad::Header(BadHeader::UnknownVersion(version))) => {
            found.refused.insert(id, version);
        }
        Err(Bad::Header(BadHeader::Damaged)) => {
            // Nothing in it can be found again; it will be fetched again.
            clear_away(&meta_path(&common.folder, id));
            clear_away(&data_path(&common.folder, id));
        }
        // The disk fails now, and may not tomorrow.
        Err(Bad::Unreadable) => {}
    }
}

enum Bad {
    Header(BadHeader),
    Unreadable,
}

impl From<FileError> for Bad {
    fn from(error: FileError) -> Self {
        if error.is_missing() { Self::Header(BadHeader::Damaged) } else { Self::Unreadable }
    }
}

/// The size of a blob, and the blocks that it claims to have.
fn read_claims(folder: &Path, id: BlobId) -> Result<(BlobSize, BlockSet), Bad> {
    let file = DiskFile::open(&meta_path(folder, id))?;
    let mut header = [0; meta::HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    let size = meta::parse_header(id, &header).map_err(Bad::Header)?;
    let mut bitmap = vec![0; meta::bitmap_bytes(size)];
    file.read_at(&mut bitmap, meta::bit_offset(0))?;
    Ok((size, meta::parse_bitmap(size, &bitmap)))
}

fn clear_away(path: &Path) {
    // On a disk that may not be written it stays, and does no harm.
    let _ = disk::remove(path);
}
