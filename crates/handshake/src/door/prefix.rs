//! Where strangers come from, and what each such place has spent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use antiphon_types::Timestamp;

use super::bucket::Bucket;
use super::limits::DoorLimits;

/// The leading bits of an address: one origin. An IPv4 address stands in its
/// IPv4-mapped form, which no IPv6 address can have here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix(u128);

/// How many bits of an IPv4-mapped address come before the IPv4 address (RFC
/// 4291 section 2.5.5.2).
const MAPPED_BITS: u32 = 96;

impl Prefix {
    pub(super) fn of(address: IpAddr, limits: &DoorLimits) -> Self {
        let (address, bits) = match address.to_canonical() {
            IpAddr::V4(v4) => {
                (v4.to_ipv6_mapped(), MAPPED_BITS + u32::from(limits.ipv4_prefix_bits))
            }
            IpAddr::V6(v6) => (v6, u32::from(limits.ipv6_prefix_bits)),
        };
        let mask = !u128::MAX.checked_shr(bits).unwrap_or(0);
        Self(address.to_bits() & mask)
    }
}

/// The prefixes with a handshake in progress, and a bounded number of those
/// that had one and have not yet earned back what they spent.
#[derive(Debug)]
pub(super) struct Prefixes {
    known: BTreeMap<Prefix, Known>,
    /// Those without a handshake in progress, in the order in which they left.
    idle: BTreeMap<u64, Prefix>,
    next_idle: u64,
}

#[derive(Debug)]
struct Known {
    half_open: usize,
    work: Bucket,
    /// Its place in `idle`, while no handshake is in progress.
    idle: Option<u64>,
}

impl Prefixes {
    pub(super) fn new() -> Self {
        Self { known: BTreeMap::new(), idle: BTreeMap::new(), next_idle: 0 }
    }

    /// How many are remembered, with and without a handshake in progress.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// How many handshakes are in progress from there.
    pub(super) fn half_open(&self, prefix: Prefix) -> usize {
        self.known.get(&prefix).map_or(0, |known| known.half_open)
    }

    /// One handshake more.
    pub(super) fn enter(&mut self, prefix: Prefix, now: Timestamp, limits: &DoorLimits) {
        let known = self.known.entry(prefix).or_insert_with(|| Known {
            half_open: 0,
            work: Bucket::full(limits.work_per_prefix, now),
            idle: None,
        });
        if let Some(place) = known.idle.take() {
            self.idle.remove(&place);
        }
        known.half_open += 1;
    }

    /// One handshake less.
    pub(super) fn leave(&mut self, prefix: Prefix, now: Timestamp, limits: &DoorLimits) {
        let Some(known) = self.known.get_mut(&prefix) else { return };
        known.half_open -= 1;
        if known.half_open > 0 {
            return;
        }
        if known.work.is_full(now) {
            self.known.remove(&prefix);
            return;
        }
        known.idle = Some(self.next_idle);
        self.idle.insert(self.next_idle, prefix);
        self.next_idle += 1;
        if self.idle.len() > limits.prefixes
            && let Some((_, oldest)) = self.idle.pop_first()
        {
            self.known.remove(&oldest);
        }
    }

    /// The budget of a prefix with a handshake in progress.
    pub(super) fn work(&mut self, prefix: Prefix) -> Option<&mut Bucket> {
        self.known.get_mut(&prefix).map(|known| &mut known.work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let limits = DoorLimits { ipv4_prefix_bits: 24, ..DoorLimits::default() };
        let prefix = |text: &str| Prefix::of(text.parse().unwrap(), &limits);
        prefix(one) == prefix(other)
    }

    #[test]
    fn a_prefix_is_what_its_leading_bits_say() {
        assert!(same("192.0.2.1", "192.0.2.254"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:0:ff00::1", "2001:db8:0:ffff:1:2:3:4"));
        assert!(!same("2001:db8:0:ff00::1", "2001:db8:0:fe00::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.7"), "mapped is IPv4");
        assert!(!same("::192.0.2.1", "192.0.2.1"), "compatible is not");
    }

    #[test]
    fn any_number_of_bits_is_taken() {
        for (bits, distinct) in [(0, false), (127, false), (128, true), (u8::MAX, true)] {
            let limits = DoorLimits { ipv6_prefix_bits: bits, ..DoorLimits::default() };
            let prefix = |text: &str| Prefix::of(text.parse().unwrap(), &limits);
            assert_eq!(prefix("2001:db8::2") != prefix("2001:db8::3"), distinct, "{bits}");
            assert_ne!(prefix("2001:db8::2"), prefix("192.0.2.1"), "{bits}");
        }
        let limits = DoorLimits { ipv4_prefix_bits: 0, ..DoorLimits::default() };
        let prefix = |text: &str| Prefix::of(text.parse().unwrap(), &limits);
        assert_eq!(prefix("192.0.2.1"), prefix("10.0.0.1"));
    }
}
