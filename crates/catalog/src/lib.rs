//! Tracks, search, devices and plays of a music server.
//!
//! Everything that a server must find again after a restart and that is not
//! audio: what the tracks are called, which blob holds which rendition, who may
//! log in, what was played. It stands in one SQLite file.
//!
//! Read [`Catalog`] first, which has all the calls, and [`NewTrack`], which
//! shows what is known of a track.
//!
//! ```
//! use antiphon_catalog::{Added, Catalog, Loudness, NewTrack, Rendition, Tags};
//! use antiphon_types::{Bitrate, BlobId, TrackId};
//!
//! let catalog = Catalog::open_in_memory()?;
//! let track = NewTrack {
//!     id: TrackId::new([1; 16]),
//!     source_hash: [2; 32],
//!     tags: Tags { title: "Été".into(), artist: "Nina".into(), ..Tags::default() },
//!     samples: 44_100 * 180,
//!     loudness: Loudness { source_lufs: -9.5, source_true_peak_dbtp: 0.3, gain_db: -4.5 },
//!     cover: None,
//!     renditions: vec![Rendition {
//!         bitrate: Bitrate::Kbps160,
//!         blob: BlobId::new([3; 32]),
//!         bytes: 3_600_000,
//!         samples: 44_100 * 180,
//!         plaintext_hash: [4; 32],
//!     }],
//!     manifest: vec![0xa5; 64],
//!     added_at_ms: 1_700_000_000_000,
//! };
//! assert_eq!(catalog.add_track(&track)?, Added::New);
//! assert_eq!(catalog.add_track(&track)?, Added::AlreadyThere);
//!
//! let found = catalog.search("nina ete", 20, 0)?;
//! assert_eq!(found[0].title, "Été");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it leaves to others
//!
//! It has no clock: times are arguments, in milliseconds since 1970. It does
//! not decide who may do what, and it does not read manifests: to it they are
//! bytes. How often a client may call is the server's to limit.
//!
//! Calls block for as long as the disk takes. From asynchronous code they
//! belong on a thread for blocking work.
//!
//! # Durability
//!
//! The database runs in WAL mode with `synchronous = NORMAL`. A crash of the
//! process loses nothing that a call has confirmed. A power failure may lose
//! the last calls, never a part of one, and never the file: ingesting again or
//! a client that tells its plays again mends it.

mod devices;
mod error;
mod model;
mod plays;
mod rows;
mod schema;
mod search;
mod sharing;
mod tracks;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

pub use error::{
    AddTrackError, DatabaseError, OpenError, RecordBadPeerError, RecordPlayError,
    RegisterDeviceError,
};
pub use model::{
    Added, BadPeer, BlobSharing, BytesBySource, Cover, CoverRef, Device, Loudness, NewTrack,
    PlayRecord, Recorded, Rendition, Sharing, Tags, Totals, Track, TrackSummary,
};
pub use search::MAX_PAGE;

/// How far clients can make the catalogue grow.
///
/// What only the operator adds, such as tracks, has no bound here; neither have
/// plays, since every one is owed to an artist: how many a client may report
/// in an hour is for the server to limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Devices registered. Default 1,000,000: on an open server anyone can
    /// make keys without end, and a row takes about 200 bytes.
    pub devices: u64,
    /// Reports of bad peers kept, the newest. Default 100,000: enough to judge
    /// peers by, whose keys live for a session.
    pub bad_peer_reports: u32,
    /// Reports of bad peers kept of one device, the newest. Default 100: one
    /// device alone cannot push out what others say.
    pub bad_peer_reports_per_device: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { devices: 1_000_000, bad_peer_reports: 100_000, bad_peer_reports_per_device: 100 }
    }
}

/// The catalogue of a server.
///
/// It can be shared between threads. Calls go through one connection, one
/// after another; several processes may have the same file open.
#[derive(Debug)]
pub struct Catalog {
    connection: Mutex<Connection>,
    limits: Limits,
}

impl Catalog {
    /// Opens the catalogue in the file `path`, and makes it if there is none.
    ///
    /// A file from an older version is brought to this one's schema; one from
    /// a newer version is refused and left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Limits::default())
    }

    /// Opens the catalogue in the file `path` with other limits.
    pub fn open_with(path: impl AsRef<Path>, limits: Limits) -> Result<Self, OpenError> {
        let connection = schema::open(path.as_ref())?;
        Ok(Self { connection: Mutex::new(connection), limits })
    }

    /// A catalogue that is gone when it is dropped.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let connection = schema::open_in_memory()?;
        Ok(Self { connection: Mutex::new(connection), limits: Limits::default() })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked left no transaction open: dropping one rolls
        // it back. So the connection is as good as new.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
