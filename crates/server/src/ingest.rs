//! From people's files to renditions that can be served.
//!
//! Doing it again changes nothing: a file is known by the hash of its bytes,
//! and everything made from it is a function of those bytes and the service's
//! content key.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use antiphon_catalog::{AddTrackError, Added, DatabaseError, NewTrack, Tags};
use antiphon_media::{
    DecodeLimits, EncodedTrack, IngestError, KeystreamError, RenditionKey, apply_keystream,
    encode_file,
};
use antiphon_net::{sign_manifest, wall_clock_ms};
use antiphon_store::{AddError, hash};
use antiphon_types::{BlobSizeError, Rendition, RenditionError, TrackId};
use antiphon_wire::proto::{self, Message as _};
use bytes::Bytes;

use crate::service::Service;

/// What lies beside music and is not meant to be played.
const SIDECARS: [&str; 22] = [
    "jpg", "jpeg", "png", "gif", "webp", "bmp", "txt", "md", "cue", "log", "m3u", "m3u8", "pls",
    "xspf", "nfo", "pdf", "html", "xml", "json", "sfv", "md5", "lrc",
];

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
    /// It is not music that we understand.
    #[error("{0}")]
    NotMusic(#[from] IngestError),
    /// A decoder or encoder gave way under it.
    #[error("it made the decoder or an encoder panic; please report it")]
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

/// Finds the files under some paths, in order of name. What is named itself
/// is taken whatever it is called; in folders, sidecars and hidden files are
/// passed over and links are not followed.
pub fn find_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            find_in_folder(path, &mut found);
        } else {
            found.push(path.clone());
        }
    }
    found
}

fn find_in_folder(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let Ok(kind) = path.symlink_metadata().map(|metadata| metadata.file_type()) else {
            continue;
        };
        if hidden {
            continue;
        } else if kind.is_dir() {
            find_in_folder(&path, found);
        } else if kind.is_file() && !is_sidecar(&path) {
            found.push(path);
        }
    }
}

fn is_sidecar(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        SIDECARS.iter().any(|sidecar| sidecar.eq_ignore_ascii_case(extension))
    })
}

/// Ingests files, `jobs` at a time.
pub fn ingest_files(service: &Service, files: Vec<PathBuf>, jobs: usize, observer: &dyn Observer) {
    let queue = Mutex::new(VecDeque::from(files));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(path) = next() {
                    // A decoder that panics on one file must not end the rest.
                    let attempt = AssertUnwindSafe(|| ingest_file(service, &path, observer));
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
    path: &Path,
    observer: &dyn Observer,
) -> Result<Outcome, SkipReason> {
    let source_hash = hash_file(path)?;
    let track = service.keys.track_id(&source_hash);
    if let Some(known) = service.catalog.track(track)?
        && known.renditions.iter().all(|known| service.origin.is_whole(known.blob))
    {
        return Ok(Outcome::AlreadyThere { track });
    }
    let encoded = encode_file(path, &DecodeLimits::default(), &|share| {
        observer.progress(path, share);
    })?;
    let new_track = keep(service, track, source_hash, encoded)?;
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

fn hash_file(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(*hasher.finalize().as_bytes())
}

/// Encrypts and keeps the renditions, and describes the track.
fn keep(
    service: &Service,
    track: TrackId,
    source_hash: [u8; 32],
    encoded: EncodedTrack,
) -> Result<NewTrack, SkipReason> {
    let mut described = Vec::new();
    let mut renditions = Vec::new();
    for rendition in encoded.renditions {
        let plaintext_hash = *hash(&rendition.bytes).as_bytes();
        let key = RenditionKey::derive(&service.keys.content, &plaintext_hash);
        let mut bytes = rendition.bytes;
        apply_keystream(&key, 0, &mut bytes)?;
        let (blob, size) = service.origin.add(&bytes)?;
        let plain = Rendition::new(
            rendition.bitrate,
            blob,
            size,
            rendition.header_bytes,
            rendition.samples,
            rendition.segments,
        )?;
        described.push(proto::Rendition::from(&plain));
        renditions.push(antiphon_catalog::Rendition {
            bitrate: rendition.bitrate,
            blob,
            bytes: size.bytes(),
            samples: rendition.samples,
            plaintext_hash,
        });
    }
    let tags = catalogued(encoded.tags);
    let cover = encoded.cover.map(|cover| antiphon_catalog::Cover {
        hash: *blake3::hash(&cover.bytes).as_bytes(),
        mime: cover.mime.to_owned(),
        bytes: cover.bytes,
    });
    let loudness = antiphon_catalog::Loudness {
        source_lufs: encoded.loudness.lufs,
        source_true_peak_dbtp: encoded.loudness.true_peak_dbtp,
        gain_db: encoded.loudness.gain_db,
    };
    let manifest = describe(track, &tags, loudness, cover.as_ref(), described);
    Ok(NewTrack {
        id: track,
        source_hash,
        tags,
        samples: encoded.duration_samples,
        loudness,
        cover,
        renditions,
        manifest: sign_manifest(&service.keys.node, &manifest).encode_to_vec(),
        added_at_ms: wall_clock_ms(),
    })
}

fn catalogued(tags: antiphon_media::Tags) -> Tags {
    Tags {
        title: tags.title,
        artist: tags.artist.unwrap_or_default(),
        album: tags.album.unwrap_or_default(),
        album_artist: tags.album_artist.unwrap_or_default(),
        track_number: tags.track_number.unwrap_or(0),
        disc_number: tags.disc_number.unwrap_or(0),
        year: tags.year.unwrap_or(0),
        genre: tags.genre.unwrap_or_default(),
        isrc: tags.isrc.unwrap_or_default(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "decibels need no more than 32 bits")]
fn describe(
    track: TrackId,
    tags: &Tags,
    loudness: antiphon_catalog::Loudness,
    cover: Option<&antiphon_catalog::Cover>,
    renditions: Vec<proto::Rendition>,
) -> proto::Manifest {
    proto::Manifest {
        track: Bytes::copy_from_slice(track.as_bytes()),
        title: tags.title.clone(),
        artist: tags.artist.clone(),
        album: tags.album.clone(),
        album_artist: tags.album_artist.clone(),
        track_number: tags.track_number,
        disc_number: tags.disc_number,
        year: tags.year,
        genre: tags.genre.clone(),
        isrc: tags.isrc.clone(),
        loudness: Some(proto::Loudness {
            source_lufs: loudness.source_lufs as f32,
            source_true_peak_dbtp: loudness.source_true_peak_dbtp as f32,
            gain_db: loudness.gain_db as f32,
        }),
        cover: cover.map(|cover| Bytes::copy_from_slice(&cover.hash)).unwrap_or_default(),
        cover_mime: cover.map(|cover| cover.mime.clone()).unwrap_or_default(),
        renditions,
    }
}
