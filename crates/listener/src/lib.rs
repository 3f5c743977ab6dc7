//! What one listener's node decides: which source gives which block.
//!
//! [`Listener`] joins the play-out buffer (`antiphon_playback`: when is each
//! block due) with the mesh (`antiphon_mesh`: who is there, how fast) and picks
//! for every block of the current play the source to ask, so that no block is
//! late and the server gives as little as possible. The driver turns each
//! [`Output`] into a request and reports what became of it. Read these two
//! first; the numbers are in [`Config`].
//!
//! Left to others: sockets and messages, hashes (a block is reported once it
//! is verified and stored), decoding, the cache.
//!
//! ```
//! use std::time::Duration;
//! use antiphon_listener::{Config, Listener, Output, Play, PlayId, Source, UserPolicy};
//! use antiphon_types::{
//!     Bitrate, BlobId, BlobSize, BlockSet, Rendition, SAMPLE_RATE, Segment, Timestamp,
//! };
//!
//! // A track of 20 s at 160 kbit/s, of which nothing is cached.
//! let size = BlobSize::new(400_000)?;
//! let audio = Segment { offset: 4_000, sample: 0 };
//! let samples = 20 * u64::from(SAMPLE_RATE);
//! let rendition =
//!     Rendition::new(Bitrate::Kbps160, BlobId::new([7; 32]), size, 4_000, samples, vec![audio])?;
//!
//! let mut now = Timestamp::ZERO;
//! let mut listener = Listener::new(Config::default(), 1, now);
//! listener.handle_server_up(now, Duration::from_millis(20));
//! let id = PlayId(1);
//! let held = BlockSet::empty(size);
//! listener.play(now, Play { id, rendition, held, from: 0, speed: 1.0, pushed: None, ladder: [].into(),
//!     user: UserPolicy::Auto });
//!
//! // The loop of every driver: drain, then sleep until something happens.
//! while listener.missing_blocks() > 0 {
//!     let mut asked = Vec::new();
//!     while let Some(output) = listener.poll_output(now) {
//!         if let Output::Fetch { transfer, source, blocks, .. } = output {
//!             assert_eq!(source, Source::Server, "there is nobody else");
//!             asked.push((transfer, source, blocks));
//!         }
//!     }
//!     for (transfer, source, blocks) in asked {
//!         for block in blocks.iter() {
//!             now = now + Duration::from_millis(10);
//!             listener.handle_block(now, id, source, transfer, block, 16_384);
//!         }
//!     }
//!     if let Some(at) = listener.poll_timeout() {
//!         now = now.max(at);
//!         listener.handle_timeout(now);
//!     }
//! }
//! assert!(listener.buffered(now).is_some_and(|buffered| buffered.to_the_end));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The rules
//!
//! 1. What is held is never asked (B01).
//! 2. Blocks are asked in the order in which they will be heard, holes last.
//! 3. A peer is asked if it is expected so early that the server could still
//!    be asked should it fail; of several the one expected soonest (B03).
//! 4. The server is asked for what no peer can bring in time, at most 15 s
//!    ahead of the position, or 30 s when no peer is usable (B06, B11).
//! 5. Once peers have delivered and outrun the sink, the server's push of the
//!    first seconds is stopped (B02).
//! 6. A block that is late and near is asked a second time, of the server if
//!    it is there; a source silent for 2 s loses what it owes (B07, B36).
//! 7. A peer that sends a bad block is banned and dropped (B37).
//! 8. Sound begins when a simulation of what may come lets it (B08), and the
//!    next rendition is decided about once a second, for the first segment that
//!    nobody was asked for (B09).
//! 9. The next track is fetched ahead when the current one is all under way:
//!    from peers 30 s before its end, from the server 10 s before (B05).
//! 10. After the end the rest of the track is completed from peers or, without
//!     them, from the server at leisure.

mod config;
mod decide;
mod event;
mod ledger;
mod listener;
mod mix;
mod neighbours;
mod pipe;
mod plan;
mod play;
mod rescue;
mod status;
mod timers;

pub use antiphon_mesh::{DropReason, Grant, Met, Notice, QueryId};
pub use antiphon_playback::{
    BitrateDecision, BitratePolicy, BitrateReason, Buffered, Learned, Playout, StartPolicy,
    StartReason, State, Urgency, UserPolicy,
};
pub use config::Config;
pub use event::{
    Counts, Decision, Join, Output, Play, PlayId, Reason, Refused, Rung, Source, SourceStatus,
    TransferId, TransferStatus, WaitingFor,
};
pub use listener::Listener;
