//! From columns to values.

use antiphon_types::{Bitrate, BlobId, NodeId, TrackId};
use rusqlite::{Result, Row};

use crate::{Cover, CoverRef, Device, Loudness, Rendition, Sharing, Tags, Track, TrackSummary};

pub(crate) fn bitrate(row: &Row<'_>, column: &str) -> Result<Bitrate> {
    let kbps: u32 = row.get(column)?;
    let index = row.as_ref().column_index(column)?;
    Bitrate::from_kbps(kbps).ok_or(rusqlite::Error::IntegralValueOutOfRange(index, i64::from(kbps)))
}

pub(crate) fn track_id(row: &Row<'_>, column: &str) -> Result<TrackId> {
    row.get(column).map(TrackId::new)
}

/// A row of `tracks` joined with the media type of its cover (`cover_mime`);
/// its renditions are in another table.
pub(crate) fn track(row: &Row<'_>) -> Result<Track> {
    let cover = match row.get("cover")? {
        Some(hash) => Some(CoverRef { hash, mime: row.get("cover_mime")? }),
        None => None,
    };
    Ok(Track {
        id: track_id(row, "id")?,
        source_hash: row.get("source_hash")?,
        tags: tags(row)?,
        samples: row.get("samples")?,
        loudness: Loudness {
            source_lufs: row.get("source_lufs")?,
            source_true_peak_dbtp: row.get("source_true_peak_dbtp")?,
            gain_db: row.get("gain_db")?,
        },
        cover,
        renditions: Vec::new(),
        manifest: row.get("manifest")?,
        added_at_ms: row.get("added_at_ms")?,
    })
}

fn tags(row: &Row<'_>) -> Result<Tags> {
    Ok(Tags {
        title: row.get("title")?,
        artist: row.get("artist")?,
        album: row.get("album")?,
        album_artist: row.get("album_artist")?,
        track_number: row.get("track_number")?,
        disc_number: row.get("disc_number")?,
        year: row.get("year")?,
        genre: row.get("genre")?,
        isrc: row.get("isrc")?,
    })
}

pub(crate) fn track_summary(row: &Row<'_>) -> Result<TrackSummary> {
    Ok(TrackSummary {
        id: track_id(row, "id")?,
        title: row.get("title")?,
        artist: row.get("artist")?,
        album: row.get("album")?,
        samples: row.get("samples")?,
    })
}

pub(crate) fn rendition(row: &Row<'_>) -> Result<Rendition> {
    Ok(Rendition {
        bitrate: bitrate(row, "kbps")?,
        blob: row.get("blob").map(BlobId::new)?,
        bytes: row.get("bytes")?,
        samples: row.get("samples")?,
        plaintext_hash: row.get("plaintext_hash")?,
    })
}

pub(crate) fn cover(row: &Row<'_>) -> Result<Cover> {
    Ok(Cover { hash: row.get("hash")?, mime: row.get("mime")?, bytes: row.get("bytes")? })
}

pub(crate) fn device(row: &Row<'_>) -> Result<Device> {
    Ok(Device {
        node: row.get("node").map(NodeId::new)?,
        name: row.get("name")?,
        tier: row.get("tier")?,
        registered_at_ms: row.get("registered_at_ms")?,
        last_seen_ms: row.get("last_seen_ms")?,
    })
}

pub(crate) fn sharing(row: &Row<'_>) -> Result<Sharing> {
    Ok(Sharing { percent: row.get("percent")?, smallest_swarm: row.get("smallest_swarm")? })
}
