//! Who is served.

use antiphon_mesh::{DropReason, Grant, Notice, Output};
use antiphon_types::{BlobId, Class};

use crate::{at, crowd, outputs, peer};

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
fn one_slot_goes_round_among_those_who_gave_nothing() {
    let mut mesh = crowd(9);
    // 0 to 4 serve us well; 5 to 8 are new here.
    for n in 0..5 {
        mesh.handle_asked(at(0), peer(n));
        mesh.handle_delivered(at(100), peer(n), 100_000);
    }
    let mut turns = Vec::new();
    let mut served = [0_u32; 9];
    for step in 0..600 {
        let now = at(1_000 + step * 100);
        for n in 0..9 {
            if mesh.request_upload(now, peer(n), Class::Now) == Grant::Served {
                served[usize::from(n)] += 1;
                if n >= 5 && turns.last() != Some(&n) {
                    turns.push(n);
                }
                mesh.handle_upload_ended(now, peer(n));
            }
            assert!(mesh.served().count() <= 4);
        }
    }
    assert!((5..9).all(|n| turns.contains(&n)), "a turn for each newcomer: {turns:?}");
    let (givers, newcomers) = served.split_at(5);
    assert!(givers.iter().sum::<u32>() > 2 * newcomers.iter().sum::<u32>(), "{served:?}");
    assert!(turns.len() < 20, "turns last: {turns:?}");
}

#[test]
fn who_waits_is_invited_when_a_slot_is_free() {
    let mut mesh = crowd(5);
    let blob = BlobId::new([9; 32]);
    mesh.handle_want(at(0), peer(4), &[(blob, Class::Now)]);
    outputs(&mut mesh);
    for n in 0..5 {
        mesh.request_upload(at(0), peer(n), Class::Now);
    }
    mesh.handle_upload_ended(at(100), peer(2));
    assert_eq!(mesh.poll_timeout(), Some(at(300)), "the slot lingers until then");
    mesh.handle_timeout(at(300));
    assert_eq!(outputs(&mut mesh), [Output::Tell { peer: peer(4), notice: Notice::Have { blob } }]);
    assert_eq!(mesh.request_upload(at(320), peer(4), Class::Now), Grant::Served);
}

/// F2: four who take blocks at a trickle, or none, hold the slots no longer than so.
#[test]
fn who_takes_too_long_over_a_request_makes_room_for_others() {
    let mut mesh = crowd(9);
    for n in 0..4 {
        assert_eq!(mesh.request_upload(at(u64::from(n)), peer(n), Class::Now), Grant::Served);
    }
    let busy = |grant| matches!(grant, Grant::Busy { .. });
    assert!(busy(mesh.request_upload(at(29_999), peer(4), Class::Now)), "they have their time");
    assert!(busy(mesh.request_upload(at(30_000), peer(4), Class::Prefetch)), "less urgent");
    assert_eq!(outputs(&mut mesh), []);
    for (n, lost) in (4..8).zip(0..4) {
        assert_eq!(mesh.request_upload(at(30_003), peer(n), Class::Now), Grant::Served);
        let cut = outputs(&mut mesh);
        assert!(matches!(cut[..], [Output::CutUpload { peer: cut, .. }] if cut == peer(lost)));
    }
    // Those who take what they asked for keep theirs, however long they go on.
    for step in 0..20 {
        let now = 31_000 + step * 25_000;
        for n in 4..8 {
            mesh.handle_upload_ended(at(now), peer(n));
            assert_eq!(mesh.request_upload(at(now), peer(n), Class::Now), Grant::Served);
        }
        assert!(busy(mesh.request_upload(at(now + 24_000), peer(8), Class::Now)));
    }
    assert_eq!(outputs(&mut mesh), []);
}

#[test]
fn who_goes_on_asking_in_vain_is_banned() {
    let mut mesh = crowd(6);
    mesh.pause_uploads(true);
    // One who does as it is told, for ten minutes.
    for second in 0..1_200 {
        mesh.request_upload(at(second * 500), peer(4), Class::Now);
    }
    assert!(mesh.neighbour(peer(4)).is_some());
    let asked = (0..100_000_u64)
        .find(|n| {
            mesh.request_upload(at(600_000 + n / 10), peer(5), Class::Now);
            mesh.neighbour(peer(5)).is_none()
        })
        .unwrap();
    assert!(asked < 1_000, "it may ask {asked} times");
    let gone = Output::Drop { peer: peer(5), reason: DropReason::AsksInVain };
    assert_eq!(outputs(&mut mesh), [gone]);
    assert!(mesh.banned_until(at(700_000), peer(5)).is_some());
}
