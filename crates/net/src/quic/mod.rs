//! Links over QUIC (RFC 9000): quinn's streams behind our interface.
//!
//! What differs from TCP is said in `docs/protocol.md`, section 11: the
//! handshake is TLS 1.3 with the node ids as raw public keys (RFC 7250), every
//! stream is a bidirectional QUIC stream that begins with its class as one
//! byte, and a go-away is a unidirectional stream. What follows on a stream are
//! the same messages.

pub(crate) mod config;
mod courtesy;
mod dialling;
pub(crate) mod driver;
mod identity;
mod link;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use link::{QuicLink, connect};
pub(crate) use stream::{Delivery, QuicReceiver, QuicSender};
