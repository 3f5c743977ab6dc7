//! The vocabulary of Antiphon: ids, sizes, bitrates and time.
//!
//! No logic and no I/O lives here, so that every crate may depend on it. Read
//! [`BlobId`] and [`BlobSize`] first: a rendition of a track is a blob, and a
//! blob is a row of 16 KiB blocks, each of which can be checked on its own.
//!
//! ```
//! use antiphon_types::{BlobSize, BLOCK_BYTES};
//!
//! let size = BlobSize::new(40_000)?;
//! assert_eq!(size.block_count(), 3);
//! let last = size.block(2).unwrap();
//! assert_eq!(size.block_bytes(last), 40_000 - 2 * BLOCK_BYTES);
//! assert!(size.block(3).is_none(), "an index beyond the blob does not exist as a type");
//! # Ok::<(), antiphon_types::BlobSizeError>(())
//! ```
//!
//! # The contract of every sans-IO core
//!
//! `wire`, `mesh`, `tracker`, `playback` and `listener` hold plain state
//! machines that are driven in one way:
//!
//! * **Queries** take `&self` and change nothing.
//! * **`handle_*`** says what the outside did: bytes came, a peer left, the
//!   time-out that was asked for has passed.
//! * **Commands** (plain verbs) say what the owner wants: open, play, stop.
//! * After any of these the owner **drains `poll_output`** (or the `poll_*`
//!   family where outputs differ in kind) until it yields nothing more; then
//!   `poll_timeout` says when to call `handle_timeout` at the latest.
//!
//! Time is a [`Timestamp`] argument and never runs back: a core treats an
//! earlier time as the latest it has seen. Randomness is an argument too. The
//! order of outputs depends on the order of inputs and on nothing else.

mod blob;
mod id;
mod rendition;
mod time;

pub use blob::{BLOCK_BYTES, BlobSize, BlobSizeError, BlockIndex, BlockRange, BlockSet};
pub use id::{BlobId, NodeId, ParseIdError, TrackId};
pub use rendition::{
    Bitrate, CHANNELS, Class, ParseBitrateError, Rendition, RenditionError, SAMPLE_RATE, Segment,
    samples_of,
};
pub use time::Timestamp;
