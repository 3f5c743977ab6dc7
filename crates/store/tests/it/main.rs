//! The store, the origin and the tree through their public interfaces.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::cast_possible_truncation, reason = "the blobs of tests are small")]

mod bao;
mod concurrency;
mod damage;
mod eviction;
mod folder;
mod model;
mod origin;
mod policy;
mod proofs;
mod torture;
mod vectors;
