//! Sources that die, freeze, lie or come back.

use antiphon_listener::{DropReason, Output, Refused, Source, WaitingFor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::world::{ID, World, ms, peer};

/// A peer that feeds the play about as fast as it is consumed, so that a fault
/// finds blocks on their way.
const JUST_ENOUGH: u64 = 26_000;

#[test]
fn the_only_peer_dies_and_the_server_takes_over_without_a_stall() {
    for speed in [1, 8] {
        for after in [300, 2_000, 5_000] {
            let mut world = World::new(90).server(50, 1_250_000).peer(1, 30, JUST_ENOUGH * speed);
            world.play(speed, &[], Some(world.first_seconds()));
            world.run_for(ms(after));
            world.disconnect(Source::Peer(peer(1)));
            world.run_to_the_end();
            assert_eq!(world.stalls, 0, "speed {speed}, after {after} ms");
        }
    }
}

#[test]
fn b3_a_peer_falls_silent_within_a_block_and_nobody_hears_it() {
    for speed in [1, 8] {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(90).server(50, 1_250_000).peer(1, 30, JUST_ENOUGH * speed);
            world.play(speed, &[], Some(world.first_seconds()));
            world.run_for(ms(u64::from(rng.next_u32()) % (40_000 / speed)));
            world.link(Source::Peer(peer(1))).frozen = true;
            world.run_to_the_end();
            assert_eq!(world.stalls, 0, "speed {speed}, SEED={seed}");
        }
    }
}

/// F2: never so silent that it is given up, never so fast that it is of use.
#[test]
fn f2_a_peer_that_sends_at_a_trickle_is_heard_by_nobody() {
    for speed in [1, 8] {
        for rate in [500, 2_000, 9_000] {
            let mut world = World::new(90).server(50, 1_250_000).peer(1, 30, rate);
            world.play(speed, &[], Some(world.first_seconds()));
            world.run_to_the_end();
            assert_eq!(world.stalls, 0, "speed {speed}, {rate} bytes/s");

            // And with another peer in the server's place.
            let mut world = World::new(90).peer(1, 30, rate).peer(2, 30, 60_000 * speed);
            world.play(speed, &[], None);
            world.run_to_the_end();
            assert_eq!(world.stalls, 0, "speed {speed}, {rate} bytes/s, no server");
            assert!(world.given_by_peer(1) < world.given_by_peer(2) / 2);
        }
    }
}

#[test]
fn one_of_four_peers_freezes_and_the_others_do_its_part() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(120).server(50, 1_250_000);
        for n in 1..=4 {
            world.connect(Source::Peer(peer(n)), 30, 80_000);
        }
        world.play(8, &[], Some(world.first_seconds()));
        world.run_for(ms(u64::from(rng.next_u32()) % 8_000));
        world.link(Source::Peer(peer(2))).frozen = true;
        world.run_to_the_end();
        assert_eq!(world.stalls, 0, "SEED={seed}");
    }
}

#[test]
fn the_server_dies_and_peers_carry_on() {
    let mut world = World::new(90).server(50, 1_250_000).peer(1, 30, 100_000).peer(2, 30, 100_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.run_for(ms(1_000));
    world.disconnect(Source::Server);
    world.run_to_the_end();
    assert_eq!(world.stalls, 0);
}

#[test]
fn the_server_freezes_in_its_push_and_peers_take_over() {
    let mut world = World::new(60).server(50, 100_000).peer(1, 30, 500_000);
    world.link(Source::Peer(peer(1))).frozen = true;
    world.play(1, &[], Some(world.first_seconds()));
    world.run_for(ms(500));
    world.link(Source::Server).frozen = true;
    world.link(Source::Peer(peer(1))).frozen = false;
    world.send_next(Source::Peer(peer(1)));
    world.run_to_the_end();
    assert_eq!(world.stalls, 0);
}

#[test]
fn everything_is_gone_then_the_server_returns() {
    let mut world = World::new(60).server(50, 1_250_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.run_for(ms(1_000));
    world.disconnect(Source::Server);
    world.run_for(ms(32_000));
    assert_eq!(world.stalls, 1, "the buffer was played to its end, then it waited");
    assert_eq!(world.listener.waiting_for(world.now), WaitingFor::AnySource);
    world.connect(Source::Server, 50, 1_250_000);
    world.drain();
    assert_eq!(world.listener.waiting_for(world.now), WaitingFor::Server);
    world.run_to_the_end();
    assert_eq!(world.stalls, 1);
    assert_eq!(world.listener.waiting_for(world.now), WaitingFor::Nothing);
}

#[test]
fn b1_a_peer_that_sends_a_bad_block_is_dropped_and_the_block_comes_from_elsewhere() {
    for others in [0, 2] {
        let mut world = World::new(60).server(50, 1_250_000).peer(1, 30, 500_000);
        for n in 2..2 + others {
            world.connect(Source::Peer(peer(n)), 30, 500_000);
        }
        world.link(Source::Peer(peer(1))).corrupt_after = Some(3);
        world.play(1, &[], Some(world.first_seconds()));
        world.run_to_the_end();
        assert_eq!(world.stalls, 0);
        assert_eq!(world.dropped, [(peer(1), DropReason::BadBlock)]);
        assert_eq!(world.listener.counts().bad_from_peers, 1);
        // It is not taken back.
        world.listener.handle_peer_up(world.now, peer(1), ms(30));
        world.drain();
        assert_eq!(world.dropped.len(), 2);
    }
}

#[test]
fn a_bad_block_from_the_server_is_asked_again_and_counted() {
    let mut world = World::new(30).server(50, 1_250_000);
    world.link(Source::Server).corrupt_after = Some(5);
    world.play(1, &[], None);
    world.run_for(ms(300));
    assert!(world.listener.counts().bad_from_server > 0);
    world.link(Source::Server).corrupt_after = None;
    world.run_to_the_end();
    assert!(world.dropped.is_empty());
}

#[test]
fn a_choking_peer_is_left_alone_as_long_as_it_asked() {
    let mut world = World::new(60).server(50, 1_250_000).peer(1, 30, 500_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.refuse(Source::Peer(peer(1)), Refused::Choked { retry_after: ms(700) });
    let choked_at = world.now;
    let before = world.log.len();
    world.run_to_the_end();
    let again = world.log[before..].iter().find(|(_, output)| {
        matches!(output, Output::Fetch { source, .. } if *source == Source::Peer(peer(1)))
    });
    let (at, _) = again.expect("it is asked again");
    assert!(at.saturating_since(choked_at) >= ms(700));
    assert_eq!(world.stalls, 0);
}

#[test]
fn a_peer_without_the_blob_is_not_asked_again_even_if_the_tracker_insists() {
    let mut world = World::new(30).server(50, 1_250_000).peer(1, 30, 500_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.refuse(Source::Peer(peer(1)), Refused::NotHeld);
    let before = world.asked.len();
    world.listener.handle_holders(world.now, ID, &[peer(1)]);
    world.run_for(ms(20_000));
    let again = world.asked[before..].iter().filter(|(source, ..)| *source != Source::Server);
    assert_eq!(again.count(), 0);
    assert_eq!(world.stalls, 0);
}

#[test]
fn b8_a_peer_that_claims_all_and_sends_nothing_is_soon_asked_for_next_to_nothing() {
    let mut world = World::new(90).server(50, 1_250_000).peer(1, 30, 500_000);
    world.link(Source::Peer(peer(1))).frozen = true;
    world.play(1, &[], Some(world.first_seconds()));
    world.run_for(ms(5_000));
    let early = world.asked.iter().filter(|(source, ..)| *source == Source::Peer(peer(1))).count();
    world.run_to_the_end();
    let all = world.asked.iter().filter(|(source, ..)| *source == Source::Peer(peer(1))).count();
    let blocks = world.rendition.size().block_count() as usize;
    assert!(early > 0, "nobody knew it");
    assert!(all < blocks / 2, "{all} of {blocks} blocks were asked of it");
    assert_eq!(world.stalls, 0);
    assert_eq!(world.received.get(&Source::Peer(peer(1))), None);
}

#[test]
fn b6_a_peer_that_sends_what_was_not_asked_for_is_banned_in_the_end() {
    let mut world = World::new(90).server(50, 1_250_000).peer(1, 30, 500_000);
    world.play(1, &[], Some(world.first_seconds()));
    let mut requests = 0;
    while world.dropped.is_empty() && requests < 100 {
        let asked = world.listener.transfers();
        requests += asked.filter(|transfer| transfer.source == Source::Peer(peer(1))).count();
        world.refuse(Source::Peer(peer(1)), Refused::Unasked);
        world.run_for(ms(100));
    }
    assert_eq!(world.dropped, [(peer(1), DropReason::UnaskedBlocks)]);
    assert!(requests > 3, "once may be a mistake: {requests}");
    assert_eq!(world.listener.counts().unasked_from_peers, requests as u64);
    assert!(world.listener.mesh().banned_until(world.now, peer(1)).is_some());
    world.run_to_the_end();
    assert_eq!(world.stalls, 0);
}

#[test]
fn a_peer_that_fails_every_request_is_asked_ever_more_rarely() {
    let mut world = World::new(60).server(50, 1_250_000).peer(1, 30, 500_000);
    world.play(1, &[], Some(world.first_seconds()));
    let mut requests = 0;
    for _ in 0..600 {
        requests += world
            .listener
            .transfers()
            .filter(|transfer| transfer.source == Source::Peer(peer(1)))
            .count();
        world.refuse(Source::Peer(peer(1)), Refused::Failed);
        world.run_for(ms(100));
    }
    assert!((2..40).contains(&requests), "{requests} requests in a minute");
    assert_eq!(world.stalls, 0);
}

#[test]
fn for_one_block_at_most_three_peers_are_tried() {
    let mut world = World::new(60).server(50, 1_250_000);
    for n in 1..=6 {
        world.connect(Source::Peer(peer(n)), 200, 500_000);
    }
    world.play(1, &[], Some(world.first_seconds()));
    let block = world.first_seconds().end;
    for _ in 0..100 {
        let transfers = world.listener.transfers().collect::<Vec<_>>();
        for transfer in transfers.iter().filter(|transfer| transfer.blocks.contains(block)) {
            if transfer.source != Source::Server {
                world.refuse(transfer.source, Refused::Failed);
            }
        }
        world.run_for(ms(50));
    }
    let tried = world.asked.iter().filter(|(_, asked, _)| *asked == block);
    let sources = tried.map(|(source, ..)| *source).collect::<Vec<_>>();
    assert_eq!(sources.len(), 4, "{sources:?}");
    assert_eq!(sources.last(), Some(&Source::Server));
    assert_eq!(world.stalls, 0);
}
