//! In which order holders are named.

use rand_core::Rng;

use crate::Nearness;

/// Candidates for which there is room without asking for memory.
const FEW: usize = 32;

/// A row of candidates of which the best are drawn: the nearest first, of these
/// the healthy and idle ([`Health::rank`](crate::Health::rank)), and where that
/// is equal, by chance.
///
/// A candidate is one number: from the top nearness (8 bits), rank (8), index
/// (16). In most swarms all are equal but for the index, so that the row is in order
/// from the begin and what remains is one draw for each that is named.
#[derive(Debug)]
pub(crate) struct Ranking {
    few: [u32; FEW],
    /// In place of `few` if there may be more.
    many: Vec<u32>,
    len: usize,
}

impl Ranking {
    pub(crate) fn with_capacity(candidates: usize) -> Self {
        let many = if candidates > FEW { vec![0; candidates] } else { Vec::new() };
        Self { few: [0; FEW], many, len: 0 }
    }

    /// Candidates whose index is beyond 65,535, or beyond the capacity, are left out.
    pub(crate) fn push(&mut self, index: usize, nearness: Nearness, rank: u8) {
        let Ok(index) = u16::try_from(index) else { return };
        let len = self.len;
        if let Some(place) = self.row().get_mut(len) {
            *place = (nearness as u32) << 24 | u32::from(rank) << 16 | u32::from(index);
            self.len += 1;
        }
    }

    /// Indices of the best, the best first.
    pub(crate) fn best(
        mut self,
        count: usize,
        rng: &mut dyn Rng,
    ) -> impl Iterator<Item = usize> + use<> {
        let mut draws = Draws(rng.next_u64());
        let len = self.len;
        let count = count.min(len);
        let row = &mut self.row()[..len];
        row.sort_unstable();
        // A shuffle among equals, as far as it is looked at.
        let mut end = 0;
        for here in 0..count {
            if here >= end {
                let equal = |other: &&u32| **other >> 16 == row[here] >> 16;
                end = here + row[here..].iter().take_while(equal).count();
            }
            row.swap(here, here + draws.below(end - here));
        }
        (0..count).map(move |here| {
            let row = if self.many.is_empty() { self.few.as_slice() } else { &self.many };
            usize::from(u16::try_from(row[here] & 0xffff).unwrap_or(0))
        })
    }

    fn row(&mut self) -> &mut [u32] {
        if self.many.is_empty() { &mut self.few } else { &mut self.many }
    }
}

/// Random numbers that follow from one (splitmix64): all that a shuffle needs which
/// spreads load and hides nothing.
struct Draws(u64);

impl Draws {
    /// A number below `bound`, which is below 2^32.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let scaled = (word >> 32) * bound as u64;
        usize::try_from(scaled >> 32).unwrap_or(0)
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
                ranking.push(index, nearness, rank);
            }
            assert_eq!(ranking.best(9, &mut rng).collect::<Vec<_>>(), [1, 4, 3, 2, 0]);
        }
    }

    /// Of six equals and six that are worse, eight are named: each equal comes to each
    /// of the first six places as often, each of the others to the last two.
    #[test]
    fn among_equals_every_order_is_as_likely() {
        for capacity in [12, FEW + 1] {
            let mut seen = [[0_u32; 12]; 8];
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for _ in 0..12_000 {
                let mut ranking = Ranking::with_capacity(capacity);
                for index in 0..12 {
                    ranking.push(index, Nearness::Any, u8::from(index % 2 == 1));
                }
                for (place, index) in ranking.best(8, &mut rng).enumerate() {
                    seen[place][index] += 1;
                }
            }
            for (place, counts) in seen.into_iter().enumerate() {
                for (index, count) in counts.into_iter().enumerate() {
                    let belongs = (index % 2 == 1) == (place >= 6);
                    let expected = if belongs { 1_800..=2_200 } else { 0..=0 };
                    assert!(expected.contains(&count), "{index} at {place}: {count}");
                }
            }
        }
    }
}
