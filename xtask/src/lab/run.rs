//! `cargo xtask lab link`: runs a command on each side of a link.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use super::args::LinkArgs;
use super::link::{Link, Side};
use crate::failure::{Context as _, Result};

/// What ends the two commands before their time.
const INTERRUPTS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Runs both commands until B's has ended, and gives its exit status.
///
/// # Errors
///
/// The link cannot be made or fails, or a command does not start.
pub(super) fn run(args: &LinkArgs) -> Result<ExitCode> {
    // Signals are taken from a file, by this thread alone: that is why they
    // are blocked before any other thread starts. Commands start unblocked:
    // `Link::spawn` sees to that.
    let mut watched = SigSet::from_iter(INTERRUPTS);
    watched.add(Signal::SIGCHLD);
    watched.thread_block().context(|| "block signals".to_owned())?;
    let signals = SignalFd::new(&watched).context(|| "watch signals".to_owned())?;

    let link = Link::new(&args.link.options())?;
    let mut a = link.spawn(Side::A, shell(&args.a).stdin(Stdio::null()))?;
    let mut b = link.spawn(Side::B, &mut shell(&args.b))?;
    let code = wait(&signals, &mut a, &mut b)?;

    link.end_processes(Side::B);
    link.end_processes(Side::A);
    // Both have ended by now; this only lets the kernel forget them.
    a.wait().context(|| "wait for side A".to_owned())?;
    b.wait().context(|| "wait for side B".to_owned())?;
    report(&link, args.quiet);
    link.close()?;
    Ok(ExitCode::from(code))
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

/// Waits until B has ended or a signal says to stop; the exit code that tells.
fn wait(signals: &SignalFd, a: &mut Child, b: &mut Child) -> Result<u8> {
    let mut a_runs = true;
    loop {
        if let Some(status) = b.try_wait().context(|| "wait for side B".to_owned())? {
            return Ok(exit_code(status));
        }
        if a_runs && let Some(status) = a.try_wait().context(|| "wait for side A".to_owned())? {
            eprintln!("lab: side A ended before side B: {status}");
            a_runs = false;
        }
        let signal = signals.read_signal().context(|| "watch signals".to_owned())?;
        let number = signal.map_or(0, |signal| signal.ssi_signo);
        let interrupt =
            INTERRUPTS.into_iter().find(|known| u32::try_from(*known as i32) == Ok(number));
        if let Some(interrupt) = interrupt {
            eprintln!("lab: {interrupt}");
            return Ok(by_signal(interrupt as i32));
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => by_signal(signal),
        (None, None) => u8::MAX,
    }
}

/// What a shell reports for a command that a signal ended.
fn by_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

fn report(link: &Link, quiet: bool) {
    if quiet {
        return;
    }
    for (name, side) in [("A to B", Side::A), ("B to A", Side::B)] {
        let counted = link.counters(side);
        eprintln!(
            "lab: {name}: {} packets, {} bytes, {} lost, {} dropped by the queue",
            counted.packets, counted.bytes, counted.lost, counted.dropped
        );
    }
}
