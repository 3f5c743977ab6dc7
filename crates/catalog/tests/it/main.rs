//! What a catalogue promises, seen through its public interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod files;
mod plays;
mod search;
mod sharing;
mod tracks;

use antiphon_catalog::{
    Added, BytesBySource, Catalog, Cover, Loudness, NewTrack, PlayRecord, Rendition, Tags,
};
use antiphon_types::{Bitrate, BlobId, NodeId, TrackId};

const NOW_MS: u64 = 1_790_000_000_000;

fn node(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn blob(number: u8) -> BlobId {
    BlobId::new([number; 32])
}

fn id(number: u8) -> TrackId {
    TrackId::new([number; 16])
}

/// A track with three renditions; everything about it follows from `number`.
fn track(number: u8) -> NewTrack {
    let renditions = Bitrate::ALL.map(|bitrate| Rendition {
        bitrate,
        blob: blob(
            number.wrapping_mul(3).wrapping_add(u8::try_from(bitrate.kbps() / 150).unwrap()),
        ),
        bytes: u64::from(bitrate.kbps()) * 10_000,
        samples: 44_100 * 60,
        plaintext_hash: [number; 32],
    });
    NewTrack {
        id: id(number),
        source_hash: [number; 32],
        tags: Tags {
            title: format!("Title{number}"),
            artist: format!("Artist{number}"),
            album: "Album".into(),
            album_artist: "Various".into(),
            track_number: number.into(),
            disc_number: 1,
            year: 1999,
            genre: "Test".into(),
            isrc: "AA6Q72000047".into(),
        },
        samples: 44_100 * 60,
        loudness: Loudness { source_lufs: -9.0, source_true_peak_dbtp: -0.1, gain_db: -5.0 },
        cover: Some(Cover { hash: [9; 32], mime: "image/png".into(), bytes: vec![1, 2, 3] }),
        renditions: renditions.to_vec(),
        manifest: vec![number; 100],
        added_at_ms: NOW_MS,
    }
}

fn named(number: u8, artist: &str, album: &str, title: &str) -> NewTrack {
    let mut track = track(number);
    track.tags.artist = artist.into();
    track.tags.album = album.into();
    track.tags.title = title.into();
    track
}

fn with_tracks(tracks: &[NewTrack]) -> Catalog {
    let catalog = Catalog::open_in_memory().unwrap();
    for track in tracks {
        assert_eq!(catalog.add_track(track).unwrap(), Added::New);
    }
    catalog
}

fn play(number: u8) -> PlayRecord {
    PlayRecord {
        id: [number; 16],
        device: node(1),
        track: id(1),
        bitrate: Bitrate::Kbps160,
        started_at_ms: NOW_MS,
        listened_ms: 60_000,
        bytes: BytesBySource { cache: 1, peers: 20, edge: 300, server: 4_000 },
        first_byte_us: Some(30_000),
        first_sound_us: Some(45_000),
        stalls: 0,
        stalled_us: 0,
        finished: true,
    }
}
