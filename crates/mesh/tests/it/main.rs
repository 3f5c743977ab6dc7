//! Behaviour of the mesh through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test")]

mod allowance;
mod degree;
mod offers;
mod properties;
mod rate;
mod search;
mod uploads;

use std::time::Duration;

use antiphon_mesh::{Limits, Mesh, Output};
use antiphon_types::{NodeId, Timestamp};

pub(crate) const RTT: Duration = Duration::from_millis(20);
/// In milliseconds.
pub(crate) const HOUR: u64 = 60 * 60 * 1_000;

pub(crate) fn peer(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn outputs(mesh: &mut Mesh) -> Vec<Output> {
    std::iter::from_fn(|| mesh.poll_output()).collect()
}

/// A mesh with neighbours 0 to `peers - 1`, that we dialled.
pub(crate) fn crowd(peers: u8) -> Mesh {
    let mut mesh = Mesh::new(Limits::default());
    for n in 0..peers {
        mesh.handle_peer_up(at(0), peer(n), RTT);
    }
    mesh
}
