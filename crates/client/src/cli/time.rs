//! Places in a track, as people write them.

use std::time::Duration;

/// Reads `SECONDS`, `MINUTES:SECONDS` or `HOURS:MINUTES:SECONDS`; the seconds
/// may have a fraction.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; expected SECONDS, M:SS or H:MM:SS");
    let mut parts = text.rsplit(':');
    let seconds: f64 = parts.next().unwrap_or_default().parse().map_err(|_| wrong())?;
    let (mut total, mut unit, mut left) = (0_u64, 60, 2);
    for part in parts {
        let count: u64 = part.parse().map_err(|_| wrong())?;
        if left == 0 || count >= 10_000 || seconds >= 60.0 {
            return Err(wrong());
        }
        total += count * unit;
        (unit, left) = (unit * 60, left - 1);
    }
    let fits = seconds.is_finite() && (0.0..1e6).contains(&seconds);
    let seconds = fits.then(|| Duration::from_secs_f64(seconds)).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total) + seconds)
}

/// A place in a track, for people.
pub(super) fn clock(duration: Duration) -> String {
    format!("{}:{:02}", duration.as_secs() / 60, duration.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("0", 0), ("12.5", 12_500), ("1:30", 90_000), ("2:00:01", 7_201_000), ("75", 75_000)]
        {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "a", "-1", "1:75", "1:2:3:4", "nan", "inf", "1e9", ":", "1:"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert_eq!(clock(Duration::from_secs(65)), "1:05");
    }
}
