//! What is to be played, in which order.

use antiphon_types::TrackId;
use rand::Rng;
use rand::seq::SliceRandom;

/// What follows the last track, or each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Repeat {
    /// The end.
    #[default]
    Off,
    /// The same track again.
    One,
    /// The first track again.
    All,
}

/// Tracks in the order in which they are heard, and which of them it is now.
///
/// Shuffling changes the order of what comes, never what was heard.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    /// In the order in which they were given.
    tracks: Vec<TrackId>,
    /// Places in `tracks`, in the order in which they are heard.
    order: Vec<usize>,
    at: usize,
    repeat: Repeat,
    shuffled: bool,
}

impl Queue {
    /// A queue that stands at its first track; `None` without any.
    pub(crate) fn new(
        tracks: Vec<TrackId>,
        repeat: Repeat,
        shuffle: bool,
        rng: &mut impl Rng,
    ) -> Option<Self> {
        if tracks.is_empty() {
            return None;
        }
        let mut order = (0..tracks.len()).collect::<Vec<_>>();
        if shuffle {
            order.shuffle(rng);
        }
        Some(Self { tracks, order, at: 0, repeat, shuffled: shuffle })
    }

    /// The track that is heard.
    pub(crate) fn current(&self) -> TrackId {
        self.track_at(self.at)
    }

    /// What is heard when the current track has come to its end.
    pub(crate) fn following(&self) -> Option<TrackId> {
        match self.repeat {
            Repeat::One => Some(self.current()),
            _ => self.place_after().map(|place| self.track_at(place)),
        }
    }

    /// The current track has come to its end. False if nothing follows.
    pub(crate) fn advance(&mut self) -> bool {
        self.repeat == Repeat::One || self.skip()
    }

    /// Goes to the next track, even where one is repeated. False at the end.
    pub(crate) fn skip(&mut self) -> bool {
        let place = self.place_after();
        self.at = place.unwrap_or(self.at);
        place.is_some()
    }

    /// Goes to the track before. False at the first.
    pub(crate) fn back(&mut self) -> bool {
        let place = match (self.at.checked_sub(1), self.repeat) {
            (None, Repeat::All) => Some(self.order.len() - 1),
            (before, _) => before,
        };
        self.at = place.unwrap_or(self.at);
        place.is_some()
    }

    pub(crate) fn set_repeat(&mut self, repeat: Repeat) {
        self.repeat = repeat;
    }

    /// Shuffles what comes, or puts it back into the order in which it was given.
    pub(crate) fn set_shuffle(&mut self, shuffle: bool, rng: &mut impl Rng) {
        if shuffle == self.shuffled {
            return;
        }
        self.shuffled = shuffle;
        match shuffle {
            true => self.order[self.at + 1..].shuffle(rng),
            false => {
                let current = self.order[self.at];
                self.order = (0..self.tracks.len()).collect();
                self.at = current;
            }
        }
    }

    fn place_after(&self) -> Option<usize> {
        let next = self.at + 1;
        match self.repeat {
            _ if next < self.order.len() => Some(next),
            Repeat::All => Some(0),
            Repeat::Off | Repeat::One => None,
        }
    }

    fn track_at(&self, place: usize) -> TrackId {
        self.tracks[self.order[place]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn queue(count: u8, repeat: Repeat, shuffle: bool) -> Queue {
        let tracks = (0..count).map(|n| TrackId::new([n; 16])).collect();
        Queue::new(tracks, repeat, shuffle, &mut StdRng::seed_from_u64(1)).unwrap()
    }

    fn heard(queue: &mut Queue, most: usize) -> Vec<u8> {
        let mut heard = vec![queue.current().as_bytes()[0]];
        while heard.len() < most {
            let announced = queue.following();
            if !queue.advance() {
                assert_eq!(announced, None);
                break;
            }
            assert_eq!(announced, Some(queue.current()));
            heard.push(queue.current().as_bytes()[0]);
        }
        heard
    }

    #[test]
    fn tracks_follow_each_other_and_may_repeat() {
        assert_eq!(heard(&mut queue(3, Repeat::Off, false), 9), [0, 1, 2]);
        assert_eq!(heard(&mut queue(3, Repeat::All, false), 5), [0, 1, 2, 0, 1]);
        assert_eq!(heard(&mut queue(3, Repeat::One, false), 3), [0, 0, 0]);
        assert!(Queue::new(vec![], Repeat::All, true, &mut StdRng::seed_from_u64(1)).is_none());
    }

    #[test]
    fn skipping_leaves_a_repeated_track_and_going_back_stops_at_the_first() {
        let mut queue = queue(2, Repeat::One, false);
        assert!(queue.skip());
        assert_eq!(queue.current().as_bytes()[0], 1);
        assert!(!queue.skip(), "there is no third");
        assert!(queue.back());
        assert!(!queue.back());
        queue.set_repeat(Repeat::All);
        assert!(queue.back(), "the first follows the last, so the last comes before it");
        assert_eq!(queue.current().as_bytes()[0], 1);
    }

    #[test]
    fn a_shuffled_queue_plays_each_track_once() {
        let mut order = heard(&mut queue(20, Repeat::Off, true), 99);
        assert_ne!(order, (0..20).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn shuffling_amid_the_queue_touches_only_what_comes() {
        let mut queue = queue(20, Repeat::Off, false);
        for _ in 0..5 {
            queue.advance();
        }
        queue.set_shuffle(true, &mut StdRng::seed_from_u64(2));
        assert_eq!(queue.current().as_bytes()[0], 5);
        let mut rest = heard(&mut queue.clone(), 99);
        rest.sort_unstable();
        assert_eq!(rest, (5..20).collect::<Vec<_>>());
        queue.advance();
        let current = queue.current();
        queue.set_shuffle(false, &mut StdRng::seed_from_u64(3));
        assert_eq!(queue.current(), current, "what is heard stays");
        let next = queue.following().map(|track| track.as_bytes()[0]);
        assert_eq!(next, Some(current.as_bytes()[0] + 1).filter(|next| *next < 20));
    }
}
