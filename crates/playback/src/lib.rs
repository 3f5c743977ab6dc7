//! The play-out buffer of one play, as a state machine.
//!
//! Three questions and their answers: when is a block due ([`Playout`]), may sound
//! begin ([`StartPolicy`]), which rendition comes next ([`Chooser`]). The second and
//! the third are answered by simulating what may come on a Markov chain of the
//! throughput that was seen ([`Throughput`]), and say why they are answered so.
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
//! # When to start, and in which bitrate
//!
//! ```
//! use std::time::Duration;
//! use antiphon_playback::{
//!     Candidate, Chooser, Outlook, Situation, StartPolicy, Throughput,
//! };
//! use antiphon_types::{Bitrate, Timestamp};
//!
//! // For a minute 2 Mbit/s came, whenever something was asked for.
//! let mut link = Throughput::new(1_250_000, None);
//! let mut now = Timestamp::ZERO;
//! link.handle_asked(now, Duration::from_millis(50));
//! for _ in 0..600 {
//!     now = now + Duration::from_millis(100);
//!     link.handle_delivered(now, 25_000);
//! }
//!
//! // Two seconds are buffered of four minutes at 160 kbit/s.
//! let outlook = Outlook {
//!     buffered: Duration::from_secs(2),
//!     remaining: Duration::from_secs(240),
//!     bytes_per_second: 20_000.0,
//!     lowest_bytes_per_second: 12_000.0,
//!     most_buffered: Duration::from_secs(30),
//! };
//! let start = StartPolicy::default().decide(&link, &outlook, 1);
//! assert!(start.start, "{}", start.reason);
//!
//! let candidates = Bitrate::ALL.map(|bitrate| Candidate {
//!     bitrate,
//!     bytes_per_second: f64::from(bitrate.kbps()) * 125.0,
//!     cached: false,
//! });
//! let next = Chooser::default().next(&Situation {
//!     link: &link,
//!     current: Bitrate::Kbps160,
//!     buffered: Duration::from_secs(25),
//!     remaining: Duration::from_secs(200),
//!     most_buffered: Duration::from_secs(30),
//!     candidates: &candidates,
//!     seed: 1,
//! });
//! assert_eq!(next.bitrate, Bitrate::Kbps320, "{}", next.reason);
//! // The next session begins with what this one has learned.
//! let text = link.learned().map(|learned| learned.to_string());
//! assert!(text.is_some_and(|text| !text.is_empty()));
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
