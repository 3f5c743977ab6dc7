//! Ctrl-C, for commands that have much to clean up: they look now and then, and
//! end by an error, so that everything they made is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use crate::failure::{Context as _, Failure, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// How long a wait goes on before it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Takes the signals that would end this process from now on; a second one ends
/// it at once. To be called before any other thread starts. Processes started
/// later get their signals as ever.
///
/// # Errors
///
/// The system does not let signals be watched.
pub(super) fn watch() -> Result<()> {
    let watched = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    watched.thread_block().context(|| "block signals".to_owned())?;
    let signals = SignalFd::new(&watched).context(|| "watch signals".to_owned())?;
    thread::spawn(move || {
        while let Ok(Some(_)) = signals.read_signal() {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}

/// An error once a signal has come.
pub(super) fn check() -> Result<()> {
    match INTERRUPTED.load(Ordering::Relaxed) {
        true => Err(Failure::new("interrupted")),
        false => Ok(()),
    }
}

/// Waits until `found` gives something, at most for `patience`.
///
/// # Errors
///
/// It fails, or a signal has come.
pub(super) fn wait_for<T>(
    patience: Duration,
    mut found: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let begun = Instant::now();
    loop {
        check()?;
        if let Some(found) = found()? {
            return Ok(Some(found));
        }
        if begun.elapsed() >= patience {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Waits for so long.
///
/// # Errors
///
/// A signal has come.
pub(super) fn wait(time: Duration) -> Result<()> {
    wait_for(time, || Ok(None::<()>)).map(drop)
}
