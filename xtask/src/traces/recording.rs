//! A link's rate over time, recorded or made up.

use std::fs;
use std::path::Path;

use crate::failure::{Context as _, Failure, Result};

/// The first line of a file.
const HEADER: &str = "seconds,kbit_per_s";

/// A rate over time. After its end it begins anew.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recording {
    pub(super) name: String,
    /// From this second on, so many kilobits per second.
    rows: Vec<(f64, f64)>,
    /// How long it is, in seconds.
    length: f64,
}

impl Recording {
    /// One of these rows, the times rising from 0; the last lasts as long as the
    /// one before.
    pub(super) fn new(name: &str, rows: Vec<(f64, f64)>) -> Result<Self> {
        let [.., (before, _), (last, _)] = rows.as_slice() else {
            return Err(Failure::new(format!("{name}: fewer than two rows")));
        };
        let length = last + (last - before);
        Ok(Self { name: name.to_owned(), rows, length })
    }

    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&stem, &text)
            .map_err(|wrong| Failure::new(format!("{}: {wrong}", path.display())))
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let mut lines = (1..).zip(text.lines());
        if lines.next().is_none_or(|(_, line)| line.trim() != HEADER) {
            return Err(Failure::new(format!("line 1: expected {HEADER:?}")));
        }
        let mut rows: Vec<(f64, f64)> = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |what: &str| Failure::new(format!("line {number}: {what}: {line:?}"));
            let (seconds, rate) =
                line.split_once(',').ok_or_else(|| wrong("expected two numbers"))?;
            let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
            let seconds = number(seconds).ok_or_else(|| wrong("no time"))?;
            let rate = number(rate).ok_or_else(|| wrong("no rate"))?;
            if rate < 0.0 {
                return Err(wrong("a rate below 0"));
            }
            if rows.last().is_some_and(|(before, _)| seconds <= *before) {
                return Err(wrong("time does not rise"));
            }
            rows.push((seconds, rate));
        }
        let start = rows.first().map_or(0.0, |(start, _)| *start);
        rows.iter_mut().for_each(|(seconds, _)| *seconds -= start);
        Self::new(name, rows)
    }

    /// How long it is, in seconds.
    pub(super) fn length(&self) -> f64 {
        self.length
    }

    /// Kilobits per second at that second.
    pub(super) fn rate_at(&self, seconds: f64) -> f64 {
        let within = seconds.rem_euclid(self.length);
        let after = self.rows.partition_point(|(start, _)| *start <= within);
        self.rows[after.saturating_sub(1)].1
    }

    /// Kilobits per second over all of it.
    pub(super) fn mean_rate(&self) -> f64 {
        let ends = self.rows.iter().skip(1).map(|(start, _)| *start).chain([self.length]);
        let sum: f64 =
            self.rows.iter().zip(ends).map(|((start, rate), end)| rate * (end - start)).sum();
        sum / self.length
    }
}

/// All recordings of a folder, by name.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Recording>> {
    let entries = fs::read_dir(folder).context(|| format!("read {}", folder.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new(format!("{} holds no file that ends in .csv", folder.display())));
    }
    paths.iter().map(|path| Recording::read(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_and_begins_anew_at_its_end() {
        let text = "seconds,kbit_per_s\n5.0,100\n7.5,300\n10,0\n";
        let recording = Recording::parse("a", text).unwrap();
        assert_eq!(recording.length(), 7.5);
        assert_eq!(recording.rate_at(0.0), 100.0);
        assert_eq!(recording.rate_at(2.5), 300.0);
        assert_eq!(recording.rate_at(7.4), 0.0);
        assert_eq!(recording.rate_at(7.6), 100.0);
        assert!((recording.mean_rate() - 400.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_recording_is_refused_with_its_line() {
        for (text, expected) in [
            ("", "line 1"),
            ("a,b\n1,2\n", "line 1"),
            ("seconds,kbit_per_s\n0,1\n0,2\n", "line 3"),
            ("seconds,kbit_per_s\n0,1\n1,-2\n", "line 3"),
            ("seconds,kbit_per_s\n0,1\n1,nan\n", "line 3"),
            ("seconds,kbit_per_s\n0;1\n", "line 2"),
            ("seconds,kbit_per_s\n0,1\n", "fewer than two"),
        ] {
            let refused = Recording::parse("a", text).unwrap_err().to_string();
            assert!(refused.contains(expected), "{text:?}: {refused}");
        }
    }
}
