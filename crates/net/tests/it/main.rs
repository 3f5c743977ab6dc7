//! Integration tests: real sockets on loopback, both transports.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

mod both;
mod lan;
mod port;
mod portmap;
mod properties;
mod quic;
mod race;
mod strangers;
mod tcp;
mod udp;
