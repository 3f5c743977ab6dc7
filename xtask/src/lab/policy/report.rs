//! What `cargo xtask lab policy` prints.

use std::fmt;

use serde::Serialize;

use super::cache::Tally;
use super::fit::Fit;

/// All that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) listeners: u64,
    pub(super) days: u32,
    pub(super) fit: Fit,
    pub(super) rows: Vec<Row>,
}

/// One policy at one budget, over all listeners of a kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    listener: &'static str,
    budget_mb: u64,
    policy: String,
    /// Bytes found in the cache, of those played.
    found_bytes: Spread,
    /// How much more that is than under the first policy, listener by listener.
    more_found_bytes: Spread,
    /// Of these, what was there because it was played before.
    kept_bytes: Spread,
    /// And what was there because it was prefetched, and not played since.
    prefetched_bytes: Spread,
    /// Plays found in the cache.
    found_plays: Spread,
    /// Plays found because the track was played before.
    kept_plays: Spread,
    /// Bytes that came over the network, of those played.
    fetched: Spread,
    /// Bytes prefetched that went without a play, of those played.
    wasted: Spread,
}

/// A share of what is played, over all listeners.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    mean: f64,
    /// Standard deviation between listeners.
    deviation: f64,
}

impl Row {
    pub(super) fn new(
        listener: &'static str,
        budget_mb: u64,
        policy: &str,
        tallies: &[Tally],
        first: &[Tally],
    ) -> Self {
        let found = |tally: &Tally| share(tally.kept_bytes + tally.ahead_bytes, tally.bytes);
        let more = tallies.iter().zip(first).map(|(tally, first)| found(tally) - found(first));
        let bytes = |part: &dyn Fn(&Tally) -> u64| Spread::of(tallies, part, &|tally| tally.bytes);
        let plays = |part: &dyn Fn(&Tally) -> u64| Spread::of(tallies, part, &|tally| tally.plays);
        Self {
            listener,
            budget_mb,
            policy: policy.to_owned(),
            found_bytes: bytes(&|tally| tally.kept_bytes + tally.ahead_bytes),
            more_found_bytes: Spread::over(&more.collect::<Vec<_>>()),
            kept_bytes: bytes(&|tally| tally.kept_bytes),
            prefetched_bytes: bytes(&|tally| tally.ahead_bytes),
            found_plays: plays(&|tally| tally.kept_plays + tally.ahead_plays),
            kept_plays: plays(&|tally| tally.kept_plays),
            fetched: bytes(&|tally| tally.fetched_bytes),
            wasted: bytes(&|tally| tally.wasted_bytes),
        }
    }
}

impl Spread {
    fn of(tallies: &[Tally], part: &dyn Fn(&Tally) -> u64, whole: &dyn Fn(&Tally) -> u64) -> Self {
        let shares = tallies.iter().map(|tally| share(part(tally), whole(tally)));
        Self::over(&shares.collect::<Vec<_>>())
    }

    fn over(shares: &[f64]) -> Self {
        let count = shares.len().max(1) as f64;
        let mean = shares.iter().sum::<f64>() / count;
        let squares: f64 = shares.iter().map(|share| (share - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:5.1} ±{:4.1}", self.mean * 100.0, self.deviation * 100.0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fit { listeners, top_100, top_12_percent, predicted, played, plays_per_day, mean_mb } =
            self.fit;
        let percent = 100.0;
        writeln!(out, "A week of {listeners} listeners, beside what is asked:")?;
        writeln!(out, "  plays of the top 100        {:5.1} %   40 % (B74)", top_100 * percent)?;
        writeln!(
            out,
            "  plays of the top 12 %       {:5.1} %   88 % (B71)",
            top_12_percent * percent
        )?;
        writeln!(out, "  plays in predictable order  {:5.1} %   61 % (B71)", predicted * percent)?;
        writeln!(out, "  of the catalogue played     {:5.1} %   60 % (B71)", played * percent)?;
        writeln!(out, "  songs a day                 {plays_per_day:5.1}     40 (B74)")?;
        writeln!(out, "  a rendition                 {mean_mb:5.2} MB")?;
        writeln!(
            out,
            "\n{} days of {} listeners, in % of what is played (mean, deviation between listeners):",
            self.days, self.listeners
        )?;
        let mut group = None;
        for row in &self.rows {
            if group.replace((row.listener, row.budget_mb)) != Some((row.listener, row.budget_mb)) {
                writeln!(
                    out,
                    "\n{:<15} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}",
                    format!("{}, {} MB", row.listener, row.budget_mb),
                    "found bytes",
                    "more",
                    "played bef.",
                    "prefetched",
                    "found plays",
                    "fetched"
                )?;
            }
            writeln!(
                out,
                "{:<15} {} {} {} {} {} {}",
                row.policy,
                row.found_bytes,
                row.more_found_bytes,
                row.kept_bytes,
                row.prefetched_bytes,
                row.found_plays,
                row.fetched
            )?;
        }
        Ok(())
    }
}
