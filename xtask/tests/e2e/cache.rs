//! The cache, as its owner sees it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::listener::{Play, ended};
use crate::support::music::{ARTIST, KBPS};
use crate::support::{Listener, Service, Track, music};

/// Runs `antiphon cache`, which shall end well; its lines of JSON.
fn cache(listener: &Listener, arguments: &[&str]) -> Vec<Value> {
    let output = listener.run(&[&["--json", "cache"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    lines(&output.stdout)
}

/// Runs `antiphon cache`, which shall end with 1; its lines of JSON, and what it
/// says.
fn cache_fails(listener: &Listener, arguments: &[&str]) -> (Vec<Value>, String) {
    let output = listener.run(&[&["--json", "cache"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    (lines(&output.stdout), String::from_utf8(output.stderr).unwrap())
}

fn lines(text: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn play(listener: &Listener, track: &Track) -> Play {
    let play = ended(listener, &mut listener.click(track, 100, &[]));
    play.assert_heard(track);
    play
}

/// Where a rendition lies.
fn file(listener: &Listener, item: &Value) -> PathBuf {
    listener.data().join(format!("cache/blobs/{}.blob", item["blob"].as_str().unwrap()))
}

/// Flips a bit in each of the last `count` bytes of a rendition.
fn damage(listener: &Listener, item: &Value, count: usize) {
    let path = file(listener, item);
    let mut bytes = fs::read(&path).unwrap();
    bytes.iter_mut().rev().take(count).for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_heard_is_listed_pinned_cleared_and_counted() {
    let service = Service::start();
    let [one, two, three] = [0, 1, 2].map(|i| &music().short[i]);
    let a = service.listener("a");
    let empty = &cache(&a, &["status"])[0];
    assert_eq!((&empty["bytes"], &empty["blobs"]), (&0.into(), &0.into()), "{empty}");
    assert!(empty["budget_bytes"].as_u64().unwrap() >= 50_000_000, "{empty}");
    assert!(cache(&a, &["list"]).is_empty());

    for track in [one, two, three, one] {
        play(&a, track);
    }
    let listed = cache(&a, &["list"]);
    let ids: Vec<_> = listed.iter().map(|item| item["track"].as_str().unwrap()).collect();
    // The last played is the first.
    assert_eq!(ids, [one, three, two].map(|track| track.id.to_string()));
    for (item, track) in listed.iter().zip([one, three, two]) {
        assert_eq!(
            (&item["title"], &item["artist"]),
            (&track.title.as_str().into(), &ARTIST.into())
        );
        assert_eq!(item["bitrate_kbps"].to_string(), KBPS);
        assert_eq!(item["blocks"], item["blocks_held"]);
        assert_eq!((&item["complete"], &item["pinned"]), (&true.into(), &false.into()));
        assert!(item["last_play_ms"].as_u64().unwrap() > 1_700_000_000_000, "{item}");
    }
    let bytes: u64 = listed.iter().map(|item| item["bytes"].as_u64().unwrap()).sum();
    let status = &cache(&a, &["status"])[0];
    assert!(status["bytes"].as_u64().unwrap() >= bytes, "{status}");
    assert_eq!((&status["blobs"], &status["complete"]), (&3.into(), &3.into()));
    assert_eq!((&status["partial"], &status["pinned"]), (&0.into(), &0.into()));

    // All three are serenades; one is number 2.
    let (_, ambiguous) = cache_fails(&a, &["pin", "serenade"]);
    assert!([one, two, three].iter().all(|track| ambiguous.contains(&track.id.to_string())));
    let pinned = cache(&a, &["pin", "serenade", "2"]);
    assert_eq!(
        (&pinned[0]["track"], &pinned[0]["pinned"]),
        (&two.id.to_string().into(), &true.into())
    );
    let status = &cache(&a, &["status"])[0];
    assert_eq!(status["pinned"], 1);

    // Nothing is thrown away unasked, and what is pinned is not at all.
    let (_, refused) = cache_fails(&a, &["clear"]);
    assert!(refused.contains("--yes"), "{refused}");
    assert_eq!(cache(&a, &["list"]).len(), 3);
    let cleared = &cache(&a, &["clear", "--yes"])[0];
    assert_eq!((&cleared["blobs"], &cleared["kept"]), (&2.into(), &1.into()));
    let left = cache(&a, &["list"]);
    assert_eq!((left.len(), &left[0]["track"]), (1, &two.id.to_string().into()));
    assert_eq!(play(&a, two).bytes("server"), 0);

    let unpinned = cache(&a, &["unpin", &two.id.to_string()]);
    assert_eq!(unpinned[0]["pinned"], false);
    cache(&a, &["clear", "--yes"]);
    assert!(cache(&a, &["list"]).is_empty());
    assert_eq!(cache(&a, &["status"])[0]["bytes"], 0);
}

#[test]
fn what_is_damaged_on_disk_is_named_and_fetched_again() {
    let (service, track) = (Service::start(), &music().short[0]);
    let a = service.listener("a");
    for track in [track, &music().short[1]] {
        play(&a, track);
    }
    let listed = cache(&a, &["list"]);
    let item = listed.iter().find(|item| item["track"] == track.id.to_string()).unwrap();
    // More than a block, less than two.
    damage(&a, item, 16_385);

    let (report, _) = cache_fails(&a, &["verify"]);
    assert_eq!((&report[0]["damaged"], &report[0]["unreadable"]), (&2.into(), &0.into()));
    let affected = report[0]["affected"].as_array().unwrap();
    assert_eq!(affected.len(), 1, "{report:?}");
    assert_eq!((&affected[0]["blob"], &affected[0]["damaged"]), (&item["blob"], &2.into()));
    assert_eq!(affected[0]["title"], track.title);
    let listed = cache(&a, &["list"]);
    let item = listed.iter().find(|item| item["track"] == track.id.to_string()).unwrap();
    assert_eq!(item["complete"], false);
    assert_eq!(item["blocks"].as_u64().unwrap() - item["blocks_held"].as_u64().unwrap(), 2);

    // A pin keeps what is there, and waits for the rest.
    assert_eq!(cache(&a, &["pin", &track.id.to_string()])[0]["complete"], false);
    assert!(play(&a, track).bytes("server") > 0);
    let report = &cache(&a, &["verify"])[0];
    assert_eq!((&report["damaged"], &report["affected"]), (&0.into(), &Value::Array(vec![])));
    let listed = cache(&a, &["list"]);
    assert_eq!((&listed[0]["complete"], &listed[0]["pinned"]), (&true.into(), &true.into()));

    // Lost with its file, it is still pinned; and says so.
    fs::remove_file(file(&a, &listed[0])).unwrap();
    let listed = cache(&a, &["list"]);
    let item = listed.iter().find(|item| item["track"] == track.id.to_string()).unwrap();
    assert_eq!((&item["blocks_held"], &item["pinned"]), (&0.into(), &true.into()));
    cache(&a, &["clear", "--yes", "--pinned-too"]);
    assert!(cache(&a, &["list"]).is_empty());
}

#[test]
fn a_look_evicts_nothing_and_two_do_not_look_at_once() {
    let (service, track) = (Service::start(), &music().short[0]);
    let a = service.listener("a");
    play(&a, track);
    let status = &cache(&a, &["status", "--cache-mb", "0"])[0];
    assert_eq!((&status["budget_bytes"], &status["blobs"]), (&0.into(), &1.into()));
    assert_eq!(cache(&a, &["list"]).len(), 1);

    let daemon = a.start(&["daemon"]);
    daemon.wait_for_words("online");
    for arguments in [&["status"][..], &["list"], &["verify"], &["clear", "--yes"]] {
        let (told, error) = cache_fails(&a, arguments);
        assert!(told.is_empty() && error.contains("in use by another process"), "{error}");
    }
    daemon.kill();
    assert_eq!(cache(&a, &["list"]).len(), 1);
}
