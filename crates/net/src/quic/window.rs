//! How much may be written and not acknowledged, by class.
//!
//! quinn has one send window for all streams of a connection. Were it full of a
//! copy for later, what plays now would wait for its acknowledgements, and race
//! the writers of the copy for each byte of room. So those may fill the half of
//! it: each write sets the window to what its class may have, and no other gets
//! in between.

use std::sync::{Arc, Mutex, PoisonError};

use antiphon_types::Class;

/// Written and not acknowledged. With twice the receive window, what one peer
/// can hold stays below 4 MiB.
pub(super) const SEND_WINDOW_BYTES: u64 = 1024 * 1024;

/// At most so much of it is there when prefetch or an offline copy is written.
const BACKGROUND_WINDOW_BYTES: u64 = SEND_WINDOW_BYTES / 2;

/// The send window of one connection; clones share it.
#[derive(Debug, Clone)]
pub(super) struct SendWindow {
    connection: quinn::Connection,
    /// What quinn was told last.
    told: Arc<Mutex<u64>>,
}

impl SendWindow {
    pub(super) fn new(connection: quinn::Connection) -> Self {
        Self { connection, told: Arc::new(Mutex::new(SEND_WINDOW_BYTES)) }
    }

    /// Writes with the window that `class` may fill.
    ///
    /// It stays as it was set: a writer that found no room is woken as soon as
    /// there is some, in the smaller window later than need be, and writers of
    /// two classes never wake each other in turn.
    pub(super) fn write<T>(&self, class: Class, write: impl FnOnce() -> T) -> T {
        let window = if class <= Class::Now { SEND_WINDOW_BYTES } else { BACKGROUND_WINDOW_BYTES };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != window {
            self.connection.set_send_window(window);
            *told = window;
        }
        write()
    }
}
