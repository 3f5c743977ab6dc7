//! Behaviour of antiphon-media through its public interface.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "test code: a panic is a failed test, numbers are small"
)]

mod cipher;
mod decode;
mod gain;
mod gapless;
mod garbage;
mod material;
mod oracle;
mod rendition;
mod seek;
mod sinks;
mod splice;
mod support;
mod tags;
