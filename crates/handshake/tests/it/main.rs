//! The crate through its public interface.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test fails by panicking")]

mod conversation;
mod door;
mod identity;
mod low_order;
mod psk;
mod replay;
mod snow;
mod stateless;
mod support;
mod threats;
mod vectors;
