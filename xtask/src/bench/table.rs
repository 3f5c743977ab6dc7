//! The table that is printed.

use super::row::{Aim, Beside, Measured};

/// Prints all rows, each with what was measured beside it.
pub(super) fn print(rows: &[Measured]) {
    println!();
    println!("{}", heading());
    for measured in rows {
        println!("{}", line(measured));
        for beside in &measured.beside {
            println!("{}", beside_line(beside));
        }
    }
}

fn heading() -> String {
    format!(
        "{:<34} {:>10} {:>10}  {:<13} {:>5}  {:>8}       pairs, from..to",
        "row", "ours", "theirs", "unit", "ratio", "aim"
    )
}

fn line(measured: &Measured) -> String {
    let row = &measured.row;
    let verdict = match (measured.aim, row.ratio) {
        (Some(Aim::Ratio(least)), Some(ratio)) => verdict(&format!("{least:.2}"), ratio >= least),
        (Some(Aim::AtMost(most)), _) => verdict(&format!("<= {}", figure(most)), row.ours <= most),
        _ => " ".repeat(14),
    };
    let spread = measured
        .spread
        .map(|(from, to)| format!("{}, {from:.2}..{to:.2}", row.runs))
        .unwrap_or_default();
    let figures = figures(row.ours, row.theirs, row.unit, row.ratio);
    format!("{:<34} {figures}  {verdict} {spread}", row.name).trim_end().to_owned()
}

fn verdict(aim: &str, is_met: bool) -> String {
    format!("{aim:>8}  {:<4}", if is_met { "ok" } else { "MISS" })
}

fn beside_line(beside: &Beside) -> String {
    let figures = figures(beside.ours, beside.theirs, beside.unit, beside.ratio);
    format!("  {:<32} {figures}", beside.name).trim_end().to_owned()
}

fn figures(ours: f64, theirs: Option<f64>, unit: &str, ratio: Option<f64>) -> String {
    let theirs = theirs.map(figure).unwrap_or_default();
    let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    format!("{:>10} {theirs:>10}  {unit:<13} {ratio:>5}", figure(ours))
}

/// About four digits that say something.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::super::row::Row;
    use super::*;

    fn measured(ratio: Option<f64>) -> Measured {
        let theirs = ratio.map(|_| 1234.5);
        let peer = ratio.map(|_| "peer");
        let row = Row { name: "a_row", ours: 98.76, theirs, peer, unit: "MB/s", ratio, runs: 7 };
        let aim = Some(Aim::Ratio(1.5));
        Measured { row, aim, spread: ratio.map(|_| (0.9, 1.6)), beside: Vec::new() }
    }

    fn words(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn a_row_says_whether_its_target_is_met() {
        let line = line(&measured(Some(1.5)));
        let expected = ["a_row", "98.76", "1234", "MB/s", "1.50", "1.50", "ok", "7,", "0.90..1.60"];
        assert_eq!(words(&line), expected);
        assert!(super::line(&measured(Some(1.49))).contains("MISS"));
    }

    #[test]
    fn a_figure_of_ours_may_have_a_bound() {
        let bounded = |most| Measured { aim: Some(Aim::AtMost(most)), ..measured(None) };
        let expected = ["a_row", "98.76", "MB/s", "<=", "100.0", "ok"];
        assert_eq!(words(&line(&bounded(100.0))), expected);
        assert!(line(&bounded(98.0)).contains("MISS"));
    }

    #[test]
    fn without_a_peer_there_is_nothing_to_meet() {
        assert_eq!(words(&line(&measured(None))), ["a_row", "98.76", "MB/s"]);
    }
}
