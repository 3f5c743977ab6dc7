//! What a listener hears: the track that plays, the one that follows, and what
//! she does with them.

use std::time::{Duration, Instant};

use antiphon_listener::{Decision, Join, PlayId, Reason, Source, UserPolicy, WaitingFor};
use antiphon_types::{Bitrate, BlockRange, Rendition, samples_of};
use tokio::sync::{mpsc, watch};

use crate::deck::Deck;
use crate::engine::{
    Control, PlayError, PlayOptions, PlayRequest, PlayStatus, Played, SourceShare,
};
use crate::library::KnownTrack;
use crate::node::Node;
use crate::play::{Stage, TrackPlay, media_ms};
use crate::player::{self, Outcome, PlayerEvent};
use crate::queue::Queue;
use crate::record::{self, millis};

/// "Previous" goes back to the beginning of a track of which more than this was
/// heard.
const RESTART_AFTER: Duration = Duration::from_secs(3);

/// Everything that was asked for with one call of [`Engine::play_all`].
///
/// [`Engine::play_all`]: crate::Engine::play_all
pub(crate) struct Program {
    pub(crate) options: PlayOptions,
    pub(crate) queue: Queue,
    pub(crate) deck: Deck,
    /// What is heard, or will be as soon as it can.
    pub(crate) now: TrackPlay,
    /// What follows, once it is time to think of it.
    pub(crate) next: Option<TrackPlay>,
    /// What follows could not be made ready; it is tried again in its turn.
    next_failed: bool,
    paused: bool,
    /// Sound may go on: the buffer bears it.
    going: bool,
    status: watch::Sender<PlayStatus>,
    played: mpsc::UnboundedSender<Played>,
    decisions: mpsc::UnboundedSender<String>,
    /// Of whom blocks were asked last, and why.
    asked: Option<(bool, Reason)>,
    /// What the sound device says of itself.
    condition: Option<String>,
}

impl Node {
    /// Starts a program; one before it ends.
    pub(crate) fn start_program(&mut self, request: PlayRequest) {
        self.stop_program();
        let PlayRequest { tracks, options, clicked, status, decisions, played } = request;
        let (repeat, shuffle) = (options.repeat, options.shuffle);
        let Some(queue) = Queue::new(tracks, repeat, shuffle, &mut rand::rng()) else { return };
        let id = self.number_play();
        let mut now = TrackPlay::new(id, queue.current(), Some(clicked));
        now.from = samples_of(options.from);
        now.jumped = now.from > 0;
        let deck = Deck::new(options.gain());
        let events = self.events.clone();
        let started = player::start(&options, self.store.clone(), deck.clone(), move |event| {
            let _ = events.send(crate::node::Event::Player(event));
        });
        let program = Program {
            options,
            queue,
            deck,
            now,
            next: None,
            next_failed: false,
            paused: false,
            going: false,
            status,
            played,
            decisions,
            asked: None,
            condition: None,
        };
        self.program = Some(program);
        match started {
            Ok(()) => self.open_track(id),
            Err(error) => self.fail_track(id, PlayError::Sound(error.to_string())),
        }
    }

    /// Ends everything that is heard, and records it.
    pub(crate) fn stop_program(&mut self) {
        self.show();
        self.end_track(false, None);
        if let Some(program) = self.program.take() {
            program.deck.stop();
        }
    }

    pub(crate) fn track_plays(&self) -> impl Iterator<Item = &TrackPlay> {
        self.program.iter().flat_map(|program| [&program.now].into_iter().chain(&program.next))
    }

    pub(crate) fn track_play(&self, id: PlayId) -> Option<&TrackPlay> {
        self.track_plays().find(|play| play.is(id))
    }

    pub(crate) fn track_play_mut(&mut self, id: PlayId) -> Option<&mut TrackPlay> {
        let program = self.program.as_mut()?;
        [&mut program.now].into_iter().chain(&mut program.next).find(|play| play.is(id))
    }

    /// What she does.
    pub(crate) fn control(&mut self, control: Control) {
        let Some(program) = &mut self.program else { return };
        match control {
            Control::Pause(paused) => program.pause(paused),
            Control::TogglePause => program.pause(!program.paused),
            Control::Seek(to) => self.seek(to),
            Control::SeekBy { seconds } => {
                let heard = Duration::from_millis(media_ms(program.now.heard));
                let by = Duration::from_secs(seconds.unsigned_abs());
                let to = if seconds < 0 { heard.saturating_sub(by) } else { heard + by };
                self.seek(to);
            }
            Control::Next => self.skip(),
            Control::Previous => self.go_back(),
            Control::Repeat(repeat) => {
                program.queue.set_repeat(repeat);
                self.drop_next();
            }
            Control::Shuffle(shuffle) => {
                program.queue.set_shuffle(shuffle, &mut rand::rng());
                self.drop_next();
            }
            Control::Volume(volume) => {
                program.options.volume = volume;
                program.deck.set_gain(program.options.gain());
            }
        }
    }

    /// Goes on at another place of the track: the blocks around it first.
    fn seek(&mut self, to: Duration) {
        let Some(program) = &mut self.program else { return };
        let now = &mut program.now;
        now.end_stall();
        now.clicked = Some(Instant::now());
        now.jumped = true;
        let Some(samples) = now.rendition().map(Rendition::samples) else {
            // It has not begun; it will there.
            now.from = samples_of(to);
            return;
        };
        let (id, from) = (now.id, samples_of(to).min(samples.saturating_sub(1)));
        let bitrate = now.parts.last().map_or(now.bitrate, |part| part.rendition.bitrate());
        (now.heard, now.from) = (from, from);
        self.restart(id, from, bitrate);
    }

    /// Plays a track that is known from a sample on.
    fn restart(&mut self, id: PlayId, from: u64, bitrate: Bitrate) {
        let opened = match self.open_part(id, bitrate) {
            Ok(opened) => opened,
            Err(error) => return self.fail_track(id, error),
        };
        let part_id = self.number_play();
        let play = self.listener_play(id, part_id, &opened, from);
        let now = self.clock.now();
        let Some(program) = &mut self.program else { return };
        program.going = false;
        program.now.cancel_push();
        let gate = program.deck.load(opened.part(part_id, from, true), opened.held.clone());
        self.listener.play(now, play);
        program.now.parts = vec![opened.played(part_id, from, gate)];
        self.bring_next();
    }

    /// Another rendition takes over from the sample `at` on, if it can be had.
    pub(crate) fn switch(&mut self, before: PlayId, at: u64, bitrate: Bitrate) {
        let part_id = self.number_play();
        let opened = match self.open_part(before, bitrate) {
            Ok(opened) => opened,
            // What plays goes on.
            Err(error) => return tracing::debug!("no switch to {bitrate} kbit/s: {error}"),
        };
        let play = self.listener_play(before, part_id, &opened, at);
        let now = self.clock.now();
        let Some(program) = &mut self.program else { return };
        let part = opened.part(part_id, at, false);
        let Some(gate) = program.deck.splice(before, part, opened.held.clone()) else { return };
        self.listener.follow(now, play, Join::Splice { at });
        if let Some(track) = self.track_play_mut(before) {
            track.record.switches += 1;
            track.parts.push(opened.played(part_id, at, gate));
            track.count_cached();
        }
    }

    /// What follows is put behind what was just put onto the deck.
    pub(crate) fn bring_next(&mut self) {
        let next = self.program.as_mut().and_then(|program| program.next.take());
        if let Some(mut next) = next.filter(|next| next.stage == Stage::Playing) {
            let (id, known) = (next.id, next.known.take());
            next.parts.clear();
            if let Some(program) = &mut self.program {
                program.next = Some(next);
            }
            if let Some(known) = known {
                self.begin(id, known, None);
            }
        }
        self.tell_whether_over();
    }

    /// What was thought to follow does not.
    fn drop_next(&mut self) {
        let now = self.clock.now();
        let Some(program) = &mut self.program else { return };
        program.next_failed = false;
        if let Some(next) = program.next.take() {
            program.deck.remove(next.id);
            self.listener.stop(now, next.id);
        }
        self.tell_whether_over();
    }

    fn tell_whether_over(&self) {
        if let Some(program) = &self.program {
            program.deck.set_over(program.queue.following().is_none());
        }
    }

    /// Goes to the next track; at the end of the queue that ends it.
    fn skip(&mut self) {
        let Some(program) = &mut self.program else { return };
        let follows = program.queue.following();
        if !program.queue.skip() {
            return self.stop_program();
        }
        // With one track repeated, what was prepared is not what comes now.
        if follows != Some(program.queue.current()) {
            self.drop_next();
        }
        self.end_track(false, None);
        self.begin_next(Some(Instant::now()), true);
    }

    fn go_back(&mut self) {
        let Some(program) = &mut self.program else { return };
        let heard = Duration::from_millis(media_ms(program.now.heard));
        if heard > RESTART_AFTER || !program.queue.back() {
            return self.seek(Duration::ZERO);
        }
        self.drop_next();
        self.end_track(false, None);
        self.begin_next(Some(Instant::now()), true);
    }

    /// The track that follows is the current one. If it `jumps`, what still
    /// sounds is not wanted.
    fn begin_next(&mut self, clicked: Option<Instant>, jumps: bool) {
        let id = self.number_play();
        let Some(program) = &mut self.program else { return };
        program.next_failed = false;
        match program.next.take() {
            Some(next) => {
                program.now = next;
                if jumps {
                    program.now.clicked = clicked;
                    program.now.record.clicked = true;
                }
                if program.now.stage != Stage::Playing {
                    program.now.clicked.get_or_insert_with(Instant::now);
                    program.deck.clear();
                    program.going = false;
                } else if jumps {
                    program.deck.jump_to(program.now.id);
                    program.going = false;
                }
                self.tell_whether_over();
            }
            None => {
                // It could not be prepared in time: as if it were asked for now.
                let clicked = clicked.or(Some(Instant::now()));
                program.now = TrackPlay::new(id, program.queue.current(), clicked);
                program.deck.clear();
                program.going = false;
                self.open_track(id);
            }
        }
    }

    /// What a track begins with (B10).
    pub(crate) fn first_bitrate(&self, known: Option<&KnownTrack>) -> Bitrate {
        let user = self.program.as_ref().map_or(UserPolicy::Auto, |p| p.options.bitrate);
        let renditions = known.into_iter().flat_map(|known| &known.renditions);
        let whole = renditions.filter(|rendition| self.store.is_complete(rendition.blob()));
        let whole = whole.map(Rendition::bitrate).collect::<Vec<_>>();
        let decision = self.listener.first_bitrate(user, &whole);
        self.say(format!("begins with {} kbit/s: {}", decision.bitrate, decision.reason));
        decision.bitrate
    }

    /// Something was decided.
    pub(crate) fn tell_of_decision(&self, decision: Decision) {
        self.say(decision.to_string());
    }

    /// Somebody is asked for blocks. It is recorded where it is another kind of
    /// source than before, or for another reason.
    pub(crate) fn tell_of_fetch(&mut self, source: Source, blocks: BlockRange, reason: Reason) {
        let Some(program) = &mut self.program else { return };
        let (start, end) = (blocks.start, blocks.end);
        let name = match source {
            Source::Server => "the server".to_owned(),
            Source::Peer(peer) => format!("peer {:.8}", peer.to_string()),
        };
        let what = format!("blocks {start} to {} are asked of {name}: {reason}", end - 1);
        let asked = Some((source == Source::Server, reason));
        if std::mem::replace(&mut program.asked, asked) == asked {
            let _ = program.decisions.send(what);
        } else {
            self.say(what);
        }
    }

    fn say(&self, what: String) {
        let Some(program) = &self.program else { return };
        let _ = program.decisions.send(what.clone());
        self.records.add(record::Event::Decision { track: program.now.track, what });
    }

    /// Thinks of what follows when it is time (B05).
    pub(crate) fn prepare_next(&mut self) {
        let Some(program) = &self.program else { return };
        let (play, heard) = (&program.now, program.now.heard);
        let Some(track) = program.queue.following() else { return };
        let ahead = self.listener.config().prefetch_peers_media;
        let left = Duration::from_millis(media_ms(play.samples().saturating_sub(heard)));
        // The server's answer takes a while of the clock, however fast it plays.
        let ahead = ahead + ANSWER_TIME.mul_f64(program.options.speed);
        let prepared = program.next.is_some() || program.next_failed;
        if play.stage != Stage::Playing || prepared || left > ahead {
            return;
        }
        let id = self.number_play();
        if let Some(program) = &mut self.program {
            program.next = Some(TrackPlay::new(id, track, None));
        }
        self.open_track(id);
    }

    /// Lets the sound begin, or go on, as soon as the buffer bears it (B08).
    pub(crate) fn let_sound_go(&mut self) {
        let now = self.clock.now();
        let Some(program) = &mut self.program else { return };
        if program.going || program.paused || program.now.stage != Stage::Playing {
            return;
        }
        if self.listener.may_start(now) {
            program.going = true;
            program.deck.set_go(true);
        }
    }

    pub(crate) fn handle_player(&mut self, event: PlayerEvent) {
        let now = self.clock.now();
        match event {
            PlayerEvent::Sounds { part, at } => self.handle_sounds(part, at),
            PlayerEvent::Position { part, sample, running } => {
                if let Some(play) = self.heard(part) {
                    play.sounded = true;
                    play.hear(sample);
                    self.listener.handle_position(now, part, sample, running);
                }
            }
            PlayerEvent::Stalled { part, sample } => {
                let Some(play) = self.heard(part) else { return };
                play.hear(sample);
                play.stalled_since = Some(Instant::now());
                play.record.stalls += 1;
                self.listener.handle_position(now, part, sample, false);
                self.listener.handle_stalled(now, part);
                if let Some(program) = &mut self.program {
                    program.going = false;
                }
            }
            PlayerEvent::Resumed { part } => {
                if let Some(play) = self.heard(part) {
                    play.end_stall();
                    self.listener.handle_resumed(now, part);
                }
            }
            PlayerEvent::LostBlock { part, block } => {
                tracing::warn!(block, "a block in the cache was damaged; fetching it again");
                self.listener.handle_lost(now, part, block);
            }
            PlayerEvent::Needs { part, block } => {
                self.listener.handle_needed(now, part, block);
            }
            PlayerEvent::Heard { part, outcome } => {
                if let Some(play) = self.heard(part) {
                    // One may be over between two reports of the position.
                    play.sounded = true;
                    self.end_track(true, Some(outcome));
                    self.go_on();
                }
            }
            PlayerEvent::Failed { part, reason } => {
                let id = part.or(self.program.as_ref().map(|program| program.now.id));
                if let Some(id) = id {
                    self.fail_track(id, PlayError::Sound(reason));
                }
            }
            PlayerEvent::Condition(condition) => {
                self.records.add(record::Event::Sound { condition: condition.clone() });
                if let Some(program) = &mut self.program {
                    program.condition = Some(condition);
                }
            }
        }
    }

    /// The current track, if the part is of it.
    fn heard(&mut self, part: PlayId) -> Option<&mut TrackPlay> {
        let program = self.program.as_mut()?;
        program.now.part(part).is_some().then_some(&mut program.now)
    }

    fn handle_sounds(&mut self, part: PlayId, at: Instant) {
        let now = self.clock.now();
        let Some(play) = self.heard(part) else { return };
        let since = play.clicked.map(|clicked| millis(at.saturating_duration_since(clicked)));
        let first = !std::mem::replace(&mut play.sounded, true);
        let sample = play.heard.max(play.from);
        play.heard = sample;
        if first {
            play.record.first_sound_ms = since.unwrap_or(0.0);
        } else if let Some(ms) = since {
            let track = play.track;
            self.records.add(record::Event::Seek { track, to_ms: media_ms(sample), sound_ms: ms });
        }
        self.listener.handle_position(now, part, sample, true);
    }

    /// The current track has come to its end.
    fn go_on(&mut self) {
        let Some(program) = &mut self.program else { return };
        match program.queue.advance() {
            true => self.begin_next(None, false),
            false => self.stop_program(),
        }
    }

    /// A track cannot be heard: it ends with an error, and the next one begins.
    pub(crate) fn fail_track(&mut self, id: PlayId, error: PlayError) {
        let now = self.clock.now();
        let Some(program) = &mut self.program else { return };
        if program.next.as_ref().is_some_and(|next| next.is(id)) {
            // It is tried again when it is its turn, and told then.
            (program.next, program.next_failed) = (None, true);
            program.deck.remove(id);
            self.listener.stop(now, id);
            return;
        }
        if !program.now.is(id) {
            return;
        }
        let track = program.now.track;
        let told = program.played.clone();
        self.drop_next();
        self.end_track(false, None);
        let _ = told.send(Err((track, error)));
        self.go_on();
    }

    /// Ends the current track and records it.
    fn end_track(&mut self, finished: bool, outcome: Option<Outcome>) {
        let now = self.clock.now();
        let Some(program) = &mut self.program else { return };
        let play = &mut program.now;
        play.cancel_push();
        play.end_stall();
        if let Some(outcome) = outcome {
            // What the device itself measured is exact.
            play.record.stalls = outcome.stalls;
            play.record.stalled_ms = millis(outcome.stalled);
            if !play.jumped {
                play.record.pcm_blake3 = crate::hex(&outcome.pcm_blake3);
            }
            play.hear(play.samples());
        }
        play.record.listened_ms = media_ms(play.listened);
        play.record.finished = finished;
        // What was never heard is no play.
        if std::mem::take(&mut play.sounded) {
            self.records.add(record::Event::Play(play.record.clone()));
            let _ = program.played.send(Ok(play.record.clone()));
        }
        for part in &play.parts {
            self.listener.stop(now, part.id);
        }
    }

    /// Brings the display up to date.
    pub(crate) fn show(&mut self) {
        self.tell_of_trouble();
        let waiting = self.waiting();
        let now = self.clock.now();
        let Some(program) = &self.program else { return };
        let play = &program.now;
        let sources = self
            .listener
            .sources(now)
            .into_iter()
            .filter(|source| source.outstanding > 0)
            .map(|source| SourceShare { source: source.source, outstanding: source.outstanding })
            .collect();
        let buffered = self.listener.buffered(now);
        let stuck = self.listener.waiting_for(now) == WaitingFor::AnySource;
        let stalled = play.stalled_since.is_some();
        let status = PlayStatus {
            track: Some(play.track),
            name: play.record.name.clone(),
            bitrate: self.heard_bitrate(),
            position: Duration::from_millis(media_ms(play.heard)),
            length: Duration::from_millis(media_ms(play.samples())),
            buffered: buffered.map_or(Duration::ZERO, |buffered| buffered.media),
            bytes: play.record.bytes,
            total_bytes: play.rendition().map_or(0, |rendition| rendition.size().bytes()),
            peers: self.peers.len(),
            server: self.server_up,
            stalled,
            paused: program.paused,
            sources,
            waiting: waiting.filter(|_| stalled || stuck || play.parts.is_empty()),
            trouble: program.condition.clone().or_else(|| self.told.clone()),
        };
        program.status.send_if_modified(|shown| {
            let changed = *shown != status;
            *shown = status;
            changed
        });
    }

    /// The bitrate that is heard now.
    fn heard_bitrate(&self) -> Bitrate {
        let rendition = self.listener.playout().map(|playout| playout.rendition().bitrate());
        rendition
            .or(self.program.as_ref().map(|program| program.now.bitrate))
            .unwrap_or(Bitrate::Kbps160)
    }

    /// What the music waits for, in words for the listener.
    fn waiting(&self) -> Option<String> {
        let play = &self.program.as_ref()?.now;
        let what = match play.stage {
            Stage::Asking if play.asked.elapsed() < PATIENCE => return None,
            Stage::Asking => "waiting for the server",
            Stage::WaitingForServer => "waiting for the server to come back",
            Stage::Playing => match self.listener.waiting_for(self.clock.now()) {
                WaitingFor::Nothing => return None,
                WaitingFor::Server => "waiting for the server",
                WaitingFor::Peers => "waiting for other listeners",
                WaitingFor::AnySource => "waiting for the server or another listener to come back",
            },
        };
        Some(what.to_owned())
    }

    /// Whether a track is played that this session cannot be refused for any
    /// more: none, or one that has begun.
    pub(crate) fn asks_server(&self) -> Option<PlayId> {
        let play = &self.program.as_ref()?.now;
        matches!(play.stage, Stage::Asking | Stage::WaitingForServer).then_some(play.id)
    }

    /// A new number for a play, or a part of one.
    pub(crate) fn number_play(&mut self) -> PlayId {
        let id = PlayId(self.next_play);
        self.next_play += 1;
        id
    }
}

/// How long the server may take to answer a click before the listener is told
/// what she waits for.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is left for the server to answer before what follows is to be fetched.
const ANSWER_TIME: Duration = Duration::from_secs(1);

impl Program {
    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.deck.set_paused(paused);
    }
}
