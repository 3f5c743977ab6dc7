//! Finding tracks by words that anyone may send.

use antiphon_catalog::{Catalog, MAX_PAGE};

use crate::{id, named, track, with_tracks};

fn catalogue() -> Catalog {
    with_tracks(&[
        named(1, "Björk", "Homogenic", "Jóga"),
        named(2, "AC/DC", "Back in Black", "Hells Bells"),
        named(3, "Nina Simone", "Pastel Blues", "Sinnerman"),
        named(4, "The And", "Or Not", "Near \"Quoted\" Star*"),
        named(5, "Кино", "Группа крови", "Спокойная ночь"),
        named(6, "Blue", "Bells", "Nina"),
    ])
}

fn found(catalog: &Catalog, words: &str) -> Vec<u8> {
    let found = catalog.search(words, 100, 0).unwrap();
    assert_eq!(catalog.count_found(words).unwrap(), found.len() as u64);
    found.iter().map(|track| track.id.as_bytes()[0]).collect()
}

#[test]
fn beginnings_of_words_match_whatever_their_case_and_accents() {
    let catalog = catalogue();
    for words in ["bjork", "BJÖRK", "Bjo\u{308}rk", "bj", "joga homo", "  jog\tBJÖ\n"] {
        assert_eq!(found(&catalog, words), [1], "{words:?}");
    }
    assert_eq!(found(&catalog, "кин споко"), [5]);
    assert_eq!(found(&catalog, "ork"), [], "the middle of a word is no beginning");
}

#[test]
fn every_word_must_match_somewhere() {
    let catalog = catalogue();
    assert_eq!(found(&catalog, "nina sinnerman"), [3]);
    assert_eq!(found(&catalog, "nina joga"), []);
}

#[test]
fn a_hit_in_a_title_comes_before_one_in_an_album() {
    let catalog = catalogue();
    assert_eq!(found(&catalog, "bells"), [2, 6]);
    assert_eq!(found(&catalog, "nina"), [6, 3]);
}

#[test]
fn words_are_never_syntax() {
    let catalog = catalogue();
    for (words, expected) in [
        ("AC/DC", vec![2]),
        ("ac / dc", vec![2]),
        ("AND", vec![4]),
        ("the AND or NOT near", vec![4]),
        ("\"quoted\"", vec![4]),
        ("\"quoted", vec![4]),
        ("star*", vec![4]),
        ("title:nina", vec![]),
        ("nina OR joga", vec![]),
        ("NEAR(nina, 3)", vec![]),
        ("{title artist}: nina", vec![]),
        ("-nina", vec![6, 3]),
        ("^nina", vec![6, 3]),
        ("nina\0\" OR \"joga", vec![]),
        ("nina\0", vec![6, 3]),
        ("'; DROP TABLE tracks; --", vec![]),
        ("(", vec![]),
        ("\"", vec![]),
        ("\"\"\"", vec![]),
        ("*", vec![]),
        ("🎵", vec![]),
    ] {
        assert_eq!(found(&catalog, words), expected, "{words:?}");
    }
    assert_eq!(catalog.count().unwrap(), 6);
}

#[test]
fn a_very_long_search_is_cut_and_answered() {
    let catalog = catalogue();
    let one_word = "x".repeat(10_000);
    assert_eq!(found(&catalog, &one_word), []);
    let many_words = "nina ".repeat(2_000);
    assert_eq!(found(&catalog, &many_words), [6, 3]);
    let many_quotes = "\"".repeat(10_000);
    assert_eq!(found(&catalog, &many_quotes), []);
    let many_tokens = "a.".repeat(5_000);
    assert_eq!(found(&catalog, &many_tokens), []);
}

#[test]
fn no_words_list_everything_in_order_page_by_page() {
    let catalog = with_tracks(&[
        named(3, "b", "z", "third"),
        named(2, "B", "A", "second"),
        named(1, "b", "a", "first"),
        named(4, "c", "a", "fourth"),
    ]);
    assert_eq!(found(&catalog, " \t\0 "), [1, 2, 3, 4]);
    let page = |limit, offset| -> Vec<u8> {
        let page = catalog.search("", limit, offset).unwrap();
        page.iter().map(|track| track.id.as_bytes()[0]).collect()
    };
    assert_eq!(page(2, 0), [1, 2]);
    assert_eq!(page(2, 2), [3, 4]);
    assert_eq!(page(2, 4), []);
    assert_eq!(page(0, 0), []);
    assert_eq!(page(u32::MAX, u32::MAX), []);
}

#[test]
fn found_tracks_come_page_by_page_and_no_page_is_too_long() {
    let tracks: Vec<_> = (0..=u8::MAX).map(|n| named(n, "same", "same", "same")).collect();
    let catalog = with_tracks(&tracks);
    for words in ["", "same"] {
        let first = catalog.search(words, u32::MAX, 0).unwrap();
        assert_eq!(first.len(), MAX_PAGE as usize);
        let second = catalog.search(words, u32::MAX, MAX_PAGE).unwrap();
        assert_eq!(first.len() + second.len(), tracks.len());
        let mut all: Vec<_> = first.iter().chain(&second).map(|track| track.id).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), tracks.len(), "no track stands on two pages");
    }
}

#[test]
fn a_summary_tells_what_a_list_shows() {
    let new = track(1);
    let summary = with_tracks(std::slice::from_ref(&new)).search("title1", 1, 0).unwrap().remove(0);
    assert_eq!(summary.id, id(1));
    assert_eq!(
        (summary.title, summary.artist, summary.album, summary.samples),
        (new.tags.title, new.tags.artist, new.tags.album, new.samples)
    );
}
