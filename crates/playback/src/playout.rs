use std::time::Duration;

use antiphon_types::{BLOCK_BYTES, BlockSet, Rendition, SAMPLE_RATE, Timestamp, samples_of};

use crate::{Policy, Urgency};

/// Where a play stands.
///
/// ```text
///               handle_position(running)            handle_stalled
///  ┌──────────┐ ───────────────────────▶ ┌─────────┐ ───────────▶ ┌─────────┐
///  │ Starting │                          │ Playing │              │ Stalled │
///  └──────────┘ ◀─────── seek ────────── └─────────┘ ◀─────────── └─────────┘
///       ▲                                     │      handle_resumed,   │
///       │                                     │      position(running) │
///      seek                 position = end    ▼                        │
///       │                                ┌─────────┐                   │
///       └─────────────────────────────── │  Ended  │ ◀─────────────────┘
///                                        └─────────┘
/// ```
///
/// A pause is `Playing` with reports that say it does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The sink has consumed nothing yet since the play or the last seek.
    Starting,
    /// The sink consumes, or is paused by its listener.
    Playing,
    /// The sink has nothing to consume and waits.
    Stalled,
    /// The last sample was consumed.
    Ended,
}

/// What is there without a gap from the position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffered {
    /// Bytes from the place where decoding stands to the first missing block.
    pub bytes: u64,
    /// Media time from the position to the first missing block.
    pub media: Duration,
    /// Nothing is missing up to the end of the track.
    pub to_the_end: bool,
}

/// The play-out buffer of one play. It knows nothing of who sends.
///
/// A play may be a *part* of a track: it may begin amid it
/// ([`seek`](Self::seek)), end before its end where another rendition takes over
/// ([`end_at`](Self::end_at)), and wait for what sounds before it
/// ([`wait_for`](Self::wait_for)).
///
/// Each call costs the same however long the track is, save that a seek looks
/// for the first gap anew (64 blocks at a step).
#[derive(Debug, Clone)]
pub struct Playout {
    rendition: Rendition,
    policy: Policy,
    speed: f64,
    held: BlockSet,
    /// Blocks that hold the stream headers, `0..header_blocks`.
    header_blocks: u32,
    state: State,
    /// The last report: this sample was next at that instant.
    reported: (Timestamp, u64),
    running: bool,
    /// The first missing block at or after the one where decoding stands.
    frontier: u32,
    /// The sample at which this play ends.
    until: u64,
    /// Blocks from here on are not needed to get there.
    end_block: u32,
    /// The decoder asked for blocks from here on, before those of the position.
    asked_from: Option<u32>,
    /// Media time that sounds before this play does.
    lead: Duration,
    stalls: u32,
    /// The latest time seen.
    now: Timestamp,
}

impl Playout {
    /// A play from the first sample on, of which the blocks `held` are there.
    ///
    /// `speed` is how many times faster than music the sink consumes; it is
    /// brought into 1 to 1000. `held` must be a set of this rendition's blob;
    /// one of another size counts as empty.
    pub fn new(
        rendition: &Rendition,
        held: BlockSet,
        speed: f64,
        policy: Policy,
        now: Timestamp,
    ) -> Self {
        let size = rendition.size();
        let fits = held.block_count() == size.block_count();
        let mut playout = Self {
            rendition: rendition.clone(),
            policy,
            speed: if speed.is_finite() { speed.clamp(1.0, 1_000.0) } else { 1.0 },
            held: if fits { held } else { BlockSet::empty(size) },
            header_blocks: rendition.header_bytes().div_ceil(BLOCK_BYTES),
            state: State::Starting,
            reported: (now, 0),
            running: false,
            frontier: 0,
            until: rendition.samples(),
            end_block: size.block_count(),
            asked_from: None,
            lead: Duration::ZERO,
            stalls: 0,
            now,
        };
        playout.find_frontier();
        playout
    }

    /// A block is there, verified. False if it was there before, or is no
    /// block of this rendition: nothing changes then.
    pub fn handle_block(&mut self, now: Timestamp, block: u32) -> bool {
        self.advance(now);
        let new = self.held.insert(block);
        if new && block == self.frontier {
            self.frontier = self.first_missing_from(block);
        }
        new
    }

    /// A block that was there has gone: damaged on the disk, or deleted. False
    /// if it was not there.
    pub fn handle_lost(&mut self, now: Timestamp, block: u32) -> bool {
        self.advance(now);
        let was_there = self.held.remove(block);
        if was_there {
            self.frontier = self.frontier.min(block.max(self.first_needed()));
            if self.held.contains(self.frontier) {
                self.frontier = self.first_missing_from(self.frontier);
            }
        }
        was_there
    }

    /// The sink reports that `sample` is the next it will consume, and whether
    /// it is consuming. Until the next report the position is extrapolated.
    pub fn handle_position(&mut self, now: Timestamp, sample: u64, running: bool) {
        self.advance(now);
        let sample = sample.min(self.until);
        let back = sample < self.reported.1;
        self.reported = (self.now, sample);
        self.running = running;
        self.lead = Duration::ZERO;
        if sample == self.until {
            self.state = State::Ended;
            self.running = false;
        } else if running || self.state == State::Ended {
            self.state = State::Playing;
            self.asked_from = None;
        }
        if back || self.frontier < self.first_needed() {
            self.find_frontier();
        }
    }

    /// The sink ran dry. Deadlines are from now on those of a play that would
    /// resume this instant.
    pub fn handle_stalled(&mut self, now: Timestamp) {
        self.reported.1 = self.position(now);
        self.advance(now);
        self.reported.0 = self.now;
        self.running = false;
        if self.state == State::Playing {
            self.state = State::Stalled;
            self.stalls = self.stalls.saturating_add(1);
        }
    }

    /// The sink consumes again after a stall.
    pub fn handle_resumed(&mut self, now: Timestamp) {
        self.advance(now);
        if self.state == State::Stalled {
            self.state = State::Playing;
            self.running = true;
            self.reported.0 = self.now;
        }
    }

    /// Goes on at `sample`: the play starts anew from there.
    pub fn seek(&mut self, now: Timestamp, sample: u64) {
        self.advance(now);
        self.reported = (self.now, sample.min(self.until.saturating_sub(1)));
        self.running = false;
        self.asked_from = None;
        self.state = State::Starting;
        self.find_frontier();
    }

    /// This play ends before `sample`, a segment's boundary, where another
    /// rendition takes over. What is needed only after it is not wanted any more.
    pub fn end_at(&mut self, now: Timestamp, sample: u64) {
        self.advance(now);
        self.until = sample.clamp(1, self.rendition.samples());
        let bytes = self.rendition.splice_end(self.until);
        let blocks = bytes.div_ceil(u64::from(BLOCK_BYTES));
        self.end_block = u32::try_from(blocks).unwrap_or(u32::MAX).min(self.held.block_count());
        self.find_frontier();
    }

    /// The decoder cannot do without this block, wherever the tables say that it
    /// belongs: maps from time to bytes are estimates within a segment.
    pub fn handle_asked(&mut self, now: Timestamp, block: u32) {
        self.advance(now);
        if block >= self.held.block_count() {
            return;
        }
        if block < self.first_needed() {
            self.asked_from = Some(block);
        }
        self.end_block = self.end_block.max(block + 1);
        self.find_frontier();
    }

    /// So much media time sounds before this play does, reckoned from `now`.
    /// The first report of a position ends the waiting.
    pub fn wait_for(&mut self, now: Timestamp, lead: Duration) {
        self.advance(now);
        self.lead = lead;
    }

    /// Where the play stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the sink was consuming at its last report.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The sample at which this play ends.
    pub fn until(&self) -> u64 {
        self.until
    }

    /// Media time that sounds before this play does, as it was last said.
    pub fn lead(&self) -> Duration {
        self.lead
    }

    /// Media time from the position to the end of this play.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        media_of(self.until.saturating_sub(self.position(now)))
    }

    /// How many blocks are still missing that this play will need.
    pub fn missing(&self) -> u32 {
        let from = self.first_needed().max(self.header_blocks);
        let needed = (0..self.header_blocks).chain(from..self.end_block);
        let missing = needed.filter(|block| !self.held.contains(*block)).count();
        u32::try_from(missing).unwrap_or(u32::MAX)
    }

    /// How many times the sink ran dry.
    pub fn stalls(&self) -> u32 {
        self.stalls
    }

    /// The blocks that are there.
    pub fn held(&self) -> &BlockSet {
        &self.held
    }

    /// What is being played.
    pub fn rendition(&self) -> &Rendition {
        &self.rendition
    }

    /// The numbers it judges by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many times faster than music the sink consumes.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Bytes that the sink consumes in a second of wall time, on average.
    pub fn consumption(&self) -> u64 {
        let bytes = u128::from(self.rendition.size().bytes()) * u128::from(SAMPLE_RATE);
        let per_media_second = bytes / u128::from(self.rendition.samples());
        let micros_wall = micros(self.wall(Duration::from_secs(1))).max(1);
        let per_second = per_media_second * 1_000_000 / u128::from(micros_wall);
        u64::try_from(per_second).unwrap_or(u64::MAX).max(1)
    }

    /// The next sample to be heard: the last report, run on while the sink
    /// consumes, but never beyond what is there.
    pub fn position(&self, now: Timestamp) -> u64 {
        let (at, sample) = self.reported;
        if !self.running {
            return sample;
        }
        let consumed = samples_of(now.max(self.now).saturating_since(at).mul_f64(self.speed));
        sample.saturating_add(consumed).min(self.frontier_sample().max(sample))
    }

    /// Whether decoding can begin: the headers and the first audio are there.
    pub fn ready_to_start(&self) -> bool {
        let buffered = self.buffered(self.now);
        buffered.to_the_end || buffered.bytes >= self.policy.start_bytes.max(1)
    }

    /// What is there without a gap from the position on.
    pub fn buffered(&self, now: Timestamp) -> Buffered {
        if !self.headers_held() {
            return Buffered { bytes: 0, media: Duration::ZERO, to_the_end: false };
        }
        let ahead = self.frontier_sample().saturating_sub(self.position(now));
        Buffered {
            bytes: self.frontier_offset().saturating_sub(self.decoding_offset()),
            media: media_of(ahead),
            to_the_end: self.frontier >= self.end_block,
        }
    }

    /// Whether the buffer is below the emergency reserve with audio still
    /// missing (B07). The reserve is media time, so at speed *X* it lasts one
    /// *X*-th of it on the clock.
    pub fn is_emergency(&self, now: Timestamp) -> bool {
        let buffered = self.buffered(now);
        self.state != State::Ended
            && !buffered.to_the_end
            && buffered.media < self.policy.emergency_media
    }

    /// The instant (wall time) at which the decoder needs a block.
    ///
    /// While the sink does not consume, it is reckoned as if it began at the
    /// latest time seen. Blocks behind the position are due never
    /// ([`Timestamp::MAX`]), except missing headers, without which nothing can
    /// be decoded: these are due at once.
    pub fn due(&self, block: u32) -> Timestamp {
        let (at, from) = match self.running {
            true => self.reported,
            false => (self.now + self.wall(self.lead), self.reported.1),
        };
        if self.state == State::Ended || block >= self.end_block {
            return Timestamp::MAX;
        }
        if block < self.header_blocks && !self.held.contains(block) {
            return at;
        }
        if block < self.first_needed() {
            return Timestamp::MAX;
        }
        let heard = media_of(self.sample_of(block).saturating_sub(from));
        let ahead = self.wall(heard.saturating_sub(self.policy.decode_ahead_media));
        (at + ahead).saturating_sub(self.policy.decode_ahead_wall.min(ahead))
    }

    /// Media time from what sounds to the first sample that a block serves; zero
    /// for what is behind it.
    pub fn media_ahead(&self, now: Timestamp, block: u32) -> Duration {
        self.lead + media_of(self.sample_of(block).saturating_sub(self.position(now)))
    }

    /// How soon a block is needed.
    pub fn urgency(&self, block: u32, now: Timestamp) -> Urgency {
        let due = self.due(block);
        if due == Timestamp::MAX {
            return Urgency::Hole;
        }
        if due <= now.max(self.now) {
            return Urgency::Overdue;
        }
        match self.media_ahead(now, block) {
            ahead if ahead < self.policy.emergency_media => Urgency::Emergency,
            ahead if ahead < self.policy.soon_media => Urgency::Soon,
            _ => Urgency::Later,
        }
    }

    /// The first block at or after `from` that is not there.
    pub fn next_missing(&self, from: u32) -> Option<u32> {
        self.held.first_missing(from)
    }

    /// Of the blocks that are not there, the one that the decoder needs first.
    pub fn needed_next(&self) -> Option<u32> {
        if self.headers_held() {
            Some(self.frontier).filter(|block| *block < self.end_block)
        } else {
            self.held.first_missing(0)
        }
    }

    /// How many blocks the stream headers reach into, from the first on.
    pub fn header_blocks(&self) -> u32 {
        self.header_blocks
    }

    /// The block where decoding stands: that of the position or, before sound
    /// has begun, that where decoding for it must begin.
    pub fn first_needed(&self) -> u32 {
        let block = self.decoding_offset() / u64::from(BLOCK_BYTES);
        let block = u32::try_from(block).unwrap_or(u32::MAX).min(self.held.block_count());
        self.asked_from.map_or(block, |asked| asked.min(block))
    }

    /// Blocks from here on are not needed by this play.
    pub fn end_block(&self) -> u32 {
        self.end_block
    }

    /// How long `media` lasts on the clock at this speed.
    pub fn wall(&self, media: Duration) -> Duration {
        media.div_f64(self.speed)
    }

    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    fn headers_held(&self) -> bool {
        self.held.first_missing(0).is_none_or(|missing| missing >= self.header_blocks)
    }

    fn decoding_offset(&self) -> u64 {
        match self.state {
            State::Starting => self.rendition.seek_offset(self.reported.1),
            State::Ended => self.rendition.size().bytes(),
            State::Playing | State::Stalled => self.rendition.offset_at(self.reported.1),
        }
    }

    fn find_frontier(&mut self) {
        self.frontier = self.first_missing_from(self.first_needed());
    }

    fn first_missing_from(&self, block: u32) -> u32 {
        let missing = self.held.first_missing(block).unwrap_or(self.held.block_count());
        missing.min(self.end_block.max(block))
    }

    fn frontier_offset(&self) -> u64 {
        self.rendition.size().bytes().min(u64::from(self.frontier) * u64::from(BLOCK_BYTES))
    }

    fn frontier_sample(&self) -> u64 {
        match self.frontier >= self.end_block {
            true => self.until,
            false => self.rendition.sample_at(self.frontier_offset()).min(self.until),
        }
    }

    fn sample_of(&self, block: u32) -> u64 {
        self.rendition.sample_at(u64::from(block) * u64::from(BLOCK_BYTES))
    }
}

fn media_of(samples: u64) -> Duration {
    let micros = u128::from(samples) * 1_000_000 / u128::from(SAMPLE_RATE);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
