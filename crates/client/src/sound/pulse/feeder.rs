//! The thread that feeds the server, and finds it again when it is gone.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Connection, Lost};
use super::stream::Stream;
use crate::sound::Condition;
use crate::sound::queue::DeviceEnd;
use crate::sound::tape::Tape;

/// What passes before a server that is gone is looked for, at first and at most.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// What the thread owns.
pub(super) struct Feeder {
    end: DeviceEnd,
    tape: Tape,
    wake: Arc<OwnedFd>,
    device: Option<String>,
}

impl Feeder {
    pub(super) fn new(end: DeviceEnd, wake: Arc<OwnedFd>, device: Option<String>) -> Self {
        Self { end, tape: Tape::new(), wake, device }
    }

    /// Feeds the server until the player's end is gone.
    pub(super) fn run(mut self, first: Connection) {
        let mut connection = (first, false);
        while let Err(lost) = self.serve(connection) {
            let clock = &self.end.shared.clock;
            let heard = clock.frame(Instant::now()).min(self.tape.next());
            clock.stop(heard);
            let _ = self.end.conditions.send(Condition::Gone { reason: lost.to_string() });
            let Some(found) = self.find() else { return };
            connection = found;
            // What the server held and was not heard is played again.
            self.tape.rewind(heard);
            let _ = self.end.conditions.send(Condition::Back);
        }
    }

    /// Feeds a server until the player's end is gone, or the server is.
    fn serve(&mut self, (connection, corked): (Connection, bool)) -> Result<(), Lost> {
        let mut stream = Stream::new(connection, corked, &mut self.end, &mut self.tape);
        loop {
            stream.work()?;
            let timeout = stream.wake_at();
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, stream.connection().is_full());
            let mut ready = [
                PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(stream.connection().socket(), flags),
            ];
            wait(&mut ready, timeout);
            if ready[0].revents().contains(PollFlags::IN) {
                clear(&self.wake);
            }
            if stream.is_closed() {
                return Ok(());
            }
        }
    }

    /// Looks for a server until there is one; `None` once the player's end is
    /// gone. Says of the connection whether its stream is corked.
    fn find(&mut self) -> Option<(Connection, bool)> {
        let mut pause = FIRST_RETRY;
        loop {
            let until = Instant::now() + pause;
            while Instant::now() < until {
                wait(
                    &mut [PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)],
                    Some(until),
                );
                clear(&self.wake);
                if self.end.shared.closed.load(Ordering::Acquire) {
                    return None;
                }
            }
            let corked = self.end.shared.paused.load(Ordering::Acquire);
            match Connection::open(self.device.as_deref(), corked) {
                Ok(connection) => return Some((connection, corked)),
                Err(error) => tracing::debug!("still no sound: {error}"),
            }
            pause = (pause * 2).min(LAST_RETRY);
        }
    }
}

/// Waits for something to be ready, or until then.
fn wait(ready: &mut [PollFd<'_>], until: Option<Instant>) {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left =
        left.map(|left| Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 }));
    // An interrupted wait is a short one.
    let _ = poll(ready, left.as_ref());
}

/// Forgets that it was woken.
fn clear(wake: &OwnedFd) {
    let _ = rustix::io::read(wake, &mut [0_u8; 8]);
}
