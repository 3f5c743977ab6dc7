//! A catalogue with the popularity of B71 and B74.

use std::collections::BTreeMap;

use antiphon_types::BlobId;

use super::draws::Draws;

/// Tracks that B74 speaks of.
pub(super) const TOP: usize = 100;

/// Shares of the plays that the law gives to the top 100 and to the top 12 %.
/// A little less than the 40 and 88 % of B74 and B71: of a finite week, the
/// tracks that happened to be played most have more.
const TOP_MASS: f64 = 0.395;
const POPULAR_MASS: f64 = 0.86;

/// Groups of tracks that please the same people.
const CLUSTERS: usize = 8;
/// How far apart in popularity, as a logarithm, the tracks of an album lie.
const ALBUM_SPREAD: f64 = 0.3;
/// The part of the albums that come out on one of the days played.
const RELEASED_LATER: f64 = 0.1;
/// Albums with a greater share of the plays are out from the start, or the fit
/// would depend on the day.
const HIT_ALBUM: f64 = 0.005;

/// A rendition of a track.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) blob: BlobId,
    pub(super) bytes: u64,
    /// Share of all plays.
    mass: f64,
    pub(super) album: usize,
    /// Its place in the album.
    pub(super) place: usize,
}

/// An album: tracks in order, and the day it comes out.
#[derive(Debug, Clone)]
pub(super) struct Album {
    pub(super) tracks: Vec<usize>,
    pub(super) released: u32,
    mass: f64,
}

/// All tracks, the most popular first.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) tracks: Vec<Track>,
    pub(super) albums: Vec<Album>,
    /// Which track a blob is.
    pub(super) by_blob: BTreeMap<BlobId, usize>,
    clusters: Vec<Weighted>,
    clusters_by_mass: Weighted,
}

impl Catalogue {
    /// A catalogue in which albums come out on the days `0..days`.
    pub(super) fn new(size: usize, days: u32, draws: &mut Draws) -> Self {
        let masses = masses(size);
        let mut catalogue = Self {
            tracks: masses
                .iter()
                .enumerate()
                .map(|(rank, mass)| track(rank, *mass, draws))
                .collect(),
            albums: Vec::new(),
            by_blob: BTreeMap::new(),
            clusters: Vec::new(),
            clusters_by_mass: Weighted::default(),
        };
        for (rank, track) in catalogue.tracks.iter().enumerate() {
            catalogue.by_blob.insert(track.blob, rank);
        }
        let mut members = vec![Vec::new(); CLUSTERS];
        (0..size).for_each(|rank| members[draws.below(CLUSTERS)].push(rank));
        for (cluster, members) in members.iter().enumerate() {
            catalogue.make_albums(members, days, draws);
            let weights = members.iter().map(|rank| (*rank, masses[*rank]));
            catalogue.clusters.push(Weighted::new(weights));
            let mass = members.iter().map(|rank| masses[*rank]).sum();
            catalogue.clusters_by_mass.push(cluster, mass);
        }
        catalogue
    }

    /// Puts tracks of like popularity together, in any order.
    fn make_albums(&mut self, members: &[usize], days: u32, draws: &mut Draws) {
        let mut scattered: Vec<(f64, usize)> = members
            .iter()
            .map(|rank| (self.tracks[*rank].mass.ln() + ALBUM_SPREAD * draws.normal(), *rank))
            .collect();
        scattered.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut rest: Vec<usize> = scattered.into_iter().map(|(_, rank)| rank).collect();
        while !rest.is_empty() {
            let length = (8 + draws.below(7)).min(rest.len());
            let mut tracks: Vec<usize> = rest.drain(..length).collect();
            draws.shuffle(&mut tracks);
            let mass: f64 = tracks.iter().map(|rank| self.tracks[*rank].mass).sum();
            let later = draws.chance(RELEASED_LATER) && mass < HIT_ALBUM;
            let released = if later { draws.day(days) } else { 0 };
            for (place, rank) in tracks.iter().enumerate() {
                self.tracks[*rank].album = self.albums.len();
                self.tracks[*rank].place = place;
            }
            self.albums.push(Album { tracks, released, mass });
        }
    }

    /// A cluster, by its share of the plays.
    pub(super) fn draw_cluster(&self, draws: &mut Draws) -> usize {
        self.clusters_by_mass.draw(draws)
    }

    /// A track of a cluster that is out by that day, by its share of the plays.
    pub(super) fn draw_track(&self, cluster: usize, day: u32, draws: &mut Draws) -> usize {
        loop {
            let track = self.clusters[cluster].draw(draws);
            if self.is_out(track, day) {
                return track;
            }
        }
    }

    /// Whether a track is out by that day.
    pub(super) fn is_out(&self, track: usize, day: u32) -> bool {
        self.albums[self.tracks[track].album].released <= day
    }

    /// The first track of an album that came out in the two weeks before.
    pub(super) fn draw_new_release(&self, day: u32, draws: &mut Draws) -> Option<usize> {
        let new = |album: &&Album| {
            album.released > 0 && album.released <= day && album.released + 14 > day
        };
        let albums = self.albums.iter().filter(new).map(|album| (album.tracks[0], album.mass));
        let weighted = Weighted::new(albums);
        (!weighted.is_empty()).then(|| weighted.draw(draws))
    }
}

/// What a rendition of 96, 160 or 320 kbit/s takes; 3.5 min in the mean (B74).
fn track(rank: usize, mass: f64, draws: &mut Draws) -> Track {
    let seconds = (201.0 * (0.3 * draws.normal()).exp()).clamp(60.0, 420.0);
    let bytes_per_second = match draws.unit() {
        draw if draw < 0.15 => 12_000,
        draw if draw < 0.8 => 20_000,
        _ => 40_000,
    };
    let millis = u64::try_from(std::time::Duration::from_secs_f64(seconds).as_millis());
    Track {
        blob: antiphon_store::hash(&rank.to_le_bytes()),
        bytes: (millis.unwrap_or(0) * bytes_per_second / 1000).clamp(1_000_000, 12_000_000),
        mass,
        album: 0,
        place: 0,
    }
}

/// Shares of the plays by rank: a Zipf law of two pieces that meet at the rank
/// of the top 12 %, the first bent so that the top 100 have their share, the
/// second so that what is beyond has the rest.
fn masses(size: usize) -> Vec<f64> {
    let knee = popular(size);
    let of_top = |exponent: f64| zipf(1..=TOP, exponent) / zipf(1..=knee, exponent);
    let head = bisect(0.0, 3.0, |exponent| of_top(exponent) > TOP_MASS / POPULAR_MASS);
    let knee_mass = rank_mass(knee, head);
    let beyond = |tail: f64| {
        zipf(knee + 1..=size, tail) / rank_mass(knee, tail) * knee_mass / zipf(1..=knee, head)
    };
    let tail = bisect(0.0, 12.0, |exponent| beyond(exponent) < 1.0 / POPULAR_MASS - 1.0);
    let mass = |rank: usize| match rank {
        rank if rank <= knee => rank_mass(rank, head),
        rank => knee_mass * rank_mass(rank, tail) / rank_mass(knee, tail),
    };
    let total: f64 = (1..=size).map(mass).sum();
    (1..=size).map(|rank| mass(rank) / total).collect()
}

/// How many tracks the top 12 % are.
pub(super) fn popular(size: usize) -> usize {
    size * 12 / 100
}

fn rank_mass(rank: usize, exponent: f64) -> f64 {
    (rank as f64).powf(-exponent)
}

fn zipf(ranks: std::ops::RangeInclusive<usize>, exponent: f64) -> f64 {
    ranks.map(|rank| rank_mass(rank, exponent)).sum()
}

/// Where something that grows begins to be true.
fn bisect(mut low: f64, mut high: f64, is_beyond: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if is_beyond(middle) { high = middle } else { low = middle }
    }
    high
}

/// Numbers that are drawn by weight.
#[derive(Debug, Default)]
pub(super) struct Weighted {
    numbers: Vec<usize>,
    /// Of all up to each.
    sums: Vec<f64>,
}

impl Weighted {
    pub(super) fn new(weights: impl Iterator<Item = (usize, f64)>) -> Self {
        let mut weighted = Self::default();
        weights.for_each(|(number, weight)| weighted.push(number, weight));
        weighted
    }

    fn push(&mut self, number: usize, weight: f64) {
        self.numbers.push(number);
        self.sums.push(self.sums.last().unwrap_or(&0.0) + weight);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// One of them; 0 if there is none.
    pub(super) fn draw(&self, draws: &mut Draws) -> usize {
        let at = draws.unit() * self.sums.last().unwrap_or(&0.0);
        let place = self.sums.partition_point(|sum| *sum <= at);
        self.numbers.get(place).or(self.numbers.last()).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_gives_the_top_what_it_is_to_give() {
        let masses = masses(20_000);
        let share = |count: usize| masses[..count].iter().sum::<f64>();
        assert!((share(TOP) - TOP_MASS).abs() < 1e-6);
        assert!((share(popular(20_000)) - POPULAR_MASS).abs() < 1e-6);
        assert!(masses.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn each_track_is_on_one_album_at_its_place() {
        let catalogue = Catalogue::new(2_000, 30, &mut Draws::new(1));
        let on_albums: usize = catalogue.albums.iter().map(|album| album.tracks.len()).sum();
        assert_eq!(on_albums, 2_000);
        for (number, track) in catalogue.tracks.iter().enumerate() {
            assert_eq!(catalogue.albums[track.album].tracks[track.place], number);
            assert!((1_000_000..=12_000_000).contains(&track.bytes));
        }
    }
}
