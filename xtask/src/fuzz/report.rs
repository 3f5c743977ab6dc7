//! What libFuzzer says, read and put into a line.

use super::Target;
use crate::workspace;

/// Figures of one run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    executions: u64,
    per_second: u64,
    /// Inputs that each reach something that the others do not.
    corpus: u64,
    /// Edges that were passed.
    edges: u64,
}

impl Figures {
    /// Reads the log of a run; a figure that is not there is 0.
    pub(super) fn read(log: &str) -> Self {
        let last = |key: &str| log.lines().rev().find_map(|line| number_after(line, key));
        Self {
            executions: last("stat::number_of_executed_units:").unwrap_or(0),
            per_second: last("stat::average_exec_per_sec:").unwrap_or(0),
            corpus: last(" corp:").unwrap_or(0),
            edges: last(" cov:").unwrap_or(0),
        }
    }

    pub(super) fn line(&self, name: &str) -> String {
        format!(
            "{name:<12} {:>10} executions {:>8}/s {:>6} inputs {:>6} edges",
            self.executions, self.per_second, self.corpus, self.edges
        )
    }
}

/// The number that follows `key` in a line.
fn number_after(line: &str, key: &str) -> Option<u64> {
    let rest = line.split_once(key)?.1.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// An input that breaks a promise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The panic, or what libFuzzer says about time or memory.
    what: String,
    /// Where the input is, if it could be written.
    input: Option<String>,
}

impl Finding {
    pub(super) fn read(log: &str) -> Self {
        let lines: Vec<&str> = log.lines().collect();
        let said = |marks: &[&str]| {
            lines.iter().position(|line| marks.iter().any(|mark| line.contains(mark)))
        };
        let at = said(&["panicked at"]).or_else(|| said(&["ERROR: libFuzzer"]));
        let what = at.map_or_else(
            || "the program ended without a word".to_owned(),
            |at| lines[at..lines.len().min(at + 4)].join("\n"),
        );
        let written = lines.iter().find_map(|line| line.split_once("Test unit written to "));
        Self { what, input: written.map(|(_, path)| path.trim().to_owned()) }
    }

    /// What was found, with the line that replays it.
    pub(super) fn text(&self, target: &Target) -> String {
        let from_root = |path: &str| {
            let root = format!("{}/", workspace::root().display());
            path.strip_prefix(&root).unwrap_or(path).to_owned()
        };
        let program = from_root(&target.program.to_string_lossy());
        let input = self.input.as_deref().map_or_else(|| "INPUT".to_owned(), from_root);
        format!(
            "\nfinding in {}:\n{}\ninput:  {input}\nreplay: {program} {input}\n",
            target.name, self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_run_is_figures() {
        let log = "#2\tINITED cov: 6 ft: 7 corp: 1/1b exec/s: 0 rss: 27Mb\n\
                   #355\tDONE   cov: 61 ft: 70 corp: 12/1Kb lim: 4096 exec/s: 118 rss: 27Mb\n\
                   stat::number_of_executed_units: 355\n\
                   stat::average_exec_per_sec:     118\n";
        let figures = Figures::read(log);
        assert_eq!(figures, Figures { executions: 355, per_second: 118, corpus: 12, edges: 61 });
    }

    #[test]
    fn a_panic_is_a_finding_with_its_input() {
        let log = "thread '<unnamed>' (1) panicked at crates/wire/src/frame.rs:1:2:\n\
                   attempt to subtract with overflow\n\
                   artifact_prefix='a/'; Test unit written to a/crash-1f\n";
        let finding = Finding::read(log);
        assert!(finding.what.contains("frame.rs:1:2:\nattempt to subtract"), "{finding:?}");
        assert_eq!(finding.input.as_deref(), Some("a/crash-1f"));
    }

    #[test]
    fn a_slow_input_is_a_finding() {
        let log = "==7== ERROR: libFuzzer: timeout after 10 seconds\n\
                   artifact_prefix='a/'; Test unit written to a/timeout-1f\n";
        assert!(Finding::read(log).what.contains("timeout after 10 seconds"));
    }
}
