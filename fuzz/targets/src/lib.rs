//! What is fuzzed: every parser of what strangers send, and the state machines
//! behind them.
//!
//! A target is a function that takes any bytes and panics if a promise does
//! not hold. Parsers get the bytes as they are. State machines read them as a
//! script of operations (`script`) and are compared with a simple model, so
//! that more is found than panics.
//!
//! Nothing here knows libFuzzer. `cargo xtask fuzz` runs these functions under
//! it by way of the programs in `fuzz/`, and the tests of this crate replay
//! the inputs in `fuzz/corpus`, on any toolchain:
//!
//! ```
//! let (_, frames) = antiphon_fuzz_targets::TARGETS
//!     .iter()
//!     .find(|(name, _)| *name == "frames")
//!     .expect("there is such a target");
//! frames(b"any bytes at all");
//! ```

mod handshake;
mod music;
mod names;
mod script;
mod store;
mod tracker;
mod udp;
mod wire;

pub use handshake::{handshake, identity, transport};
pub use music::music;
pub use names::names;
pub use store::{folder, proofs};
pub use tracker::tracker;
pub use udp::{presence, stun};
pub use wire::{frames, messages, mux_hostile, mux_pair, protobuf, records};

/// A target: panics if a promise does not hold for these bytes.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus, those that are read first at the
/// front of a connection.
pub const TARGETS: &[(&str, Target)] = &[
    ("records", records),
    ("frames", frames),
    ("messages", messages),
    ("protobuf", protobuf),
    ("mux_hostile", mux_hostile),
    ("mux_pair", mux_pair),
    ("handshake", handshake),
    ("transport", transport),
    ("identity", identity),
    ("names", names),
    ("proofs", proofs),
    ("folder", folder),
    ("tracker", tracker),
    ("music", music),
    ("stun", stun),
    ("presence", presence),
];
