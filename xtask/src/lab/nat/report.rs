//! What was seen, as a matrix and as JSON.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::lane::Outcome;
use crate::lab::internet::nat::{Nat, Transport};
use crate::lab::median_ms;

/// Columns of a cell.
const WIDTH: usize = 16;

/// All cells that were tried.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    cells: Vec<Cell>,
}

/// A kind of holder with a kind of asker, over one transport.
#[derive(Debug, Serialize)]
struct Cell {
    transport: Transport,
    holder: Nat,
    asker: Nat,
    /// Whether RFC 4787, or simultaneous open, lets them meet.
    theory: bool,
    tried: usize,
    met: usize,
    /// Median of those that met, from the click to the link.
    median_ms: Option<f64>,
    /// How they met.
    paths: BTreeSet<String>,
    /// Why they could not try.
    troubles: BTreeSet<String>,
}

impl Cell {
    fn new(transport: Transport, holder: Nat, asker: Nat, outcomes: &[Outcome]) -> Option<Self> {
        let here: Vec<&Outcome> = outcomes
            .iter()
            .filter(|o| (o.transport, o.holder, o.asker) == (transport, holder, asker))
            .collect();
        let met: Vec<_> = here.iter().filter_map(|outcome| outcome.met.as_ref()).collect();
        let times: Vec<_> = met.iter().map(|met| met.took).collect();
        (!here.is_empty()).then(|| Self {
            transport,
            holder,
            asker,
            theory: holder.can_meet(asker, transport),
            tried: here.len(),
            met: met.len(),
            median_ms: (!times.is_empty()).then(|| median_ms(&times)),
            paths: met.iter().map(|met| met.path.clone()).collect(),
            troubles: here.iter().filter_map(|outcome| outcome.trouble.clone()).collect(),
        })
    }

    /// They could have met, and did not each time.
    const fn is_miss(&self) -> bool {
        self.theory && self.met < self.tried
    }
}

impl Report {
    pub(super) fn new(outcomes: &[Outcome]) -> Self {
        let mut cells = Vec::new();
        for transport in [Transport::Tcp, Transport::Quic] {
            for holder in Nat::ALL {
                let cell = |asker| Cell::new(transport, holder, asker, outcomes);
                cells.extend(Nat::ALL.into_iter().filter_map(cell));
            }
        }
        Self { cells }
    }

    /// Cells whose pairs could have met, and did not each time.
    pub(super) fn misses(&self) -> usize {
        self.cells.iter().filter(|cell| cell.is_miss()).count()
    }

    fn cell(&self, transport: Transport, holder: Nat, asker: Nat) -> Option<&Cell> {
        let wanted = (transport, holder, asker);
        self.cells.iter().find(|cell| (cell.transport, cell.holder, cell.asker) == wanted)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theory = if self.theory { "yes" } else { "no" };
        let time = self.median_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let mark = match (self.is_miss(), self.theory, self.met) {
            (true, ..) => "!",
            (_, false, 1..) => "+",
            _ => "",
        };
        out.pad(&format!("{mark}{}/{} {time} {theory}", self.met, self.tried))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for transport in [Transport::Tcp, Transport::Quic] {
            if self.cells.iter().all(|cell| cell.transport != transport) {
                continue;
            }
            writeln!(out, "\n{transport}: holders down, askers across; met/tried, median, theory")?;
            write!(out, "{:10}", "")?;
            for asker in Nat::ALL {
                write!(out, " {asker:WIDTH$}")?;
            }
            writeln!(out)?;
            for holder in Nat::ALL {
                write!(out, "{holder:10}")?;
                for asker in Nat::ALL {
                    match self.cell(transport, holder, asker) {
                        Some(cell) => write!(out, " {cell:WIDTH$}")?,
                        None => write!(out, " {:WIDTH$}", "")?,
                    }
                }
                writeln!(out)?;
            }
        }
        for cell in &self.cells {
            for trouble in &cell.troubles {
                let (holder, asker, transport) = (cell.holder, cell.asker, cell.transport);
                writeln!(out, "{holder} and {asker}, {transport}: {trouble}")?;
            }
        }
        let can = self.cells.iter().filter(|cell| cell.theory).count();
        writeln!(out, "{} of {can} cells that can meet did each time", can - self.misses())
    }
}
