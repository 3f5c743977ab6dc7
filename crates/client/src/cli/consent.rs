//! Sharing is asked for, once.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::settings::{DataDir, Peers, Settings};

use super::Failure;

const EXPLANATION: &str = "\
Antiphon can fetch music from other listeners and pass on to them what you have
heard. It starts sooner, and costs the server less.

yes   With all listeners of the same server. They then see this computer's
      address, never your name, and part of your upload goes to them.
lan   Only with listeners on your own network, at home or in the office. What
      they do not have comes from the server, and nobody elsewhere sees your
      address.
no    With nobody: everything comes from the server.

You can change it at any time with --peers on, --peers lan or --peers off.
";

const QUESTION: &str = "Share with other listeners? [yes/lan/no] ";

const UNASKED: &str = "say whether to share with other listeners: --peers on (music comes from \
and goes to them too), --peers lan (the same, with those on your own network alone) or --peers \
off (everything comes from the server)";

/// Makes sure that the listener has said whether to share: with `--peers`,
/// earlier, or now.
pub(super) fn settle(
    said: Option<Peers>,
    settings: &mut Settings,
    data: &DataDir,
) -> Result<(), Failure> {
    let peers = match (said, settings.peers) {
        (Some(said), _) => said,
        (None, Some(_)) => return Ok(()),
        (None, None) if io::stdin().is_terminal() => ask(io::stdin().lock(), io::stderr())?,
        (None, None) => return Err(UNASKED.into()),
    };
    if settings.peers != Some(peers) {
        settings.peers = Some(peers);
        data.save_settings(settings)?;
    }
    Ok(())
}

/// Asks until there is an answer.
fn ask(mut answers: impl BufRead, mut terminal: impl Write) -> Result<Peers, Failure> {
    terminal.write_all(EXPLANATION.as_bytes())?;
    loop {
        terminal.write_all(QUESTION.as_bytes())?;
        terminal.flush()?;
        let mut answer = String::new();
        if answers.read_line(&mut answer)? == 0 {
            return Err("no answer; say --peers on, --peers lan or --peers off".into());
        }
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" => return Ok(Peers::On),
            "l" | "lan" => return Ok(Peers::Lan),
            "n" | "no" | "off" => return Ok(Peers::Off),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these lines, and what was seen meanwhile.
    fn asked(lines: &str) -> (Result<Peers, String>, String) {
        let mut seen = Vec::new();
        let peers = ask(lines.as_bytes(), &mut seen).map_err(|failure| failure.to_string());
        (peers, String::from_utf8(seen).unwrap())
    }

    #[test]
    fn every_answer_is_explained_before_it_is_asked_for_and_understood() {
        for (answers, meant) in [
            (["y", "Yes", "on"], Peers::On),
            (["l", " LAN ", "lan"], Peers::Lan),
            (["n", "no", "off"], Peers::Off),
        ] {
            for answer in answers {
                let (peers, seen) = asked(&format!("{answer}\n"));
                assert_eq!(peers, Ok(meant), "{answer}");
                let (explained, question) = seen.split_once("Share with").unwrap();
                for word in ["yes", "lan", "no"] {
                    let is_explained = explained.lines().any(|line| line.starts_with(word));
                    assert!(is_explained && question.contains(word), "{word}: {seen}");
                }
                for choice in ["--peers on", "--peers lan", "--peers off", "your own network"] {
                    assert!(explained.contains(choice), "{choice}: {explained}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_asked_again_and_silence_is_not_consent() {
        let (peers, seen) = asked("\nmaybe\nnever mind\nlan\n");
        assert_eq!((peers, seen.matches(QUESTION).count()), (Ok(Peers::Lan), 4));
        let (peers, _) = asked("perhaps\n");
        assert!(peers.is_err_and(|said| said.contains("--peers lan")));
    }
}
