//! The live line while a track plays.

use std::io::{self, IsTerminal, Write};

use antiphon_listener::Source;
use console::{Term, truncate_str};

use super::plain;
use super::time::clock;
use crate::engine::PlayStatus;

/// Shows plays on standard error: one line, rewritten, on a terminal; a line
/// only when the music waits, elsewhere.
pub(super) struct Progress {
    live: bool,
    quiet: bool,
    waited_for: Option<String>,
    told_of_trouble: bool,
}

impl Progress {
    /// With `quiet`, on no terminal is nothing shown but what is waited for.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            live: io::stderr().is_terminal() && !quiet,
            quiet,
            waited_for: None,
            told_of_trouble: false,
        }
    }

    pub(super) fn show(&mut self, status: &PlayStatus) {
        if let Some(trouble) = status.trouble.as_ref().filter(|_| !self.told_of_trouble) {
            self.clear();
            eprintln!("antiphon: {trouble}");
            self.told_of_trouble = true;
        }
        if self.live {
            // The end of the line is cleared, and nothing wraps: what wraps is not
            // rewritten. The last column stays free for terminals that wrap there.
            let width = usize::from(Term::stderr().size().1).saturating_sub(1);
            eprint!("\r\x1b[2K{}", truncate_str(&line(status), width, "…"));
            let _ = io::stderr().flush();
        } else if status.waiting != self.waited_for {
            match &status.waiting {
                Some(waiting) => eprintln!("{waiting}"),
                None if !self.quiet => eprintln!("playing again"),
                None => {}
            }
            self.waited_for.clone_from(&status.waiting);
        }
    }

    pub(super) fn clear(&self) {
        if self.live {
            eprint!("\r\x1b[2K");
        }
    }
}

fn line(status: &PlayStatus) -> String {
    let name: String = plain(&status.name).chars().take(32).collect();
    let what = match &status.waiting {
        _ if status.paused => "paused".to_owned(),
        Some(waiting) => waiting.clone(),
        None => sources(status),
    };
    format!(
        "{name}  {} / {}  +{} s  {} kbit/s  {what}",
        clock(status.position),
        clock(status.length),
        status.buffered.as_secs(),
        status.bitrate,
    )
}

/// Where the bytes came from so far, and who sends now.
fn sources(status: &PlayStatus) -> String {
    let total = status.bytes.total().max(1);
    let share = |bytes: u64| bytes * 100 / total;
    let sending =
        status.sources.iter().filter(|source| matches!(source.source, Source::Peer(_))).count();
    let server = status.sources.iter().any(|source| source.source == Source::Server);
    let now = match (server, sending) {
        (false, 0) => String::new(),
        (true, 0) => "  ← server".to_owned(),
        (false, peers) => format!("  ← {peers} of {} peers", status.peers),
        (true, peers) => format!("  ← server, {peers} of {} peers", status.peers),
    };
    format!(
        "cache {}% peers {}% server {}%{now}",
        share(status.bytes.cache),
        share(status.bytes.peers),
        share(status.bytes.server + status.bytes.edge),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::BytesBySource;

    #[test]
    fn the_line_tells_what_plays_and_where_it_comes_from() {
        let status = PlayStatus {
            name: "A\x1b[31m – B".to_owned(),
            position: Duration::from_secs(65),
            length: Duration::from_secs(180),
            buffered: Duration::from_secs(12),
            bytes: BytesBySource { cache: 0, peers: 75, edge: 0, server: 25 },
            ..PlayStatus::default()
        };
        let line = line(&status);
        assert!(line.contains("1:05 / 3:00  +12 s  160 kbit/s"), "{line}");
        assert!(line.contains("cache 0% peers 75% server 25%"), "{line}");
        assert!(!line.contains('\x1b'), "a title must not move the cursor");
    }
}
