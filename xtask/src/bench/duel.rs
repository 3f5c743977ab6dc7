//! Ours and a peer in turn, and the rows that come of it.

use super::program::{Figures, Role};
use super::row::{Aim, Beside, Better, Measured, Row, Sides, median};

/// Two sides that are measured in turn.
#[derive(Debug)]
pub(super) struct Duel {
    pub(super) ours: Role,
    pub(super) theirs: Role,
    pub(super) peer: &'static str,
    pub(super) rows: &'static [Spec],
    /// What is measured but once, and stands beside the first row.
    pub(super) once: Option<Once>,
}

/// A figure that does not change from run to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Once {
    pub(super) ours: Role,
    pub(super) theirs: Role,
    pub(super) figure: Figure,
}

/// A row that comes of a duel.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) figure: Figure,
    /// The ratio that is wanted at least.
    pub(super) target: f64,
    pub(super) beside: &'static [Figure],
}

/// One figure of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) of: fn(&Figures) -> Option<f64>,
}

/// The figures of all runs of a duel. Without a peer `theirs` is empty.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) ours: Vec<Figures>,
    pub(super) theirs: Vec<Figures>,
}

impl Figure {
    /// This figure of all runs; `None` if a run does not tell it.
    fn sides(&self, runs: &Runs) -> Option<Sides> {
        let all = |runs: &[Figures]| -> Option<Vec<f64>> { runs.iter().map(self.of).collect() };
        Some(Sides { ours: all(&runs.ours)?, theirs: all(&runs.theirs)? })
    }

    /// What stands beside a row; `None` if this system does not tell it.
    pub(super) fn beside(&self, runs: &Runs) -> Option<Beside> {
        let sides = self.sides(runs)?;
        let (ours, theirs) = sides.medians()?;
        let ratio = median(&sides.ratios(self.better));
        Some(Beside { name: self.name, ours, theirs, unit: self.unit, ratio })
    }
}

impl Spec {
    /// The row; `None` if this system does not tell its figure.
    pub(super) fn row(&self, peer: &'static str, runs: &Runs) -> Option<Measured> {
        let sides = self.figure.sides(runs)?;
        let (ours, theirs) = sides.medians()?;
        let ratios = sides.ratios(self.figure.better);
        let row = Row {
            name: self.name,
            ours,
            theirs,
            peer: theirs.map(|_| peer),
            unit: self.figure.unit,
            ratio: median(&ratios),
            runs: sides.ours.len(),
        };
        Some(Measured {
            row,
            aim: Some(Aim::Ratio(self.target)),
            spread: ratios.first().copied().zip(ratios.last().copied()),
            beside: self.beside.iter().filter_map(|figure| figure.beside(runs)).collect(),
        })
    }
}
