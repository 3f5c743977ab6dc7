//! Whether listeners are named to each other.

use antiphon_types::{BlobId, TrackId};
use rusqlite::OptionalExtension;

use crate::{BlobSharing, Catalog, DatabaseError, Sharing, rows};

impl Catalog {
    /// What holds for the whole catalogue.
    pub fn sharing(&self) -> Result<Sharing, DatabaseError> {
        let sharing = self.connection().query_row(
            "SELECT percent, smallest_swarm FROM sharing",
            [],
            rows::sharing,
        )?;
        Ok(sharing)
    }

    /// Changes what holds for the whole catalogue, at once and for good. A
    /// `percent` above 100 is taken for 100.
    pub fn set_sharing(&self, sharing: Sharing) -> Result<(), DatabaseError> {
        self.connection().execute(
            "UPDATE sharing SET percent = ?1, smallest_swarm = ?2",
            [sharing.percent.min(100), sharing.smallest_swarm],
        )?;
        Ok(())
    }

    /// Allows or forbids listeners to have a track from each other; false if
    /// there is no such track.
    pub fn set_track_sharing(&self, track: TrackId, allowed: bool) -> Result<bool, DatabaseError> {
        let changed = self.connection().execute(
            "UPDATE tracks SET peers = ?2 WHERE id = ?1",
            rusqlite::params![track.as_bytes(), allowed],
        )?;
        Ok(changed == 1)
    }

    /// How many tracks listeners may not have from each other.
    pub fn unshared_tracks(&self) -> Result<u64, DatabaseError> {
        let count = self.connection().query_row(
            "SELECT count(*) FROM tracks WHERE peers = 0",
            [],
            |row| row.get(0),
        )?;
        Ok(count)
    }

    /// What holds for a blob; `None` if it is of no track here. Where several
    /// tracks share it, one that forbids sharing decides.
    pub fn blob_sharing(&self, blob: BlobId) -> Result<Option<BlobSharing>, DatabaseError> {
        let found = self
            .connection()
            .query_row(
                "SELECT tracks.id, tracks.peers, percent, smallest_swarm
                 FROM renditions JOIN tracks ON tracks.number = track CROSS JOIN sharing
                 WHERE blob = ?1 ORDER BY tracks.peers, track LIMIT 1",
                [blob.as_bytes()],
                |row| {
                    Ok(BlobSharing {
                        track: rows::track_id(row, "id")?,
                        allowed: row.get("peers")?,
                        catalog: rows::sharing(row)?,
                    })
                },
            )
            .optional()?;
        Ok(found)
    }

    /// A number that is another whenever somebody else has changed the catalogue
    /// since it was asked for last: another process, or another [`Catalog`]. What
    /// is remembered of it is then to be looked up again.
    pub fn changes_by_others(&self) -> Result<u64, DatabaseError> {
        let version = self.connection().query_row("PRAGMA data_version", [], |row| row.get(0))?;
        Ok(version)
    }
}
