//! Behaviour of the mesh through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon_mesh::{DropReason, Grant, Limits, Mesh, Output, RateMeter};
use antiphon_types::{Class, NodeId, Timestamp};
use proptest::prelude::*;

const RTT: Duration = Duration::from_millis(20);

fn peer(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn outputs(mesh: &mut Mesh) -> Vec<Output> {
    std::iter::from_fn(|| mesh.poll_output()).collect()
}

fn crowd(peers: u8) -> Mesh {
    let mut mesh = Mesh::new(Limits::default());
    for n in 0..peers {
        mesh.handle_peer_up(at(0), peer(n), RTT);
    }
    mesh
}

#[test]
fn above_the_soft_limit_the_least_useful_goes_once_its_grace_is_over() {
    let mut mesh = crowd(51);
    for n in (0..51).filter(|n| *n != 17) {
        mesh.handle_delivered(at(10), peer(n), 16_384);
    }
    assert_eq!(outputs(&mut mesh), [], "all are newcomers");
    assert_eq!(mesh.poll_timeout(), Some(at(30_000)));
    mesh.handle_timeout(at(30_000));
    let least = Output::Drop { peer: peer(17), reason: DropReason::LeastUseful };
    assert_eq!(outputs(&mut mesh), [least]);
    assert_eq!(mesh.neighbours().len(), 50);
    assert_eq!(mesh.poll_timeout(), None);
}

#[test]
fn above_the_hard_limit_newcomers_are_turned_away() {
    let mut mesh = crowd(70);
    let turned_away = outputs(&mut mesh);
    assert_eq!(turned_away.len(), 10);
    assert_eq!(mesh.neighbours().len(), 60);
    assert!(turned_away.contains(&Output::Drop { peer: peer(69), reason: DropReason::Full }));
}

#[test]
fn strangers_in_numbers_do_not_push_out_who_gave() {
    let mut mesh = crowd(50);
    for n in 0..50 {
        mesh.handle_delivered(at(40_000), peer(n), 16_384);
    }
    for wave in 0..10 {
        for n in 100..150 {
            mesh.handle_peer_up(at(41_000 + wave * 31_000), peer(n), Duration::ZERO);
        }
        mesh.handle_timeout(at(41_000 + wave * 31_000 + 30_500));
    }
    let left = mesh.neighbours().filter(|(id, _)| id.as_bytes()[0] < 50).count();
    assert_eq!(left, 50, "good neighbours that are left");
}

#[test]
fn usefulness_is_forgotten() {
    let mut mesh = crowd(51);
    mesh.handle_delivered(at(0), peer(3), 1_000_000);
    for n in (0..51).filter(|n| *n != 3) {
        mesh.handle_delivered(at(700_000), peer(n), 1_000);
    }
    mesh.handle_timeout(at(700_001));
    let least = Output::Drop { peer: peer(3), reason: DropReason::LeastUseful };
    assert_eq!(outputs(&mut mesh), [least]);
}

#[test]
fn who_sent_a_bad_block_goes_and_stays_out_until_the_ban_ends() {
    let mut mesh = crowd(2);
    mesh.ban(at(5), peer(1), DropReason::BadBlock);
    let gone = Output::Drop { peer: peer(1), reason: DropReason::BadBlock };
    assert_eq!(outputs(&mut mesh), [gone]);
    mesh.handle_peer_up(at(1_000), peer(1), RTT);
    assert_eq!(outputs(&mut mesh), [gone]);
    let until = mesh.banned_until(at(1_000), peer(1)).unwrap();
    mesh.handle_peer_up(until, peer(1), RTT);
    assert_eq!(outputs(&mut mesh), []);
    assert!(mesh.neighbour(peer(1)).is_some());
}

#[test]
fn bans_are_bounded_and_the_oldest_is_forgotten() {
    let mut mesh = Mesh::new(Limits { bans: 3, ..Limits::default() });
    for n in 0..5_u8 {
        mesh.ban(at(u64::from(n)), peer(n), DropReason::BadBlock);
    }
    let banned = (0..5).filter(|n| mesh.banned_until(at(10), peer(*n)).is_some());
    assert_eq!(banned.collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn four_are_served_and_a_slot_stays_with_its_peer_for_a_moment() {
    let mut mesh = crowd(6);
    for n in 0..4 {
        assert_eq!(mesh.request_upload(at(0), peer(n), Class::Now), Grant::Served);
    }
    assert!(matches!(mesh.request_upload(at(0), peer(4), Class::Now), Grant::Busy { .. }));
    mesh.handle_upload_ended(at(1_000), peer(0));
    assert!(matches!(mesh.request_upload(at(1_100), peer(4), Class::Now), Grant::Busy { .. }));
    assert_eq!(mesh.request_upload(at(1_150), peer(0), Class::Now), Grant::Served, "its next");
    mesh.handle_upload_ended(at(1_200), peer(0));
    assert_eq!(mesh.request_upload(at(1_400), peer(4), Class::Now), Grant::Served);
    assert_eq!(mesh.served().count(), 4);
}

#[test]
fn a_more_urgent_request_takes_the_slot_of_a_less_urgent_one() {
    let mut mesh = crowd(6);
    for (n, class) in [(0, Class::Now), (1, Class::Offline), (2, Class::Prefetch), (3, Class::Now)]
    {
        assert_eq!(mesh.request_upload(at(0), peer(n), class), Grant::Served);
    }
    assert_eq!(mesh.request_upload(at(1), peer(4), Class::Now), Grant::Served);
    let cut = outputs(&mut mesh);
    assert!(matches!(cut[..], [Output::CutUpload { peer: lost, .. }] if lost == peer(1)));
    assert!(matches!(mesh.request_upload(at(2), peer(1), Class::Offline), Grant::Busy { .. }));
}

#[test]
fn of_those_who_wait_the_more_generous_is_served_first() {
    let mut mesh = crowd(7);
    mesh.handle_asked(at(0), peer(5));
    mesh.handle_delivered(at(100), peer(5), 100_000);
    for n in 0..4 {
        mesh.request_upload(at(200), peer(n), Class::Now);
    }
    for n in [4, 5] {
        assert!(matches!(mesh.request_upload(at(300), peer(n), Class::Now), Grant::Busy { .. }));
    }
    mesh.handle_upload_ended(at(310), peer(0));
    assert!(matches!(mesh.request_upload(at(600), peer(4), Class::Now), Grant::Busy { .. }));
    assert_eq!(mesh.request_upload(at(650), peer(5), Class::Now), Grant::Served);
}

#[test]
fn nobody_is_served_while_uploads_pause_and_no_stranger_ever() {
    let mut mesh = crowd(1);
    mesh.pause_uploads(true);
    assert!(matches!(mesh.request_upload(at(0), peer(0), Class::Now), Grant::Busy { .. }));
    mesh.pause_uploads(false);
    assert_eq!(mesh.request_upload(at(0), peer(0), Class::Now), Grant::Served);
    assert!(matches!(mesh.request_upload(at(0), peer(9), Class::Now), Grant::Busy { .. }));
}

#[test]
fn a_steady_source_is_measured_within_a_tenth() {
    for rate in [20_000_u64, 250_000, 5_000_000] {
        let mut meter = RateMeter::new(125_000);
        let mut micros = 0;
        meter.handle_asked(at(0), RTT);
        while micros < 4_000_000 {
            micros += 16_384 * 1_000_000 / rate;
            meter.handle_delivered(Timestamp::from_micros(20_000 + micros), 16_384);
        }
        assert!(meter.rate().abs_diff(rate) * 10 < rate, "{} for {rate}", meter.rate());
    }
}

#[test]
fn idle_time_does_not_count_and_silence_does() {
    let mut meter = RateMeter::new(100_000);
    meter.handle_asked(at(0), RTT);
    meter.handle_delivered(at(1_020), 100_000);
    meter.handle_idle();
    let before = meter.rate();
    meter.handle_asked(at(60_000), RTT);
    meter.handle_delivered(at(61_020), 100_000);
    assert!(meter.rate().abs_diff(before) < 20_000);
    meter.handle_delivered(at(64_020), 0);
    assert!(meter.rate() < before / 2);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn bounds_hold_whatever_happens(
        steps in prop::collection::vec((0_u8..8, 0_u8..90, 0_u64..9_000), 0..400)
    ) {
        let mut mesh = Mesh::new(Limits::default());
        let mut now = 0;
        let mut linked = BTreeSet::new();
        let mut serving = BTreeMap::new();
        for (kind, n, number) in steps {
            let who = peer(n);
            match kind {
                0..=2 => {
                    linked.insert(who);
                    mesh.handle_peer_up(at(now), who, Duration::from_millis(number));
                }
                3 => {
                    linked.remove(&who);
                    serving.remove(&who);
                    mesh.handle_peer_down(at(now), who);
                }
                4 if number < 300 => mesh.ban(at(now), who, DropReason::UnaskedBlocks),
                4 => mesh.handle_delivered(at(now), who, 16_384),
                5 => {
                    let class = Class::ALL[usize::from(n) % 4];
                    if mesh.request_upload(at(now), who, class) == Grant::Served {
                        *serving.entry(who).or_insert(0) += 1;
                    }
                }
                6 => {
                    if let Some(left) = serving.get_mut(&who) {
                        *left -= 1;
                        mesh.handle_upload_ended(at(now), who);
                    }
                }
                _ => {
                    now += number;
                    mesh.handle_timeout(at(now));
                }
            }
            for output in outputs(&mut mesh) {
                match output {
                    Output::Drop { peer, .. } => {
                        prop_assert!(linked.remove(&peer), "dropped a stranger");
                        serving.remove(&peer);
                    }
                    Output::CutUpload { peer, .. } => {
                        serving.remove(&peer);
                    }
                }
            }
            serving.retain(|_, left| *left > 0);
            prop_assert!(mesh.neighbours().len() <= 60);
            prop_assert_eq!(mesh.neighbours().len(), linked.len());
            prop_assert!(serving.len() <= 4);
            prop_assert_eq!(mesh.served().collect::<Vec<_>>(), serving.keys().copied().collect::<Vec<_>>());
        }
    }
}
