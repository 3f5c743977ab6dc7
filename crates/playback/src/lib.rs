//! The play-out buffer of one play, as a state machine.
//!
//! A [`Playout`] knows which blocks of a rendition are there and how far the
//! sink has come, and from these two says when each missing block is due, how
//! much is buffered and whether that is an emergency. The numbers it judges by
//! are a [`Policy`]. Read these two first.
//!
//! Left to others: where blocks come from (`listener`), how they are decoded
//! (`media`), what the time is (the caller). There is no output to drain: all
//! answers are queries, and the owner asks them when it plans.
//!
//! ```
//! use std::time::Duration;
//! use antiphon_playback::{Playout, Policy, State};
//! use antiphon_types::{
//!     Bitrate, BlobId, BlobSize, BlockSet, Rendition, Segment, Timestamp, SAMPLE_RATE,
//! };
//!
//! // 20 s at 160 kbit/s.
//! let size = BlobSize::new(400_000)?;
//! let audio = Segment { offset: 4_000, sample: 0 };
//! let samples = 20 * u64::from(SAMPLE_RATE);
//! let rendition =
//!     Rendition::new(Bitrate::Kbps160, BlobId::new([7; 32]), size, 4_000, samples, vec![audio])?;
//!
//! let start = Timestamp::ZERO;
//! let mut playout =
//!     Playout::new(&rendition, BlockSet::empty(size), 1.0, Policy::default(), start);
//! assert!(playout.is_emergency(start), "nothing is there");
//! assert!(playout.due(0) <= start, "and the first block is wanted now");
//!
//! for block in 0..8 {
//!     playout.handle_block(start, block);
//! }
//! assert!(playout.ready_to_start());
//! playout.handle_position(start, 0, true);
//! assert_eq!(playout.state(), State::Playing);
//!
//! // Between reports the position runs on, and the buffer shrinks with it.
//! let later = start + Duration::from_secs(4);
//! assert!(playout.buffered(start).media > Duration::from_secs(6));
//! assert!(playout.is_emergency(later), "less than 3 s are left");
//! assert_eq!(playout.next_missing(0), Some(8));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Speed
//!
//! A silent sink may consume several times as fast as music plays. Thresholds
//! are counted in **media time**, deadlines are instants of **wall time**: at
//! speed 8 the emergency reserve of 3 s lasts 375 ms.

mod bitrate;
mod plan;
mod playout;
mod policy;
mod random;
mod simulate;
mod start;
mod throughput;
mod urgency;

pub use bitrate::{
    BitrateDecision, BitratePolicy, BitrateReason, Candidate, Chooser, Situation, UserPolicy,
};
pub use playout::{Buffered, Playout, State};
pub use policy::Policy;
pub use simulate::Outlook;
pub use start::{StartDecision, StartPolicy, StartReason, count_stalled};
pub use throughput::{BIN, Learned, ParseLearnedError, Throughput};
pub use urgency::Urgency;
