//! Rates, times, shares and queue lengths as one writes them on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text that is no rate, time, share or queue length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseUnitError {
    text: String,
    expected: &'static str,
}

impl fmt::Display for ParseUnitError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is not {}", self.text, self.expected)
    }
}

impl std::error::Error for ParseUnitError {}

/// What a link carries, in bits per second of IP packets; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rate(pub Option<u64>);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(None);

    /// So many bits per second.
    ///
    /// # Panics
    ///
    /// At 0, which would carry nothing: that is a loss of 100 %.
    #[must_use]
    pub const fn bits_per_second(bits: u64) -> Self {
        assert!(bits > 0, "a link that carries nothing is a loss of 100 %");
        Self(Some(bits))
    }
}

impl FromStr for Rate {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
        let bits = scaled(text, &units).and_then(to_count).filter(|bits| *bits > 0);
        let expected = "a rate such as 10mbit, 500kbit, 1gbit or unlimited";
        bits.map(|bits| Self(Some(bits))).ok_or_else(|| error(text, expected))
    }
}

/// How often a packet is lost, as a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let share = scaled(text, &[("%", 0.01)]).filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or_else(|| error(text, "a share from 0% to 100%, such as 1% or 0.5%"))
    }
}

/// How much may wait in front of a link before packets are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLength {
    /// So many bytes of IP packets.
    Bytes(u64),
    /// What the link carries in this time. On a link without a rate nothing
    /// waits, and this says nothing.
    Time(Duration),
}

impl Default for QueueLength {
    /// 100 ms: a router that is neither starved nor bloated.
    fn default() -> Self {
        Self::Time(Duration::from_millis(100))
    }
}

impl FromStr for QueueLength {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(time) = parse_time(text) {
            return Ok(Self::Time(time));
        }
        let units = [("mib", 1_048_576.0), ("kib", 1024.0), ("mb", 1e6), ("kb", 1e3), ("b", 1.0)];
        let bytes = scaled(text, &units).and_then(to_count);
        let expected = "a queue length such as 100ms, 64kb (1000 bytes each) or 64kib";
        bytes.map(Self::Bytes).ok_or_else(|| error(text, expected))
    }
}

/// Reads a time such as `25ms`, `500us` or `1.5s`.
///
/// # Errors
///
/// The text is no such time, or longer than an hour.
pub fn parse_time(text: &str) -> Result<Duration, ParseUnitError> {
    let seconds = scaled(text, &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)]);
    let seconds = seconds.filter(|seconds| (0.0..=3600.0).contains(seconds));
    let expected = "a time such as 25ms, 500us or 1.5s, of an hour at most";
    seconds.map(Duration::from_secs_f64).ok_or_else(|| error(text, expected))
}

/// The number in front of the first unit that `text` ends with, times its
/// factor. Units that end others stand after them.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

/// The nearest whole number, if it is small enough to be exact.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked just before"
)]
fn to_count(number: f64) -> Option<u64> {
    let rounded = number.round();
    (0.0..=1e15).contains(&rounded).then_some(rounded as u64)
}

fn error(text: &str, expected: &'static str) -> ParseUnitError {
    ParseUnitError { text: text.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_in_bits_per_second() {
        assert_eq!("10mbit".parse(), Ok(Rate::bits_per_second(10_000_000)));
        assert_eq!("1.5gbit".parse(), Ok(Rate::bits_per_second(1_500_000_000)));
        assert_eq!("64kbit".parse(), Ok(Rate::bits_per_second(64_000)));
        assert_eq!("unlimited".parse(), Ok(Rate::UNLIMITED));
        for wrong in ["", "10", "mbit", "-1mbit", "0mbit", "nanbit", "infbit", "10MB"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_lie_between_nothing_and_all() {
        assert_eq!("1%".parse(), Ok(Share(0.01)));
        assert_eq!("100%".parse(), Ok(Share(1.0)));
        for wrong in ["1", "101%", "-1%", "%", "nan%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn queues_are_read_in_time_or_in_bytes() {
        assert_eq!("100ms".parse(), Ok(QueueLength::Time(Duration::from_millis(100))));
        assert_eq!("64kb".parse(), Ok(QueueLength::Bytes(64_000)));
        assert_eq!("64kib".parse(), Ok(QueueLength::Bytes(65_536)));
        assert_eq!("1500b".parse(), Ok(QueueLength::Bytes(1500)));
        assert!("64".parse::<QueueLength>().is_err());
    }

    #[test]
    fn times_are_read_down_to_microseconds() {
        assert_eq!(parse_time("25ms"), Ok(Duration::from_millis(25)));
        assert_eq!(parse_time("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(parse_time("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_time("2h").is_err());
        assert!(parse_time("4000s").is_err());
    }
}
