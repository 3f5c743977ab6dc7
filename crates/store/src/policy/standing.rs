//! What outlives a policy.

/// Where a blob stands with a [`Policy`](super::Policy): what the index keeps
/// of it, beside the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// In which part of the cache it is.
    pub segment: Segment,
    /// How often it was played as far as the policy remembers, 0 to 15. More
    /// counts as 15.
    pub plays: u8,
}

/// The parts that policies divide a cache into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Segment {
    /// The part that most blobs are in: all of an LRU cache, the main queue of
    /// S3-FIFO, the probation segment of W-TinyLFU.
    #[default]
    Main,
    /// What is new: the small queue of S3-FIFO, the window of W-TinyLFU.
    New,
    /// What was played again: the protected segment of W-TinyLFU.
    Protected,
}

/// Bits 8 to 9 of the flags of a record in the index: the segment.
const SEGMENT_SHIFT: u32 = 8;
const SEGMENT_MASK: u64 = 3;
/// Bits 12 to 15: plays.
const PLAYS_SHIFT: u32 = 12;
/// The largest number of plays that is kept.
pub(super) const MOST_PLAYS: u8 = 15;

impl Standing {
    /// As bits 8 to 15 of the flags in the index; the other bits are 0.
    pub fn to_bits(self) -> u64 {
        let segment: u64 = match self.segment {
            Segment::Main => 0,
            Segment::New => 1,
            Segment::Protected => 2,
        };
        segment << SEGMENT_SHIFT | u64::from(self.plays.min(MOST_PLAYS)) << PLAYS_SHIFT
    }

    /// Reads bits 8 to 15, whatever the others are. An unknown segment is
    /// [`Segment::Main`]; flags of before there were policies mean the default.
    pub fn from_bits(flags: u64) -> Self {
        let segment = match flags >> SEGMENT_SHIFT & SEGMENT_MASK {
            1 => Segment::New,
            2 => Segment::Protected,
            _ => Segment::Main,
        };
        let plays = (flags >> PLAYS_SHIFT).to_le_bytes()[0] & MOST_PLAYS;
        Self { segment, plays }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_standing_comes_back_whatever_the_other_bits_are() {
        for segment in [Segment::Main, Segment::New, Segment::Protected] {
            for plays in 0..=MOST_PLAYS {
                let standing = Standing { segment, plays };
                let bits = standing.to_bits();
                assert_eq!(bits & !0xff00, 0);
                assert_eq!(Standing::from_bits(bits), standing);
                assert_eq!(Standing::from_bits(bits | !0xff00), standing);
            }
        }
        assert_eq!(Standing::from_bits(1), Standing::default(), "an old record, pinned");
        assert_eq!(Standing::from_bits(u64::MAX).segment, Segment::Main);
        assert_eq!(Standing { plays: 200, ..Standing::default() }.to_bits(), 0xf000);
    }
}
