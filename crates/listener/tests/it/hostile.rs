//! Cases P of the threats: when nearly all who are named mean harm, and when all go.

use antiphon_listener::Source;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::world::{World, ms, peer};

/// Of twenty peers who say that they hold all of it, nineteen are the attacker's: they
/// send nothing, or garbage, or at a trickle.
#[test]
fn p1_with_nineteen_of_twenty_peers_hostile_there_is_music_all_the_same() {
    for honest in [1, 7, 20] {
        for speed in [1, 8] {
            let mut world = World::new(120).server(50, 1_250_000);
            for n in 1..=20 {
                let rate = if n % 3 == 2 && n != honest { 2_000 } else { 100_000 * speed };
                world.connect(Source::Peer(peer(n)), 30, rate);
                let link = world.link(Source::Peer(peer(n)));
                link.frozen = n % 3 == 0 && n != honest;
                link.corrupt_after = (n % 3 == 1 && n != honest).then_some(0);
            }
            world.play(speed, &[], Some(world.first_seconds()));
            world.run_to_the_end();
            assert_eq!(world.stalls, 0, "honest {honest}, speed {speed}");
            // Not one byte of theirs was taken for music, and the liars are gone.
            let liars = (1..=20_u8).filter(|n| n % 3 == 1 && *n != honest);
            let told = |n: u8| world.dropped.iter().any(|(dropped, _)| *dropped == peer(n));
            let asked = |n: u8| world.asked.iter().any(|(from, ..)| *from == Source::Peer(peer(n)));
            assert!(liars.clone().all(|n| world.given_by_peer(n) == 0 && told(n) == asked(n)));
            let all: u32 = (1..=20).map(|n| world.given_by_peer(n)).sum();
            let by_honest = world.given_by_peer(honest);
            assert!(by_honest * 2 > all, "{by_honest} of {all} blocks of peers");
        }
    }
}

/// All of them at one moment, whenever that is.
#[test]
fn p7_all_peers_leave_at_once_and_nobody_hears_it() {
    for speed in [1, 8] {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(120).server(50, 1_250_000);
            for n in 1..=10 {
                world.connect(Source::Peer(peer(n)), 30, 30_000 * speed);
            }
            world.play(speed, &[], Some(world.first_seconds()));
            world.run_for(ms(u64::from(rng.next_u32()) % (100_000 / speed)));
            (1..=10).for_each(|n| world.disconnect(Source::Peer(peer(n))));
            world.run_to_the_end();
            assert_eq!(world.stalls, 0, "speed {speed}, SEED={seed}");
        }
    }
}
