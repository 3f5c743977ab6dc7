//! What travels beside QUIC on the UDP port: where a server sees us.
//!
//! The two highest bits of a packet's first byte tell STUN (00) from QUIC (01 to
//! 11), as RFC 9443 lays down. See `docs/protocol.md`, section 13.

mod aside;
mod proof;
mod socket;
pub mod stun;

use std::net::SocketAddr;

pub(crate) use aside::Aside;
pub use proof::{PROOF_LIFETIME_MS, Proof, ProofError, ProofKey};
pub(crate) use socket::Socket;

/// Where a server sees our UDP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The address from which our packets come to it.
    pub address: SocketAddr,
    /// That it said so, for those who have its key.
    pub proof: Proof,
}
