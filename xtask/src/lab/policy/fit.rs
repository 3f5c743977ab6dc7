//! How near the generated plays come to B71 and B74.

use serde::Serialize;

use super::catalogue::{Catalogue, TOP, popular};
use super::draws::Draws;
use super::listener::{Event, Habits, Listener};

/// Listeners to 20,000 tracks: so many that 60 % of them are played in a week.
const LISTENERS: u64 = 1_200;
/// Weeks before the one that is counted.
const WEEKS_BEFORE: usize = 3;

/// Shares of the plays, and of the catalogue, over a week of many listeners.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Fit {
    /// How many listened.
    pub(super) listeners: u64,
    /// Plays of the 100 tracks that were played most.
    pub(super) top_100: f64,
    /// Plays of the 12 % of the tracks that were played most.
    pub(super) top_12_percent: f64,
    /// Plays that follow in a predictable order.
    pub(super) predicted: f64,
    /// Tracks that were played at all, of the catalogue.
    pub(super) played: f64,
    /// Songs a day and listener.
    pub(super) plays_per_day: f64,
    /// Mean length of a rendition, in MB.
    pub(super) mean_mb: f64,
}

/// Plays a week of many listeners who have listened for three.
pub(super) fn measure(catalogue: &Catalogue, scan_every: u32, seed: u64) -> Fit {
    let habits = Habits { plays_per_day: 40, scan_every };
    let mut counts = vec![0_u64; catalogue.tracks.len()];
    let (mut plays, mut follows, mut bytes) = (0_u64, 0_u64, 0_u64);
    for number in 0..LISTENERS {
        let draws = Draws::new(seed ^ (number + 1) << 32);
        let mut listener = Listener::new(catalogue, habits, draws);
        // Not all have their scans on the same days.
        let before = 7 * WEEKS_BEFORE + usize::try_from(number % 7).unwrap_or(0);
        (0..before).for_each(|_| drop(listener.next_day()));
        for event in (0..7).flat_map(|_| listener.next_day()) {
            if let Event::Play { track, predicted } = event {
                counts[track] += 1;
                plays += 1;
                follows += u64::from(predicted);
                bytes += catalogue.tracks[track].bytes;
            }
        }
    }
    counts.sort_unstable_by(|one, other| other.cmp(one));
    let share_of_first = |count: usize| counts[..count].iter().sum::<u64>() as f64 / plays as f64;
    let played = counts.iter().filter(|count| **count > 0).count();
    Fit {
        listeners: LISTENERS,
        top_100: share_of_first(TOP),
        top_12_percent: share_of_first(popular(counts.len())),
        predicted: follows as f64 / plays as f64,
        played: played as f64 / counts.len() as f64,
        plays_per_day: plays as f64 / (7 * LISTENERS) as f64,
        mean_mb: bytes as f64 / plays as f64 / 1e6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_comes_near_what_is_asked() {
        for seed in 7..9 {
            let catalogue = Catalogue::new(20_000, 135, &mut Draws::new(seed));
            let fit = measure(&catalogue, 10, seed);
            let is_near = |share: f64, asked: f64| (share - asked).abs() < 0.03;
            assert!(is_near(fit.top_100, 0.40), "seed {seed}: {fit:?}");
            assert!(is_near(fit.top_12_percent, 0.88), "seed {seed}: {fit:?}");
            assert!(is_near(fit.predicted, 0.61), "seed {seed}: {fit:?}");
            assert!(is_near(fit.played, 0.60), "seed {seed}: {fit:?}");
            assert!((fit.plays_per_day - 40.0).abs() < 1.0, "seed {seed}: {fit:?}");
        }
    }
}
