//! What one listener plays, and what is prefetched for them.

use super::catalogue::{Catalogue, Weighted};
use super::draws::Draws;

/// After a play, how often the next of the list follows, if there is one.
const GOES_ON: f64 = 0.68;
/// Of the other times, how often the track is left before the 30 s at its end
/// in which the next is prefetched (B05).
const LEAVES_EARLY: f64 = 0.5;
/// What is begun when it does not go on: a playlist of their own, ...
const PLAYLIST: f64 = 0.15;
/// ... something that they played before, by how often and how lately, ...
const AGAIN: f64 = 0.15;
/// ... a new release; or else something by their taste.
const NEW_RELEASE: f64 = 0.05;
/// Playlists of a listener, and their tracks.
const PLAYLISTS: usize = 4;
const PLAYLIST_TRACKS: usize = 30;
/// Tracks of a playlist that are replaced each week.
const REPLACED: usize = 2;
/// Clusters that please them, how much, and what is left for all others.
const TASTE: [f64; 3] = [0.45, 0.25, 0.1];
/// What a play weighs after a day: half after a month.
const DAILY_DECAY: f64 = 0.977;
/// Less than this is forgotten: one play, five months ago.
const FORGOTTEN: f64 = 0.03;
/// What a playlist that is synchronised has, and how much of it is played.
const SYNCED_TRACKS: usize = 80;
const SYNCED_PLAYS: usize = 10;

/// What happens to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A track is played; `predicted` if it follows in a known order.
    Play {
        track: usize,
        predicted: bool,
    },
    Prefetch(usize),
    /// The program is started anew, as on each day.
    Restart,
}

/// How somebody listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) plays_per_day: usize,
    /// A scan on every so many days; 0 is never.
    pub(super) scan_every: u32,
}

/// Tracks in order, and the place of the next.
struct List {
    tracks: Vec<usize>,
    at: usize,
}

/// A listener with a history.
pub(super) struct Listener<'a> {
    catalogue: &'a Catalogue,
    habits: Habits,
    draws: Draws,
    taste: [usize; TASTE.len()],
    playlists: Vec<Vec<usize>>,
    /// Tracks begun with, and their weight.
    history: Vec<(usize, f64)>,
    list: Option<List>,
    day: u32,
    events: Vec<Event>,
}

impl<'a> Listener<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, habits: Habits, mut draws: Draws) -> Self {
        let taste = std::array::from_fn(|_| catalogue.draw_cluster(&mut draws));
        let mut listener = Self {
            catalogue,
            habits,
            draws,
            taste,
            playlists: Vec::new(),
            history: Vec::new(),
            list: None,
            day: 0,
            events: Vec::new(),
        };
        listener.playlists =
            (0..PLAYLISTS).map(|_| listener.tracks_by_taste(PLAYLIST_TRACKS)).collect();
        listener
    }

    /// What happens on the next day.
    pub(super) fn next_day(&mut self) -> Vec<Event> {
        self.list = None;
        self.events.push(Event::Restart);
        self.history.iter_mut().for_each(|(_, weight)| *weight *= DAILY_DECAY);
        self.history.retain(|(_, weight)| *weight > FORGOTTEN);
        if self.day % 7 == 6 {
            self.renew_playlists();
        }
        let mut plays = self.habits.plays_per_day / 2;
        plays += self.draws.below(self.habits.plays_per_day + 1);
        if self.habits.scan_every > 0
            && self.day % self.habits.scan_every == self.habits.scan_every - 1
        {
            plays = plays.saturating_sub(self.scan(plays));
        }
        for _ in 0..plays {
            self.play();
        }
        self.day += 1;
        std::mem::take(&mut self.events)
    }

    /// Plays what follows, or something else; then the next may be prefetched.
    fn play(&mut self) {
        let predicted = self.list.is_some();
        let mut list = match self.list.take() {
            Some(list) => list,
            None => self.begin(),
        };
        let track = list.tracks[list.at];
        self.events.push(Event::Play { track, predicted });
        list.at += 1;
        let goes_on = self.draws.chance(GOES_ON);
        let leaves_early = !goes_on && self.draws.chance(LEAVES_EARLY);
        if let Some(next) = list.tracks.get(list.at)
            && !leaves_early
        {
            self.events.push(Event::Prefetch(*next));
            self.list = goes_on.then_some(list);
        }
    }

    /// What they turn to.
    fn begin(&mut self) -> List {
        let mut draw = self.draws.unit();
        if draw < PLAYLIST {
            let playlist = self.draws.below(PLAYLISTS);
            let mut tracks = self.playlists[playlist].clone();
            // Every other time it is shuffled; the order is known then too.
            if self.draws.chance(0.5) {
                self.draws.shuffle(&mut tracks);
            }
            let at = self.draws.below(tracks.len());
            return List { tracks, at };
        }
        draw -= PLAYLIST;
        let track = if draw < AGAIN && !self.history.is_empty() {
            Weighted::new(self.history.iter().copied()).draw(&mut self.draws)
        } else if draw < AGAIN + NEW_RELEASE {
            let new = self.catalogue.draw_new_release(self.day, &mut self.draws);
            new.unwrap_or_else(|| self.track_by_taste())
        } else {
            self.track_by_taste()
        };
        self.remember(track);
        let place = &self.catalogue.tracks[track];
        List { tracks: self.catalogue.albums[place.album].tracks.clone(), at: place.place }
    }

    fn remember(&mut self, track: usize) {
        match self.history.iter_mut().find(|(known, _)| *known == track) {
            Some((_, weight)) => *weight += 1.0,
            None => self.history.push((track, 1.0)),
        }
    }

    fn track_by_taste(&mut self) -> usize {
        let mut draw = self.draws.unit();
        let mut cluster = None;
        for (taste, share) in self.taste.iter().zip(TASTE) {
            if (0.0..share).contains(&draw) {
                cluster = Some(*taste);
            }
            draw -= share;
        }
        let cluster = cluster.unwrap_or_else(|| self.catalogue.draw_cluster(&mut self.draws));
        self.catalogue.draw_track(cluster, self.day, &mut self.draws)
    }

    fn tracks_by_taste(&mut self, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.track_by_taste()).collect()
    }

    fn renew_playlists(&mut self) {
        for playlist in 0..PLAYLISTS {
            for _ in 0..REPLACED {
                let place = self.draws.below(PLAYLIST_TRACKS);
                self.playlists[playlist][place] = self.track_by_taste();
            }
        }
    }

    /// One of three, in turn: shuffles the whole catalogue all day; has a
    /// playlist synchronised, or two albums, and plays a little of it. Gives the
    /// number of plays.
    fn scan(&mut self, plays: usize) -> usize {
        match self.day / self.habits.scan_every % 3 {
            0 => {
                let tracks: Vec<usize> =
                    (0..plays).map(|_| self.draws.below(self.catalogue.tracks.len())).collect();
                let out =
                    tracks.into_iter().filter(|track| self.catalogue.is_out(*track, self.day));
                self.play_all(&out.collect::<Vec<_>>())
            }
            1 => {
                let tracks = self.tracks_by_taste(SYNCED_TRACKS);
                self.sync(&tracks);
                self.play_all(&tracks[..SYNCED_PLAYS.min(plays)])
            }
            _ => {
                let albums = [self.track_by_taste(), self.track_by_taste()]
                    .map(|track| self.catalogue.tracks[track].album);
                let tracks =
                    albums.map(|album| self.catalogue.albums[album].tracks.clone()).concat();
                self.sync(&tracks);
                self.play_all(&tracks[..SYNCED_PLAYS.min(plays).min(tracks.len())])
            }
        }
    }

    fn sync(&mut self, tracks: &[usize]) {
        self.events.extend(tracks.iter().map(|track| Event::Prefetch(*track)));
    }

    /// Plays tracks in order to their end, each prefetched during the one before.
    fn play_all(&mut self, tracks: &[usize]) -> usize {
        for (place, track) in tracks.iter().enumerate() {
            self.events.push(Event::Play { track: *track, predicted: place > 0 });
            self.events.extend(tracks.get(place + 1).map(|next| Event::Prefetch(*next)));
        }
        tracks.len()
    }
}
