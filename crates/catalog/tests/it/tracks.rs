//! Adding tracks and finding them by name.

use antiphon_catalog::{AddTrackError, Added, Catalog, CoverRef};
use antiphon_types::Bitrate;

use crate::{blob, id, track, with_tracks};

#[test]
fn a_track_comes_back_as_it_went_in() {
    let new = track(1);
    let catalog = with_tracks(std::slice::from_ref(&new));
    let kept = catalog.track(id(1)).unwrap().unwrap();
    assert_eq!(kept.id, new.id);
    assert_eq!(kept.source_hash, new.source_hash);
    assert_eq!(kept.tags, new.tags);
    assert_eq!(kept.samples, new.samples);
    assert_eq!(kept.loudness, new.loudness);
    assert_eq!(kept.renditions, new.renditions);
    assert_eq!(kept.manifest, new.manifest);
    assert_eq!(kept.added_at_ms, new.added_at_ms);
    let cover = new.cover.unwrap();
    assert_eq!(kept.cover, Some(CoverRef { hash: cover.hash, mime: cover.mime.clone() }));
    assert_eq!(catalog.cover(cover.hash).unwrap(), Some(cover));
    assert_eq!(catalog.track_by_source([1; 32]).unwrap(), Some(kept));
}

#[test]
fn what_is_not_there_is_not_an_error() {
    let catalog = with_tracks(&[track(1)]);
    assert_eq!(catalog.track(id(2)).unwrap(), None);
    assert_eq!(catalog.track_by_source([2; 32]).unwrap(), None);
    assert_eq!(catalog.rendition_owner(blob(200)).unwrap(), None);
    assert_eq!(catalog.cover([2; 32]).unwrap(), None);
}

#[test]
fn ingesting_twice_changes_nothing() {
    let catalog = with_tracks(&[track(1)]);
    let before = catalog.track(id(1)).unwrap();
    let mut again = track(1);
    again.id = id(7);
    again.tags.title = "another".into();
    assert_eq!(catalog.add_track(&again).unwrap(), Added::AlreadyThere);
    assert_eq!(catalog.track(id(1)).unwrap(), before);
    assert_eq!(catalog.track(id(7)).unwrap(), None);
    assert_eq!(catalog.count().unwrap(), 1);
}

#[test]
fn an_id_cannot_pass_to_another_source() {
    let catalog = with_tracks(&[track(1)]);
    let mut other = track(2);
    other.id = id(1);
    let refused = catalog.add_track(&other);
    assert!(matches!(refused, Err(AddTrackError::IdTaken(taken)) if taken == id(1)));
    assert_eq!(catalog.count_found("Title2").unwrap(), 0);
}

#[test]
fn a_blob_leads_to_its_track_and_bitrate() {
    let (one, two) = (track(1), track(2));
    let catalog = with_tracks(&[one.clone(), two.clone()]);
    for track in [one, two] {
        for rendition in track.renditions {
            let owner = catalog.rendition_owner(rendition.blob).unwrap();
            assert_eq!(owner, Some((track.id, rendition.bitrate)));
        }
    }
}

#[test]
fn two_sources_with_the_same_sound_share_their_blobs() {
    let one = track(1);
    let mut retagged = track(2);
    retagged.renditions.clone_from(&one.renditions);
    let catalog = with_tracks(&[one.clone(), retagged]);
    let owner = catalog.rendition_owner(one.renditions[0].blob).unwrap();
    assert_eq!(owner, Some((one.id, Bitrate::Kbps96)), "the one added first");
    assert_eq!(catalog.track(id(2)).unwrap().unwrap().renditions, one.renditions);
}

#[test]
fn a_track_that_fails_half_way_leaves_nothing() {
    let catalog = Catalog::open_in_memory().unwrap();
    let mut broken = track(1);
    let twice = broken.renditions[0].clone();
    broken.renditions.push(twice);
    assert!(matches!(catalog.add_track(&broken), Err(AddTrackError::Database(_))));
    assert_eq!(catalog.count().unwrap(), 0);
    assert_eq!(catalog.search("title1", 10, 0).unwrap(), []);
    assert_eq!(catalog.cover([9; 32]).unwrap(), None);
    assert_eq!(catalog.add_track(&track(1)).unwrap(), Added::New);
}

#[test]
fn silence_has_a_loudness_and_nonsense_has_none() {
    let mut silent = track(1);
    silent.loudness.source_lufs = f64::NEG_INFINITY;
    let catalog = with_tracks(&[silent]);
    let kept = catalog.track(id(1)).unwrap().unwrap();
    assert_eq!(kept.loudness.source_lufs, f64::NEG_INFINITY);

    let mut nonsense = track(2);
    nonsense.loudness.gain_db = f64::NAN;
    assert!(matches!(catalog.add_track(&nonsense), Err(AddTrackError::Loudness(_))));
}

#[test]
fn a_track_without_tags_or_cover_is_a_track() {
    let mut bare = track(1);
    bare.tags = antiphon_catalog::Tags::default();
    bare.cover = None;
    let catalog = with_tracks(&[bare]);
    assert_eq!(catalog.track(id(1)).unwrap().unwrap().cover, None);
    assert_eq!(catalog.search("", 10, 0).unwrap().len(), 1);
}
