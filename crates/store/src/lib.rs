//! A verified, crash-safe cache of content-addressed blobs on disk.
//!
//! For media that comes block by block, in any order, from many who are not
//! trusted, and is given on to others in the same way. A blob is named by the
//! BLAKE3 hash of its bytes; every 16 KiB block of it can be checked against
//! that name alone, by a short proof. So a block is believed when it verifies,
//! whoever sent it, and whatever happened to the disk since.
//!
//! Read [`Store`] and [`BlobTree`] first: the store keeps blobs, whole or in
//! part, within a budget; the tree is what checks and proves their blocks.
//! [`Origin`] is the simpler folder of those who have all blobs whole. The files
//! and the proof are described in [`mod@format`].
//!
//! All that is asked of a disk is the trait [`Disk`], and what is believed of it
//! stands in [`mod@disk`]. A [`Policy`] says which blobs go when room is needed; it
//! can be tried without a disk. With the feature `tokio` there is `AsyncStore`.
//!
//! Left to others: where blocks come from, what to fetch, what the bytes mean.
//!
//! ```
//! use antiphon_store::{Config, Origin, ProofCursor, Put, Store};
//!
//! # let folder = tempfile::tempdir()?;
//! # let (there, here) = (folder.path().join("there"), folder.path().join("here"));
//! // Someone has a blob ...
//! let origin = Origin::open(&there)?;
//! let (blob, size) = origin.add(&[42; 100_000])?;
//! let source = origin.get(blob).expect("it was just added");
//!
//! // ... of which we take two blocks.
//! let store = Store::open(&here, Config::default())?;
//! store.begin(blob, size)?;
//! let mut cursor = ProofCursor::new();
//! for block in [3, 4] {
//!     let (data, proof) = (source.read(block)?, source.proof(block, &mut cursor));
//!     assert_eq!(store.put(blob, block, &proof, &data)?, Put::Stored);
//! }
//! store.flush()?;
//!
//! // They can be read, and given on with their proof.
//! assert_eq!(store.read(blob, 4)?.as_deref(), Some(&[42; 16_384][..]));
//! assert!(store.proof(blob, 4, &mut ProofCursor::new())?.is_some());
//! assert_eq!(store.read(blob, 0)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "tokio")]
mod asynchronous;
mod blob;
mod budget;
mod catalog;
mod common;
pub mod disk;
mod error;
mod figures;
mod geometry;
mod hashing;
mod head;
mod health;
mod index;
mod memory;
mod origin;
mod outboard;
mod policy;
mod proof;
mod scan;
mod store;
mod sync;
mod tree;
mod turns;
mod two_files;

#[doc = include_str!("../FORMAT.md")]
pub mod format {}

/// Keeps the example in the README running.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(feature = "tokio")]
pub use asynchronous::AsyncStore;
pub use blob::Put;
pub use disk::{Disk, FileError};
pub use error::{
    AddError, BeginError, OpenError, OriginReadError, PutError, ReadError, RemoveError,
};
pub use figures::{Affected, Cleared, Config, Entry, Status, VerifyReport};
pub use hashing::hash;
pub use origin::{Origin, OriginBlob};
pub use policy::{
    LruPolicy, Policy, PolicyKind, S3FifoPolicy, Segment, Standing, TinyLfuPolicy, UnknownPolicy,
};
pub use proof::ProofCursor;
pub use store::{Hold, Store};
pub use tree::{BlobTree, VerifyError};
