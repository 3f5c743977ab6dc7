//! Adding tracks and finding them by name.

use antiphon_types::{Bitrate, BlobId, TrackId};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, params};

use crate::{
    AddTrackError, Added, Catalog, Cover, DatabaseError, NewTrack, Rendition, Track, rows,
};

impl Catalog {
    /// Adds a track with its renditions and its cover, all or nothing.
    ///
    /// A track of the same source file is left as it is.
    pub fn add_track(&self, track: &NewTrack) -> Result<Added, AddTrackError> {
        let loudness = &track.loudness;
        // SQLite would keep it as "no value" and complain about that instead.
        if loudness.source_lufs.is_nan()
            || loudness.source_true_peak_dbtp.is_nan()
            || loudness.gain_db.is_nan()
        {
            return Err(AddTrackError::Loudness(track.id));
        }
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if exists(&transaction, "SELECT 1 FROM tracks WHERE source_hash = ?1", &track.source_hash)?
        {
            return Ok(Added::AlreadyThere);
        }
        if exists(&transaction, "SELECT 1 FROM tracks WHERE id = ?1", track.id.as_bytes())? {
            return Err(AddTrackError::IdTaken(track.id));
        }
        if let Some(cover) = &track.cover {
            insert_cover(&transaction, cover)?;
        }
        let number = insert_track(&transaction, track)?;
        for rendition in &track.renditions {
            insert_rendition(&transaction, number, rendition)?;
        }
        transaction.commit()?;
        Ok(Added::New)
    }

    /// The track of that name.
    pub fn track(&self, id: TrackId) -> Result<Option<Track>, DatabaseError> {
        find_track(&self.connection(), "id", id.as_bytes())
    }

    /// The track that was made from a file with that hash.
    pub fn track_by_source(&self, source_hash: [u8; 32]) -> Result<Option<Track>, DatabaseError> {
        find_track(&self.connection(), "source_hash", &source_hash)
    }

    /// The track that has this blob as a rendition, and which one. Where
    /// several tracks sound the same and share it, the one added first.
    pub fn rendition_owner(
        &self,
        blob: BlobId,
    ) -> Result<Option<(TrackId, Bitrate)>, DatabaseError> {
        let owner = self
            .connection()
            .query_row(
                "SELECT tracks.id, kbps FROM renditions JOIN tracks ON tracks.number = track
                 WHERE blob = ?1 ORDER BY track, kbps LIMIT 1",
                [blob.as_bytes()],
                |row| Ok((rows::track_id(row, "id")?, rows::bitrate(row, "kbps")?)),
            )
            .optional()?;
        Ok(owner)
    }

    /// The cover with that hash.
    pub fn cover(&self, hash: [u8; 32]) -> Result<Option<Cover>, DatabaseError> {
        let cover = self
            .connection()
            .query_row("SELECT hash, mime, bytes FROM covers WHERE hash = ?1", [hash], rows::cover)
            .optional()?;
        Ok(cover)
    }

    /// How many tracks there are.
    pub fn count(&self) -> Result<u64, DatabaseError> {
        let count =
            self.connection().query_row("SELECT count(*) FROM tracks", [], |row| row.get(0))?;
        Ok(count)
    }
}

fn exists(connection: &Connection, query: &str, key: &dyn ToSql) -> rusqlite::Result<bool> {
    connection.query_row(query, [key], |_| Ok(())).optional().map(|row| row.is_some())
}

fn find_track(
    connection: &Connection,
    key: &'static str,
    value: &dyn ToSql,
) -> Result<Option<Track>, DatabaseError> {
    let query = format!(
        "SELECT tracks.*, covers.mime AS cover_mime FROM tracks
         LEFT JOIN covers ON covers.hash = tracks.cover WHERE tracks.{key} = ?1"
    );
    let found = connection
        .query_row(&query, [value], |row| Ok((row.get("number")?, rows::track(row)?)))
        .optional()?;
    let Some((number, mut track)) = found else { return Ok(None) };
    track.renditions = renditions(connection, number)?;
    Ok(Some(track))
}

fn renditions(connection: &Connection, track: i64) -> rusqlite::Result<Vec<Rendition>> {
    connection
        .prepare("SELECT * FROM renditions WHERE track = ?1 ORDER BY kbps")?
        .query_map([track], rows::rendition)?
        .collect()
}

fn insert_cover(transaction: &Transaction<'_>, cover: &Cover) -> rusqlite::Result<usize> {
    transaction.execute(
        "INSERT INTO covers (hash, mime, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (hash) DO NOTHING",
        params![cover.hash, cover.mime, cover.bytes],
    )
}

/// Answers with the number of its row.
fn insert_track(transaction: &Transaction<'_>, track: &NewTrack) -> rusqlite::Result<i64> {
    let (tags, loudness) = (&track.tags, &track.loudness);
    transaction.execute(
        "INSERT INTO tracks (
             id, source_hash, title, artist, album, album_artist, track_number, disc_number,
             year, genre, isrc, samples, source_lufs, source_true_peak_dbtp, gain_db,
             cover, manifest, added_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        params![
            track.id.as_bytes(),
            track.source_hash,
            tags.title,
            tags.artist,
            tags.album,
            tags.album_artist,
            tags.track_number,
            tags.disc_number,
            tags.year,
            tags.genre,
            tags.isrc,
            track.samples,
            loudness.source_lufs,
            loudness.source_true_peak_dbtp,
            loudness.gain_db,
            track.cover.as_ref().map(|cover| cover.hash),
            track.manifest,
            track.added_at_ms,
        ],
    )?;
    Ok(transaction.last_insert_rowid())
}

fn insert_rendition(
    transaction: &Transaction<'_>,
    track: i64,
    rendition: &Rendition,
) -> rusqlite::Result<usize> {
    transaction.execute(
        "INSERT INTO renditions (track, kbps, blob, bytes, samples, plaintext_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            track,
            rendition.bitrate.kbps(),
            rendition.blob.as_bytes(),
            rendition.bytes,
            rendition.samples,
            rendition.plaintext_hash,
        ],
    )
}
