//! The life of one play, from the click to the last sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_listener::{Play, PlayId, Source, TransferId, WaitingFor};
use antiphon_media::RenditionKey;
use antiphon_net::{Stream, StreamError, wall_clock_ms};
use antiphon_store::{BeginError, Hold, Store};
use antiphon_types::{
    BLOCK_BYTES, Bitrate, BlobSize, BlockRange, BlockSet, Class, Rendition, SAMPLE_RATE, TrackId,
};
use antiphon_wire::proto::{self, reply, request};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{BitrateChoice, PlayError, PlayRequest, PlayStatus, SourceShare};
use crate::gate::Gate;
use crate::library::KnownTrack;
use crate::node::{Event, Node};
use crate::player::{self, Outcome, PlayerConfig, PlayerEvent};
use crate::record::{self, BytesBySource, PlayRecord, millis};
use crate::session::{RequestError, Session, receive_reply};
use crate::transfer::{Destination, Transfer};

/// Audio that the server is asked to send unasked (B02).
const PUSH_MS: u32 = 15_000;

/// First pause before a server that did not answer is asked again; doubled
/// each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where a play stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The server was asked.
    Asking,
    /// The server is to be asked when it is back.
    WaitingForServer,
    /// The player thread runs.
    Playing,
}

/// What became of the question to the server.
pub(crate) enum Answer {
    /// It knows the track; its push follows on the stream.
    Playing(Box<proto::Playing>, Box<Stream>),
    /// It refused.
    Refused(String),
    /// It said something else.
    Nonsense(String),
    /// It was not there, or went away.
    Lost,
}

/// The play under way.
pub(crate) struct CurrentPlay {
    pub(crate) id: PlayId,
    pub(crate) request: PlayRequest,
    pub(crate) stage: Stage,
    pub(crate) bitrate: Bitrate,
    pub(crate) known: Option<KnownTrack>,
    pub(crate) rendition: Option<Rendition>,
    pub(crate) record: PlayRecord,
    pub(crate) clicked: Instant,
    gate: Option<Gate>,
    /// Calls the server's push off.
    push: Option<oneshot::Sender<()>>,
    /// Blocks whose source is known.
    counted: Option<BlockSet>,
    heard: u64,
    stalled_since: Option<Instant>,
    /// When to ask again, and how long to wait after that.
    retry_at: Instant,
    pause: Duration,
    status: watch::Sender<PlayStatus>,
    done: Option<oneshot::Sender<Result<PlayRecord, PlayError>>>,
    /// Being played, it stays in the cache.
    _hold: Option<Hold>,
}

impl CurrentPlay {
    /// Where blocks of it go, once that is known.
    pub(crate) fn destination(
        &self,
        store: &Store,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Option<Destination> {
        Some(Destination {
            play: self.id,
            blob: self.rendition.as_ref()?.blob(),
            store: store.clone(),
            gate: self.gate.clone()?,
            events: events.clone(),
        })
    }

    /// Notes where a block came from.
    pub(crate) fn count_block(
        &mut self,
        source: Source,
        block: u32,
        bytes: u32,
        first_byte: Option<Instant>,
    ) {
        if self.record.first_byte_ms == 0.0
            && let Some(at) = first_byte
        {
            self.record.first_byte_ms = millis(at.saturating_duration_since(self.clicked));
        }
        if self.counted.as_mut().is_some_and(|counted| counted.insert(block)) {
            match source {
                Source::Server => self.record.bytes.server += u64::from(bytes),
                Source::Peer(_) => self.record.bytes.peers += u64::from(bytes),
            }
        }
    }

    /// The music goes on, or is given up.
    fn end_stall(&mut self) {
        if let Some(since) = self.stalled_since.take() {
            self.record.stalled_ms += millis(since.elapsed());
        }
    }

    /// Nothing more of the server's push is wanted.
    pub(crate) fn cancel_push(&mut self) {
        if let Some(push) = self.push.take() {
            // It may have ended by itself.
            let _ = push.send(());
        }
    }
}

impl Node {
    /// Starts a play; one before it ends.
    pub(crate) fn start_play(&mut self, mut request: PlayRequest) {
        self.stop_play(false);
        let id = self.number_play(&request);
        let known = self.library.get(request.track);
        let bitrate = self.choose_bitrate(request.bitrate, known.as_ref());
        let record = PlayRecord {
            id: rand::random(),
            track: request.track,
            name: known.as_ref().map(KnownTrack::name).unwrap_or_default(),
            bitrate,
            started_ms: wall_clock_ms(),
            listened_ms: 0,
            first_byte_ms: 0.0,
            first_sound_ms: 0.0,
            stalls: 0,
            stalled_ms: 0.0,
            bytes: BytesBySource::default(),
            bad_blocks: 0,
            pcm_blake3: String::new(),
            finished: false,
        };
        let key = known.as_ref().and_then(|known| known.key(bitrate, wall_clock_ms()));
        let (status, done) = (request.status.clone(), request.done.take());
        self.play = Some(CurrentPlay {
            id,
            stage: Stage::Asking,
            bitrate,
            known: None,
            rendition: None,
            record,
            clicked: request.clicked,
            gate: None,
            push: None,
            counted: None,
            heard: 0,
            stalled_since: None,
            retry_at: request.clicked,
            pause: FIRST_PAUSE,
            status,
            done,
            request,
            _hold: None,
        });
        match (known, key) {
            (Some(known), Some(key)) => self.begin(known, key, None),
            _ => self.ask(),
        }
    }

    /// Auto is 160 where nothing is known of the network (B10), but a
    /// rendition that is held whole needs no network.
    fn choose_bitrate(&self, choice: BitrateChoice, known: Option<&KnownTrack>) -> Bitrate {
        match choice {
            BitrateChoice::Fixed(bitrate) => bitrate,
            BitrateChoice::Auto => known
                .into_iter()
                .flat_map(|known| known.renditions.iter().rev())
                .find(|rendition| self.store.is_complete(rendition.blob()))
                .map_or(Bitrate::Kbps160, Rendition::bitrate),
        }
    }

    /// Asks the server for everything at once (B60).
    fn ask(&mut self) {
        let Some(current) = &mut self.play else { return };
        current.stage = Stage::Asking;
        let (play, track, bitrate) = (current.id, current.request.track, current.bitrate);
        let speed = current.request.speed;
        let (session, events) = (self.session.clone(), self.events.clone());
        tokio::spawn(async move {
            let asked = ask_play(&session, track, bitrate, speed).await;
            let answer = match asked.map_err(|error| session.explain(error)) {
                Ok((playing, stream)) => Answer::Playing(Box::new(playing), Box::new(stream)),
                Err(RequestError::Refused(refused)) => Answer::Refused(refused.to_string()),
                Err(
                    error @ (RequestError::Nonsense
                    | RequestError::Stream(StreamError::Malformed(_))),
                ) => Answer::Nonsense(error.to_string()),
                Err(error) => {
                    tracing::debug!("no answer to a play: {error}");
                    Answer::Lost
                }
            };
            let _ = events.send(Event::Answered { play, answer });
        });
    }

    /// The server is back: a play that waits for it asks anew.
    pub(crate) fn ask_again(&mut self) {
        if self.play.as_ref().is_some_and(|play| play.stage == Stage::WaitingForServer) {
            self.ask();
        }
    }

    /// A play that got no answer from a server that is there asks again after
    /// a while.
    pub(crate) fn retry_play(&mut self) {
        let waits = self.play.as_ref().is_some_and(|play| {
            play.stage == Stage::WaitingForServer && play.retry_at <= Instant::now()
        });
        if waits && self.server_up {
            self.ask();
        }
    }

    pub(crate) fn handle_answer(&mut self, answer: Answer) {
        let (playing, stream) = match answer {
            Answer::Playing(playing, stream) => (*playing, *stream),
            Answer::Refused(reason) => return self.fail_play(PlayError::Refused(reason)),
            Answer::Nonsense(what) => return self.fail_play(PlayError::Nonsense(what)),
            Answer::Lost => {
                if let Some(current) = &mut self.play {
                    current.stage = Stage::WaitingForServer;
                    current.retry_at = Instant::now() + current.pause;
                    current.pause = (current.pause * 2).min(LONGEST_PAUSE);
                }
                return;
            }
        };
        let Some(current) = &self.play else { return };
        let (track, bitrate) = (current.request.track, current.bitrate);
        let signed = playing.manifest.unwrap_or_default();
        let known =
            match KnownTrack::new(&self.neighbourhood.service, track, signed, playing.leases) {
                Ok(known) => known,
                Err(error) => return self.fail_play(PlayError::Nonsense(error.to_string())),
            };
        let Some(key) = known.key(bitrate, wall_clock_ms()) else {
            let what = format!("no key for {bitrate} kbit/s came with the answer");
            return self.fail_play(PlayError::Nonsense(what));
        };
        let (library, trouble) = (Arc::clone(&self.library), self.trouble.clone());
        let kept = known.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = library.put(track, &kept) {
                trouble.note(&format!("the track will not be known offline: {error}"));
            }
        });
        let push = playing.push.map(BlockRange::from).filter(|push| !push.is_empty());
        self.begin(known, key, push.map(|push| (push, stream)));
        self.meet_holders(&playing.peers);
    }

    /// Starts the sound, and the fetching of what is not there.
    fn begin(&mut self, known: KnownTrack, key: [u8; 32], push: Option<(BlockRange, Stream)>) {
        let now = self.clock.now();
        let Some(current) = &mut self.play else { return };
        let Some(rendition) = known.rendition(current.bitrate).cloned() else {
            let what = format!("there is no rendition of {} kbit/s", current.bitrate);
            return self.fail_play(PlayError::Nonsense(what));
        };
        let blob = rendition.blob();
        let hold = self.store.hold(blob);
        let begun = match self.store.begin(blob, rendition.size()) {
            Err(error @ (BeginError::NoRoom { .. } | BeginError::UnknownVersion(_))) => {
                self.trouble.note(&error);
                self.store.begin_in_memory(blob, rendition.size())
            }
            begun => begun,
        };
        if let Err(error) = begun {
            return self.fail_play(PlayError::Cache(error.to_string()));
        }
        let Some(current) = &mut self.play else { return };
        self.store.touch(blob);
        let held = self.store.blocks(blob).unwrap_or_else(|| BlockSet::empty(rendition.size()));
        current.record.bytes.cache = bytes_of(&held, rendition.size());
        current.record.name = known.name();
        current.counted = Some(held.clone());
        let gate = Gate::new(held.clone());
        current.gate = Some(gate.clone());
        current.rendition = Some(rendition.clone());
        current.known = Some(known);
        current.stage = Stage::Playing;
        current._hold = Some(hold);
        let (id, speed) = (current.id, current.request.speed);
        let push = push.filter(|(_, stream)| stream.is_open());
        if push.is_some() && !self.server_up {
            // Its answer overtook its welcome.
            self.server_up = true;
            self.listener.handle_server_up(now, Duration::from_millis(50));
        }
        let pushed = push.as_ref().map(|(blocks, _)| *blocks);
        let play = Play { id, rendition: rendition.clone(), held, speed, pushed };
        self.listener.play(now, play);
        if let Some((blocks, stream)) = push {
            self.take_push(blocks, stream);
        }
        self.start_player(rendition, key, gate);
    }

    fn take_push(&mut self, blocks: BlockRange, stream: Stream) {
        let Some(current) = &mut self.play else { return };
        let Some(to) = current.destination(&self.store, &self.events) else { return };
        let transfer = Transfer { id: TransferId::PUSH, source: Source::Server, blocks, to };
        let (off, called_off) = oneshot::channel();
        current.push = Some(off);
        tokio::spawn(transfer.run_push(stream, called_off));
    }

    fn start_player(&mut self, rendition: Rendition, key: [u8; 32], gate: Gate) {
        let Some(current) = &self.play else { return };
        let config = PlayerConfig {
            rendition,
            key: RenditionKey::new(key),
            speed: current.request.speed,
            sink: current.request.sink.clone(),
        };
        let (play, events) = (current.id, self.events.clone());
        let started = player::start(config, self.store.clone(), gate, move |event| {
            let _ = events.send(Event::Player { play, event });
        });
        if let Err(error) = started {
            self.fail_play(PlayError::Sound(error.to_string()));
        }
    }

    pub(crate) fn handle_player(&mut self, id: PlayId, event: PlayerEvent) {
        let now = self.clock.now();
        let Some(current) = &mut self.play else { return };
        match event {
            PlayerEvent::FirstSound { at } => {
                current.record.first_sound_ms =
                    millis(at.saturating_duration_since(current.clicked));
                self.listener.handle_position(now, id, 0, true);
            }
            PlayerEvent::Position { sample } => {
                current.heard = sample;
                self.listener.handle_position(now, id, sample, true);
            }
            PlayerEvent::Stalled { sample } => {
                current.heard = sample;
                current.stalled_since = Some(Instant::now());
                current.record.stalls += 1;
                self.listener.handle_position(now, id, sample, false);
                self.listener.handle_stalled(now, id);
            }
            PlayerEvent::Resumed => {
                current.end_stall();
                self.listener.handle_resumed(now, id);
            }
            PlayerEvent::LostBlock { block } => {
                tracing::warn!(block, "a block in the cache was damaged; fetching it again");
                self.listener.handle_lost(now, id, block);
            }
            PlayerEvent::Ended(outcome) => self.end_play(outcome),
        }
    }

    fn end_play(&mut self, outcome: Outcome) {
        if let Some(current) = &mut self.play {
            // What the device itself measured is exact.
            current.stalled_since = None;
            current.record.stalls = outcome.stalls;
            current.record.stalled_ms = millis(outcome.stalled);
            current.record.pcm_blake3 = crate::hex(&outcome.pcm_blake3);
            current.record.finished = outcome.finished;
            current.heard = outcome.samples;
        }
        match outcome.failure {
            Some(reason) => self.fail_play(PlayError::Sound(reason)),
            None => self.stop_play(outcome.finished),
        }
    }

    /// Ends the play with an error.
    pub(crate) fn fail_play(&mut self, error: PlayError) {
        let done = self.play.as_mut().and_then(|play| play.done.take());
        self.stop_play(false);
        if let Some(done) = done {
            let _ = done.send(Err(error));
        }
    }

    /// Ends the play and records it.
    pub(crate) fn stop_play(&mut self, finished: bool) {
        self.show();
        let Some(mut current) = self.play.take() else { return };
        if let Some(gate) = &current.gate {
            gate.stop();
        }
        current.cancel_push();
        current.end_stall();
        self.listener.stop(self.clock.now(), current.id);
        let samples = match finished {
            true => current.rendition.as_ref().map_or(current.heard, Rendition::samples),
            false => current.heard,
        };
        current.record.listened_ms = media_ms(samples);
        current.record.finished = finished;
        // What was never heard is no play.
        if current.record.first_sound_ms > 0.0 {
            self.records.add(record::Event::Play(current.record.clone()));
        }
        if let Some(done) = current.done.take() {
            let _ = done.send(Ok(current.record));
        }
    }

    /// Brings the display up to date.
    pub(crate) fn show(&mut self) {
        self.tell_of_trouble();
        let waiting = self.waiting();
        let now = self.clock.now();
        let Some(current) = &self.play else { return };
        let sources = self
            .listener
            .sources(now)
            .into_iter()
            .filter(|source| source.outstanding > 0)
            .map(|source| SourceShare { source: source.source, outstanding: source.outstanding })
            .collect();
        let buffered = self.listener.buffered(now);
        let stuck = self.listener.waiting_for(now) == WaitingFor::AnySource;
        let status = PlayStatus {
            track: Some(current.request.track),
            name: current.record.name.clone(),
            bitrate: current.bitrate,
            position: Duration::from_millis(media_ms(current.heard)),
            length: Duration::from_millis(
                current.rendition.as_ref().map_or(0, |rendition| media_ms(rendition.samples())),
            ),
            buffered: buffered.map_or(Duration::ZERO, |buffered| buffered.media),
            bytes: current.record.bytes,
            total_bytes: current.rendition.as_ref().map_or(0, |r| r.size().bytes()),
            peers: self.peers.len(),
            server: self.server_up,
            stalled: current.stalled_since.is_some(),
            sources,
            waiting: waiting.filter(|_| {
                current.stalled_since.is_some() || stuck || current.rendition.is_none()
            }),
            trouble: self.told.clone(),
        };
        current.status.send_if_modified(|shown| {
            let changed = *shown != status;
            *shown = status;
            changed
        });
    }
}

async fn ask_play(
    session: &Session,
    track: TrackId,
    bitrate: Bitrate,
    speed: f64,
) -> Result<(proto::Playing, Stream), RequestError> {
    let play = proto::Play {
        track: Bytes::copy_from_slice(track.as_bytes()),
        kbps: bitrate.kbps(),
        held: Vec::new(),
        push_ms: PUSH_MS,
        push_kbps: push_kbps(bitrate, speed),
    };
    let mut stream = session.request(Class::Now, request::Kind::Play(play)).await?;
    match receive_reply(&mut stream).await? {
        reply::Kind::Playing(playing) => Ok((playing, stream)),
        _ => Err(RequestError::Nonsense),
    }
}

/// Four times what the sink consumes: enough to fill a buffer, and slow enough
/// that peers take over before all of it was sent.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 4 x 320 x 1000, never negative"
)]
fn push_kbps(bitrate: Bitrate, speed: f64) -> u32 {
    (f64::from(bitrate.kbps()) * 4.0 * speed) as u32
}

fn bytes_of(held: &BlockSet, size: BlobSize) -> u64 {
    let last = size.block_count() - 1;
    let short = match held.contains(last) {
        true => u64::from(size.block_count()) * u64::from(BLOCK_BYTES) - size.bytes(),
        false => 0,
    };
    u64::from(held.len()) * u64::from(BLOCK_BYTES) - short
}

fn media_ms(samples: u64) -> u64 {
    samples * 1000 / u64::from(SAMPLE_RATE)
}
