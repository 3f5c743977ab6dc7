//! A cache of whole blobs, under a policy or with the future known.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_store::Policy;

use super::catalogue::Catalogue;
use super::listener::Event;

/// What a cache did, in plays and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) plays: u64,
    pub(super) bytes: u64,
    /// Found, since it was played before.
    pub(super) kept_plays: u64,
    pub(super) kept_bytes: u64,
    /// Found, since it was prefetched and not played since.
    pub(super) ahead_plays: u64,
    pub(super) ahead_bytes: u64,
    /// Came over the network, for a play or ahead of it.
    pub(super) fetched_bytes: u64,
    /// Prefetched, and gone without a play.
    pub(super) wasted_bytes: u64,
}

/// Something that keeps blobs within a budget.
trait Keeps {
    /// Tells of the place of the event that comes now.
    fn now(&mut self, place: usize);
    /// What the index does not keep is forgotten.
    fn restart(&mut self) {}
    /// A blob is played that is there.
    fn touch(&mut self, track: usize);
    /// A blob comes; false if it is not kept. Those that go are put in `gone`.
    fn admit(&mut self, track: usize, playing: Option<usize>, gone: &mut Vec<usize>) -> bool;
    /// Whether what would not be kept is not even fetched ahead.
    fn is_clairvoyant(&self) -> bool {
        false
    }
}

/// Runs all events against a policy; counts those from `counted_from` on.
pub(super) fn run_policy(
    catalogue: &Catalogue,
    events: &[Event],
    counted_from: usize,
    budget: u64,
    make: &dyn Fn() -> Box<dyn Policy>,
) -> Tally {
    run(catalogue, events, counted_from, &mut ByPolicy { catalogue, budget, policy: make(), make })
}

/// The same with all plays to come known: that goes whose next play is farthest,
/// be it what just comes (Belady's rule). With blobs of unlike sizes it is near
/// the best, not the best.
pub(super) fn run_clairvoyant(
    catalogue: &Catalogue,
    events: &[Event],
    counted_from: usize,
    budget: u64,
) -> Tally {
    let mut next_plays = vec![usize::MAX; events.len()];
    let mut upcoming = BTreeMap::new();
    for (place, event) in events.iter().enumerate().rev() {
        let (Event::Play { track, .. } | Event::Prefetch(track)) = event else { continue };
        next_plays[place] = upcoming.get(track).copied().unwrap_or(usize::MAX);
        if matches!(event, Event::Play { .. }) {
            upcoming.insert(*track, place);
        }
    }
    let mut clairvoyant = Clairvoyant {
        catalogue,
        budget,
        used: 0,
        place: 0,
        next_plays,
        by_next_play: BTreeSet::new(),
        kept: BTreeMap::new(),
    };
    run(catalogue, events, counted_from, &mut clairvoyant)
}

fn run(
    catalogue: &Catalogue,
    events: &[Event],
    counted_from: usize,
    cache: &mut dyn Keeps,
) -> Tally {
    let mut tally = Tally::default();
    // Whether each blob that is there was played since it came.
    let mut there: BTreeMap<usize, bool> = BTreeMap::new();
    let mut playing = None;
    let mut gone = Vec::new();
    for (place, event) in events.iter().enumerate() {
        if place == counted_from {
            tally = Tally::default();
        }
        cache.now(place);
        let (Event::Play { track, .. } | Event::Prefetch(track)) = *event else {
            cache.restart();
            continue;
        };
        let bytes = catalogue.tracks[track].bytes;
        let is_play = matches!(event, Event::Play { .. });
        let found = there.get(&track).copied();
        if is_play {
            playing = Some(track);
            tally.count_play(bytes, found);
        }
        if found.is_none() {
            let kept = cache.admit(track, playing, &mut gone);
            if kept {
                there.insert(track, false);
            }
            if kept || is_play || !cache.is_clairvoyant() {
                tally.fetched_bytes += bytes;
            }
        }
        for lost in gone.drain(..) {
            if there.remove(&lost) == Some(false) {
                tally.wasted_bytes += catalogue.tracks[lost].bytes;
            }
        }
        if is_play && let Some(was_played) = there.get_mut(&track) {
            *was_played = true;
            cache.touch(track);
        }
    }
    tally
}

impl Tally {
    fn count_play(&mut self, bytes: u64, found: Option<bool>) {
        self.plays += 1;
        self.bytes += bytes;
        match found {
            Some(true) => {
                self.kept_plays += 1;
                self.kept_bytes += bytes;
            }
            Some(false) => {
                self.ahead_plays += 1;
                self.ahead_bytes += bytes;
            }
            None => {}
        }
    }
}

struct ByPolicy<'a> {
    catalogue: &'a Catalogue,
    budget: u64,
    policy: Box<dyn Policy>,
    make: &'a dyn Fn() -> Box<dyn Policy>,
}

impl Keeps for ByPolicy<'_> {
    fn now(&mut self, _: usize) {}

    fn restart(&mut self) {
        let (standings, gone) = (self.policy.standings(), self.policy.remembered());
        self.policy = (self.make)();
        for (blob, standing) in standings {
            let track =
                self.catalogue.by_blob.get(&blob).map(|track| &self.catalogue.tracks[*track]);
            self.policy.restore(blob, track.map_or(0, |track| track.bytes), standing);
        }
        gone.into_iter().for_each(|blob| self.policy.remember(blob));
    }

    fn touch(&mut self, track: usize) {
        self.policy.touch(self.catalogue.tracks[track].blob);
    }

    fn admit(&mut self, track: usize, playing: Option<usize>, gone: &mut Vec<usize>) -> bool {
        let tracks = &self.catalogue.tracks;
        let playing = playing.map(|track| tracks[track].blob);
        let may_go = |blob: &_| Some(*blob) != playing;
        while self.policy.bytes() + tracks[track].bytes > self.budget {
            let Some(victim) = self.policy.evict(&may_go) else { return false };
            gone.extend(self.catalogue.by_blob.get(&victim));
        }
        self.policy.insert(tracks[track].blob, tracks[track].bytes);
        true
    }
}

struct Clairvoyant<'a> {
    catalogue: &'a Catalogue,
    budget: u64,
    used: u64,
    place: usize,
    /// For each event, the place of the next play of its track.
    next_plays: Vec<usize>,
    by_next_play: BTreeSet<(usize, usize)>,
    kept: BTreeMap<usize, usize>,
}

impl Clairvoyant<'_> {
    fn set_next_play(&mut self, track: usize) {
        let next = self.next_plays[self.place];
        if let Some(before) = self.kept.insert(track, next) {
            self.by_next_play.remove(&(before, track));
        }
        self.by_next_play.insert((next, track));
    }
}

impl Keeps for Clairvoyant<'_> {
    fn now(&mut self, place: usize) {
        self.place = place;
    }

    fn touch(&mut self, track: usize) {
        self.set_next_play(track);
    }

    fn admit(&mut self, track: usize, _: Option<usize>, gone: &mut Vec<usize>) -> bool {
        let bytes = self.catalogue.tracks[track].bytes;
        let next = self.next_plays[self.place];
        while self.used + bytes > self.budget {
            let Some((farthest, victim)) = self.by_next_play.last().copied() else { return false };
            if farthest < next || next == usize::MAX {
                return false;
            }
            self.by_next_play.remove(&(farthest, victim));
            self.kept.remove(&victim);
            self.used -= self.catalogue.tracks[victim].bytes;
            gone.push(victim);
        }
        self.used += bytes;
        self.set_next_play(track);
        true
    }

    fn is_clairvoyant(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use antiphon_store::PolicyKind;

    use super::super::draws::Draws;
    use super::*;

    fn play(track: usize) -> Event {
        Event::Play { track, predicted: false }
    }

    /// A catalogue, and a budget for two of its first three tracks, not for all.
    fn catalogue() -> (Catalogue, u64) {
        let catalogue = Catalogue::new(2_000, 30, &mut Draws::new(1));
        let sizes = [0, 1, 2].map(|track| catalogue.tracks[track].bytes);
        (catalogue, sizes.iter().sum::<u64>() - 1)
    }

    #[test]
    fn what_is_found_is_told_apart_by_how_it_came() {
        let (catalogue, budget) = catalogue();
        let bytes = |track: usize| catalogue.tracks[track].bytes;
        let events = [
            play(0),
            Event::Prefetch(1),
            play(1),
            play(0),
            Event::Restart,
            // Under LRU, 1 has to go; 2 goes unplayed.
            Event::Prefetch(2),
            play(0),
            play(1),
        ];
        let tally = run_policy(&catalogue, &events, 1, budget, &|| PolicyKind::Lru.policy());
        let expected = Tally {
            plays: 4,
            bytes: 2 * bytes(0) + 2 * bytes(1),
            kept_plays: 2,
            kept_bytes: 2 * bytes(0),
            ahead_plays: 1,
            ahead_bytes: bytes(1),
            fetched_bytes: 2 * bytes(1) + bytes(2),
            wasted_bytes: bytes(2),
        };
        assert_eq!(tally, expected);
    }

    #[test]
    fn who_knows_the_future_keeps_what_is_played_first() {
        let (catalogue, budget) = catalogue();
        let events = [play(0), play(1), play(2), Event::Prefetch(3), play(1), play(0)];
        let known = run_clairvoyant(&catalogue, &events, 0, budget);
        assert_eq!((known.kept_plays, known.wasted_bytes), (2, 0));
        let fetched: u64 = (0..3).map(|track| catalogue.tracks[track].bytes).sum();
        assert_eq!(known.fetched_bytes, fetched, "nothing in vain");
        let lru = run_policy(&catalogue, &events, 0, budget, &|| PolicyKind::Lru.policy());
        assert!(lru.kept_plays < 2);
    }
}
