//! The operator's engine: a catalogue, its renditions, and the sessions of
//! those who listen.
//!
//! Read [`Service`] and [`Running`] first. [`ingest`] turns people's files into
//! encrypted renditions; [`Running`] answers listeners; [`export`] gives a
//! rendition back as a plain file. The binary `antiphon-server` parses its
//! arguments and calls these.
//!
//! The server knows listeners by their device keys and hands out three things
//! that nobody else can: signed manifests, keys, and tickets. Blocks it gives
//! too, but so may anyone.

#![allow(clippy::print_stdout, reason = "the binary's commands speak on standard output")]

mod bucket;
pub mod cli;
mod contact;
mod crowds;
mod descriptors;
pub mod export;
pub mod ingest;
mod introductions;
mod keys;
mod online;
mod pace;
mod policy;
mod redis_tracker;
mod relay;
mod requests;
mod run;
mod service;
mod session;
mod standing;
mod swarm;

pub use keys::{Keys, KeysError};
pub use redis_tracker::{OpenRedisError, RedisSettings, RedisTracker};
pub use run::Running;
pub use service::{Join, Service, ServiceError};
