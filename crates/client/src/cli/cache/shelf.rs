//! What is in the cache, under the names that the library knows.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::SystemTime;

use antiphon_store::{Entry, Store};
use antiphon_types::{Bitrate, BlobId, BlobSize, TrackId};
use serde_json::json;

use super::super::{Failure, plain};
use crate::library::{KnownTrack, Library, name_of};
use crate::settings::DataDir;

/// A track heard before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) title: String,
    pub(super) artist: String,
    pub(super) album: String,
    /// Whether or not they are in the cache; from the lowest.
    pub(super) renditions: Vec<(Bitrate, BlobId, BlobSize)>,
}

impl Track {
    fn new(id: TrackId, known: &KnownTrack) -> Self {
        let renditions = known.renditions.iter();
        Self {
            id,
            title: known.manifest.title.clone(),
            artist: known.manifest.artist.clone(),
            album: known.manifest.album.clone(),
            renditions: renditions.map(|r| (r.bitrate(), r.blob(), r.size())).collect(),
        }
    }

    /// "Artist – Title", fit for a terminal.
    pub(super) fn name(&self) -> String {
        plain(&name_of(&self.artist, &self.title))
    }
}

/// A rendition in the cache, or one that would be kept if it were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) blob: BlobId,
    /// None of what is pinned and not there, if the library does not know it.
    pub(super) size: Option<BlobSize>,
    pub(super) blocks_held: u32,
    pub(super) pinned: bool,
    pub(super) last_play: Option<SystemTime>,
    /// What it is of, if the library knows it.
    pub(super) known: Option<(Rc<Track>, Bitrate)>,
}

impl Item {
    pub(super) fn blocks(&self) -> u32 {
        self.size.map_or(0, BlobSize::block_count)
    }

    pub(super) fn complete(&self) -> bool {
        self.blocks_held > 0 && self.blocks_held == self.blocks()
    }

    pub(super) fn percent(&self) -> u64 {
        super::percent(self.blocks_held, self.blocks())
    }

    /// "Artist – Title, 160 kbit/s", or the blob's id.
    pub(super) fn name(&self) -> String {
        match &self.known {
            Some((track, bitrate)) => format!("{}, {bitrate} kbit/s", track.name()),
            None => format!("blob {}", self.blob),
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let track = self.known.as_ref().map(|(track, _)| track);
        let since_1970 = |at: SystemTime| {
            u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis()).ok()
        };
        json!({
            "blob": self.blob.to_string(),
            "track": track.map(|track| track.id.to_string()),
            "title": track.map(|track| &track.title),
            "artist": track.map(|track| &track.artist),
            "album": track.map(|track| &track.album),
            "bitrate_kbps": self.known.as_ref().map(|(_, bitrate)| bitrate.kbps()),
            "bytes": self.size.map(BlobSize::bytes),
            "blocks": self.size.map(BlobSize::block_count),
            "blocks_held": self.blocks_held,
            "complete": self.complete(),
            "pinned": self.pinned,
            "last_play_ms": self.last_play.and_then(since_1970),
        })
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Tracks heard before, in the order of their ids.
    pub(super) tracks: Vec<Rc<Track>>,
    /// What is in the cache, the last played first; then what is pinned and not
    /// there.
    pub(super) items: Vec<Item>,
    /// Where in `items` a blob is.
    places: HashMap<BlobId, usize>,
}

impl Shelf {
    /// Looks at a cache. Where the library cannot be read, things have no names,
    /// and standard error says why.
    pub(super) fn read(store: &Store, data: &DataDir) -> Self {
        let tracks = heard_before(data).unwrap_or_else(|error| {
            eprintln!("antiphon: titles are not known: {error}");
            Vec::new()
        });
        Self::new(store.list(), store.pins(), tracks)
    }

    pub(super) fn new(entries: Vec<Entry>, pins: Vec<BlobId>, tracks: Vec<Track>) -> Self {
        let tracks: Vec<Rc<Track>> = tracks.into_iter().map(Rc::new).collect();
        let mut known = HashMap::new();
        for track in &tracks {
            for &(bitrate, blob, size) in &track.renditions {
                known.entry(blob).or_insert_with(|| (Rc::clone(track), bitrate, size));
            }
        }
        let known_as =
            |blob| known.get(&blob).map(|(track, bitrate, _)| (Rc::clone(track), *bitrate));
        let mut items: Vec<Item> = entries
            .into_iter()
            .map(|entry| Item {
                blob: entry.blob,
                size: Some(entry.size),
                blocks_held: entry.blocks_held,
                pinned: entry.pinned,
                last_play: entry.last_play,
                known: known_as(entry.blob),
            })
            .collect();
        // The store lists what it would keep longest first.
        items.sort_by_key(|item| Reverse(item.last_play));
        let there: BTreeSet<BlobId> = items.iter().map(|item| item.blob).collect();
        let absent = pins.into_iter().filter(|blob| !there.contains(blob));
        items.extend(absent.map(|blob| Item {
            blob,
            size: known.get(&blob).map(|(_, _, size)| *size),
            blocks_held: 0,
            pinned: true,
            last_play: None,
            known: known_as(blob),
        }));
        let places = items.iter().enumerate().map(|(place, item)| (item.blob, place)).collect();
        Self { tracks, items, places }
    }

    /// What there is of a blob.
    pub(super) fn item(&self, blob: BlobId) -> Option<&Item> {
        self.items.get(*self.places.get(&blob)?)
    }

    /// All renditions of a track, from the lowest; those too of which nothing is
    /// there.
    pub(super) fn renditions(&self, track: &Rc<Track>) -> Vec<Item> {
        let absent = |&(bitrate, blob, size): &(Bitrate, BlobId, BlobSize)| Item {
            blob,
            size: Some(size),
            blocks_held: 0,
            pinned: false,
            last_play: None,
            known: Some((Rc::clone(track), bitrate)),
        };
        let renditions = track.renditions.iter();
        renditions
            .map(|rendition| self.item(rendition.1).cloned().unwrap_or_else(|| absent(rendition)))
            .collect()
    }
}

fn heard_before(data: &DataDir) -> Result<Vec<Track>, Failure> {
    let Some(link) = data.link(&data.settings()?)? else { return Ok(Vec::new()) };
    let library = Library::open(data.path("library"), link.node, &data.device_key()?)?;
    let tracks = library.tracks().into_iter();
    Ok(tracks.filter_map(|id| Some(Track::new(id, &library.get(id)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_shown_though_nothing_of_it_is_there() {
        let size = BlobSize::new(20_000).unwrap();
        let [here, known, unknown] = [1, 2, 3].map(|seed| BlobId::new([seed; 32]));
        let track = Track {
            id: TrackId::new([9; 16]),
            title: "T".to_owned(),
            artist: "A".to_owned(),
            album: String::new(),
            renditions: vec![(Bitrate::Kbps96, known, size), (Bitrate::Kbps160, here, size)],
        };
        let entry = Entry {
            blob: here,
            size,
            blocks_held: 1,
            complete: false,
            pinned: true,
            last_play: Some(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5)),
        };
        let shelf = Shelf::new(vec![entry], vec![here, known, unknown], vec![track]);
        let names: Vec<_> = shelf.items.iter().map(Item::name).collect();
        let blob = format!("blob {unknown}");
        assert_eq!(names, ["A – T, 160 kbit/s", "A – T, 96 kbit/s", &blob]);
        let of_track = shelf.renditions(&shelf.tracks[0]);
        assert_eq!(of_track, [shelf.items[1].clone(), shelf.items[0].clone()]);

        let json: Vec<_> = shelf.items.iter().map(Item::json).collect();
        assert_eq!((&json[0]["blocks_held"], &json[0]["blocks"]), (&1.into(), &2.into()));
        assert_eq!((&json[0]["last_play_ms"], &json[0]["complete"]), (&5000.into(), &false.into()));
        assert_eq!((&json[1]["bytes"], &json[1]["pinned"]), (&20_000.into(), &true.into()));
        assert!(json[2]["track"].is_null() && json[2]["bytes"].is_null(), "{}", json[2]);
    }
}
