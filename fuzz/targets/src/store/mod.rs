//! Blocks from strangers, and a cache's folder after anything.

mod folder;
mod proofs;

pub use folder::folder;
pub use proofs::proofs;
