//! The thread that carries packets between two TUN devices, as its owner sees
//! it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::{io, thread};

use super::capture::Capture;
use super::forward::{Command, Counters, Forwarder, SharedCounters};
use super::shape::{Direction, Shape};
use crate::failure::{Context as _, Failure, Result};

/// A link that runs. It stops when it is dropped.
#[derive(Debug)]
pub(super) struct Carrier {
    counters: Arc<[SharedCounters; 2]>,
    /// `None` once it is stopped.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    commands: mpsc::Sender<Command>,
    bell: UnixStream,
    thread: JoinHandle<io::Result<()>>,
}

impl Carrier {
    /// Carries what comes out of each device to the other; `shapes` are those of
    /// the two directions, by the device that packets come out of.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(super) fn start(
        devices: [File; 2],
        shapes: [Shape; 2],
        seed: u64,
        capture: Option<Capture>,
    ) -> Result<Self> {
        let counters = Arc::<[SharedCounters; 2]>::default();
        let [a, b] = shapes;
        let directions = [Direction::new(a, seed, 0), Direction::new(b, seed, 1)];
        let (commands, received) = mpsc::channel();
        let (bell, rung) = UnixStream::pair().context(|| "make a socket pair".to_owned())?;
        let shared = Arc::clone(&counters);
        let forwarder = Forwarder::new(devices, directions, shared, capture, received, rung);
        let thread = thread::Builder::new()
            .name("lab link".to_owned())
            .spawn(move || forwarder.run())
            .context(|| "start the thread of the link".to_owned())?;
        Ok(Self { counters, running: Some(Running { commands, bell, thread }) })
    }

    /// What became so far of the packets out of a device.
    pub(super) fn counters(&self, device: usize) -> Counters {
        self.counters[device].read()
    }

    /// Makes the direction out of a device behave otherwise. What is under way
    /// is not touched.
    ///
    /// # Errors
    ///
    /// The link has failed; [`Carrier::stop`] says why.
    pub(super) fn reshape(&self, device: usize, shape: Shape) -> Result<()> {
        let dead = || Failure::new("the link has failed");
        let running = self.running.as_ref().ok_or_else(dead)?;
        running.commands.send(Command::Reshape(device, shape)).map_err(|_| dead())?;
        (&running.bell).write_all(b"!").map_err(|_| dead())
    }

    /// Stops and completes the capture. A second time it does nothing.
    ///
    /// # Errors
    ///
    /// The link failed while it ran.
    pub(super) fn stop(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        drop(running.bell);
        let ended = running.thread.join().map_err(|_| Failure::new("the link panicked"))?;
        ended.context(|| "the link failed".to_owned())
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Err(failure) = self.stop() {
            eprintln!("lab: {failure}");
        }
    }
}
