//! A rendition as a plain Ogg file, so that anyone can decode and compare.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use antiphon_catalog::DatabaseError;
use antiphon_media::{RenditionKey, apply_keystream};
use antiphon_types::{Bitrate, TrackId};

use crate::service::Service;

/// Why a rendition cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The catalogue failed.
    #[error("the catalogue failed: {0}")]
    Catalog(#[from] DatabaseError),
    /// There is no such track.
    #[error("there is no track {0}; `antiphon-server list` shows what there is")]
    NoTrack(TrackId),
    /// The blob is gone, or damaged.
    #[error(
        "the blob of {track} at {kbps} kbit/s is missing or damaged: {reason}; ingest the file again"
    )]
    Blob {
        /// The track.
        track: TrackId,
        /// The bitrate.
        kbps: u32,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write the file: {0}")]
    Write(#[from] io::Error),
}

/// Decrypts a rendition, block by verified block, into a file.
pub fn export(
    service: &Service,
    track: TrackId,
    bitrate: Bitrate,
    file: &Path,
) -> Result<u64, ExportError> {
    let entry = service.catalog.track(track)?.ok_or(ExportError::NoTrack(track))?;
    let damaged = |reason: String| ExportError::Blob { track, kbps: bitrate.kbps(), reason };
    let rendition = entry
        .renditions
        .iter()
        .find(|rendition| rendition.bitrate == bitrate)
        .ok_or_else(|| damaged("it is not in the catalogue".to_owned()))?;
    let blob =
        service.origin.get(rendition.blob).ok_or_else(|| damaged("the file is gone".to_owned()))?;
    let key = RenditionKey::derive(&service.keys.content, &rendition.plaintext_hash);
    let mut out = BufWriter::new(File::create(file)?);
    for block in blob.size().blocks() {
        let data = blob.read(block.get()).map_err(|error| damaged(error.to_string()))?;
        let mut data = data.to_vec();
        apply_keystream(&key, block.offset(), &mut data)
            .map_err(|error| damaged(error.to_string()))?;
        out.write_all(&data)?;
    }
    out.flush()?;
    Ok(blob.size().bytes())
}
