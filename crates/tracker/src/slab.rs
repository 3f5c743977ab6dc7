//! Values under small numbers.

/// Numbers in one slab: so many that its number and that of one of 256 shards
/// make one `u32`.
pub(crate) const MAX_SLOTS: usize = 1 << 24;

/// A table of values named by small numbers: an eighth of what an id of 32
/// bytes costs in an index, and found without a search. Numbers are used
/// again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// The number of the new value, or `None` when all [`MAX_SLOTS`] are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(value);
            return Some(slot);
        }
        if self.slots.len() >= MAX_SLOTS {
            return None;
        }
        if self.slots.len() == self.slots.capacity() {
            // By a quarter: doubling would leave a third of the memory unused.
            self.slots.reserve_exact((self.slots.len() / 4).max(4));
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Some(value));
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_never_twice_at_once() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a').unwrap(), slab.insert('b').unwrap());
        assert_ne!(a, b);
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None, "a number freed twice would be given out twice");
        assert_eq!(slab.insert('c'), Some(a));
        assert_eq!((slab.get(a), slab.get(b), slab.get(9)), (Some(&'c'), Some(&'b'), None));
        assert_eq!(slab.len(), 2);
    }
}
