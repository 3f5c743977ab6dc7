//! What goes in and what comes out.

use antiphon_types::{Bitrate, BlobId, NodeId, TrackId};

/// What a track is called. What is not known is empty or 0.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tags {
    /// Title of the track.
    pub title: String,
    /// Artist of the track.
    pub artist: String,
    /// Album that it is on.
    pub album: String,
    /// Artist of the album, where that is another one.
    pub album_artist: String,
    /// Place on its disc, from 1.
    pub track_number: u32,
    /// Disc of the album, from 1.
    pub disc_number: u32,
    /// Year of release.
    pub year: u32,
    /// Genre.
    pub genre: String,
    /// International Standard Recording Code (ISO 3901).
    pub isrc: String,
}

/// What was measured by EBU R128, and what was done about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness of the source, in LUFS; minus infinity for silence.
    pub source_lufs: f64,
    /// True peak of the source, in dBTP; minus infinity for silence.
    pub source_true_peak_dbtp: f64,
    /// Gain applied before encoding, in dB.
    pub gain_db: f64,
}

/// A cover picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// BLAKE3 hash of `bytes`.
    pub hash: [u8; 32],
    /// Media type, such as `image/jpeg`.
    pub mime: String,
    /// The picture's file.
    pub bytes: Vec<u8>,
}

/// Which cover a track has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverRef {
    /// BLAKE3 hash of the picture's file.
    pub hash: [u8; 32],
    /// Media type, such as `image/jpeg`.
    pub mime: String,
}

/// One encoding of a track, as far as the catalogue must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// Nominal bitrate, one rendition for each.
    pub bitrate: Bitrate,
    /// The blob that holds it, encrypted.
    pub blob: BlobId,
    /// Length of the blob in bytes.
    pub bytes: u64,
    /// Samples of one channel.
    pub samples: u64,
    /// BLAKE3 hash of the plaintext, of which its key is derived.
    pub plaintext_hash: [u8; 32],
}

/// A track to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTrack {
    /// Its name.
    pub id: TrackId,
    /// Hash of the bytes of the ingested file: the same file is added once.
    pub source_hash: [u8; 32],
    /// What it is called.
    pub tags: Tags,
    /// Its length in samples of one channel.
    pub samples: u64,
    /// How loud it was and was made.
    pub loudness: Loudness,
    /// Its cover picture; one that several tracks share is kept once.
    pub cover: Option<Cover>,
    /// Its encodings.
    pub renditions: Vec<Rendition>,
    /// The signed manifest, encoded.
    pub manifest: Vec<u8>,
    /// When it was added, in ms since 1970.
    pub added_at_ms: u64,
}

/// A track as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Its name.
    pub id: TrackId,
    /// Hash of the bytes of the ingested file.
    pub source_hash: [u8; 32],
    /// What it is called.
    pub tags: Tags,
    /// Its length in samples of one channel.
    pub samples: u64,
    /// How loud it was and was made.
    pub loudness: Loudness,
    /// Its cover; see [`Catalog::cover`](crate::Catalog::cover).
    pub cover: Option<CoverRef>,
    /// Its encodings, from the lowest bitrate.
    pub renditions: Vec<Rendition>,
    /// The signed manifest, encoded.
    pub manifest: Vec<u8>,
    /// When it was added, in ms since 1970.
    pub added_at_ms: u64,
}

/// A track in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSummary {
    /// Its name.
    pub id: TrackId,
    /// Title of the track.
    pub title: String,
    /// Artist of the track.
    pub artist: String,
    /// Album that it is on.
    pub album: String,
    /// Its length in samples of one channel.
    pub samples: u64,
}

/// What became of a track to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is in the catalogue now.
    New,
    /// A track of the same source file was there before and is unchanged; see
    /// [`Catalog::track_by_source`](crate::Catalog::track_by_source).
    AlreadyThere,
}

/// A device that may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its key.
    pub node: NodeId,
    /// What its owner calls it.
    pub name: String,
    /// Tier of its tickets.
    pub tier: u32,
    /// When it was first registered, in ms since 1970.
    pub registered_at_ms: u64,
    /// When it was last seen, in ms since 1970.
    pub last_seen_ms: u64,
}

/// Bytes of audio by where they came from (B67), each counted once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BytesBySource {
    /// From the listener's own cache.
    pub cache: u64,
    /// From other listeners.
    pub peers: u64,
    /// From an HTTP edge.
    pub edge: u64,
    /// From the server.
    pub server: u64,
}

/// One play of a track, as the client tells it.
///
/// Figures that no play can have are cut: bytes of a source to 2^36 (the
/// longest blob), durations to a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayRecord {
    /// Drawn by the client: telling the same play again counts once.
    pub id: [u8; 16],
    /// The device that played.
    pub device: NodeId,
    /// What it played.
    pub track: TrackId,
    /// At which bitrate.
    pub bitrate: Bitrate,
    /// When it began, in ms since 1970 by the client's clock.
    pub started_at_ms: u64,
    /// How much was heard, in ms.
    pub listened_ms: u64,
    /// Where the bytes came from.
    pub bytes: BytesBySource,
    /// From the click to the first byte, in µs; `None` if none came over a
    /// network.
    pub first_byte_us: Option<u64>,
    /// From the click to the first sample, in µs; `None` if nothing was heard.
    pub first_sound_us: Option<u64>,
    /// How often it stalled.
    pub stalls: u32,
    /// How long it stalled in all, in µs.
    pub stalled_us: u64,
    /// Whether it was heard to the end.
    pub finished: bool,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It counts from now on.
    New,
    /// It was there before and counts once.
    AlreadyThere,
}

/// A peer that sent a block that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPeer {
    /// The peer's key of that session.
    pub peer: NodeId,
    /// The device that says so.
    pub reporter: NodeId,
    /// The blob.
    pub blob: BlobId,
    /// Index of the block.
    pub block: u32,
    /// When the report came, in ms since 1970.
    pub at_ms: u64,
}

/// What all plays come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// How many there were.
    pub plays: u64,
    /// Where their bytes came from.
    pub bytes: BytesBySource,
}

/// How far listeners are named to each other, in the whole catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// The share of tracks whose listeners are named to each other, 0 to 100.
    /// A new catalogue has 100.
    pub percent: u8,
    /// How many others must hold a rendition before any of them is named; 0
    /// and 1 come to the same. A new catalogue has 0.
    pub smallest_swarm: u8,
}

/// Whether listeners may have a blob from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobSharing {
    /// The track that it is a rendition of. Where several sound the same, the
    /// one added first among those that decide.
    pub track: TrackId,
    /// Whether all tracks that it is of allow it.
    pub allowed: bool,
    /// What holds for the whole catalogue.
    pub catalog: Sharing,
}
