//! From people's files to renditions that can be served.
//!
//! Files are strangers, and what reads them is large: each file is decoded and
//! encoded by a process of its own ([`Worker`]), with limits on its time and
//! memory, and what it sends back is checked before it is believed.
//!
//! Doing it again changes nothing: a file is known by the hash of its bytes,
//! and everything made from it is a function of those bytes and the service's
//! content key.

mod child;
mod files;
mod frames;
mod keep;
mod limits;
mod parent;

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use antiphon_catalog::{AddTrackError, Added, DatabaseError};
use antiphon_media::{DecodeLimits, KeystreamError};
use antiphon_store::AddError;
use antiphon_types::{BlobSizeError, RenditionError, TrackId};

use crate::service::Service;
use files::{hash_of, open_regular};
use keep::keep;

pub(crate) use child::{ChildArgs, run as run_child};
pub use files::find_files;
pub use limits::ChildLimits;
pub use parent::{ChildError, Worker};

/// What became of a file.
#[derive(Debug)]
pub enum Outcome {
    /// It is a new track.
    Added {
        /// Its id.
        track: TrackId,
        /// What it is called.
        name: String,
    },
    /// It was ingested before.
    AlreadyThere {
        /// Its id.
        track: TrackId,
    },
    /// It cannot be ingested; the rest goes on.
    Skipped(SkipReason),
}

/// Why a file cannot be ingested.
#[derive(Debug, thiserror::Error)]
pub enum SkipReason {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is larger than is allowed.
    #[error("the file has more than the {0} bytes that are allowed")]
    TooLarge(u64),
    /// Nothing came of it in the process that decodes and encodes.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// A temporary file cannot be used.
    #[error("a temporary file in the data folder cannot be used: {0}")]
    Temporary(#[source] io::Error),
    /// Something gave way under it.
    #[error("it made the server panic; please report it")]
    Panicked,
    /// What was made of it cannot be kept.
    #[error("its blob cannot be written: {0}")]
    Blob(#[from] AddError),
    /// It cannot be entered in the catalogue.
    #[error("it cannot be entered in the catalogue: {0}")]
    Catalog(#[from] AddTrackError),
    /// The catalogue cannot be read.
    #[error("the catalogue cannot be read: {0}")]
    Database(#[from] DatabaseError),
    /// It is longer than can be encrypted under one key.
    #[error("it cannot be encrypted: {0}")]
    Cipher(#[from] KeystreamError),
    /// Its encoding came out wrong; a fault of this program.
    #[error("its encoding is inconsistent: {0}")]
    Rendition(#[from] RenditionError),
    /// Its encoding has an absurd length; a fault of this program.
    #[error("its encoding has an absurd length: {0}")]
    Size(#[from] BlobSizeError),
}

/// Told of each file as it goes.
pub trait Observer: Sync {
    /// A file is `share` (0 to 1) done.
    fn progress(&self, path: &Path, share: f32);
    /// A file is done with.
    fn done(&self, path: &Path, outcome: &Outcome);
}

/// Ingests files, `jobs` at a time.
pub fn ingest_files(
    service: &Service,
    worker: &Worker,
    files: Vec<PathBuf>,
    jobs: usize,
    observer: &dyn Observer,
) {
    let queue = Mutex::new(VecDeque::from(files));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(path) = next() {
                    // What panics on one file must not end the rest.
                    let attempt =
                        AssertUnwindSafe(|| ingest_file(service, worker, &path, observer));
                    let outcome = match catch_unwind(attempt) {
                        Ok(outcome) => outcome.unwrap_or_else(Outcome::Skipped),
                        Err(_) => Outcome::Skipped(SkipReason::Panicked),
                    };
                    observer.done(&path, &outcome);
                }
            });
        }
    });
}

fn ingest_file(
    service: &Service,
    worker: &Worker,
    path: &Path,
    observer: &dyn Observer,
) -> Result<Outcome, SkipReason> {
    let file = open_regular(path)?;
    let limit = DecodeLimits::default().max_file_bytes;
    let source_hash = hash_of(&file, limit)?.ok_or(SkipReason::TooLarge(limit))?;
    let track = service.keys.track_id(&source_hash);
    if let Some(known) = service.catalog.track(track)?
        && known.renditions.iter().all(|known| service.origin.is_whole(known.blob))
    {
        return Ok(Outcome::AlreadyThere { track });
    }
    let name = path.file_name().unwrap_or_default();
    let made = worker.make(file, name, &|share| observer.progress(path, share))?;
    let new_track = keep(service, track, source_hash, made)?;
    let name = name_of(&new_track.tags.artist, &new_track.tags.title);
    match service.catalog.add_track(&new_track)? {
        Added::New => Ok(Outcome::Added { track, name }),
        Added::AlreadyThere => Ok(Outcome::AlreadyThere { track }),
    }
}

/// "Artist – Title", or what there is of it.
pub(crate) fn name_of(artist: &str, title: &str) -> String {
    match artist {
        "" => title.to_owned(),
        _ => format!("{artist} – {title}"),
    }
}
