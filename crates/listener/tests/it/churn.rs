//! Peers that come and go, over many seeds: the play must not notice.

use antiphon_listener::{Config, Source};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::world::{World, ms, peer};

fn draw(rng: &mut ChaCha8Rng, from: u64, to: u64) -> u64 {
    from + rng.next_u64() % (to - from)
}

fn life(seed: u64) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let speed = [1, 2, 8][draw(&mut rng, 0, 3) as usize];
    let (rtt, rate) = (draw(&mut rng, 1, 80), draw(&mut rng, 600_000, 4_000_000));
    let mut world = World::with(90, Config::default(), seed).server(rtt, rate);
    world.play(speed, &[], Some(world.first_seconds()));
    for _ in 0..60 {
        let n = draw(&mut rng, 1, 7) as u8;
        let source = Source::Peer(peer(n));
        match draw(&mut rng, 0, 4) {
            0 | 1 if !world.links.contains_key(&source) => {
                let (rtt, rate) = (draw(&mut rng, 1, 150), draw(&mut rng, 5_000, 2_000_000));
                world.connect(source, rtt, rate);
            }
            2 if world.links.contains_key(&source) => world.disconnect(source),
            3 if world.links.contains_key(&source) => world.link(source).frozen = true,
            _ => {}
        }
        world.drain();
        let pause = draw(&mut rng, 10, 2_000 / speed);
        world.run_for(ms(pause));
    }
    world.run_to_the_end();
    world
}

#[test]
fn peers_that_come_go_and_freeze_cause_no_stall() {
    for seed in 0..60 {
        let world = life(seed);
        assert_eq!(world.stalls, 0, "SEED={seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let (one, two) = (life(7), life(7));
    assert_eq!(one.log, two.log);
    assert_ne!(one.log, life(8).log);
}
