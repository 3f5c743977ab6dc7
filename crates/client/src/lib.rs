//! A listener's engine, and the command `antiphon` around it.
//!
//! Read [`Engine`] and [`PlayOptions`] first: an engine keeps the session with
//! the server, the links to other listeners and the cache; asked to play a
//! track, it fetches what is missing from whoever gives it soonest, and hands
//! sound to a sink as soon as the first packet can be decoded.
//!
//! What it decides, it decides in the `listener` core; here are the sockets,
//! the disk, the threads and the clock.

#![allow(clippy::print_stdout, reason = "the binary's commands speak on standard output")]

mod calls;
pub mod cli;
mod deck;
mod duel;
mod engine;
mod faults;
mod giving;
mod gossip;
mod library;
mod meeting;
mod network;
mod node;
mod peers;
mod play;
mod player;
mod program;
mod queue;
mod reach;
mod record;
mod session;
mod settings;
mod sound;
mod standing;
mod transfer;
mod trouble;

pub use antiphon_listener::UserPolicy;
pub use engine::{
    Control, Engine, EngineConfig, PlayError, PlayOptions, PlayStatus, Played, Playing,
    SourceShare, StartError,
};
pub use faults::Faults;
pub use library::{KnownTrack, Library, TrackError};
pub use meeting::MetBy;
pub use queue::Repeat;
pub use record::{BytesBySource, Event, PlayRecord, Records, Reported, Unreported};
pub use session::RequestError;
pub use settings::{DataDir, Peers, Settings, SettingsError, Upload};
pub use sound::SinkKind;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
