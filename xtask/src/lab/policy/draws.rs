//! What is drawn, from a seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Draws that follow from a seed.
#[derive(Debug)]
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform from 0 to 1, without 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform from 0 to `count`, without `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let scaled = (u128::from(self.0.next_u64()) * (count as u128)) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }

    /// Uniform from 1 to `days`.
    pub(super) fn day(&mut self, days: u32) -> u32 {
        u32::try_from(self.below(days as usize)).unwrap_or(0) + 1
    }

    /// About normal, with mean 0 and deviation 1.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
