//! Figures beside what they are meant to be.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::stage::Measured;
use crate::lab::median_ms;
use crate::lab::nodes::Play;

/// All figures.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: String,
    unit: &'static str,
    /// `None` if it could not be had: nothing came.
    value: Option<f64>,
    /// `None` if it is only told.
    aim: Option<f64>,
    /// Whether the aim is the least it may be, rather than the most.
    at_least: bool,
    good: bool,
}

impl Row {
    /// A figure that is to be so much at most.
    pub(super) fn most(what: &str, unit: &'static str, aim: f64, value: Option<f64>) -> Self {
        let good = value.is_some_and(|value| value <= aim);
        Self { what: what.to_owned(), unit, value, aim: Some(aim), at_least: false, good }
    }

    /// A figure that is what it is.
    pub(super) fn told(what: &str, unit: &'static str, value: f64) -> Self {
        let (what, value) = (what.to_owned(), Some(value));
        Self { what, unit, value, aim: None, at_least: false, good: true }
    }

    /// A figure that is to be so much at least.
    pub(super) fn least(what: &str, unit: &'static str, aim: f64, value: Option<f64>) -> Self {
        let good = value.is_some_and(|value| value >= aim);
        Self { what: what.to_owned(), unit, value, aim: Some(aim), at_least: true, good }
    }
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds the median of a time of all plays; there is none if one never came.
    pub(super) fn times(
        &mut self,
        what: &str,
        measured: &[Measured],
        time: impl Fn(&Play) -> f64,
        aim_ms: f64,
    ) {
        let times: Vec<f64> = measured.iter().map(|one| time(&one.play)).collect();
        let all = times.iter().all(|ms| *ms > 0.0);
        let times: Vec<_> = times.iter().map(|ms| Duration::from_secs_f64(ms / 1_000.0)).collect();
        self.add(Row::most(what, "ms", aim_ms, all.then(|| median_ms(&times))));
    }

    /// Every figure is as it is meant to be.
    pub(super) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.good)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let value = row.value.map_or("none came".to_owned(), |value| format!("{value:.1}"));
            let bound = if row.at_least { "at least" } else { "at most" };
            let mark = if row.good { ' ' } else { '!' };
            let aim = row.aim.map_or(String::new(), |aim| format!("{bound} {aim}"));
            let (what, unit) = (&row.what, row.unit);
            writeln!(out, "{mark} {what:38} {value:>10} {unit:2}  {aim}")?;
        }
        Ok(())
    }
}
