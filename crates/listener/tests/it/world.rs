//! A small world around one listener: links with a rate and a round trip, a
//! sink that really needs the bytes it plays, and a virtual clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use antiphon_listener::{
    Config, DropReason, Listener, Output, Play, PlayId, Refused, Source, TransferId, UserPolicy,
};
use antiphon_types::{
    BLOCK_BYTES, Bitrate, BlobId, BlobSize, BlockRange, BlockSet, Class, NodeId, Rendition,
    SAMPLE_RATE, Segment, Timestamp,
};

pub(crate) const TICK: Duration = Duration::from_millis(10);
pub(crate) const ID: PlayId = PlayId(1);

pub(crate) fn peer(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A track at 160 kbit/s whose segments differ in size, as music does.
pub(crate) fn track(seconds: u64) -> Rendition {
    let header = 5_000;
    let (mut offset, mut segments) = (header, Vec::new());
    for i in 0..seconds.div_ceil(10) {
        let sample = i * Rendition::SEGMENT_SAMPLES;
        segments.push(Segment { offset, sample: sample.saturating_sub(500 * i.min(1)) });
        let left = (seconds - i * 10).min(10);
        offset += left * if i % 2 == 0 { 22_000 } else { 18_000 };
    }
    let size = BlobSize::new(offset).unwrap();
    let samples = seconds * u64::from(SAMPLE_RATE);
    let blob = BlobId::new([9; 32]);
    Rendition::new(Bitrate::Kbps160, blob, size, header as u32, samples, segments).unwrap()
}

pub(crate) struct Link {
    pub(crate) rtt: Duration,
    pub(crate) rate: u64,
    pub(crate) frozen: bool,
    /// Sends altered bytes from the n-th block on.
    pub(crate) corrupt_after: Option<u32>,
    queue: VecDeque<(TransferId, u32)>,
    sending_until: Option<Timestamp>,
    pub(crate) sent: u32,
}

#[derive(Clone, Copy)]
enum Event {
    Asked(Source, TransferId, BlockRange),
    Cancelled(Source, TransferId),
    Sent(Source),
    Arrived(Source, TransferId, u32, bool),
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) listener: Listener,
    pub(crate) rendition: Rendition,
    pub(crate) links: BTreeMap<Source, Link>,
    pub(crate) held: BTreeSet<u32>,
    pub(crate) asked: Vec<(Source, u32, Class)>,
    /// Holders that the tracker names when the play begins, beside those with a link.
    pub(crate) named: Vec<NodeId>,
    pub(crate) log: Vec<(Timestamp, Output)>,
    pub(crate) dropped: Vec<(NodeId, DropReason)>,
    pub(crate) received: BTreeMap<Source, u32>,
    pub(crate) stalls: u32,
    pub(crate) position: u64,
    pub(crate) playing: bool,
    pub(crate) started_at: Option<Timestamp>,
    /// Farthest that the server was asked ahead of the position, media time.
    pub(crate) server_ahead: Duration,
    speed: u64,
    stalled: bool,
    ticks: u64,
    /// Requests that their source refused: nothing comes of them.
    refused: BTreeSet<TransferId>,
    events: BTreeMap<(Timestamp, u64), Event>,
    event_count: u64,
}

impl World {
    pub(crate) fn new(seconds: u64) -> Self {
        Self::with(seconds, Config::default(), 1)
    }

    pub(crate) fn with(seconds: u64, config: Config, seed: u64) -> Self {
        let now = Timestamp::from_millis(1_000);
        Self {
            now,
            listener: Listener::new(config, seed, now),
            rendition: track(seconds),
            links: BTreeMap::new(),
            held: BTreeSet::new(),
            asked: Vec::new(),
            named: Vec::new(),
            log: Vec::new(),
            dropped: Vec::new(),
            received: BTreeMap::new(),
            stalls: 0,
            position: 0,
            playing: false,
            started_at: None,
            server_ahead: Duration::ZERO,
            speed: 1,
            stalled: false,
            ticks: 0,
            refused: BTreeSet::new(),
            events: BTreeMap::new(),
            event_count: 0,
        }
    }

    pub(crate) fn server(mut self, rtt_ms: u64, rate: u64) -> Self {
        self.connect(Source::Server, rtt_ms, rate);
        self
    }

    pub(crate) fn peer(mut self, n: u8, rtt_ms: u64, rate: u64) -> Self {
        self.connect(Source::Peer(peer(n)), rtt_ms, rate);
        self
    }

    pub(crate) fn connect(&mut self, source: Source, rtt_ms: u64, rate: u64) {
        let link = Link {
            rtt: ms(rtt_ms),
            rate,
            frozen: false,
            corrupt_after: None,
            queue: VecDeque::new(),
            sending_until: None,
            sent: 0,
        };
        self.links.insert(source, link);
        match source {
            Source::Server => self.listener.handle_server_up(self.now, ms(rtt_ms)),
            Source::Peer(peer) => {
                self.listener.handle_peer_up(self.now, peer, ms(rtt_ms));
                self.listener.handle_holders(self.now, ID, &[peer]);
            }
        }
    }

    pub(crate) fn disconnect(&mut self, source: Source) {
        self.links.remove(&source);
        match source {
            Source::Server => self.listener.handle_server_down(self.now),
            Source::Peer(peer) => self.listener.handle_peer_down(self.now, peer),
        }
    }

    pub(crate) fn link(&mut self, source: Source) -> &mut Link {
        self.links.get_mut(&source).expect("the link is there")
    }

    pub(crate) fn play(&mut self, speed: u64, held: &[u32], pushed: Option<BlockRange>) {
        self.speed = speed;
        self.held = held.iter().copied().collect();
        let mut set = BlockSet::empty(self.rendition.size());
        for block in held {
            set.insert(*block);
        }
        let rendition = self.rendition.clone();
        let speed = speed as f64;
        self.listener.play(
            self.now,
            Play {
                id: ID,
                rendition,
                held: set,
                from: 0,
                speed,
                pushed,
                ladder: [].into(),
                user: UserPolicy::Auto,
            },
        );
        let linked = self.links.keys().filter_map(|source| match source {
            Source::Peer(peer) => Some(*peer),
            Source::Server => None,
        });
        let holders: Vec<NodeId> = linked.chain(self.named.iter().copied()).collect();
        self.listener.handle_holders(self.now, ID, &holders);
        if let Some(range) = pushed {
            let missing = range.iter().filter(|block| !held.contains(block));
            let queue = missing.map(|block| (TransferId::PUSH, block)).collect();
            self.link(Source::Server).queue = queue;
            self.send_next(Source::Server);
        }
        self.drain();
    }

    /// The blocks of the first 15 s.
    pub(crate) fn first_seconds(&self) -> BlockRange {
        let end = self.rendition.offset_at(15 * u64::from(SAMPLE_RATE));
        BlockRange::new(0, end.div_ceil(u64::from(BLOCK_BYTES)) as u32)
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            self.step();
        }
    }

    /// Until everything is held and played, at most five minutes.
    pub(crate) fn run_to_the_end(&mut self) {
        for _ in 0..30_000 {
            if self.is_over() {
                return;
            }
            self.step();
        }
        panic!("not over: at sample {}, {} blocks held", self.position, self.held.len());
    }

    pub(crate) fn is_over(&self) -> bool {
        self.position == self.rendition.samples()
            && self.held.len() as u32 == self.rendition.size().block_count()
    }

    pub(crate) fn given_by_server(&self) -> u32 {
        self.received.get(&Source::Server).copied().unwrap_or(0)
    }

    pub(crate) fn given_by_peer(&self, n: u8) -> u32 {
        self.received.get(&Source::Peer(peer(n))).copied().unwrap_or(0)
    }

    /// One tick of the sink's clock, and all events up to it.
    fn step(&mut self) {
        let until = self.now + TICK;
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.listener.poll_timeout();
            let next = event.into_iter().chain(timeout).min().unwrap_or(Timestamp::MAX);
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            if timeout.is_some_and(|at| at <= self.now) {
                self.listener.handle_timeout(self.now);
            }
            while let Some(entry) = self.events.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let event = entry.remove();
                self.happen(event);
            }
            self.drain();
            let again = self.listener.poll_timeout();
            assert!(again.is_none_or(|at| at > self.now), "a timer that fires for ever");
        }
        self.now = until;
        self.tick_sink();
        self.drain();
    }

    fn tick_sink(&mut self) {
        self.ticks += 1;
        let ready = self.decodable();
        if self.started_at.is_none() && ready > 0 {
            self.started_at = Some(self.now);
            self.playing = true;
            self.listener.handle_position(self.now, ID, 0, true);
        }
        if !self.playing || self.position == self.rendition.samples() {
            return;
        }
        let step = TICK.as_micros() as u64 * u64::from(SAMPLE_RATE) * self.speed / 1_000_000;
        let next = (self.position + step).min(self.rendition.samples());
        if next <= ready {
            if self.stalled {
                self.stalled = false;
                self.listener.handle_resumed(self.now, ID);
            }
            self.position = next;
        } else if !self.stalled {
            self.stalled = true;
            self.stalls += 1;
            self.listener.handle_stalled(self.now, ID);
        }
        if self.ticks.is_multiple_of(5) || self.position == self.rendition.samples() {
            self.listener.handle_position(self.now, ID, self.position, !self.stalled);
        }
    }

    /// The sample up to which the decoder has what it needs.
    fn decodable(&self) -> u64 {
        let end = (0..).find(|block| !self.held.contains(block)).unwrap_or(0);
        if end == self.rendition.size().block_count() {
            return self.rendition.samples();
        }
        self.rendition.sample_at(u64::from(end) * u64::from(BLOCK_BYTES))
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.listener.poll_output(self.now) {
            self.log.push((self.now, output));
            match output {
                Output::Fetch { transfer, source, blocks, class, .. } => {
                    self.check_fetch(source, blocks);
                    self.asked.extend(blocks.iter().map(|block| (source, block, class)));
                    self.later(source, Event::Asked(source, transfer, blocks));
                }
                Output::Cancel { transfer, source } => {
                    self.later(source, Event::Cancelled(source, transfer));
                }
                Output::CancelPush { .. } => {
                    let source = Source::Server;
                    self.later(source, Event::Cancelled(source, TransferId::PUSH));
                }
                Output::DropPeer { peer, reason } => {
                    self.dropped.push((peer, reason));
                    self.links.remove(&Source::Peer(peer));
                }
                Output::FindPeers { .. }
                | Output::Meet { .. }
                | Output::Tell { .. }
                | Output::CutUpload { .. }
                | Output::Switch { .. }
                | Output::Decided(_) => {}
            }
        }
    }

    fn check_fetch(&mut self, source: Source, blocks: BlockRange) {
        assert!(!blocks.is_empty(), "an empty request");
        assert!(blocks.end <= self.rendition.size().block_count(), "beyond the blob");
        for block in blocks.iter() {
            assert!(!self.held.contains(&block), "block {block} is held");
        }
        if source == Source::Server && self.position < self.rendition.samples() {
            let sample = self.rendition.sample_at(u64::from(blocks.end - 1) * 16_384);
            let ahead = sample.saturating_sub(self.position) * 1_000 / u64::from(SAMPLE_RATE);
            self.server_ahead = self.server_ahead.max(ms(ahead));
        }
    }

    fn later(&mut self, source: Source, event: Event) {
        let Some(link) = self.links.get(&source) else { return };
        self.at(self.now + link.rtt / 2, event);
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.event_count += 1;
        self.events.insert((at, self.event_count), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Asked(_, id, _) | Event::Arrived(_, id, ..) if self.refused.contains(&id) => {}
            Event::Asked(source, transfer, blocks) => {
                let Some(link) = self.links.get_mut(&source) else { return };
                link.queue.extend(blocks.iter().map(|block| (transfer, block)));
                self.send_next(source);
            }
            Event::Cancelled(source, transfer) => {
                let Some(link) = self.links.get_mut(&source) else { return };
                link.queue.retain(|(queued, _)| *queued != transfer);
                if transfer == TransferId::PUSH {
                    self.listener.handle_push_ended(self.now, ID);
                }
            }
            Event::Sent(source) => {
                let Some(link) = self.links.get_mut(&source) else { return };
                link.sending_until = None;
                self.send_next(source);
            }
            Event::Arrived(source, transfer, block, good) => {
                self.arrive(source, transfer, block, good);
            }
        }
    }

    pub(crate) fn send_next(&mut self, source: Source) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&source) else { return };
        if link.frozen || link.sending_until.is_some() {
            return;
        }
        let Some((transfer, block)) = link.queue.pop_front() else { return };
        let sent_at = now + Duration::from_micros(16_384 * 1_000_000 / link.rate);
        link.sending_until = Some(sent_at);
        let good = link.corrupt_after.is_none_or(|after| link.sent < after);
        link.sent += 1;
        let arrives = sent_at + link.rtt / 2;
        self.at(sent_at, Event::Sent(source));
        self.at(arrives, Event::Arrived(source, transfer, block, good));
    }

    fn arrive(&mut self, source: Source, transfer: TransferId, block: u32, good: bool) {
        // What a link had sent arrives even if it froze since, but not through
        // a link that is gone.
        if !self.links.contains_key(&source) {
            return;
        }
        if !good {
            self.listener.handle_bad_block(self.now, ID, source, transfer, block);
            return;
        }
        if self.held.insert(block) {
            *self.received.entry(source).or_default() += 1;
        }
        self.listener.handle_block(self.now, ID, source, transfer, block, BLOCK_BYTES);
        let push = self
            .links
            .get(&Source::Server)
            .map(|link| link.queue.iter().filter(|(id, _)| *id == TransferId::PUSH).count());
        if transfer == TransferId::PUSH && push == Some(0) {
            self.listener.handle_push_ended(self.now, ID);
        }
    }

    pub(crate) fn refuse(&mut self, source: Source, reason: Refused) {
        let of_source = self.listener.transfers().filter(|transfer| transfer.source == source);
        let ids = of_source.map(|transfer| transfer.transfer).collect::<Vec<_>>();
        for id in ids {
            if let Some(link) = self.links.get_mut(&source) {
                link.queue.retain(|(queued, _)| *queued != id);
            }
            self.refused.insert(id);
            self.listener.handle_refused(self.now, id, reason);
        }
        self.drain();
    }
}
