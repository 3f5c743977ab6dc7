//! Devices, what they play and whom they report.

use antiphon_catalog::{
    BadPeer, BytesBySource, Catalog, Device, Limits, RecordBadPeerError, RecordPlayError, Recorded,
    RegisterDeviceError, Totals,
};

use crate::{NOW_MS, blob, id, node, play, track, with_tracks};

fn ready() -> Catalog {
    let catalog = with_tracks(&[track(1)]);
    for device in [1, 2] {
        catalog.register_device(node(device), "laptop", 0, NOW_MS).unwrap();
    }
    catalog
}

/// A catalogue with these limits; only a file can have them.
fn limited(limits: Limits) -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open_with(folder.path().join("catalog.db"), limits).unwrap();
    (folder, catalog)
}

fn report(peer: u8, reporter: u8, block: u32) -> BadPeer {
    BadPeer { peer: node(peer), reporter: node(reporter), blob: blob(1), block, at_ms: NOW_MS }
}

#[test]
fn a_device_is_known_once_registered() {
    let catalog = Catalog::open_in_memory().unwrap();
    assert_eq!(catalog.device(node(1)).unwrap(), None);
    assert!(!catalog.device_seen(node(1), NOW_MS).unwrap());
    catalog.register_device(node(1), "laptop", 2, NOW_MS).unwrap();
    assert!(catalog.device_seen(node(1), NOW_MS + 5).unwrap());
    assert!(catalog.device_seen(node(1), NOW_MS + 3).unwrap());
    let expected = Device {
        node: node(1),
        name: "laptop".into(),
        tier: 2,
        registered_at_ms: NOW_MS,
        last_seen_ms: NOW_MS + 5,
    };
    assert_eq!(catalog.device(node(1)).unwrap(), Some(expected));
}

#[test]
fn registering_again_renames_and_leaves_the_tier() {
    let catalog = ready();
    catalog.register_device(node(1), &"n".repeat(5_000), 9, NOW_MS + 1).unwrap();
    let device = catalog.device(node(1)).unwrap().unwrap();
    assert_eq!(device.name, "n".repeat(100));
    assert_eq!(
        (device.tier, device.registered_at_ms, device.last_seen_ms),
        (0, NOW_MS, NOW_MS + 1)
    );
}

#[test]
fn devices_have_a_bound_that_spares_those_inside() {
    let (_folder, catalog) = limited(Limits { devices: 2, ..Limits::default() });
    for device in [1, 2] {
        catalog.register_device(node(device), "laptop", 0, NOW_MS).unwrap();
    }
    let refused = catalog.register_device(node(3), "one too many", 0, NOW_MS);
    assert!(matches!(refused, Err(RegisterDeviceError::Full(2))));
    catalog.register_device(node(2), "renamed", 0, NOW_MS).expect("it is inside");
}

#[test]
fn a_play_told_twice_counts_once() {
    let catalog = ready();
    assert_eq!(catalog.totals().unwrap(), Totals::default());
    assert_eq!(catalog.record_play(&play(1)).unwrap(), Recorded::New);
    let mut again = play(1);
    again.bytes.server = 9_999;
    assert_eq!(catalog.record_play(&again).unwrap(), Recorded::AlreadyThere);
    assert_eq!(catalog.record_play(&play(2)).unwrap(), Recorded::New);
    let mut of_another_device = play(1);
    of_another_device.device = node(2);
    assert_eq!(catalog.record_play(&of_another_device).unwrap(), Recorded::New);
    let bytes = BytesBySource { cache: 3, peers: 60, edge: 900, server: 12_000 };
    assert_eq!(catalog.totals().unwrap(), Totals { plays: 3, bytes });
}

#[test]
fn plays_of_strangers_or_of_nothing_do_not_count() {
    let catalog = ready();
    let mut stranger = play(1);
    stranger.device = node(9);
    assert!(matches!(catalog.record_play(&stranger), Err(RecordPlayError::UnknownDevice(_))));
    let mut of_nothing = play(1);
    of_nothing.track = id(9);
    assert!(matches!(catalog.record_play(&of_nothing), Err(RecordPlayError::UnknownTrack(_))));
    assert_eq!(catalog.totals().unwrap().plays, 0);
}

#[test]
fn figures_that_no_play_can_have_are_cut() {
    let catalog = ready();
    for number in 0..20 {
        let mut absurd = play(number);
        let all = u64::MAX;
        absurd.bytes = BytesBySource { cache: all, peers: all, edge: all, server: all };
        absurd.started_at_ms = all;
        absurd.listened_ms = all;
        absurd.first_byte_us = Some(all);
        absurd.first_sound_us = Some(all);
        absurd.stalls = u32::MAX;
        absurd.stalled_us = all;
        assert_eq!(catalog.record_play(&absurd).unwrap(), Recorded::New);
    }
    assert_eq!(catalog.totals().unwrap().bytes.peers, 20 << 36);
}

#[test]
fn a_bad_peer_is_counted_by_who_reports_it() {
    let catalog = ready();
    assert_eq!(catalog.record_bad_peer(&report(7, 1, 0)).unwrap(), Recorded::New);
    assert_eq!(catalog.record_bad_peer(&report(7, 1, 0)).unwrap(), Recorded::AlreadyThere);
    assert_eq!(catalog.record_bad_peer(&report(7, 1, 1)).unwrap(), Recorded::New);
    assert_eq!(catalog.bad_peer_reporters(node(7)).unwrap(), 1);
    catalog.record_bad_peer(&report(7, 2, 0)).unwrap();
    assert_eq!(catalog.bad_peer_reporters(node(7)).unwrap(), 2);
    assert_eq!(catalog.bad_peer_reporters(node(8)).unwrap(), 0);
    let stranger = catalog.record_bad_peer(&report(7, 9, 0));
    assert!(matches!(stranger, Err(RecordBadPeerError::UnknownDevice(_))));
}

#[test]
fn a_device_that_reports_without_end_pushes_out_its_own_reports() {
    let limits =
        Limits { bad_peer_reports: 100, bad_peer_reports_per_device: 2, ..Limits::default() };
    let (_folder, catalog) = limited(limits);
    for device in [1, 2] {
        catalog.register_device(node(device), "laptop", 0, NOW_MS).unwrap();
    }
    catalog.record_bad_peer(&report(50, 2, 0)).unwrap();
    for peer in 60..80 {
        catalog.record_bad_peer(&report(peer, 1, 0)).unwrap();
    }
    let kept = |peer| catalog.bad_peer_reporters(node(peer)).unwrap() == 1;
    assert!(kept(50), "another device's report stays");
    assert_eq!((60..80).filter(|&peer| kept(peer)).collect::<Vec<_>>(), [78, 79]);
}

#[test]
fn reports_have_a_bound_in_all() {
    let (_folder, catalog) = limited(Limits { bad_peer_reports: 3, ..Limits::default() });
    for reporter in 1..=5 {
        catalog.register_device(node(reporter), "laptop", 0, NOW_MS).unwrap();
        catalog.record_bad_peer(&report(100 + reporter, reporter, 0)).unwrap();
    }
    let kept = |peer: &u8| catalog.bad_peer_reporters(node(*peer)).unwrap() == 1;
    assert_eq!((101..=105).filter(kept).collect::<Vec<_>>(), [103, 104, 105]);
}
