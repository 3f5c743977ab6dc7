//! How often something was played, in little room.

use antiphon_types::BlobId;

use super::standing::MOST_PLAYS;

const ROWS: usize = 4;
/// Counters in a row. What 10 GB hold is a fourth of it, in blobs of 2.5 MB.
const COLUMNS: usize = 1 << 14;

/// A count-min sketch with conservative update: it never counts too little, and
/// seldom too much.
///
/// After Cormode, Muthukrishnan: "An improved data stream summary: the
/// count-min sketch and its applications", 2005. Blob ids are hashes: parts of
/// them take the place of hash functions.
#[derive(Debug)]
pub(super) struct Sketch {
    counters: Vec<[u8; COLUMNS]>,
    /// Plays counted since the last halving, halved with it.
    pub(super) additions: u64,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { counters: vec![[0; COLUMNS]; ROWS], additions: 0 }
    }
}

impl Sketch {
    /// Counts a play.
    pub(super) fn add(&mut self, blob: &BlobId) {
        self.raise(blob, self.count(blob).saturating_add(1));
        self.additions += 1;
    }

    /// Has the blob count at least so many plays.
    pub(super) fn raise(&mut self, blob: &BlobId, plays: u8) {
        let plays = plays.min(MOST_PLAYS);
        for (row, column) in self.counters.iter_mut().zip(columns(blob)) {
            row[column] = row[column].max(plays);
        }
    }

    /// Plays of the blob, 15 at most.
    pub(super) fn count(&self, blob: &BlobId) -> u8 {
        let counts = self.counters.iter().zip(columns(blob)).map(|(row, column)| row[column]);
        counts.min().unwrap_or(0)
    }

    /// Halves all counts: what is long ago weighs less.
    pub(super) fn halve(&mut self) {
        self.counters.iter_mut().flatten().for_each(|counter| *counter /= 2);
        self.additions /= 2;
    }
}

fn columns(blob: &BlobId) -> [usize; ROWS] {
    let bytes = blob.as_bytes();
    std::array::from_fn(|row| {
        usize::from(u16::from_le_bytes([bytes[2 * row], bytes[2 * row + 1]])) % COLUMNS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_to_fifteen_and_forgets_by_halves() {
        let [one, other] = [b"one".as_slice(), b"other"].map(crate::hash);
        let mut sketch = Sketch::default();
        assert_eq!(sketch.count(&one), 0);
        (0..5).for_each(|_| sketch.add(&one));
        assert_eq!((sketch.count(&one), sketch.count(&other)), (5, 0));
        sketch.halve();
        assert_eq!((sketch.count(&one), sketch.additions), (2, 2));
        (0..500).for_each(|_| sketch.add(&one));
        assert_eq!(sketch.count(&one), MOST_PLAYS);
        sketch.raise(&other, 7);
        sketch.raise(&other, 3);
        assert_eq!(sketch.count(&other), 7);
    }

    #[test]
    fn it_never_counts_too_little_and_seldom_too_much() {
        let blobs: Vec<_> = (0..4_000_u32).map(|i| crate::hash(&i.to_le_bytes())).collect();
        let mut sketch = Sketch::default();
        for (i, blob) in blobs.iter().enumerate() {
            (0..i % 4).for_each(|_| sketch.add(blob));
        }
        let wrong = blobs.iter().enumerate().filter(|(i, blob)| {
            let counted = usize::from(sketch.count(blob));
            assert!(counted >= i % 4);
            counted > i % 4
        });
        assert!(wrong.count() < blobs.len() / 100);
    }
}
