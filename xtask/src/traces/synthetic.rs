//! Links that were made up, each for one thing that links do.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::recording::Recording;
use crate::failure::Result;

/// How long each is, in seconds.
const LENGTH: u32 = 600;

/// All of them; equal seeds give equal ones.
pub(super) fn all(seed: u64) -> Result<Vec<Recording>> {
    [
        ("synthetic_steady", steady as fn(&mut Draws, u32) -> f64),
        ("synthetic_wifi", wifi),
        ("synthetic_step_down", step_down),
        ("synthetic_step_up", step_up),
        ("synthetic_outages", outages),
        ("synthetic_tcp", tcp),
    ]
    .into_iter()
    .zip(0..)
    .map(|((name, rate), number)| {
        let mut draws = Draws::new(seed, number);
        let rows = (0..LENGTH).map(|second| (f64::from(second), rate(&mut draws, second).max(0.0)));
        Recording::new(name, rows.collect())
    })
    .collect()
}

struct Draws {
    draws: ChaCha8Rng,
    /// What a link remembers from second to second.
    state: f64,
    left: u32,
}

impl Draws {
    fn new(seed: u64, number: u64) -> Self {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        draws.set_stream(number);
        Self { draws, state: 0.0, left: 0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    fn unit(&mut self) -> f64 {
        (self.draws.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// 1 Mbit/s, give or take 5 %.
fn steady(draws: &mut Draws, _second: u32) -> f64 {
    1_000.0 * (0.95 + 0.1 * draws.unit())
}

/// A radio that is shared: 3 Mbit/s, and for a second or two next to nothing.
fn wifi(draws: &mut Draws, _second: u32) -> f64 {
    if draws.left > 0 {
        draws.left -= 1;
        return 60.0 * draws.unit();
    }
    if draws.unit() < 0.12 {
        draws.left = u32::from(draws.unit() < 0.5);
        return 60.0 * draws.unit();
    }
    3_000.0 * (0.4 + 1.2 * draws.unit())
}

/// 1.5 Mbit/s, and after half the time 250 kbit/s.
fn step_down(draws: &mut Draws, second: u32) -> f64 {
    let rate = if second < LENGTH / 2 { 1_500.0 } else { 250.0 };
    rate * (0.9 + 0.2 * draws.unit())
}

/// 250 kbit/s, and after half the time 1.5 Mbit/s.
fn step_up(draws: &mut Draws, second: u32) -> f64 {
    let rate = if second < LENGTH / 2 { 250.0 } else { 1_500.0 };
    rate * (0.9 + 0.2 * draws.unit())
}

/// 1.2 Mbit/s, and about every minute and a half nothing for 5 to 25 s: a train
/// in a tunnel.
fn outages(draws: &mut Draws, _second: u32) -> f64 {
    if draws.left > 0 {
        draws.left -= 1;
        return 0.0;
    }
    if draws.unit() < 1.0 / 90.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "5 to 25")]
        let seconds = (5.0 + 20.0 * draws.unit()) as u32;
        draws.left = seconds;
    }
    1_200.0 * (0.8 + 0.4 * draws.unit())
}

/// One stream among many: in log-normal steps about 700 kbit/s, with a memory.
fn tcp(draws: &mut Draws, _second: u32) -> f64 {
    // The sum of twelve uniform draws is nearly normal.
    let normal = (0..12).map(|_| draws.unit()).sum::<f64>() - 6.0;
    draws.state = 0.85 * draws.state + 0.55 * normal;
    700.0 * draws.state.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_it_all() {
        assert_eq!(all(1).unwrap(), all(1).unwrap());
        assert_ne!(all(1).unwrap(), all(2).unwrap());
        assert!(all(3).unwrap().iter().all(|link| link.mean_rate() > 100.0));
    }
}
