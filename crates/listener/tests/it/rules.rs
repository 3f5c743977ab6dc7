//! The rules one by one.

use std::collections::BTreeSet;

use antiphon_listener::{
    Config, Grant, Listener, Notice, Output, Play, PlayId, Reason, Source, TransferId, UserPolicy,
    WaitingFor,
};
use antiphon_types::{BLOCK_BYTES, BlockRange, BlockSet, Class, Timestamp};

use crate::world::{ID, World, ms, peer, track};

#[test]
fn a_cached_track_touches_no_network() {
    let mut world = World::new(30).server(50, 1_250_000).peer(1, 30, 500_000);
    let all = world.rendition.size().all().iter().collect::<Vec<_>>();
    world.play(1, &all, None);
    world.run_to_the_end();
    assert_eq!(world.log, []);
    assert_eq!(world.stalls, 0);
    assert_eq!(world.listener.poll_timeout(), None);
}

#[test]
fn of_a_partly_cached_track_exactly_the_missing_blocks_are_asked() {
    let mut world = World::new(60).server(50, 1_250_000).peer(1, 30, 500_000);
    let held = (0..20).chain(30..40).collect::<Vec<_>>();
    world.play(1, &held, None);
    world.run_to_the_end();
    let asked = world.asked.iter().map(|(_, block, _)| *block).collect::<BTreeSet<_>>();
    let count = world.rendition.size().block_count();
    assert_eq!(asked, (20..30).chain(40..count).collect());
    assert_eq!(world.asked.len(), asked.len(), "each once");
    assert_eq!(world.given_by_server(), 0, "nothing was urgent");
}

#[test]
fn blocks_are_asked_in_the_order_in_which_they_are_heard() {
    let mut world = World::new(60).server(50, 1_250_000);
    world.play(1, &[], None);
    world.run_to_the_end();
    assert!(world.asked.is_sorted_by_key(|(_, block, _)| *block));
}

#[test]
fn holes_are_filled_last_and_from_the_server_only_once_the_play_is_over() {
    let mut world = World::new(60).server(50, 1_250_000);
    world.play(1, &[], None);
    world.run_for(ms(200));
    // The sink jumps ahead, as after a seek.
    let sample = 40 * 44_100;
    world.position = sample;
    world.listener.handle_position(world.now, ID, sample, true);
    world.drain();
    let needed = world.listener.playout().unwrap().first_needed();
    let before = world.asked.len();
    world.listener.handle_position(world.now, ID, world.rendition.samples(), false);
    let ended = world.asked.len();
    world.position = world.rendition.samples();
    world.playing = false;
    world.drain();
    world.run_to_the_end();
    assert!(world.asked[..before].iter().all(|(_, _, class)| *class == Class::Now));
    let late = &world.asked[ended..];
    assert!(late.iter().any(|(_, block, _)| *block < needed));
    assert!(late.iter().all(|(_, _, class)| *class == Class::Prefetch));
}

#[test]
fn pushed_blocks_are_not_asked_while_the_push_runs_and_asked_when_it_ends_early() {
    let mut world = World::new(60).server(50, 1_250_000);
    let push = world.first_seconds();
    let now = world.now;
    let rendition = world.rendition.clone();
    let held = BlockSet::empty(rendition.size());
    world.listener.play(
        now,
        Play {
            id: ID,
            rendition,
            held,
            from: 0,
            speed: 1.0,
            pushed: Some(push),
            ladder: [].into(),
            user: UserPolicy::Auto,
        },
    );
    world.drain();
    assert!(world.asked.iter().all(|(_, block, _)| !push.contains(*block)));
    let pushed = world.listener.transfers().find(|transfer| transfer.transfer == TransferId::PUSH);
    assert_eq!(pushed.unwrap().reason, Reason::Pushed);
    assert_eq!(world.listener.waiting_for(now), WaitingFor::Server);
    world.listener.handle_push_ended(now + ms(1), ID);
    world.drain();
    assert!(world.asked.iter().any(|(_, block, _)| *block == push.start));
}

#[test]
fn stopping_cancels_what_has_not_come() {
    let mut world = World::new(60).server(50, 50_000).peer(1, 30, 50_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.run_for(ms(200));
    let open = world.listener.transfers().map(|transfer| transfer.transfer).collect::<Vec<_>>();
    assert!(open.len() > 1);
    let before = world.log.len();
    world.listener.stop(world.now, ID);
    world.drain();
    let cancelled = world.log[before..].iter().filter_map(|(_, output)| match output {
        Output::Cancel { transfer, .. } => Some(*transfer),
        Output::CancelPush { play: ID } => Some(TransferId::PUSH),
        // Nothing is wanted any more.
        Output::Tell { notice: Notice::Want, .. } => None,
        other => panic!("{other:?}"),
    });
    assert_eq!(cancelled.collect::<Vec<_>>(), open);
    assert_eq!(world.listener.current_play(), None);
    assert_eq!(world.listener.poll_timeout(), None);
}

#[test]
fn answers_to_an_older_play_change_nothing() {
    let now = Timestamp::ZERO;
    let mut listener = Listener::new(Config::default(), 1, now);
    listener.handle_server_up(now, ms(20));
    let rendition = track(30);
    let held = BlockSet::empty(rendition.size());
    let play = |n| Play {
        id: PlayId(n),
        rendition: rendition.clone(),
        held: held.clone(),
        from: 0,
        speed: 1.0,
        pushed: None,
        ladder: [].into(),
        user: UserPolicy::Auto,
    };
    listener.play(now, play(1));
    while listener.poll_output(now).is_some() {}
    listener.play(now, play(2));
    let missing = listener.missing_blocks();
    listener.handle_block(now, PlayId(1), Source::Server, TransferId(1), 0, 16_384);
    listener.handle_position(now, PlayId(1), 44_100, true);
    listener.handle_push_ended(now, PlayId(1));
    listener.stop(now, PlayId(1));
    assert_eq!(listener.current_play(), Some(PlayId(2)));
    assert_eq!(listener.missing_blocks(), missing);
    assert_eq!(listener.counts().stale, 1);
}

#[test]
fn peers_are_searched_while_there_are_none_but_not_all_the_time() {
    let mut world = World::new(60).server(50, 1_250_000);
    world.play(1, &[], Some(world.first_seconds()));
    world.run_for(ms(21_000));
    let searches =
        world.log.iter().filter(|(_, output)| matches!(output, Output::FindPeers { .. }));
    assert_eq!(searches.count(), 4, "every 5 s");
}

#[test]
fn nobody_is_served_while_the_own_play_is_in_an_emergency() {
    let mut world = World::new(60).server(50, 1_250_000).peer(1, 30, 500_000);
    assert_eq!(world.listener.request_upload(world.now, peer(1), Class::Now), Grant::Served);
    world.listener.handle_upload_ended(world.now, peer(1));
    world.play(1, &[], None);
    assert!(world.listener.uploads_paused(world.now));
    let refused = world.listener.request_upload(world.now, peer(1), Class::Now);
    assert!(matches!(refused, Grant::Busy { .. }));
    world.run_for(ms(2_000));
    assert!(!world.listener.uploads_paused(world.now));
    assert_eq!(world.listener.request_upload(world.now, peer(1), Class::Now), Grant::Served);
}

#[test]
fn without_a_server_uploads_never_pause_lest_two_wait_for_each_other() {
    let mut world = World::new(60).peer(1, 30, 500_000);
    world.play(1, &[], None);
    assert!(world.listener.transfers().count() > 0);
    assert_eq!(world.listener.request_upload(world.now, peer(1), Class::Now), Grant::Served);
}

#[test]
fn a_malformed_push_is_cut_to_the_blob() {
    for (start, end) in [(0, u32::MAX), (u32::MAX, u32::MAX), (9, 3), (5_000, 6_000)] {
        let now = Timestamp::ZERO;
        let mut listener = Listener::new(Config::default(), 1, now);
        listener.handle_server_up(now, ms(20));
        let rendition = track(30);
        let held = BlockSet::empty(rendition.size());
        let pushed = Some(BlockRange::new(start, end));
        listener.play(
            now,
            Play {
                id: ID,
                rendition,
                held,
                from: 0,
                speed: 1.0,
                pushed,
                ladder: [].into(),
                user: UserPolicy::Auto,
            },
        );
        while listener.poll_output(now).is_some() {}
        listener.handle_push_ended(now, ID);
        let asked = std::iter::from_fn(|| listener.poll_output(now)).count();
        assert!(asked > 0 || listener.transfers().count() > 0);
    }
}

#[test]
fn while_peers_that_were_named_may_come_up_the_server_is_asked_for_little() {
    let mut world = World::new(120).server(20, 1_000_000);
    world.named = vec![peer(9)];
    world.play(1, &[], None);
    let media_asked = |world: &World| {
        let last = world.asked.iter().map(|(_, block, _)| *block).max().unwrap_or(0);
        u64::from(last) * u64::from(BLOCK_BYTES) / 20_000
    };
    world.run_for(ms(1_500));
    let near = media_asked(&world);
    assert!((4..12).contains(&near), "asked {near} s ahead while a peer may come up");
    world.run_for(ms(1_500));
    let far = media_asked(&world);
    assert!((25..36).contains(&far), "asked {far} s ahead when none came");
}

#[test]
fn a_slow_server_is_not_asked_for_what_a_quick_peer_has_just_been_asked_for() {
    let config = Config { server_prior_rate: 10_000, ..Config::default() };
    let mut world = World::with(120, config, 1).server(20, 10_000).peer(1, 20, 100_000);
    world.play(1, &[], Some(BlockRange::new(0, 4)));
    world.run_for(ms(1_500));
    assert!(world.given_by_peer(1) > 0);
    let overtakes = world.asked.iter().filter(|(source, block, _)| {
        *source == Source::Server
            && world
                .asked
                .iter()
                .any(|(source, asked, _)| *source == Source::Peer(peer(1)) && asked == block)
    });
    assert_eq!(overtakes.count(), 0, "{:?}", world.asked);
}

#[test]
fn what_is_heard_soon_is_spread_over_the_peers_block_by_block() {
    let config = Config { peer_window_least: 8, ..Config::default() };
    let mut world = World::with(60, config, 1).peer(1, 40, 250_000).peer(2, 40, 250_000);
    world.play(1, &[], None);
    let of_first =
        world.asked.iter().take(4).filter(|(source, ..)| *source == Source::Peer(peer(1)));
    assert_eq!(of_first.count(), 2, "{:?}", world.asked);
}
