//! Behaviour of the listener through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a small simulated world"
)]

mod chain;
mod churn;
mod faults;
mod hostile;
mod properties;
mod rules;
mod sharing;
mod swarm;
mod world;
