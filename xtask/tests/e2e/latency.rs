//! What a click costs on a link of 50 ms round trip and 10 Mbit/s.

use xtask::tools::Tool;

use crate::support::far::{Far, shape};
use crate::support::listener::Play;
use crate::support::music::KBPS;
use crate::support::{Track, alone, music, wait_for};

const ROUND_TRIP_MS: f64 = 50.0;
/// What a block of 16 KiB with its headers takes at 10 Mbit/s.
const BLOCK_MS: f64 = 14.0;

/// Other work on a shared machine only ever adds to a time: the best of so many
/// attempts counts.
const ATTEMPTS: usize = 3;

#[test]
fn a_click_costs_one_round_trip_on_an_open_session_and_three_cold() {
    if !Tool::Link.present_or_skip() {
        return;
    }
    let songs = music();
    let _alone = alone();
    let far = Far::start(shape(10_000_000, 25));
    let plays = |name: &str, tracks: &[Track]| {
        let listener = far.listener(name);
        let first = tracks[0].id.to_string();
        let play = ["play", &first, "--bitrate", KBPS, "--speed", "20", "--stay", "--control"];
        let mut play = far.run(&listener, name, &play);
        for (heard, track) in (1..).zip(&tracks[1..]) {
            wait_for("the end of a track", || (listener.plays().len() == heard).then_some(()));
            play.tell(&format!("play {}", track.id));
        }
        let all = tracks.len();
        wait_for("the end of a track", || (listener.plays().len() == all).then_some(()));
        listener.plays()
    };

    let mut attempt = 1;
    loop {
        // The first of several is cold, those after it find the session open.
        let mut open = plays(&format!("several-{attempt}"), &songs.short);
        let single = |i: usize| plays(&format!("cold-{attempt}-{i}"), &songs.short[i..=i]);
        let mut cold: Vec<Play> = (0..4).flat_map(single).collect();
        cold.push(open.remove(0));
        assert_eq!((open.len(), cold.len()), (songs.short.len() - 1, 5));
        let costs = Costs::of(&open, &cold);
        eprintln!("attempt {attempt}: {costs:?}");
        assert!(costs.open_ms >= ROUND_TRIP_MS, "faster than light: {costs:?}");
        if costs.are_fair() {
            break;
        }
        assert!(attempt < ATTEMPTS, "{costs:?}\n{open:#?}\n{cold:#?}");
        attempt += 1;
    }
    far.close();
}

/// Medians, in milliseconds.
#[derive(Debug)]
struct Costs {
    /// Click to first byte on an open session.
    open_ms: f64,
    /// The same from a cold start.
    cold_ms: f64,
    /// From the first 16 KiB to the first sound.
    open_sound_ms: f64,
    cold_sound_ms: f64,
}

impl Costs {
    fn of(open: &[Play], cold: &[Play]) -> Self {
        let first_byte = |plays: &[Play]| median(plays.iter().map(|p| p.millis("first_byte_ms")));
        let to_sound = |plays: &[Play]| {
            let sound = |p: &Play| p.millis("first_sound_ms") - p.millis("first_byte_ms");
            median(plays.iter().map(sound)) - BLOCK_MS
        };
        Self {
            open_ms: first_byte(open),
            cold_ms: first_byte(cold),
            open_sound_ms: to_sound(open),
            // On a new connection TCP sends no more than about 14 KiB in the
            // first flight: the end of the first block comes a round trip
            // later.
            cold_sound_ms: to_sound(cold) - ROUND_TRIP_MS,
        }
    }

    fn are_fair(&self) -> bool {
        self.open_ms <= ROUND_TRIP_MS + 10.0
            && self.cold_ms <= 3.0 * ROUND_TRIP_MS + 20.0
            && self.open_sound_ms <= 30.0
            && self.cold_sound_ms <= 30.0
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
