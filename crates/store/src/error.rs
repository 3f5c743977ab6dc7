//! What can go wrong, one type for each operation.

use std::path::PathBuf;

use antiphon_types::BlobSize;

use crate::disk::FileError;
use crate::tree::VerifyError;

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use by another process: end that one, or choose another folder", path = .0.display())]
    InUse(PathBuf),
    /// A later version of this crate wrote it. Nothing was changed.
    #[error("{path} has format version {version}: open it with a newer program, or choose another folder", path = path.display())]
    UnknownVersion {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A file or folder could not be read or made.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why a blob was not begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Even without all that may be evicted there would be no room for it.
    #[error("no room for {needed} bytes in a budget of {budget}: unpin something, or allow more")]
    NoRoom {
        /// Bytes that it would take when complete.
        needed: u64,
        /// The budget in bytes.
        budget: u64,
    },
    /// Blocks of it are there, and they were put under another size. One of the
    /// two sizes is wrong; remove the blob if it is the older.
    #[error("the blob is here with {there} bytes, not {asked}", there = there.bytes(), asked = asked.bytes())]
    OtherSize {
        /// The size it was begun with.
        there: BlobSize,
        /// The size it was now to have.
        asked: BlobSize,
    },
    /// A later version of this crate wrote it; it is kept.
    #[error("the blob is here in format version {0}: use a newer program, or remove the blob")]
    UnknownVersion(u32),
    /// Its files could not be made.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why a block was not stored.
///
/// After [`NoRoom`](Self::NoRoom) and [`Io`](Self::Io) the block *is* verified,
/// and may be played; it is only not kept. After all others it is not.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The blob is not here: begin it first. It may have been evicted.
    #[error("the blob was not begun, or is gone again")]
    NotBegun,
    /// The blob has no block of this number.
    #[error("the blob has no such block")]
    OutOfRange,
    /// The data is longer or shorter than that block.
    #[error("the data is not as long as the block")]
    WrongLength,
    /// Proof and data do not lead to the blob's hash. Nothing was changed.
    #[error("the block does not belong to this blob: drop it, and do not ask its sender again")]
    Unverified,
    /// All else in the store is pinned or held.
    #[error("no room for the block: unpin something, or allow more")]
    NoRoom,
    /// The block could not be written.
    #[error(transparent)]
    Io(#[from] FileError),
    /// The block was not checked, because the process has no file or no memory to
    /// read with what is known of the blob. Try again.
    #[error("the block could not be checked: {0}")]
    NotChecked(#[source] FileError),
}

impl From<VerifyError> for PutError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::OutOfRange => Self::OutOfRange,
            VerifyError::WrongLength => Self::WrongLength,
            VerifyError::Unverified => Self::Unverified,
        }
    }
}

/// Why a block or its proof was not read. To the caller it is as good as
/// missing, for now.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why a blob was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It is being played or served: try again later.
    #[error("the blob is being played or served: try again later")]
    Held,
    /// Its files could not be removed.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why a blob was not added to an [`Origin`](crate::Origin).
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It is empty or absurdly large.
    #[error(transparent)]
    Size(#[from] antiphon_types::BlobSizeError),
    /// It could not be written. What there was is still there.
    #[error(transparent)]
    Io(#[from] FileError),
    /// What was to be added could not be read.
    #[error("what was to be added cannot be read: {0}")]
    Source(#[source] std::io::Error),
}

/// Why an [`Origin`](crate::Origin) does not give a block.
#[derive(Debug, thiserror::Error)]
pub enum OriginReadError {
    /// The blob has no block of this number.
    #[error("the blob has no block {0}")]
    OutOfRange(u32),
    /// The file was altered: restore it, or add the blob again.
    #[error(
        "block {0} of the blob was altered on disk: restore the file, or ingest the track again"
    )]
    Damaged(u32),
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] FileError),
}
