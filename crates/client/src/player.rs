//! The thread that turns blocks into sound.
//!
//! It plays the parts that are on the deck, one after the other and without a
//! gap: takes their blocks in order as they come, decrypts and decodes them, and
//! hands samples to an output at its pace. Sound starts with the first packet
//! that can be decoded, as soon as the node lets it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use antiphon_listener::PlayId;
use antiphon_media::{
    Entry, Join, PartDecoder, PartSpan, PcmHasher, Splicer, apply_keystream, extend_i16,
};
use antiphon_store::Store;
use antiphon_types::{BLOCK_BYTES, CHANNELS, Rendition, samples_of};
use bytes::BytesMut;

use crate::deck::{Deck, Part, Step, Waited};
use crate::engine::PlayOptions;
use crate::sound::{Output, SoundError};

/// How often the position is told.
const REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// What the thread tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlayerEvent {
    /// After a start or a jump, the first samples were handed to the output.
    Sounds { part: PlayId, at: Instant },
    /// This sample is heard now.
    Position { part: PlayId, sample: u64, running: bool },
    /// The output ran dry.
    Stalled { part: PlayId, sample: u64 },
    /// It consumes again.
    Resumed { part: PlayId },
    /// A block that was thought to be in the store is not.
    LostBlock { part: PlayId, block: u32 },
    /// The decoder waits for this block.
    Needs { part: PlayId, block: u32 },
    /// The last sample of the track was heard that this part is of.
    Heard { part: PlayId, outcome: Outcome },
    /// A part cannot be played; without one, nothing can.
    Failed { part: Option<PlayId>, reason: String },
    /// The output tells something of itself.
    Condition(String),
}

/// What came of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) pcm_blake3: [u8; 32],
    pub(crate) stalls: u32,
    pub(crate) stalled: Duration,
}

/// How often a block is read again while the process has no file or no memory to
/// read it with.
const READ_ATTEMPTS: u32 = 50;
/// What passes in between.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Starts the thread. `tell` is called from it.
pub(crate) fn start(
    options: &PlayOptions,
    store: Store,
    deck: Deck,
    tell: impl FnMut(PlayerEvent) + Send + 'static,
) -> std::io::Result<()> {
    let (sink, speed) = (options.sink.clone(), options.speed);
    let crossfade = samples_of(options.crossfade);
    std::thread::Builder::new().name("antiphon-player".to_owned()).spawn(move || {
        let mut tell = tell;
        let output = match crate::sound::open(&sink, speed) {
            Ok(output) => output,
            Err(error) => {
                return tell(PlayerEvent::Failed { part: None, reason: error.to_string() });
            }
        };
        let mut player = Player {
            store,
            epoch: deck.orders().epoch,
            deck,
            tell,
            output,
            crossfade,
            splicer: Splicer::new(),
            float: Vec::new(),
            pcm: Vec::new(),
            hasher: PcmHasher::new(),
            gain: None,
            written: 0,
            marks: VecDeque::new(),
            endings: VecDeque::new(),
            stalls_before: (0, Duration::ZERO),
            last_report: None,
            fresh: true,
            dry_told: false,
            resting: false,
        };
        player.run();
    })?;
    Ok(())
}

struct Player<F> {
    store: Store,
    deck: Deck,
    tell: F,
    output: Box<dyn Output>,
    /// For how long tracks are heard together, in samples.
    crossfade: u64,
    /// The jumps that were followed.
    epoch: u64,
    splicer: Splicer,
    float: Vec<f32>,
    pcm: Vec<i16>,
    hasher: PcmHasher,
    gain: Option<antiphon_media::GainRamp>,
    /// Samples (of each channel) handed to the output since it was opened.
    written: u64,
    /// What stands where in them.
    marks: VecDeque<Mark>,
    /// Tracks that were written to their end and may not have been heard.
    endings: VecDeque<Ending>,
    /// Stalls of the output before the current track.
    stalls_before: (u32, Duration),
    last_report: Option<Instant>,
    /// Nothing was written since the start or the last jump.
    fresh: bool,
    dry_told: bool,
    /// Everything was heard and nothing follows yet.
    resting: bool,
}

/// From this sample of the output on, that of a part is heard.
struct Mark {
    at: u64,
    part: PlayId,
    sample: u64,
}

/// At this sample of the output a track ends.
struct Ending {
    at: u64,
    part: PlayId,
    pcm_blake3: [u8; 32],
}

/// Why a part did not come to its end.
enum Broken {
    /// Something else is wanted.
    Jumped,
    Failed(String),
}

impl<F: FnMut(PlayerEvent)> Player<F> {
    fn run(&mut self) {
        let mut last = None;
        loop {
            match self.deck.next(self.epoch, last, self.wake()) {
                Step::Part(part) => {
                    let id = part.id;
                    match self.play(&part, last.is_some()) {
                        Ok(()) => last = Some(id),
                        Err(Broken::Jumped) => {}
                        Err(Broken::Failed(reason)) => {
                            (self.tell)(PlayerEvent::Failed { part: Some(id), reason });
                            self.wait_for_jump();
                        }
                    }
                }
                Step::TimedOut => self.report(),
                Step::Over => {
                    if let Err(reason) = self.finish() {
                        (self.tell)(PlayerEvent::Failed { part: last, reason: reason.to_string() });
                    }
                    self.wait_for_jump();
                }
                Step::Jumped => {
                    self.jump();
                    last = None;
                }
                Step::Stopped => break,
            }
        }
        // Whatever was written is complete as far as it goes.
        if let Err(error) = self.output.finish() {
            tracing::debug!("the output did not end well: {error}");
        }
    }

    /// What was decoded or written and not yet heard is not wanted.
    fn jump(&mut self) {
        let orders = self.deck.orders();
        self.epoch = orders.epoch;
        self.written = self.output.discard(Instant::now());
        self.splicer = Splicer::new();
        self.hasher = PcmHasher::new();
        self.stalls_before = self.output.stalls();
        self.marks.clear();
        self.endings.clear();
        (self.fresh, self.dry_told, self.resting) = (true, false, false);
    }

    /// Waits until something else is wanted, telling what is heard.
    fn wait_for_jump(&mut self) {
        loop {
            let orders = self.deck.orders();
            if orders.epoch != self.epoch || orders.stopped {
                return;
            }
            self.report();
            self.deck.wait(orders, self.wake());
        }
    }

    fn play(&mut self, part: &Part, follows: bool) -> Result<(), Broken> {
        let track_end = part.rendition.samples();
        if part.opens {
            self.hasher = PcmHasher::new();
        }
        if follows {
            let join = match part.opens {
                false => Join::Splice,
                true if self.splicer.tail_samples() > 0 => Join::Crossfade,
                true => Join::Gapless,
            };
            self.splicer.begin(join);
        }
        let mut decoder =
            PartDecoder::new(part.rendition.clone(), self.span(part, part.until), entry(part));
        let (mut marked, mut end) = (false, part.until);
        let mut needed = None;
        while let Some(wanted) = decoder.wanted() {
            let now_ends = self.deck.end_of(part.id).unwrap_or(end);
            if now_ends != end {
                end = now_ends;
                // Too late where more was decoded: then that much is heard of it.
                decoder.set_end(self.span(part, end));
                continue;
            }
            let block = wanted.start / u64::from(BLOCK_BYTES);
            let block = u32::try_from(block).map_err(fail)?;
            if needed.is_some_and(|needed| block < needed) {
                (self.tell)(PlayerEvent::Needs { part: part.id, block });
            }
            needed = Some(block);
            let bytes = self.take_block(part, block)?;
            decoder.push(u64::from(block) * u64::from(BLOCK_BYTES), &bytes).map_err(fail)?;
            while let Some(chunk) = decoder.next_chunk().map_err(fail)? {
                self.float.clear();
                let spliced = self.splicer.push(&chunk, &mut self.float).map_err(fail)?;
                if spliced.frames == 0 {
                    continue;
                }
                if !std::mem::replace(&mut marked, true) {
                    let (part, sample) = (part.id, spliced.first_sample);
                    self.marks.push_back(Mark { at: self.written, part, sample });
                }
                self.sound(part.id)?;
            }
        }
        let finished = end >= track_end;
        if finished {
            if self.splicer.tail_samples() > 0 && !self.follows_at_once(part.id) {
                self.float.clear();
                self.splicer.release_tail(&mut self.float);
                self.sound(part.id)?;
            }
            let pcm_blake3 = self.hasher.finish();
            self.endings.push_back(Ending { at: self.written, part: part.id, pcm_blake3 });
        }
        Ok(())
    }

    /// What is decoded of a part that ends there, with what it fades out in.
    fn span(&self, part: &Part, until: u64) -> PartSpan {
        let samples = part.rendition.samples();
        if until < samples {
            return PartSpan::new(part.from, until).with_splice_tail();
        }
        let crossfade = self.crossfade.min((samples - part.from.min(samples)) / 2);
        match crossfade {
            0 => PartSpan::new(part.from, samples),
            crossfade => {
                PartSpan::new(part.from, samples - crossfade).with_crossfade_tail(crossfade)
            }
        }
    }

    /// Whether the next track is there, so that this one can fade into it.
    fn follows_at_once(&self, part: PlayId) -> bool {
        matches!(self.deck.next(self.epoch, Some(part), Some(Instant::now())), Step::Part(_))
    }

    /// The plaintext of a block, waited for if need be.
    fn take_block(&mut self, part: &Part, block: u32) -> Result<BytesMut, Broken> {
        let mut patience = READ_ATTEMPTS;
        loop {
            self.wait_for_block(part.id, block)?;
            match self.store.read(part.rendition.blob(), block) {
                Ok(Some(bytes)) => {
                    // Read for us alone, so it is not copied.
                    let mut bytes = BytesMut::from(bytes);
                    let offset = u64::from(block) * u64::from(BLOCK_BYTES);
                    apply_keystream(&part.key, offset, &mut bytes).map_err(fail)?;
                    return Ok(bytes);
                }
                Ok(None) => {
                    self.deck.shut(part.id, block);
                    (self.tell)(PlayerEvent::LostBlock { part: part.id, block });
                }
                Err(error) if patience == 0 => return Err(fail(error)),
                Err(error) => {
                    tracing::debug!(block, "trying again: {error}");
                    patience -= 1;
                    self.pause_for(READ_PAUSE)?;
                }
            }
        }
    }

    fn wait_for_block(&mut self, part: PlayId, block: u32) -> Result<(), Broken> {
        let mut asked = false;
        loop {
            match self.deck.wait_for_block(self.epoch, part, block, self.wake()) {
                Waited::There => return Ok(()),
                Waited::Jumped => return Err(Broken::Jumped),
                Waited::TimedOut => self.report(),
            }
            if self.dry_told && !std::mem::replace(&mut asked, true) {
                // The tables that it was planned by may be wrong.
                (self.tell)(PlayerEvent::Needs { part, block });
            }
        }
    }

    /// When to look at the output again.
    fn wake(&self) -> Option<Instant> {
        if self.resting || (self.fresh && self.marks.is_empty()) {
            return None;
        }
        let report = self.last_report.map(|last| last + REPORT_INTERVAL);
        let dry = self.output.dry_at().filter(|_| !self.dry_told);
        report.into_iter().chain(dry).min()
    }

    /// Hands what was decoded to the output, as soon as that has room.
    fn sound(&mut self, part: PlayId) -> Result<(), Broken> {
        self.pcm.clear();
        extend_i16(&mut self.pcm, &self.float);
        self.hasher.update(&self.pcm);
        self.apply_gain();
        let channels = usize::from(CHANNELS);
        let mut done = 0;
        while done < self.pcm.len() {
            let room = self.wait_for_room()?;
            let now = Instant::now();
            let end = self.pcm.len().min(done + room * channels);
            self.output.write(&self.pcm[done..end], now).map_err(fail)?;
            self.written += ((end - done) / channels) as u64;
            done = end;
            self.tell_of_sound(part, now);
        }
        Ok(())
    }

    fn tell_of_sound(&mut self, part: PlayId, now: Instant) {
        self.resting = false;
        if std::mem::take(&mut self.fresh) {
            (self.tell)(PlayerEvent::Sounds { part, at: now });
        } else if std::mem::take(&mut self.dry_told) {
            (self.tell)(PlayerEvent::Resumed { part });
        }
        if self.last_report.is_none_or(|last| now >= last + REPORT_INTERVAL) {
            self.report();
        }
    }

    /// Samples are made louder or softer as the listener wants it.
    fn apply_gain(&mut self) {
        let wanted = self.deck.orders().gain;
        #[expect(clippy::float_cmp, reason = "exactly 1 is what nobody changed")]
        if self.gain.is_none() && wanted == 1.0 {
            return;
        }
        let ramp = self.gain.get_or_insert_with(|| antiphon_media::GainRamp::new(wanted));
        ramp.set(wanted);
        ramp.apply(&mut self.float);
        self.pcm.clear();
        extend_i16(&mut self.pcm, &self.float);
    }

    /// Room for samples, once sound may go on.
    fn wait_for_room(&mut self) -> Result<usize, Broken> {
        loop {
            let orders = self.deck.orders();
            if orders.epoch != self.epoch || orders.stopped {
                return Err(Broken::Jumped);
            }
            let now = Instant::now();
            let wake = match (orders.go, orders.paused) {
                (true, false) => {
                    self.output.resume(now).map_err(fail)?;
                    match self.output.room(now) {
                        0 => self.output.writable_at(now),
                        room => return Ok(room),
                    }
                }
                (_, true) => {
                    self.output.pause(now).map_err(fail)?;
                    self.tell_pause();
                    None
                }
                (false, false) => self.wake(),
            };
            let report = self.last_report.map(|last| last + REPORT_INTERVAL);
            let wake = match orders.paused {
                true => None,
                false => wake.into_iter().chain(report).min(),
            };
            self.deck.wait(orders, wake);
            self.report();
        }
    }

    fn tell_pause(&mut self) {
        let heard = self.output.heard(Instant::now());
        if let Some((part, sample)) = self.place(heard) {
            (self.tell)(PlayerEvent::Position { part, sample, running: false });
        }
    }

    fn pause_for(&mut self, pause: Duration) -> Result<(), Broken> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            let orders = self.deck.orders();
            if orders.epoch != self.epoch || orders.stopped {
                return Err(Broken::Jumped);
            }
            self.deck.wait(orders, Some(until));
            self.report();
        }
        Ok(())
    }

    /// The part and the sample of it that are heard when so much of the output
    /// was.
    fn place(&mut self, heard: u64) -> Option<(PlayId, u64)> {
        while self.marks.get(1).is_some_and(|next| next.at <= heard) {
            self.marks.pop_front();
        }
        let mark = self.marks.front()?;
        Some((mark.part, mark.sample + heard.saturating_sub(mark.at)))
    }

    fn report(&mut self) {
        let now = Instant::now();
        for condition in self.output.conditions() {
            (self.tell)(PlayerEvent::Condition(condition.to_string()));
        }
        if self.fresh || self.resting {
            return;
        }
        self.last_report = Some(now);
        let heard = self.output.heard(now);
        while self.endings.front().is_some_and(|ending| ending.at <= heard) {
            self.tell_ending();
        }
        // All marks are gone once the last track was heard to its end.
        if heard >= self.written && self.endings.is_empty() && self.marks.is_empty() {
            self.resting = true;
            // What comes next is a beginning, not the end of a stall.
            let _ = self.output.pause(now);
            return;
        }
        let Some((part, sample)) = self.place(heard) else { return };
        let dry = self.output.dry_at().is_some_and(|dry| dry <= now);
        if !dry {
            (self.tell)(PlayerEvent::Position { part, sample, running: true });
        } else if !std::mem::replace(&mut self.dry_told, true) {
            self.deck.hold(self.epoch);
            (self.tell)(PlayerEvent::Stalled { part, sample });
        }
    }

    fn tell_ending(&mut self) {
        let Some(ending) = self.endings.pop_front() else { return };
        let (stalls, stalled) = self.output.stalls();
        let before = std::mem::replace(&mut self.stalls_before, (stalls, stalled));
        // Nothing of the track is heard any more.
        while self.marks.front().is_some_and(|mark| mark.at < ending.at) {
            self.marks.pop_front();
        }
        let outcome = Outcome {
            pcm_blake3: ending.pcm_blake3,
            stalls: stalls.saturating_sub(before.0),
            stalled: stalled.saturating_sub(before.1),
        };
        (self.tell)(PlayerEvent::Heard { part: ending.part, outcome });
    }

    /// Nothing follows: what was written is heard to its end.
    fn finish(&mut self) -> Result<(), SoundError> {
        self.output.finish()
    }
}

/// Where decoding of a part begins: at the table's place if that is exact.
fn entry(part: &Part) -> Entry {
    match part.from.is_multiple_of(Rendition::SEGMENT_SAMPLES) {
        true => Entry::Segment,
        false => Entry::Guess,
    }
}

fn fail(error: impl std::fmt::Display) -> Broken {
    Broken::Failed(error.to_string())
}
