//! Behaviour of `antiphon-server ingest`, run as an operator runs it.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test code: a panic is a failed test, numbers are small"
)]

mod children;
mod hostile;
mod made;
mod support;
