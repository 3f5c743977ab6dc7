//! What was played, and what went wrong.

use antiphon_types::NodeId;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use crate::{
    BadPeer, BytesBySource, Catalog, DatabaseError, PlayRecord, RecordBadPeerError,
    RecordPlayError, Recorded, Totals, devices,
};

/// No play takes more bytes from a source than the longest blob has. It also
/// keeps sums over a hundred million plays within 64 bits, whatever is told.
const MAX_SOURCE_BYTES: u64 = 1 << 36;
/// No part of a play is longer than a week.
const MAX_DURATION_MS: u64 = 7 * 24 * 3_600 * 1_000;
const MAX_DURATION_US: u64 = MAX_DURATION_MS * 1_000;
/// The year 10000, beyond which no clock goes.
const MAX_TIME_MS: u64 = 253_402_300_800_000;

impl Catalog {
    /// Records a play, once: telling it again changes nothing, even if the
    /// figures differ.
    pub fn record_play(&self, play: &PlayRecord) -> Result<Recorded, RecordPlayError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let device = devices::number_of(&transaction, play.device)?
            .ok_or(RecordPlayError::UnknownDevice(play.device))?;
        let track: i64 = transaction
            .query_row("SELECT number FROM tracks WHERE id = ?1", [play.track.as_bytes()], |row| {
                row.get(0)
            })
            .optional()?
            .ok_or(RecordPlayError::UnknownTrack(play.track))?;
        let inserted = insert_play(&transaction, device, track, play)?;
        transaction.commit()?;
        Ok(if inserted == 1 { Recorded::New } else { Recorded::AlreadyThere })
    }

    /// What all plays come to.
    pub fn totals(&self) -> Result<Totals, DatabaseError> {
        let totals = self.connection().query_row(
            "SELECT count(*) AS plays,
                 coalesce(sum(bytes_cache), 0) AS cache, coalesce(sum(bytes_peers), 0) AS peers,
                 coalesce(sum(bytes_edge), 0) AS edge, coalesce(sum(bytes_server), 0) AS server
             FROM plays",
            [],
            |row| {
                let bytes = BytesBySource {
                    cache: row.get("cache")?,
                    peers: row.get("peers")?,
                    edge: row.get("edge")?,
                    server: row.get("server")?,
                };
                Ok(Totals { plays: row.get("plays")?, bytes })
            },
        )?;
        Ok(totals)
    }

    /// Records that a peer sent a block that does not verify; the same report
    /// counts once. The oldest reports make room for new ones.
    pub fn record_bad_peer(&self, report: &BadPeer) -> Result<Recorded, RecordBadPeerError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let reporter = devices::number_of(&transaction, report.reporter)?
            .ok_or(RecordBadPeerError::UnknownDevice(report.reporter))?;
        let inserted = transaction.execute(
            "INSERT INTO bad_peers (peer, reporter, blob, block, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![
                report.peer.as_bytes(),
                reporter,
                report.blob.as_bytes(),
                report.block,
                report.at_ms.min(MAX_TIME_MS),
            ],
        )?;
        if inserted == 0 {
            return Ok(Recorded::AlreadyThere);
        }
        self.drop_oldest_reports(&transaction, reporter)?;
        transaction.commit()?;
        Ok(Recorded::New)
    }

    /// How many devices have reported `peer`, as far as reports are kept.
    pub fn bad_peer_reporters(&self, peer: NodeId) -> Result<u64, DatabaseError> {
        let count = self.connection().query_row(
            "SELECT count(DISTINCT reporter) FROM bad_peers WHERE peer = ?1",
            [peer.as_bytes()],
            |row| row.get(0),
        )?;
        Ok(count)
    }

    /// Keeps the reports of one device and of all within their limits, after
    /// one was inserted.
    fn drop_oldest_reports(
        &self,
        transaction: &Transaction<'_>,
        reporter: i64,
    ) -> rusqlite::Result<()> {
        let newest = transaction.last_insert_rowid();
        transaction.execute(
            "DELETE FROM bad_peers WHERE reporter = ?1 AND number <= (
                 SELECT number FROM bad_peers WHERE reporter = ?1
                 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            params![reporter, self.limits.bad_peer_reports_per_device],
        )?;
        transaction.execute(
            "DELETE FROM bad_peers WHERE number <= ?1 - ?2",
            params![newest, self.limits.bad_peer_reports],
        )?;
        Ok(())
    }
}

/// Answers with the number of rows inserted: 0 if it was there before.
fn insert_play(
    transaction: &Transaction<'_>,
    device: i64,
    track: i64,
    play: &PlayRecord,
) -> rusqlite::Result<usize> {
    transaction.execute(
        "INSERT INTO plays (
             device, id, track, kbps, started_at_ms, listened_ms,
             bytes_cache, bytes_peers, bytes_edge, bytes_server,
             first_byte_us, first_sound_us, stalls, stalled_us, finished)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (device, id) DO NOTHING",
        params![
            device,
            play.id,
            track,
            play.bitrate.kbps(),
            play.started_at_ms.min(MAX_TIME_MS),
            play.listened_ms.min(MAX_DURATION_MS),
            play.bytes.cache.min(MAX_SOURCE_BYTES),
            play.bytes.peers.min(MAX_SOURCE_BYTES),
            play.bytes.edge.min(MAX_SOURCE_BYTES),
            play.bytes.server.min(MAX_SOURCE_BYTES),
            play.first_byte_us.map(|us| us.min(MAX_DURATION_US)),
            play.first_sound_us.map(|us| us.min(MAX_DURATION_US)),
            play.stalls,
            play.stalled_us.min(MAX_DURATION_US),
            play.finished,
        ],
    )
}
