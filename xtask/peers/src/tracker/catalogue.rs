//! A catalogue of invented blobs, for a server that is asked who holds them.

use std::path::Path;

use antiphon_catalog::{Catalog, Loudness, NewTrack, Rendition, Tags};
use antiphon_types::{Bitrate, BlobId, TrackId};

use super::blob_id;
use crate::Result;

/// Writes `blobs` renditions of invented tracks into a server's folder.
pub(super) fn write(folder: &Path, blobs: u32) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let catalog = Catalog::open(folder.join("catalog.sqlite"))?;
    let bitrates = [Bitrate::Kbps96, Bitrate::Kbps160, Bitrate::Kbps320];
    for (number, first) in (0..blobs).step_by(bitrates.len()).enumerate() {
        let rendition = |(bitrate, blob)| Rendition {
            bitrate,
            blob: BlobId::new(blob_id(blob)),
            bytes: 3_600_000,
            samples: 44_100 * 180,
            plaintext_hash: blob_id(blob),
        };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        catalog.add_track(&NewTrack {
            id: TrackId::new(id),
            source_hash: blob_id(first),
            tags: Tags { title: format!("Track {number}"), ..Tags::default() },
            samples: 44_100 * 180,
            loudness: Loudness { source_lufs: -9.5, source_true_peak_dbtp: 0.3, gain_db: -4.5 },
            cover: None,
            renditions: bitrates.into_iter().zip(first..blobs).map(rendition).collect(),
            manifest: vec![0xa5; 64],
            added_at_ms: 1_700_000_000_000,
        })?;
    }
    Ok(())
}
