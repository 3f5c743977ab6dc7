//! From what a child made to a track of the catalogue.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use antiphon_catalog::{NewTrack, Tags};
use antiphon_media::{RenditionKey, apply_keystream};
use antiphon_net::{sign_manifest, wall_clock_ms};
use antiphon_types::{Rendition, TrackId};
use antiphon_wire::proto::{self, Message as _};
use bytes::Bytes;

use super::SkipReason;
use super::parent::Made;
use crate::service::Service;

/// Bytes that are encrypted at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Encrypts and keeps the renditions, and describes the track.
pub(super) fn keep(
    service: &Service,
    track: TrackId,
    source_hash: [u8; 32],
    made: Made,
) -> Result<NewTrack, SkipReason> {
    let mut described = Vec::new();
    let mut renditions = Vec::new();
    for made in made.renditions {
        let (rendition, plaintext_hash) = (made.rendered, made.plaintext_hash);
        let key = RenditionKey::derive(&service.keys.content, &plaintext_hash);
        encrypt(&made.file, &key)?;
        let (blob, size) = service.origin.add_from(&made.file)?;
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
    let tags = catalogued(made.tags);
    let cover = made.cover.map(|cover| antiphon_catalog::Cover {
        hash: *blake3::hash(&cover.bytes).as_bytes(),
        mime: cover.mime.to_owned(),
        bytes: cover.bytes,
    });
    let loudness = antiphon_catalog::Loudness {
        source_lufs: made.loudness.lufs,
        source_true_peak_dbtp: made.loudness.true_peak_dbtp,
        gain_db: made.loudness.gain_db,
    };
    let manifest = describe(track, &tags, loudness, cover.as_ref(), described);
    Ok(NewTrack {
        id: track,
        source_hash,
        tags,
        samples: made.samples,
        loudness,
        cover,
        renditions,
        manifest: sign_manifest(&service.keys.node, &manifest).encode_to_vec(),
        added_at_ms: wall_clock_ms(),
    })
}

/// Encrypts a file where it stands.
fn encrypt(mut file: &File, key: &RenditionKey) -> Result<(), SkipReason> {
    let mut at = 0;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        piece.clear();
        file.seek(SeekFrom::Start(at)).map_err(SkipReason::Temporary)?;
        file.take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(SkipReason::Temporary)?;
        if piece.is_empty() {
            return Ok(());
        }
        apply_keystream(key, at, &mut piece)?;
        file.seek(SeekFrom::Start(at)).map_err(SkipReason::Temporary)?;
        file.write_all(&piece).map_err(SkipReason::Temporary)?;
        at += piece.len() as u64;
    }
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
