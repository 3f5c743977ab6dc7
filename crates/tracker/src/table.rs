//! From hashes to small numbers.

/// A hash table of numbers: open addressing with linear probing, eight bytes a
/// bucket, 53 to 80 % full.
///
/// It keeps half of each hash and no key. Whoever asks compares the ids, which
/// stand where the numbers lead; and a table that grows looks at no id.
/// Its order depends on a secret key and is never seen: there is no iteration.
#[derive(Debug, Default)]
pub(crate) struct Table {
    buckets: Vec<Bucket>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    fragment: u32,
    /// Or [`EMPTY`].
    slot: u32,
}

/// No number of anything.
const EMPTY: u32 = u32::MAX;
const EMPTY_BUCKET: Bucket = Bucket { fragment: 0, slot: EMPTY };
const LEAST_BUCKETS: usize = 8;

impl Table {
    /// The number that was put under this hash and `is_it`.
    pub(crate) fn get(&self, fragment: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let here = self.position(fragment, is_it)?;
        Some(self.buckets[here].slot)
    }

    /// Puts a number that is not in it yet under a hash.
    pub(crate) fn insert(&mut self, fragment: u32, slot: u32) {
        debug_assert_ne!(slot, EMPTY);
        if (self.len + 1) * 5 > self.buckets.len() * 4 {
            self.grow();
        }
        self.place(Bucket { fragment, slot });
        self.len += 1;
    }

    /// Removes a number; false if it is not there.
    pub(crate) fn remove(&mut self, fragment: u32, slot: u32) -> bool {
        let Some(mut hole) = self.position(fragment, |found| found == slot) else { return false };
        // Those behind it move up, so that no probe ends early (Knuth, volume
        // 3, section 6.4, algorithm R).
        let mut next = self.after(hole);
        while self.buckets[next].slot != EMPTY {
            let home = self.home(self.buckets[next].fragment);
            let stays = match hole < next {
                true => hole < home && home <= next,
                false => hole < home || home <= next,
            };
            if !stays {
                self.buckets[hole] = self.buckets[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.buckets[hole] = EMPTY_BUCKET;
        self.len -= 1;
        true
    }

    fn position(&self, fragment: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut here = self.home(fragment);
        loop {
            // There always is an empty one.
            let bucket = self.buckets[here];
            if bucket.slot == EMPTY {
                return None;
            }
            if bucket.fragment == fragment && is_it(bucket.slot) {
                return Some(here);
            }
            here = self.after(here);
        }
    }

    fn place(&mut self, bucket: Bucket) {
        let mut here = self.home(bucket.fragment);
        while self.buckets[here].slot != EMPTY {
            here = self.after(here);
        }
        self.buckets[here] = bucket;
    }

    /// By half, so that a quarter of it is empty on average; doubling would
    /// leave a third.
    fn grow(&mut self) {
        let size = (self.buckets.len() / 2 * 3).max(LEAST_BUCKETS);
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY_BUCKET; size]);
        for bucket in old.into_iter().filter(|bucket| bucket.slot != EMPTY) {
            self.place(bucket);
        }
    }

    /// Where a hash belongs: its share of the whole range, for any size.
    fn home(&self, fragment: u32) -> usize {
        let scaled = (u64::from(fragment) * self.buckets.len() as u64) >> 32;
        usize::try_from(scaled).unwrap_or(0)
    }

    fn after(&self, here: usize) -> usize {
        if here + 1 == self.buckets.len() { 0 } else { here + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes, near both ends, so that runs collide and wrap around.
        #[test]
        fn it_agrees_with_a_set(calls in proptest::collection::vec((any::<bool>(), 0..6_u32, 0..40_u32), 1..200)) {
            let mut table = Table::default();
            let mut model = BTreeSet::new();
            for (inserts, hash, slot) in calls {
                let fragment = if hash < 3 { hash } else { u32::MAX - hash };
                if inserts && !model.contains(&(fragment, slot)) {
                    table.insert(fragment, slot);
                    model.insert((fragment, slot));
                } else if !inserts {
                    prop_assert_eq!(table.remove(fragment, slot), model.remove(&(fragment, slot)));
                }
                prop_assert_eq!(table.len, model.len());
                for (fragment, slot) in &model {
                    prop_assert_eq!(table.get(*fragment, |found| found == *slot), Some(*slot));
                }
                prop_assert_eq!(table.get(77, |_| true), None);
            }
        }
    }
}
