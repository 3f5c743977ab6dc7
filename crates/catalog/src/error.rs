//! What can go wrong, by operation.

use std::path::PathBuf;

use antiphon_types::{NodeId, TrackId};

/// The database failed: a full disk, a lock held for too long, damage.
#[derive(Debug, thiserror::Error)]
#[error(
    "the catalogue's database failed: {0}; check that its disk has room, that its folder can be written, and that no other program holds it"
)]
pub struct DatabaseError(rusqlite::Error);

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error)
    }
}

/// Why a catalogue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can be neither opened nor made.
    #[error(
        "cannot open the catalogue {path}: {reason}; check that the folder exists and can be written"
    )]
    Unreachable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is something else.
    #[error("this file is no catalogue; give the path of another file, it is left as it is")]
    NotACatalog,
    /// The file was written by a newer version.
    #[error(
        "the catalogue has schema version {found} and this program knows versions up to {known}; use a newer program, the file is left as it is"
    )]
    Newer {
        /// The version of the file.
        found: u32,
        /// The latest version known here.
        known: u32,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a track is not added.
#[derive(Debug, thiserror::Error)]
pub enum AddTrackError {
    /// Another source has this id already.
    #[error("track {0} is there already with another source; draw another id")]
    IdTaken(TrackId),
    /// A measured figure is not a number.
    #[error("the loudness of track {0} is not a number; measure it again")]
    Loudness(TrackId),
    /// The database failed, and nothing was added.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a device is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterDeviceError {
    /// There are as many as there may be.
    #[error("{0} devices are registered, as many as allowed; raise Limits::devices")]
    Full(u64),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a play is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordPlayError {
    /// The device is not registered.
    #[error("device {0} is not registered; it must log in before its plays count")]
    UnknownDevice(NodeId),
    /// There is no such track.
    #[error("there is no track {0}; a play of it cannot count, drop the record")]
    UnknownTrack(TrackId),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why a report of a bad peer is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordBadPeerError {
    /// The reporter is not registered.
    #[error("device {0} is not registered; its reports do not count, drop this one")]
    UnknownDevice(NodeId),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Lets `?` turn a failed statement into the error of the operation.
macro_rules! from_statement {
    ($($error:ty),+) => {
        $(impl From<rusqlite::Error> for $error {
            fn from(error: rusqlite::Error) -> Self {
                Self::Database(DatabaseError(error))
            }
        })+
    };
}

from_statement!(OpenError, AddTrackError, RegisterDeviceError, RecordPlayError, RecordBadPeerError);
