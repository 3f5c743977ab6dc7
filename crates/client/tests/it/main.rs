//! A listener's engine among those who mean harm: the server and the other
//! listeners here are tests, and say what a test has them say.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod introductions;
mod links;
mod others;
mod tickets;
