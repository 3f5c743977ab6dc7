/// The step of SplitMix64: numbers so far apart make rows that do not meet.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scatters a number over all others: the finaliser of SplitMix64 (Steele, Lea, Flood
/// 2014). The same on every machine.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
