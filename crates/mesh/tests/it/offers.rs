//! Who wants and who holds what.

use antiphon_mesh::{DropReason, Interest, Limits, Notice, Output};
use antiphon_types::{BlobId, BlobSize, BlockRange, Class};

use crate::{RTT, at, crowd, outputs, peer};

fn blob(n: u8) -> BlobId {
    BlobId::new([n; 32])
}

fn interest(n: u8) -> Interest {
    Interest { blob: blob(n), size: BlobSize::new(100 * 16_384).unwrap(), class: Class::Now }
}

#[test]
fn neighbours_are_told_what_is_wanted_when_it_changes_and_newcomers_at_once() {
    let mut mesh = crowd(2);
    mesh.want(at(0), &[interest(1)]);
    let told = [
        Output::Tell { peer: peer(0), notice: Notice::Want },
        Output::Tell { peer: peer(1), notice: Notice::Want },
    ];
    assert_eq!(outputs(&mut mesh), told);
    mesh.want(at(1), &[interest(1)]);
    assert_eq!(outputs(&mut mesh), []);
    mesh.handle_peer_up(at(2), peer(5), RTT);
    assert_eq!(outputs(&mut mesh), [Output::Tell { peer: peer(5), notice: Notice::Want }]);
    let many: Vec<Interest> = (0..50).map(interest).collect();
    mesh.want(at(3), &many);
    assert_eq!(mesh.wanted().len(), Limits::default().wanted);
}

#[test]
fn an_offer_counts_while_the_blob_is_wanted_and_no_further_than_it_reaches() {
    let mut mesh = crowd(2);
    mesh.want(at(0), &[interest(1)]);
    mesh.handle_have(at(1), peer(0), blob(1), [BlockRange::new(3, 5), BlockRange::new(98, 4_000)]);
    mesh.handle_have(at(1), peer(0), blob(2), [BlockRange::new(0, 5)]);
    mesh.handle_have(at(1), peer(9), blob(1), [BlockRange::new(0, 5)]);
    let held = mesh.offer(peer(0), blob(1)).unwrap();
    assert_eq!(
        held.ranges().collect::<Vec<_>>(),
        [BlockRange::new(3, 5), BlockRange::new(98, 100)]
    );
    assert_eq!(mesh.offer(peer(0), blob(2)), None, "not wanted");
    assert_eq!(mesh.holders(blob(1)).collect::<Vec<_>>(), [peer(0)]);
    mesh.want(at(2), &[interest(2)]);
    mesh.want(at(3), &[interest(1)]);
    assert_eq!(mesh.offer(peer(0), blob(1)), None, "forgotten with the wish");
}

#[test]
fn a_neighbour_that_wants_is_told_at_once_and_then_now_and_then() {
    let mut mesh = crowd(2);
    mesh.handle_want(at(0), peer(1), &[(blob(1), Class::Now)]);
    let told = Output::Tell { peer: peer(1), notice: Notice::Have { blob: blob(1) } };
    assert_eq!(outputs(&mut mesh), [told]);
    let mut messages = 0;
    for millis in 0..2_000 {
        mesh.handle_gained(at(millis), blob(1));
        mesh.handle_gained(at(millis), blob(2));
        messages += outputs(&mut mesh).len();
    }
    assert_eq!(messages, 7, "one each 250 ms");
    assert_eq!(mesh.poll_timeout(), Some(at(2_000)), "the last is not forgotten");
    mesh.handle_timeout(at(2_000));
    assert_eq!(outputs(&mut mesh), [told]);
    assert_eq!(mesh.poll_timeout(), None);
    mesh.handle_want(at(2_100), peer(1), &[]);
    mesh.handle_gained(at(3_000), blob(1));
    assert_eq!(outputs(&mut mesh), []);
}

#[test]
fn an_offer_says_that_asking_makes_sense_again() {
    let mut mesh = crowd(1);
    mesh.want(at(0), &[interest(1)]);
    mesh.handle_choked(at(0), peer(0), std::time::Duration::from_secs(9));
    mesh.handle_have(at(100), peer(0), blob(1), [BlockRange::new(0, 1)]);
    assert!(mesh.neighbour(peer(0)).unwrap().choked_until() <= at(100));
}

#[test]
fn a_flood_of_notices_ends_with_a_ban() {
    let mut mesh = crowd(2);
    mesh.want(at(0), &[interest(1)]);
    outputs(&mut mesh);
    for n in 0..10_000 {
        mesh.handle_have(at(n / 100), peer(1), blob(1), [BlockRange::new(0, 1)]);
        mesh.handle_want(
            at(n / 100),
            peer(1),
            &[(blob(u8::try_from(n % 250).unwrap()), Class::Now)],
        );
    }
    let sent = outputs(&mut mesh);
    assert!(sent.len() <= 205, "{} messages answer it", sent.len());
    let gone = Output::Drop { peer: peer(1), reason: DropReason::Flood };
    assert_eq!(sent.last(), Some(&gone));
}

#[test]
fn taste_in_common_is_noticed() {
    let mut mesh = crowd(3);
    mesh.want(at(0), &[interest(1), interest(2)]);
    mesh.handle_have(at(1), peer(0), blob(1), [BlockRange::new(0, 1)]);
    mesh.handle_want(at(2), peer(0), &[(blob(2), Class::Now), (blob(1), Class::Now)]);
    mesh.handle_want(at(2), peer(1), &[(blob(9), Class::Now)]);
    let common: Vec<usize> =
        mesh.neighbours().map(|(_, neighbour)| neighbour.in_common()).collect();
    assert_eq!(common, [2, 0, 0]);
}
