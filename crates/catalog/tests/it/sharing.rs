//! Whether listeners are named to each other.

use antiphon_catalog::{BlobSharing, Catalog, Sharing};

use crate::{blob, id, track, with_tracks};

#[test]
fn all_is_shared_until_an_operator_says_otherwise() {
    let catalog = with_tracks(&[track(1)]);
    let sharing = Sharing { percent: 100, smallest_swarm: 0 };
    assert_eq!(catalog.sharing().unwrap(), sharing);
    let expected = BlobSharing { track: id(1), allowed: true, catalog: sharing };
    assert_eq!(catalog.blob_sharing(blob(3)).unwrap(), Some(expected));
    assert_eq!(catalog.blob_sharing(blob(99)).unwrap(), None, "it is nobody's");
    assert_eq!(catalog.unshared_tracks().unwrap(), 0);
}

#[test]
fn what_an_operator_says_holds_at_once_in_every_process_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let (server, command) = (Catalog::open(&path).unwrap(), Catalog::open(&path).unwrap());
    command.add_track(&track(1)).unwrap();
    command.set_sharing(Sharing { percent: 40, smallest_swarm: 5 }).unwrap();
    assert!(command.set_track_sharing(id(1), false).unwrap());
    let expected = Sharing { percent: 40, smallest_swarm: 5 };
    let found = server.blob_sharing(blob(3)).unwrap().unwrap();
    assert_eq!((found.allowed, found.catalog), (false, expected));
    assert_eq!(server.unshared_tracks().unwrap(), 1);
    drop((server, command));
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.sharing().unwrap(), expected);
    assert!(catalog.set_track_sharing(id(1), true).unwrap());
    assert!(catalog.blob_sharing(blob(3)).unwrap().unwrap().allowed);
}

#[test]
fn one_of_several_tracks_with_the_same_sound_may_forbid_it() {
    let mut twin = track(2);
    twin.renditions = track(1).renditions;
    let catalog = with_tracks(&[track(1), twin]);
    assert_eq!(catalog.blob_sharing(blob(3)).unwrap().unwrap().track, id(1));
    assert!(catalog.set_track_sharing(id(2), false).unwrap());
    assert!(!catalog.blob_sharing(blob(3)).unwrap().unwrap().allowed);
}

#[test]
fn a_share_beyond_all_is_all_and_a_track_that_is_not_there_is_told() {
    let catalog = with_tracks(&[track(1)]);
    catalog.set_sharing(Sharing { percent: 255, smallest_swarm: 255 }).unwrap();
    assert_eq!(catalog.sharing().unwrap(), Sharing { percent: 100, smallest_swarm: 255 });
    assert!(!catalog.set_track_sharing(id(9), false).unwrap());
}

#[test]
fn changes_by_others_show_and_own_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let (server, command) = (Catalog::open(&path).unwrap(), Catalog::open(&path).unwrap());
    let before = server.changes_by_others().unwrap();
    server.add_track(&track(1)).unwrap();
    assert_eq!(server.changes_by_others().unwrap(), before);
    command.set_track_sharing(id(1), false).unwrap();
    assert_ne!(server.changes_by_others().unwrap(), before);
}
