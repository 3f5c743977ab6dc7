//! Sharing is asked for, once.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::settings::{DataDir, Peers, Settings};

use super::Failure;

const QUESTION: &str = "\
Antiphon can fetch music from other listeners and pass on to them what you have
heard. It starts sooner, and costs the server less. Other listeners of the same
server then see this computer's address, never your name, and part of your
upload goes to them. You can change it at any time with --peers on or off.
";

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
        (None, None) => ask()?,
    };
    if settings.peers != Some(peers) {
        settings.peers = Some(peers);
        data.save_settings(settings)?;
    }
    Ok(())
}

fn ask() -> Result<Peers, Failure> {
    if !io::stdin().is_terminal() {
        return Err("say whether to share with other listeners: --peers on (music comes from and \
                    goes to them too) or --peers off (everything comes from the server)"
            .into());
    }
    let mut err = io::stderr();
    err.write_all(QUESTION.as_bytes())?;
    loop {
        err.write_all(b"Share with other listeners? [y/n] ")?;
        err.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            return Err("no answer; say --peers on or --peers off".into());
        }
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(Peers::On),
            "n" | "no" => return Ok(Peers::Off),
            _ => {}
        }
    }
}
