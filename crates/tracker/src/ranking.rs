//! In which order holders are named.

use rand_core::Rng;

use crate::Nearness;

/// A row of candidates that puts itself in order: the nearest first, of these
/// the healthy and idle ([`Health::rank`](crate::Health::rank)), and where that
/// is equal, by chance.
///
/// A candidate is one number, so that a row is sorted in no time: from the top
/// nearness (8 bits), rank (8), chance (32), index (16). Two whose chance is
/// equal come in the order of their indices, one time in 2^32.
#[derive(Debug)]
pub(crate) struct Ranking(Vec<u64>);

impl Ranking {
    pub(crate) fn with_capacity(candidates: usize) -> Self {
        Self(Vec::with_capacity(candidates))
    }

    /// Candidates whose index is beyond 65,535 are left out.
    pub(crate) fn push(&mut self, index: usize, nearness: Nearness, rank: u8, rng: &mut dyn Rng) {
        let Ok(index) = u16::try_from(index) else { return };
        let [nearness, rank, chance, index] =
            [nearness as u64, rank.into(), rng.next_u32().into(), index.into()];
        self.0.push(nearness << 56 | rank << 48 | chance << 16 | index);
    }

    /// Indices of the best, the best first.
    pub(crate) fn best(mut self, count: usize) -> impl Iterator<Item = usize> {
        self.0.sort_unstable();
        self.0.truncate(count);
        self.0.into_iter().map(|key| usize::from(u16::try_from(key & 0xffff).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn nearness_goes_before_rank_and_rank_before_chance() {
        use Nearness::*;
        let all = [(Any, 0), (LocalNetwork, 255), (Region, 3), (Region, 2), (PublicAddress, 7)];
        for seed in 0..8 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut ranking = Ranking::with_capacity(all.len());
            for (index, (nearness, rank)) in all.into_iter().enumerate() {
                ranking.push(index, nearness, rank, &mut rng);
            }
            assert_eq!(ranking.best(9).collect::<Vec<_>>(), [1, 4, 3, 2, 0]);
        }
    }
}
