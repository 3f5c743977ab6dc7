//! Behaviour of the play-out buffer through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test")]

mod model;

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_playback::{Playout, Policy, State, Urgency};
use antiphon_types::{
    BLOCK_BYTES, Bitrate, BlobId, BlobSize, BlockSet, Class, Rendition, SAMPLE_RATE, Segment,
    Timestamp,
};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_millis(10_000);

/// 60 s, 20,000 bytes a second after `header` bytes.
fn rendition(header: u32) -> Rendition {
    let segment = |i: u64| Segment {
        offset: u64::from(header) + i * 200_000,
        sample: i * Rendition::SEGMENT_SAMPLES,
    };
    let size = BlobSize::new(u64::from(header) + 1_200_000).unwrap();
    let samples = 60 * u64::from(SAMPLE_RATE);
    let segments = (0..6).map(segment).collect();
    Rendition::new(Bitrate::Kbps160, BlobId::new([1; 32]), size, header, samples, segments).unwrap()
}

fn playout(header: u32, speed: f64) -> Playout {
    let rendition = rendition(header);
    let held = BlockSet::empty(rendition.size());
    Playout::new(&rendition, held, speed, Policy::default(), START)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn samples(seconds: u64) -> u64 {
    seconds * u64::from(SAMPLE_RATE)
}

#[test]
fn play_can_start_once_headers_and_the_first_audio_are_there() {
    let mut small = playout(4_000, 1.0);
    assert!(!small.ready_to_start());
    small.handle_block(START, 0);
    assert!(small.ready_to_start(), "the rest of block 0 is audio");

    let mut large = playout(40_000, 1.0);
    for block in [2, 3, 1] {
        large.handle_block(START, block);
        assert!(!large.ready_to_start());
        assert_eq!(large.needed_next(), Some(0), "no decoder without headers");
    }
    large.handle_block(START, 0);
    assert!(large.ready_to_start());
    assert_eq!(large.needed_next(), Some(4));
}

#[test]
fn deadlines_follow_the_position_and_shrink_with_speed() {
    // Block 25 begins 409,600 - 4,000 bytes into the audio: 20.28 s.
    for (speed, wall_ms) in [(1.0, 20_280), (8.0, 2_535)] {
        let mut playout = playout(4_000, speed);
        playout.handle_position(START, 0, true);
        let due = playout.due(25).saturating_since(START).as_millis();
        assert!(due < wall_ms, "some time before it is heard: {due}");
        assert!(due > wall_ms * 9 / 10 - 100, "but not long before: {due}");
    }
}

#[test]
fn deadlines_of_a_play_that_does_not_run_slide_with_time() {
    let mut playout = playout(4_000, 1.0);
    let ahead = playout.due(30).saturating_since(START);
    playout.handle_position(START + seconds(5), 0, false);
    assert_eq!(playout.due(30).saturating_since(START), ahead + seconds(5));
    playout.handle_position(START + seconds(6), 0, true);
    let fixed = playout.due(30);
    playout.handle_block(START + seconds(9), 0);
    assert_eq!(playout.due(30), fixed, "once it runs they stand still");
}

#[test]
fn what_lies_behind_is_due_never_and_in_order_ahead() {
    let mut playout = playout(4_000, 1.0);
    (0..20).for_each(|block| {
        playout.handle_block(START, block);
    });
    playout.handle_position(START, samples(10), true);
    let needed = playout.first_needed();
    assert!((11..=12).contains(&needed));
    assert_eq!(playout.due(needed - 1), Timestamp::MAX);
    assert_eq!(playout.urgency(0, START), Urgency::Hole);
    assert_eq!(Urgency::Hole.class(), Class::Prefetch);
    assert!((needed..73).is_sorted_by_key(|block| playout.due(block)));
    assert_eq!(playout.due(1_000), Timestamp::MAX, "no such block");
}

#[test]
fn urgency_goes_by_media_time_ahead() {
    let mut playout = playout(4_000, 8.0);
    playout.handle_block(START, 0);
    playout.handle_position(START, 0, true);
    let now = START;
    assert_eq!(playout.urgency(0, now), Urgency::Overdue);
    assert_eq!(playout.urgency(3, now), Urgency::Emergency);
    assert_eq!(playout.urgency(10, now), Urgency::Soon);
    assert_eq!(playout.urgency(40, now), Urgency::Later);
}

#[test]
fn less_than_three_seconds_is_an_emergency_unless_it_is_the_end() {
    let mut playout = playout(4_000, 1.0);
    assert!(playout.is_emergency(START));
    for block in 0..4 {
        playout.handle_block(START, block);
    }
    assert!(!playout.is_emergency(START), "3.07 s");
    playout.handle_position(START, 0, true);
    assert!(playout.is_emergency(START + Duration::from_millis(100)));
    for block in 4..74 {
        playout.handle_block(START, block);
    }
    playout.handle_position(START + seconds(59), samples(59), true);
    assert!(!playout.is_emergency(START + seconds(59)));
    assert!(playout.buffered(START).to_the_end);
}

#[test]
fn the_position_runs_on_between_reports_but_not_beyond_what_is_there() {
    let mut playout = playout(4_000, 8.0);
    for block in 0..10 {
        playout.handle_block(START, block);
    }
    playout.handle_position(START, samples(1), true);
    assert_eq!(playout.position(START + Duration::from_millis(500)), samples(5));
    let end = playout.position(START + seconds(60));
    assert!(end > samples(7) && end < samples(9));
    playout.handle_position(START + seconds(1), samples(2), false);
    assert_eq!(playout.position(START + seconds(9)), samples(2), "paused");
}

#[test]
fn it_stalls_resumes_and_ends() {
    let mut playout = playout(4_000, 1.0);
    assert_eq!(playout.state(), State::Starting);
    playout.handle_stalled(START);
    assert_eq!((playout.state(), playout.stalls()), (State::Starting, 0), "it had not begun");
    playout.handle_position(START, 0, true);
    playout.handle_stalled(START + seconds(1));
    assert_eq!((playout.state(), playout.stalls()), (State::Stalled, 1));
    playout.handle_resumed(START + seconds(2));
    assert_eq!(playout.state(), State::Playing);
    playout.handle_position(START + seconds(3), u64::MAX, true);
    assert_eq!(playout.state(), State::Ended);
    assert!(!playout.is_emergency(START + seconds(3)));
    playout.seek(START + seconds(4), samples(30));
    assert_eq!(playout.state(), State::Starting);
    assert!(playout.due(playout.first_needed()) <= START + seconds(4));
}

#[test]
fn time_that_runs_back_is_taken_as_the_latest_seen() {
    let mut playout = playout(4_000, 1.0);
    playout.handle_block(START + seconds(5), 0);
    playout.handle_position(START, 0, false);
    assert_eq!(playout.due(0), START + seconds(5));
}

#[test]
fn consumption_is_bytes_of_wall_time() {
    assert_eq!(playout(4_000, 1.0).consumption() / 100, 200);
    assert_eq!(playout(4_000, 8.0).consumption() / 1_000, 160);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The incremental frontier is what a scan of the received blocks gives.
    #[test]
    fn the_buffer_is_what_was_received_in_a_row(
        steps in prop::collection::vec((0_u32..90, 0_u64..70, 0_u8..8), 1..150)
    ) {
        let mut playout = playout(20_000, 1.0);
        let mut received = BTreeSet::new();
        let mut now = START;
        for (block, second, kind) in steps {
            match kind {
                0 => playout.handle_position(now, samples(second), second % 2 == 0),
                1 => playout.seek(now, samples(second)),
                2 => playout.handle_stalled(now),
                3 => now = now + seconds(second / 20),
                _ => {
                    let new = playout.handle_block(now, block);
                    let count = rendition(20_000).size().block_count();
                    prop_assert_eq!(new, block < count && received.insert(block));
                }
            }
            let headers = received.contains(&0) && received.contains(&1);
            let row = (playout.first_needed()..).find(|block| !received.contains(block)).unwrap();
            let size = rendition(20_000).size();
            let buffered = playout.buffered(now);
            prop_assert_eq!(buffered.to_the_end, headers && row >= size.block_count());
            let end = size.bytes().min(u64::from(row) * u64::from(BLOCK_BYTES));
            let start = u64::from(playout.first_needed()) * u64::from(BLOCK_BYTES);
            let most = end.saturating_sub(start);
            let fits = buffered.bytes <= most
                && buffered.bytes + u64::from(BLOCK_BYTES) >= most.min(end);
            prop_assert!(!headers && buffered.bytes == 0 || headers && fits);
        }
    }
}
