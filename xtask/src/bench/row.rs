//! A row of the table: what was measured of ours and of a peer.

use serde::Serialize;

/// A row as `--json` writes it. Without a peer there is no ratio.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The median over the runs.
    pub(super) ours: f64,
    /// The median over the runs.
    pub(super) theirs: Option<f64>,
    pub(super) peer: Option<&'static str>,
    pub(super) unit: &'static str,
    /// Better above 1: the median over the pairs' ratios.
    pub(super) ratio: Option<f64>,
    pub(super) runs: usize,
}

/// A row, what it should be, and what is shown beside it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) row: Row,
    pub(super) aim: Option<Aim>,
    /// The smallest and the largest ratio of a pair.
    pub(super) spread: Option<(f64, f64)>,
    pub(super) beside: Vec<Beside>,
}

/// What is wanted of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aim {
    /// The ratio, at least.
    Ratio(f64),
    /// The figure of ours, at most.
    AtMost(f64),
}

/// Another figure of the same runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Beside {
    pub(super) name: &'static str,
    pub(super) ours: f64,
    pub(super) theirs: Option<f64>,
    pub(super) unit: &'static str,
    pub(super) ratio: Option<f64>,
}

/// Which of two figures is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

/// Figures of both sides; with a peer, one of each for every pair.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sides {
    pub(super) ours: Vec<f64>,
    pub(super) theirs: Vec<f64>,
}

impl Sides {
    /// The pairs' ratios, from the smallest; better above 1.
    pub(super) fn ratios(&self, better: Better) -> Vec<f64> {
        let pairs = self.ours.iter().zip(&self.theirs);
        let mut ratios: Vec<f64> = pairs
            .map(|(ours, theirs)| match better {
                Better::More => ours / theirs,
                Better::Less => theirs / ours,
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// The medians of both.
    pub(super) fn medians(&self) -> Option<(f64, Option<f64>)> {
        Some((median(&self.ours)?, median(&self.theirs)))
    }
}

/// The middle of some figures, or the mean of the two in the middle.
pub(super) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_ratio_above_one_is_better_whichever_way() {
        let sides = Sides { ours: vec![4.0, 3.0], theirs: vec![2.0, 3.0] };
        assert_eq!(sides.ratios(Better::More), [1.0, 2.0]);
        assert_eq!(sides.ratios(Better::Less), [0.5, 1.0]);
    }

    #[test]
    fn the_ratio_is_of_pairs_and_not_of_medians() {
        // The machine was half as fast in the second pair.
        let sides = Sides { ours: vec![4.0, 2.0, 4.0], theirs: vec![2.0, 1.0, 2.0] };
        assert_eq!(median(&sides.ratios(Better::More)), Some(2.0));
    }

    #[test]
    fn the_json_has_the_agreed_fields() {
        let row = Row {
            name: "name",
            ours: 3.0,
            theirs: Some(2.0),
            peer: Some("peer"),
            unit: "MB/s",
            ratio: Some(1.5),
            runs: 7,
        };
        let json = r#"{"name":"name","ours":3.0,"theirs":2.0,"peer":"peer","unit":"MB/s","ratio":1.5,"runs":7}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), json);
    }
}
