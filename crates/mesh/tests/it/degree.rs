//! Who is a neighbour, and who has to go.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use antiphon_mesh::{DropReason, Limits, Mesh, Met, Network, Output, QueryId};
use antiphon_types::{BlobId, NodeId};

use crate::{HOUR, RTT, at, crowd, outputs, peer};

/// One who comes to us from an address.
fn inbound(address: [u8; 4]) -> Met {
    let network = Network::of(IpAddr::V4(Ipv4Addr::from(address)));
    Met { rtt: RTT, network, dialled: false }
}

/// Stranger `n` of many.
fn stranger(n: u16) -> NodeId {
    let mut id = [0xee; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    NodeId::new(id)
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
        mesh.handle_delivered(at(2 * HOUR), peer(n), 2_000);
    }
    mesh.handle_timeout(at(2 * HOUR + 1));
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
fn two_hundred_strangers_from_everywhere_do_not_push_out_whom_we_chose() {
    let mut mesh = crowd(20);
    mesh.handle_delivered(at(1_000), peer(7), 16_384);
    for wave in 0..5_u64 {
        for n in 0..200_u16 {
            let [high, low] = n.to_be_bytes();
            mesh.handle_peer_up(at(wave * 40_000), stranger(n), inbound([90 + high, low, 1, 1]));
        }
        mesh.handle_timeout(at(wave * 40_000 + 35_000));
        let ours = mesh.neighbours().filter(|(id, _)| id.as_bytes()[31] != 0xee).count();
        assert_eq!(ours, 20, "of those we dialled, in wave {wave}");
        assert!(mesh.neighbours().len() <= 60);
    }
    // There is room for one more whom the tracker names.
    mesh.handle_peer_up(at(300_000), peer(99), RTT);
    assert!(mesh.neighbour(peer(99)).is_some());
}

#[test]
fn of_one_network_only_a_few_may_come() {
    let mut mesh = crowd(0);
    for n in 0..30 {
        mesh.handle_peer_up(at(0), stranger(n), inbound([203, 0, 113, n.to_be_bytes()[1]]));
    }
    assert_eq!(mesh.neighbours().len(), Limits::default().inbound_per_network);
    let dropped = outputs(&mut mesh);
    assert!(matches!(dropped[0], Output::Drop { reason: DropReason::Crowded, .. }));
    // Those of our own network, and those of another, still may.
    for address in [[192, 168, 1, 9], [203, 0, 114, 9]] {
        let before = mesh.neighbours().len();
        mesh.handle_peer_up(at(0), stranger(100 + u16::from(address[0])), inbound(address));
        assert_eq!(mesh.neighbours().len(), before + 1, "{address:?}");
    }
}

#[test]
fn who_had_to_go_does_not_come_back_at_once() {
    let mut mesh = crowd(51);
    mesh.handle_timeout(at(30_000));
    let gone = outputs(&mut mesh);
    let [Output::Drop { peer: gone, reason: DropReason::LeastUseful }] = gone[..] else {
        panic!("{gone:?}");
    };
    for millis in [31_000, 60_000, 600_000] {
        mesh.handle_peer_up(at(millis), gone, RTT);
        assert_eq!(outputs(&mut mesh), [Output::Drop { peer: gone, reason: DropReason::Full }]);
    }
    mesh.handle_peer_up(at(640_000), gone, RTT);
    assert!(mesh.neighbour(gone).is_some(), "it has rested");
}

#[test]
fn a_neighbour_that_finds_holders_is_worth_more_than_one_that_does_nothing() {
    let mut mesh = crowd(2);
    let (id, blob) = (QueryId([1; 16]), BlobId::new([2; 32]));
    mesh.search(at(0), id, blob);
    mesh.handle_hit(at(10), peer(1), id, peer(77));
    let weights = Limits::default().weights;
    let worth = |mesh: &Mesh, n| mesh.neighbour(peer(n)).unwrap().usefulness(at(100), &weights);
    assert_eq!(worth(&mesh, 0), worth(&mesh, 1), "anybody can say that");
    mesh.handle_peer_up(at(50), peer(77), RTT);
    mesh.handle_delivered(at(60), peer(77), 16_384);
    assert_eq!(worth(&mesh, 1), worth(&mesh, 0) + weights.hit, "it was true");
}

#[test]
fn broken_promises_sink_a_neighbour() {
    let mut mesh = Mesh::new(Limits { protected: 0, ..Limits::default() });
    for n in 0..51 {
        mesh.handle_peer_up(at(0), peer(n), RTT);
        mesh.handle_delivered(at(10), peer(n), 1_000_000);
    }
    // As fast as the others, but waited for in vain, time and again.
    for _ in 0..10 {
        mesh.handle_delivered(at(20), peer(23), 0);
    }
    mesh.handle_timeout(at(30_020));
    let sunk = Output::Drop { peer: peer(23), reason: DropReason::LeastUseful };
    assert_eq!(outputs(&mut mesh), [sunk]);
}
