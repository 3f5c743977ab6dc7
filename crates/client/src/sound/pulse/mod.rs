//! Sound by PulseAudio's native protocol, which PipeWire serves too.
//!
//! The protocol's messages are those of the `pulseaudio` crate. Its client is
//! not used: it hides from its caller when a stream ran dry, was moved or
//! killed, and it allocates and locks on the way of the samples. Here a thread
//! waits for the server and for the player in one `poll`, and answers a request
//! for samples from the ring, over a tape of fixed length, into a buffer that
//! was allocated before: none of it allocates, locks, or waits for I/O. (The
//! replies that the crate decodes 10 times a second, of where the server is,
//! do not allocate either; news that a stream was moved does.)
//!
//! The server and its device hold 180 ms. Pauses cork the stream, discards flush it; both
//! take effect in what the server holds, also in most devices' own buffers.

mod connection;
mod feeder;
mod stream;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

use super::queue::queue;
use super::{Output, SoundError};
use connection::Connection;
use feeder::Feeder;

/// Connects to the server and opens a stream at it.
pub(super) fn open(device: Option<&str>) -> Result<Box<dyn Output>, SoundError> {
    let unavailable = |reason: String| SoundError::Unavailable { reason };
    let connection =
        Connection::open(device, false).map_err(|error| unavailable(error.to_string()))?;
    let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    let wake: OwnedFd = eventfd(0, flags).map_err(|error| unavailable(error.to_string()))?;
    let wake = Arc::new(wake);
    let woken = Arc::clone(&wake);
    let (player, end) = queue(move || {
        // Full means that it is about to wake already.
        let _ = rustix::io::write(&wake, &1_u64.to_ne_bytes());
    });
    let feeder = Feeder::new(end, woken, device.map(str::to_owned));
    std::thread::Builder::new()
        .name("antiphon-sound".to_owned())
        .spawn(move || feeder.run(connection))
        .map_err(|error| unavailable(error.to_string()))?;
    Ok(Box::new(player))
}
