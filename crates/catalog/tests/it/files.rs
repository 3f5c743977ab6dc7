//! The file: kept, shared, refused.

use std::fs;
use std::sync::Barrier;
use std::thread;

use antiphon_catalog::{Added, Catalog, OpenError, Recorded};
use rusqlite::Connection;

use crate::{NOW_MS, id, node, play, track};

#[test]
fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = Catalog::open(&path).unwrap();
    catalog.add_track(&track(1)).unwrap();
    catalog.register_device(node(1), "laptop", 0, NOW_MS).unwrap();
    catalog.record_play(&play(1)).unwrap();
    let before = (catalog.track(id(1)).unwrap(), catalog.totals().unwrap());
    drop(catalog);

    let catalog = Catalog::open(&path).unwrap();
    assert_eq!((catalog.track(id(1)).unwrap(), catalog.totals().unwrap()), before);
    assert_eq!(catalog.search("title1", 10, 0).unwrap().len(), 1);
    assert_eq!(catalog.add_track(&track(1)).unwrap(), Added::AlreadyThere);
    assert_eq!(catalog.record_play(&play(1)).unwrap(), Recorded::AlreadyThere);
}

#[test]
fn what_one_process_ingests_another_finds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let (server, ingest) = (Catalog::open(&path).unwrap(), Catalog::open(&path).unwrap());
    assert_eq!(server.search("title1", 10, 0).unwrap(), []);
    ingest.add_track(&track(1)).unwrap();
    assert_eq!(server.search("title1", 10, 0).unwrap().len(), 1);
    assert_eq!(server.add_track(&track(1)).unwrap(), Added::AlreadyThere);
}

#[test]
fn many_may_make_and_fill_one_catalogue_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for first in 0..4_u8 {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                start.wait();
                let catalog = Catalog::open(path).unwrap();
                for number in 0..10 {
                    assert_eq!(catalog.add_track(&track(first * 10 + number)).unwrap(), Added::New);
                }
            });
        }
    });
    assert_eq!(Catalog::open(&path).unwrap().count().unwrap(), 40);
}

#[test]
fn a_catalogue_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    Catalog::open(&path).unwrap().add_track(&track(1)).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE schema_version SET version = 99", []).unwrap();
    let refused = Catalog::open(&path);
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, known: 2 })));
    let tracks: u32 =
        connection.query_row("SELECT count(*) FROM tracks", [], |row| row.get(0)).unwrap();
    assert_eq!(tracks, 1);
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "to buy: milk, and a great deal of other things\n".repeat(100)).unwrap();
    let database = folder.path().join("other.db");
    Connection::open(&database).unwrap().execute("CREATE TABLE mail (text)", []).unwrap();
    for path in [text, database] {
        let before = fs::read(&path).unwrap();
        assert!(matches!(Catalog::open(&path), Err(OpenError::NotACatalog)), "{path:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_path_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("catalog.db");
    let error = Catalog::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }));
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}
