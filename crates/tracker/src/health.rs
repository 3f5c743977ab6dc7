//! How well a peer serves others, as the server knows.

/// How well a peer serves others, as the server knows.
///
/// Compared by orders of magnitude, so that a small difference does not decide:
/// 4 faults and 7 count the same, and 8 are worse. A row of equals is shuffled,
/// and load spreads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Health {
    /// How often it failed others lately: blocks that did not verify, as its
    /// peers reported, and introductions that came to nothing. Weighs more than
    /// load.
    pub faults: u16,
    /// How busy it is: times it answered "busy" lately, or introductions
    /// to it under way.
    pub load: u16,
}

impl Health {
    /// Less is better: faults, then load, each by its order of magnitude.
    pub fn rank(self) -> u8 {
        // Both are at most 16; what is beyond 15 is equally hopeless.
        let magnitude =
            |count: u16| u8::try_from(u16::BITS - count.leading_zeros()).unwrap_or(15).min(15);
        magnitude(self.faults) << 4 | magnitude(self.load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_weigh_more_than_load_and_both_go_by_magnitude() {
        let rank = |faults, load| Health { faults, load }.rank();
        assert_eq!(rank(4, 0), rank(7, 0));
        assert_eq!(rank(0, 2), rank(0, 3));
        assert!(rank(0, 0) < rank(0, 1));
        assert!(rank(0, u16::MAX) < rank(1, 0));
        assert!(rank(7, u16::MAX) < rank(8, 0));
    }
}
