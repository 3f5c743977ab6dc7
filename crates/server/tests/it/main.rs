//! Behaviour of `antiphon-server`: `ingest` run as an operator runs it, and the
//! sessions of listeners.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code: a panic is a failed test, numbers are small"
)]

mod children;
mod guests;
mod hostile;
mod index;
mod introductions;
mod made;
mod reach;
#[cfg(unix)]
mod redis;
mod support;
mod swarm;
