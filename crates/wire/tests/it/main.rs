//! What the crate promises, through its public interface.

#![allow(clippy::cast_possible_truncation, reason = "numbers in tests are small")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in helpers too")]

mod any_cut;
mod bottleneck;
mod flood;
mod flow;
mod hostile;
mod keep_alive;
mod life;
mod link;
mod memory;
mod message;
mod pair;
mod priority;
mod proto;
mod record;
mod slow;
mod vectors;
