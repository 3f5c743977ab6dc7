//! The operator's own idea of what is near: prefixes and the names of regions.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::place::upper_half;

/// Which addresses are in which region, as an operator says.
///
/// The text has a prefix and a name on each line; what follows a `#`, and empty
/// lines, say nothing. The longest prefix that fits an address counts.
///
/// ```
/// use antiphon_tracker::Regions;
///
/// let regions: Regions = "
///     203.0.113.0/24  campus  # our own network
///     2001:db8::/32   campus
///     198.51.0.0/16   town
/// ".parse()?;
/// assert_eq!(regions.name("203.0.113.7".parse()?), Some("campus"));
/// assert_eq!(regions.name("192.0.2.1".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Regions {
    names: Vec<String>,
    v4: Prefixes,
    v6: Prefixes,
}

/// Prefixes in a file at most: as many as all networks of the world announce
/// together. They take 16 bytes each.
pub const MAX_PREFIXES: usize = 1 << 20;
/// Bytes of a region's name at most.
pub const MAX_NAME_BYTES: usize = 64;
/// No two hosts of a network differ in what stands before: RFC 4291, section 2.5.4.
const MAX_V6_BITS: u8 = 64;

/// A region of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RegionId(pub(crate) u32);

/// Prefixes of one kind of address: length, bits from the top, region. Sorted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Prefixes(Vec<(u8, u64, u32)>);

/// Why a table of regions cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the regions: {problem}")]
pub struct RegionsError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: RegionsProblem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionsProblem {
    /// It is not two words.
    #[error("expected a prefix and a name, as in `203.0.113.0/24 campus`")]
    Shape,
    /// The first word is no prefix.
    #[error(
        "`{0}` is no prefix; write an address, a slash and how many bits count, as in 203.0.113.0/24 or 2001:db8::/32"
    )]
    Prefix(String),
    /// More bits than can tell two networks apart.
    #[error(
        "{0} bits are more than count: at most 32 of IPv4 and 64 of IPv6, whose hosts have the rest"
    )]
    Length(u8),
    /// The address has bits beyond the prefix.
    #[error("{0}/{1} has bits beyond its prefix; write {2}/{1}")]
    HostBits(IpAddr, u8, IpAddr),
    /// The name is too long.
    #[error("a name of {0} bytes; at most {MAX_NAME_BYTES} are kept")]
    Name(usize),
    /// The prefix was given another name before.
    #[error("this prefix was named `{0}` before; one region each")]
    Twice(String),
    /// There are too many.
    #[error("more than {MAX_PREFIXES} prefixes; merge neighbours of one region")]
    TooMany,
}

impl Regions {
    /// The name of the region where an address is; `None` where none is said.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        let region = self.of(address.to_canonical())?;
        self.names.get(region.0 as usize).map(String::as_str)
    }

    /// How many prefixes it has.
    pub fn len(&self) -> usize {
        self.v4.0.len() + self.v6.0.len()
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn of(&self, canonical: IpAddr) -> Option<RegionId> {
        match canonical {
            IpAddr::V4(_) => self.v4.longest(aligned(canonical)),
            IpAddr::V6(_) => self.v6.longest(aligned(canonical)),
        }
    }
}

impl FromStr for Regions {
    type Err = RegionsError;

    fn from_str(text: &str) -> Result<Self, RegionsError> {
        let mut regions = Self::default();
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        let mut seen: BTreeMap<(bool, u8, u64), u32> = BTreeMap::new();
        for (line, words) in (1..).zip(text.lines()) {
            let fails = |problem| RegionsError { line, problem };
            let words = words.split_once('#').map_or(words, |(words, _)| words);
            let mut words = words.split_whitespace();
            let Some(prefix) = words.next() else { continue };
            let (Some(name), None) = (words.next(), words.next()) else {
                return Err(fails(RegionsProblem::Shape));
            };
            let (address, length) = parse_prefix(prefix).map_err(fails)?;
            if name.len() > MAX_NAME_BYTES {
                return Err(fails(RegionsProblem::Name(name.len())));
            }
            let region = *numbers.entry(name).or_insert_with(|| {
                regions.names.push(name.to_owned());
                u32::try_from(regions.names.len() - 1).unwrap_or(u32::MAX)
            });
            let key = (address.is_ipv6(), length, aligned(address));
            let named = *seen.entry(key).or_insert(region);
            if named != region {
                let before = regions.names[named as usize].clone();
                return Err(fails(RegionsProblem::Twice(before)));
            }
            if seen.len() > MAX_PREFIXES {
                return Err(fails(RegionsProblem::TooMany));
            }
        }
        // In the order of the map, so sorted.
        for ((is_v6, length, bits), region) in seen {
            let prefixes = if is_v6 { &mut regions.v6 } else { &mut regions.v4 };
            prefixes.0.push((length, bits, region));
        }
        Ok(regions)
    }
}

impl Prefixes {
    fn longest(&self, address: u64) -> Option<RegionId> {
        let mut rest = self.0.as_slice();
        while let Some(&(length, ..)) = rest.last() {
            let begin = rest.partition_point(|(shorter, ..)| *shorter < length);
            let wanted = address & mask(length);
            let of_length = &rest[begin..];
            if let Ok(index) = of_length.binary_search_by_key(&wanted, |(_, bits, _)| *bits) {
                return Some(RegionId(of_length[index].2));
            }
            rest = &rest[..begin];
        }
        None
    }
}

fn parse_prefix(text: &str) -> Result<(IpAddr, u8), RegionsProblem> {
    let malformed = || RegionsProblem::Prefix(text.chars().take(MAX_NAME_BYTES).collect());
    let (address, length) = text.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let length: u8 = length.parse().map_err(|_| malformed())?;
    if length > if address.is_ipv4() { 32 } else { MAX_V6_BITS } {
        return Err(RegionsProblem::Length(length));
    }
    let cut = cut(address, length);
    if cut != address {
        return Err(RegionsProblem::HostBits(address, length, cut));
    }
    Ok((address, length))
}

/// The address with all bits but the first `length` cleared.
fn cut(address: IpAddr, length: u8) -> IpAddr {
    let bits = aligned(address) & mask(length);
    match address {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits >> 32).unwrap_or(0)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(u128::from(bits) << 64).into(),
    }
}

/// The bits that may count, from the top.
fn aligned(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()) << 32,
        IpAddr::V6(address) => upper_half(address),
    }
}

fn mask(length: u8) -> u64 {
    !u64::MAX.checked_shr(length.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (usize, RegionsProblem) {
        let error = text.parse::<Regions>().unwrap_err();
        (error.line, error.problem)
    }

    #[test]
    fn the_longest_prefix_counts() {
        let text = "0.0.0.0/0 world\n10.0.0.0/8 ten\n10.1.0.0/16 one # of ten\n\n10.1.2.3/32 host\n::/0 six\n2001:db8:0:1::/64 lab";
        let regions: Regions = text.parse().unwrap();
        for (address, name) in [
            ("192.0.2.1", "world"),
            ("10.200.0.1", "ten"),
            ("10.1.200.1", "one"),
            ("10.1.2.3", "host"),
            ("::ffff:10.1.2.3", "host"),
            ("10.1.2.4", "one"),
            ("2001:db8:0:1::77", "lab"),
            ("2001:db8:0:2::77", "six"),
        ] {
            assert_eq!(regions.name(address.parse().unwrap()), Some(name), "{address}");
        }
        assert_eq!(regions.len(), 6);
    }

    #[test]
    fn what_is_not_said_has_no_name() {
        let regions: Regions = "# nothing\n  \n".parse().unwrap();
        assert!(regions.is_empty());
        assert_eq!(regions.name("10.0.0.1".parse().unwrap()), None);
        let other: Regions = "10.0.0.0/8 ten\n10.0.0.0/8 ten".parse().unwrap();
        assert_eq!((other.len(), other.name("2001:db8::1".parse().unwrap())), (1, None));
    }

    #[test]
    fn an_error_names_the_line_and_says_what_to_write() {
        use RegionsProblem::*;
        for text in ["10.0.0.0/8", "10.0.0.0/8 two words"] {
            assert_eq!(problem(text), (1, Shape), "{text}");
        }
        for prefix in ["10.0.0.0", "10.0.0/8", "ten/8", "10.0.0.0/x", "10.0.0.0/-1", "10.0.0.0/300"]
        {
            let text = format!("\n{prefix} ten");
            assert_eq!(problem(&text), (2, Prefix(prefix.to_owned())), "{text}");
        }
        assert_eq!(problem("10.0.0.0/33 ten"), (1, Length(33)));
        assert_eq!(problem("2001:db8::/65 lab"), (1, Length(65)));
        assert_eq!(problem("10.0.0.0/8 ten\n10.0.0.0/8 other"), (2, Twice("ten".to_owned())));
        assert_eq!(problem(&format!("10.0.0.0/8 {}", "x".repeat(65))), (1, Name(65)));
        let error = "203.0.113.5/24 campus".parse::<Regions>().unwrap_err().to_string();
        assert!(error.ends_with("write 203.0.113.0/24"), "{error}");
        let error = "2001:db8::1/32 campus".parse::<Regions>().unwrap_err().to_string();
        assert!(error.ends_with("write 2001:db8::/32"), "{error}");
    }

    #[test]
    fn a_table_has_a_bound() {
        let prefixes = u32::try_from(MAX_PREFIXES).unwrap() + 1;
        let text: String =
            (0..prefixes).map(|n| format!("{}/32 a\n", Ipv4Addr::from_bits(n))).collect();
        assert_eq!(problem(&text), (MAX_PREFIXES + 1, RegionsProblem::TooMany));
    }
}
