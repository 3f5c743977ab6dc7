//! The life of one play, from the click to the last sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_listener::{Join, Play, PlayId, Rung, Source, TransferId, UserPolicy};
use antiphon_media::RenditionKey;
use antiphon_net::{Stream, StreamError, wall_clock_ms};
use antiphon_store::{BeginError, Hold, Store};
use antiphon_types::{
    BLOCK_BYTES, Bitrate, BlobId, BlockRange, BlockSet, Class, Rendition, SAMPLE_RATE, TrackId,
};
use antiphon_wire::proto::{self, reply, request};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::deck::{Gate, Part};
use crate::engine::PlayError;
use crate::library::KnownTrack;
use crate::node::{Event, Node};
use crate::record::{BytesBySource, PlayRecord, millis};
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
    /// It is on the deck.
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

/// One play of a track: the one that is heard, or the one that follows.
pub(crate) struct TrackPlay {
    /// Names it, and its first part.
    pub(crate) id: PlayId,
    pub(crate) track: TrackId,
    pub(crate) stage: Stage,
    pub(crate) bitrate: Bitrate,
    pub(crate) known: Option<KnownTrack>,
    /// The renditions that it is made of, in the order in which they are heard.
    pub(crate) parts: Vec<PlayedPart>,
    pub(crate) record: PlayRecord,
    /// When it was asked for; `None` if it merely follows.
    pub(crate) clicked: Option<Instant>,
    /// The first sample that is wanted.
    pub(crate) from: u64,
    /// The sample that is heard.
    pub(crate) heard: u64,
    /// Samples that were heard, each as often as it was.
    pub(crate) listened: u64,
    /// Something of it was heard.
    pub(crate) sounded: bool,
    /// It was not heard in one piece.
    pub(crate) jumped: bool,
    pub(crate) stalled_since: Option<Instant>,
    /// When the server was asked for it.
    pub(crate) asked: Instant,
    /// Calls the server's push off.
    push: Option<oneshot::Sender<()>>,
    /// When to ask again, and how long to wait after that.
    retry_at: Instant,
    pause: Duration,
}

/// A stretch of it in one rendition.
pub(crate) struct PlayedPart {
    pub(crate) id: PlayId,
    pub(crate) rendition: Rendition,
    /// The sample with which it begins.
    from: u64,
    gate: Gate,
    /// Blocks that were in the cache when it began.
    cached: BlockSet,
    /// Blocks whose source is known.
    counted: BlockSet,
    /// Being played, it stays in the cache.
    _hold: Hold,
}

impl TrackPlay {
    pub(crate) fn new(id: PlayId, track: TrackId, clicked: Option<Instant>) -> Self {
        let (now, bitrate) = (Instant::now(), Bitrate::Kbps160);
        let record = PlayRecord {
            id: rand::random(),
            track,
            name: String::new(),
            bitrate,
            started_ms: wall_clock_ms(),
            listened_ms: 0,
            first_byte_ms: 0.0,
            first_block_ms: 0.0,
            first_15s_ms: 0.0,
            whole_ms: 0.0,
            first_sound_ms: 0.0,
            clicked: clicked.is_some(),
            switches: 0,
            stalls: 0,
            stalled_ms: 0.0,
            bytes: BytesBySource::default(),
            bad_blocks: 0,
            pcm_blake3: String::new(),
            finished: false,
        };
        Self {
            id,
            track,
            stage: Stage::Asking,
            bitrate,
            known: None,
            parts: Vec::new(),
            record,
            clicked,
            from: 0,
            heard: 0,
            listened: 0,
            sounded: false,
            jumped: false,
            stalled_since: None,
            asked: now,
            push: None,
            retry_at: now,
            pause: FIRST_PAUSE,
        }
    }

    pub(crate) fn part(&self, id: PlayId) -> Option<&PlayedPart> {
        self.parts.iter().find(|part| part.id == id)
    }

    /// Whether a number names it or a part of it.
    pub(crate) fn is(&self, id: PlayId) -> bool {
        self.id == id || self.part(id).is_some()
    }

    /// The rendition that is heard last.
    pub(crate) fn rendition(&self) -> Option<&Rendition> {
        self.parts.last().map(|part| &part.rendition)
    }

    /// Samples of the track; 0 until known.
    pub(crate) fn samples(&self) -> u64 {
        self.rendition().map_or(0, Rendition::samples)
    }

    /// Notes where a block of a part came from.
    pub(crate) fn count_block(
        &mut self,
        part: PlayId,
        source: Source,
        (block, bytes): (u32, u32),
        first_byte: Option<Instant>,
    ) {
        if self.record.first_byte_ms == 0.0
            && let (Some(at), Some(clicked)) = (first_byte, self.clicked)
        {
            self.record.first_byte_ms = millis(at.saturating_duration_since(clicked));
        }
        let part = self.parts.iter_mut().find(|played| played.id == part);
        if !part.is_some_and(|part| part.counted.insert(block)) {
            return;
        }
        match source {
            Source::Server => self.record.bytes.server += u64::from(bytes),
            Source::Peer(_) => self.record.bytes.peers += u64::from(bytes),
        }
        let Some(clicked) = self.clicked else { return };
        let record = &mut self.record;
        if record.first_block_ms == 0.0 {
            record.first_block_ms = millis(clicked.elapsed());
        }
        let fetched = record.bytes.server + record.bytes.peers;
        if record.first_15s_ms == 0.0 && fetched >= 15 * u64::from(self.bitrate.kbps()) * 125 {
            record.first_15s_ms = millis(clicked.elapsed());
        }
    }

    /// All of it is there.
    pub(crate) fn note_whole(&mut self) {
        if let Some(clicked) = self.clicked.filter(|_| self.record.whole_ms == 0.0) {
            self.record.whole_ms = millis(clicked.elapsed());
        }
    }

    /// Bytes that came from the cache: of each part what is needed to play it, as
    /// far as it was there.
    pub(crate) fn count_cached(&mut self) {
        let ends = self.parts.iter().skip(1).map(|part| Some(part.from)).chain([None]);
        let cached = self.parts.iter().zip(ends).map(|(part, end)| part.cached_bytes(end));
        self.record.bytes.cache = cached.sum();
    }

    /// The sound has come to that sample.
    pub(crate) fn hear(&mut self, sample: u64) {
        self.listened += sample.saturating_sub(self.heard);
        self.heard = sample;
    }

    /// The music goes on, or is given up.
    pub(crate) fn end_stall(&mut self) {
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
    /// Sees to it that a play gets onto the deck: at once if the track is known,
    /// else when the server has answered.
    pub(crate) fn open_track(&mut self, id: PlayId) {
        let Some(play) = self.track_play(id) else { return };
        let known = self.library.get(play.track);
        let bitrate = self.first_bitrate(known.as_ref());
        if let Some(play) = self.track_play_mut(id) {
            play.bitrate = bitrate;
            play.record.bitrate = bitrate;
        }
        let key = known.as_ref().and_then(|known| known.key(bitrate, wall_clock_ms()));
        match (known, key) {
            (Some(known), Some(_)) => self.begin(id, known, None),
            _ => self.ask(id),
        }
    }

    /// Asks the server for everything at once (B60).
    fn ask(&mut self, id: PlayId) {
        let speed = self.program.as_ref().map_or(1.0, |program| program.options.speed);
        let Some(play) = self.track_play_mut(id) else { return };
        play.stage = Stage::Asking;
        play.asked = Instant::now();
        // What follows is fetched when it is time (B05), not now.
        let push_ms = if play.clicked.is_some() && play.from == 0 { PUSH_MS } else { 0 };
        let asked = proto::Play {
            track: Bytes::copy_from_slice(play.track.as_bytes()),
            kbps: play.bitrate.kbps(),
            held: Vec::new(),
            push_ms,
            push_kbps: push_kbps(play.bitrate, speed),
        };
        let (session, events) = (self.session.clone(), self.events.clone());
        tokio::spawn(async move {
            let asked = ask_play(&session, asked).await;
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
            let _ = events.send(Event::Answered { play: id, answer });
        });
    }

    /// The server is back: plays that wait for it ask anew.
    pub(crate) fn ask_again(&mut self) {
        let waiting = self.track_plays().filter(|play| play.stage == Stage::WaitingForServer);
        for id in waiting.map(|play| play.id).collect::<Vec<_>>() {
            self.ask(id);
        }
    }

    /// A play that got no answer from a server that is there asks again after
    /// a while.
    pub(crate) fn retry_play(&mut self) {
        let now = Instant::now();
        let due = |play: &&TrackPlay| play.stage == Stage::WaitingForServer && play.retry_at <= now;
        if self.server_up && self.track_plays().any(|play| due(&play)) {
            self.ask_again();
        }
    }

    pub(crate) fn handle_answer(&mut self, id: PlayId, answer: Answer) {
        let (playing, stream) = match answer {
            Answer::Playing(playing, stream) => (*playing, *stream),
            Answer::Refused(reason) => return self.fail_track(id, PlayError::Refused(reason)),
            Answer::Nonsense(what) => return self.fail_track(id, PlayError::Nonsense(what)),
            Answer::Lost => {
                if let Some(play) = self.track_play_mut(id) {
                    play.stage = Stage::WaitingForServer;
                    play.retry_at = Instant::now() + play.pause;
                    play.pause = (play.pause * 2).min(LONGEST_PAUSE);
                }
                return;
            }
        };
        let Some(track) = self.track_play(id).map(|play| play.track) else { return };
        let signed = playing.manifest.unwrap_or_default();
        let known =
            match KnownTrack::new(&self.neighbourhood.service, track, signed, playing.leases) {
                Ok(known) => known,
                Err(error) => return self.fail_track(id, PlayError::Nonsense(error.to_string())),
            };
        let (library, trouble) = (Arc::clone(&self.library), self.trouble.clone());
        let kept = known.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = library.put(track, &kept) {
                trouble.note(&format!("the track will not be known offline: {error}"));
            }
        });
        let push = playing.push.map(BlockRange::from).filter(|push| !push.is_empty());
        self.begin(id, known, push.map(|push| (push, stream)));
        self.meet_holders(id, &playing.peers);
    }

    /// Puts a track onto the deck, and starts the fetching of what is not there.
    pub(crate) fn begin(
        &mut self,
        id: PlayId,
        known: KnownTrack,
        push: Option<(BlockRange, Stream)>,
    ) {
        let Some(play) = self.track_play_mut(id) else { return };
        play.record.name = known.name();
        play.known = Some(known);
        let (bitrate, from) = (play.bitrate, play.from);
        let opened = match self.open_part(id, bitrate) {
            Ok(opened) => opened,
            Err(error) => return self.fail_track(id, error),
        };
        let push = push.filter(|(_, stream)| stream.is_open());
        let now = self.clock.now();
        if push.is_some() && !self.server_up {
            // Its answer overtook its welcome.
            self.server_up = true;
            self.listener.handle_server_up(now, Duration::from_millis(50));
        }
        let follows = self.program.as_ref().is_some_and(|program| program.now.id != id);
        let Some(program) = &self.program else { return };
        let part = opened.part(id, from, true);
        let gate = match follows {
            false => program.deck.load(part, opened.held.clone()),
            true => program.deck.append(part, opened.held.clone()),
        };
        let pushed = push.as_ref().map(|(blocks, _)| *blocks);
        let play = Play { pushed, ..self.listener_play(id, id, &opened, from) };
        match follows {
            false => self.listener.play(now, play),
            true => self.listener.follow(now, play, Join::Next),
        }
        let Some(play) = self.track_play_mut(id) else { return };
        play.stage = Stage::Playing;
        play.parts = vec![opened.played(id, from, gate)];
        play.count_cached();
        if let Some((blocks, stream)) = push {
            self.take_push(id, blocks, stream);
        }
        if !follows {
            self.bring_next();
        }
    }

    /// Makes ready to fetch and to play one rendition of a track.
    pub(crate) fn open_part(&self, id: PlayId, bitrate: Bitrate) -> Result<OpenedPart, PlayError> {
        let known = self.track_play(id).and_then(|play| play.known.as_ref());
        let known = known.ok_or(PlayError::Ended)?;
        let rendition = known.rendition(bitrate).cloned();
        let rendition = rendition.ok_or_else(|| {
            PlayError::Nonsense(format!("there is no rendition of {bitrate} kbit/s"))
        })?;
        let key = known.key(bitrate, wall_clock_ms());
        let key = key.ok_or_else(|| {
            PlayError::Nonsense(format!("no key for {bitrate} kbit/s came with the answer"))
        })?;
        let blob = rendition.blob();
        let hold = self.store.hold(blob);
        let begun = match self.store.begin(blob, rendition.size()) {
            Err(error @ (BeginError::NoRoom { .. } | BeginError::UnknownVersion(_))) => {
                self.trouble.note(&error);
                self.store.begin_in_memory(blob, rendition.size())
            }
            begun => begun,
        };
        begun.map_err(|error| PlayError::Cache(error.to_string()))?;
        self.store.touch(blob);
        let held = self.store.blocks(blob).unwrap_or_else(|| BlockSet::empty(rendition.size()));
        Ok(OpenedPart { rendition, key: RenditionKey::new(key), held, hold })
    }

    /// A part of a track, as the listener core sees it.
    pub(crate) fn listener_play(
        &self,
        track: PlayId,
        part: PlayId,
        opened: &OpenedPart,
        from: u64,
    ) -> Play {
        let renditions = self.track_play(track).and_then(|play| play.known.as_ref());
        let renditions = renditions.map(|known| known.renditions.as_slice()).unwrap_or_default();
        let rung = |rendition: &Rendition| Rung {
            rendition: rendition.clone(),
            held: self
                .store
                .blocks(rendition.blob())
                .unwrap_or_else(|| BlockSet::empty(rendition.size())),
        };
        Play {
            id: part,
            rendition: opened.rendition.clone(),
            held: opened.held.clone(),
            from,
            speed: self.program.as_ref().map_or(1.0, |program| program.options.speed),
            pushed: None,
            ladder: renditions.iter().map(rung).collect(),
            user: self.program.as_ref().map_or(UserPolicy::Auto, |p| p.options.bitrate),
        }
    }

    fn take_push(&mut self, id: PlayId, blocks: BlockRange, stream: Stream) {
        let Some(to) = self.destination(id) else { return };
        let transfer = Transfer { id: TransferId::PUSH, source: Source::Server, blocks, to };
        let (off, called_off) = oneshot::channel();
        if let Some(play) = self.track_play_mut(id) {
            play.push = Some(off);
        }
        tokio::spawn(transfer.run_push(stream, called_off));
    }

    /// Where blocks of a part go.
    pub(crate) fn destination(&self, id: PlayId) -> Option<Destination> {
        let part = self.track_plays().find_map(|play| play.part(id))?;
        Some(part.destination(&self.store, &self.events))
    }

    /// The blob of a part.
    pub(crate) fn blob_of(&self, id: PlayId) -> Option<BlobId> {
        let part = self.track_plays().find_map(|play| play.part(id))?;
        Some(part.rendition.blob())
    }
}

/// A rendition that is ready to be played.
pub(crate) struct OpenedPart {
    pub(crate) rendition: Rendition,
    key: RenditionKey,
    pub(crate) held: BlockSet,
    hold: Hold,
}

impl OpenedPart {
    /// What the player needs of it, to its end.
    pub(crate) fn part(&self, id: PlayId, from: u64, opens: bool) -> Part {
        let (rendition, key) = (self.rendition.clone(), self.key.clone());
        Part { id, until: rendition.samples(), rendition, key, from, opens }
    }

    pub(crate) fn played(self, id: PlayId, from: u64, gate: Gate) -> PlayedPart {
        let Self { rendition, held, hold, .. } = self;
        PlayedPart { id, rendition, from, gate, cached: held.clone(), counted: held, _hold: hold }
    }
}

impl PlayedPart {
    /// Bytes of it that were in the cache, up to where another part takes over.
    fn cached_bytes(&self, end: Option<u64>) -> u64 {
        let size = self.rendition.size();
        let from = match self.from {
            0 => 0,
            from => self.rendition.seek_offset(from) / u64::from(BLOCK_BYTES),
        };
        let end = end.map_or(size.bytes(), |end| self.rendition.splice_end(end));
        let cached = size.blocks().filter(|block| {
            let audio = u64::from(block.get()) >= from && block.offset() < end;
            let header = block.offset() < u64::from(self.rendition.header_bytes());
            (audio || header) && self.cached.contains(block.get())
        });
        cached.map(|block| u64::from(size.block_bytes(block))).sum()
    }

    fn destination(&self, store: &Store, events: &mpsc::UnboundedSender<Event>) -> Destination {
        Destination {
            play: self.id,
            blob: self.rendition.blob(),
            store: store.clone(),
            gate: self.gate.clone(),
            events: events.clone(),
        }
    }
}

async fn ask_play(
    session: &Session,
    play: proto::Play,
) -> Result<(proto::Playing, Stream), RequestError> {
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

pub(crate) fn media_ms(samples: u64) -> u64 {
    samples * 1000 / u64::from(SAMPLE_RATE)
}
