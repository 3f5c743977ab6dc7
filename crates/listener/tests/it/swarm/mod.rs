//! Many listeners, one server, a track: each listener the real core, the links
//! between them modelled, on a virtual clock.

mod net;

use antiphon_listener::Config;
use antiphon_types::Class;

use net::{Access, Net};

/// In bytes per second.
const MBIT: u64 = 125_000;

const HOME: Access = Access { up: 2 * MBIT, down: 10 * MBIT, delay_ms: 20 };

/// A new track that nobody holds, and twenty who want it within ten seconds.
fn release(seconds: u64, seed: u64) -> Net {
    let mut net = Net::new(seconds, 4 * MBIT, seed);
    for n in 0..20 {
        let starts_ms = net.draw(10_000);
        net.add(HOME, Config::default(), Some(starts_ms), n);
    }
    net
}

#[test]
fn a_new_track_spreads_while_it_is_fetched() {
    for seed in 1..=2 {
        let mut net = release(240, seed);
        net.run();
        net.check_accounts();
        let told = format!("seed {seed}: {}; click and wait {:?}", net.summary(), net.starts());
        assert_eq!(net.stalls(), 0, "{told}");
        assert!(net.slowest_start_ms() <= 1_000, "{told}");
        assert!(net.copies_from_server() < 3.0, "{told}");
    }
}

#[test]
fn without_a_server_four_who_hold_it_all_are_enough() {
    let mut net = Net::new(60, 4 * MBIT, 5);
    for n in 0..4 {
        net.add_holder(HOME, Config::default(), n);
    }
    net.add(HOME, Config::default(), Some(0), 9);
    net.connect_all();
    net.lose_server();
    net.run();
    net.check_accounts();
    assert_eq!(net.stalls(), 0, "{}", net.summary());
    assert!(net.slowest_start_ms() <= 200, "{}", net.summary());
}

#[test]
fn who_gives_nothing_hears_music_all_the_same_and_is_served_last() {
    let mut net = Net::new(120, 4 * MBIT, 7);
    for n in 0..2 {
        net.add_holder(HOME, Config::default(), n);
    }
    for n in 2..12 {
        let starts_ms = net.draw(3_000);
        net.add(HOME, Config::default(), Some(starts_ms), n);
    }
    let selfish = net.add(Access { up: 0, ..HOME }, Config::default(), Some(1_500), 12);
    net.run();
    net.check_accounts();
    assert_eq!(net.stalls(), 0, "{}", net.summary());
    assert!(net.is_whole(selfish));
}

#[test]
fn no_listener_serves_more_than_four_at_a_time_and_none_in_its_own_need() {
    let mut net = release(60, 11);
    net.run();
    assert!(net.most_served() <= 4, "{} at a time", net.most_served());
    assert!(net.classes_served().contains(&Class::Now));
}
