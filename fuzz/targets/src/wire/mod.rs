//! Records, frames, messages, and the multiplexer.

mod allowance;
mod frames;
mod messages;
mod mux_hostile;
mod mux_pair;
mod protobuf;
mod records;

pub use frames::frames;
pub use messages::messages;
pub use mux_hostile::mux_hostile;
pub use mux_pair::mux_pair;
pub use protobuf::protobuf;
pub use records::records;
