//! Who gives how much.

use antiphon_listener::{Output, Source};

use crate::world::{World, ms, peer};

#[test]
fn the_server_alone_plays_a_track_without_a_stall_and_sends_each_block_once() {
    for speed in [1, 8] {
        let mut world = World::new(60).server(50, 1_250_000);
        world.play(speed, &[], Some(world.first_seconds()));
        world.run_to_the_end();
        assert_eq!(world.stalls, 0);
        assert_eq!(world.given_by_server(), world.rendition.size().block_count());
        assert_eq!(world.listener.counts().duplicates, 0);
        // The listener knows the position up to a tick of the sink.
        let most = ms(30_000 + 20 * speed);
        assert!(world.server_ahead <= most, "{:?}", world.server_ahead);
    }
}

#[test]
fn a_fast_peer_takes_over_and_the_push_is_stopped() {
    for speed in [1, 8] {
        // The server sends no faster than 4 Mbit/s, so the push takes 0.6 s.
        let mut world = World::new(60).server(20, 500_000).peer(1, 20, 2_000_000);
        world.play(speed, &[], Some(world.first_seconds()));
        world.run_to_the_end();
        assert_eq!(world.stalls, 0);
        let cancelled =
            world.log.iter().any(|(_, output)| matches!(output, Output::CancelPush { .. }));
        assert!(cancelled, "speed {speed}");
        let share = world.given_by_server() * 100 / world.rendition.size().block_count();
        assert!(share < 20, "speed {speed}: server share {share} %");
        assert!(world.listener.counts().duplicates <= 1, "{:?}", world.listener.counts());
    }
}

#[test]
fn a_slow_peer_does_not_stop_the_push() {
    let mut world = World::new(60).server(20, 500_000).peer(1, 20, 10_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.run_to_the_end();
    let cancelled = world.log.iter().any(|(_, output)| matches!(output, Output::CancelPush { .. }));
    assert!(!cancelled);
    assert_eq!(world.stalls, 0);
}

#[test]
fn two_and_four_peers_share_the_load() {
    for peers in [2, 4] {
        let mut world = World::new(120).server(20, 1_250_000);
        for n in 1..=peers {
            world.connect(Source::Peer(peer(n)), 30, 60_000);
        }
        world.play(8, &[], Some(world.first_seconds()));
        world.run_to_the_end();
        assert_eq!(world.stalls, 0);
        for n in 1..=peers {
            let got = world.given_by_peer(n);
            assert!(got >= 8, "peer {n} of {peers} gave {got}: {:?}", world.received);
        }
    }
}

#[test]
fn unequal_peers_give_in_proportion_to_their_rate() {
    let mut world =
        World::new(240).server(40, 1_250_000).peer(1, 40, 1_000_000).peer(2, 40, 125_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.run_to_the_end();
    assert_eq!(world.stalls, 0);
    let (fast, slow) = (world.given_by_peer(1), world.given_by_peer(2));
    assert!(fast > 3 * slow && slow > 10, "{:?}", world.received);
    assert!(world.given_by_server() < 30, "{:?}", world.received);
}

#[test]
fn without_a_push_the_server_gives_only_what_is_due_before_a_peer_can_deliver() {
    let mut world = World::new(60).server(50, 1_250_000).peer(1, 50, 1_250_000);
    world.play(1, &[], None);
    world.run_to_the_end();
    assert_eq!(world.stalls, 0);
    assert!((1..=4).contains(&world.given_by_server()), "{:?}", world.received);
}

#[test]
fn while_peers_serve_the_server_is_never_asked_beyond_fifteen_seconds() {
    // The last is so far away that at speed 8 it is late even 15 s ahead.
    for (speed, rtt, rate) in [(1, 50, 10_000), (1, 50, 25_000), (8, 1_800, 500_000)] {
        let mut world = World::new(120).server(50, 1_250_000).peer(1, rtt, rate);
        world.play(speed, &[], None);
        world.run_to_the_end();
        assert_eq!(world.stalls, 0, "speed {speed}, rate {rate}");
        // The listener knows the position up to a tick of the sink.
        let most = ms(15_000 + 20 * speed);
        assert!(world.server_ahead <= most, "rate {rate}: {:?}", world.server_ahead);
        assert!(world.given_by_peer(1) >= 5, "rate {rate}: {:?}", world.received);
    }
}

#[test]
fn sixty_peers_and_a_long_track() {
    let mut world = World::new(600).server(50, 1_250_000);
    for n in 1..=50 {
        world.connect(Source::Peer(peer(n)), 20 + u64::from(n), 125_000);
    }
    world.play(8, &[], Some(world.first_seconds()));
    world.run_to_the_end();
    assert_eq!(world.stalls, 0);
    let share = world.given_by_server() * 100 / world.rendition.size().block_count();
    assert!(share <= 5, "server share {share} %");
}
