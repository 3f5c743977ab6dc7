//! Two listeners who connect to each other at once keep one of their links, and the
//! same one, in whatever order each of them hears of which.

use std::time::Duration;

use antiphon_types::NodeId;

/// Links that begin within this time were made at once: about as long as two try to
/// get through to each other.
const AT_ONCE: Duration = Duration::from_secs(10);

/// Orders the links between two listeners; both ends have the same order. The least is
/// kept: of those that the smaller key has dialled, the one with the least number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    larger_has_dialled: bool,
    number: Option<u64>,
}

impl Rank {
    /// Of a link between `us` and `them`; `number` is
    /// [`Connection::number`](antiphon_net::Connection::number).
    pub(crate) fn new(us: &NodeId, them: &NodeId, dialled: bool, number: Option<u64>) -> Self {
        Self { larger_has_dialled: (us < them) != dialled, number }
    }
}

/// Whether a new link is to take the place of one that stands, and has for so long;
/// else the new one goes. Who makes a link long after has lost the one before.
pub(crate) fn is_taken(newcomer: &Rank, (standing, age): (&Rank, Duration)) -> bool {
    age >= AT_ONCE || newcomer < standing
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// One of the two: what she has heard of, and which link she keeps.
    #[derive(Default)]
    struct Side {
        /// By link: whether it is open as far as she knows.
        heard: BTreeMap<usize, bool>,
        kept: Option<usize>,
    }

    /// Links between two, each dialled by the one or the other.
    struct Duel {
        keys: [NodeId; 2],
        dialled_by: Vec<usize>,
        numbers: Vec<u64>,
        sides: [Side; 2],
        /// By link: whether either has closed it.
        closed: Vec<bool>,
    }

    impl Duel {
        fn rank(&self, side: usize, link: usize) -> Rank {
            let (us, them) = (&self.keys[side], &self.keys[1 - side]);
            Rank::new(us, them, self.dialled_by[link] == side, Some(self.numbers[link]))
        }

        /// What may happen next: a side hears of a link, or that it was closed.
        fn possible(&self) -> Vec<(usize, usize)> {
            let all = (0..2).flat_map(|side| (0..self.closed.len()).map(move |link| (side, link)));
            all.filter(|&(side, link)| match self.sides[side].heard.get(&link) {
                None => true,
                Some(open) => *open && self.closed[link],
            })
            .collect()
        }

        fn happen(&mut self, side: usize, link: usize) {
            if self.closed[link] {
                // Closed before it was heard of, or now.
                self.sides[side].heard.insert(link, false);
                self.sides[side].kept.take_if(|kept| *kept == link);
                return;
            }
            self.sides[side].heard.insert(link, true);
            let Some(kept) = self.sides[side].kept else {
                self.sides[side].kept = Some(link);
                return;
            };
            let standing = self.rank(side, kept);
            let taken = is_taken(&self.rank(side, link), (&standing, Duration::from_secs(9)));
            let (stays, goes) = if taken { (link, kept) } else { (kept, link) };
            self.closed[goes] = true;
            self.sides[side].heard.insert(goes, false);
            self.sides[side].kept = Some(stays);
        }
    }

    proptest! {
        /// However many links they make at once, and in whatever order each hears of
        /// them and of their ends: one is left, and both have it.
        #[test]
        fn exactly_one_link_survives_and_both_agree_which(
            keys in proptest::sample::subsequence((0..9_u8).collect::<Vec<_>>(), 2),
            swapped in any::<bool>(),
            dialled_by in proptest::collection::vec(0..2_usize, 1..7),
            numbers in Just((0..7_u64).collect::<Vec<_>>()).prop_shuffle(),
            choices in proptest::collection::vec(any::<Index>(), 40),
        ) {
            let [one, other] = [keys[0], keys[1]].map(|key| NodeId::new([key; 32]));
            let links = dialled_by.len();
            let mut duel = Duel {
                keys: if swapped { [other, one] } else { [one, other] },
                dialled_by,
                numbers,
                sides: [Side::default(), Side::default()],
                closed: vec![false; links],
            };
            for choice in choices {
                let possible = duel.possible();
                if possible.is_empty() {
                    break;
                }
                let (side, link) = possible[choice.index(possible.len())];
                duel.happen(side, link);
            }
            prop_assert!(duel.possible().is_empty(), "all has been heard");
            let open: Vec<usize> = (0..links).filter(|&link| !duel.closed[link]).collect();
            prop_assert_eq!(open.len(), 1);
            prop_assert_eq!(duel.sides[0].kept, Some(open[0]));
            prop_assert_eq!(duel.sides[1].kept, Some(open[0]));
        }
    }

    #[test]
    fn who_makes_a_link_long_after_the_first_has_lost_that() {
        let (us, them) = (NodeId::new([1; 32]), NodeId::new([2; 32]));
        let least = Rank::new(&us, &them, true, Some(0));
        let most = Rank::new(&us, &them, false, Some(u64::MAX));
        assert!(is_taken(&least, (&most, Duration::ZERO)));
        assert!(!is_taken(&most, (&least, Duration::from_millis(9_999))));
        assert!(is_taken(&most, (&least, AT_ONCE)));
    }
}
