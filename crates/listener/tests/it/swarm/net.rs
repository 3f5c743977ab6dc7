//! The model: access links that carry a block at a time, fairly among requests,
//! with a delay; messages take the delay alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use antiphon_listener::{
    Config, Grant, Listener, Met, Notice, Output, Play, PlayId, QueryId, Refused, Source,
    TransferId, UserPolicy,
};
use antiphon_types::{
    BLOCK_BYTES, BlobId, BlockRange, BlockSet, Class, NodeId, Rendition, SAMPLE_RATE, Timestamp,
};

use crate::world::{ms, track};

const TICK: Duration = Duration::from_millis(10);
/// What the server sends unasked: so many seconds, of which the first as fast as
/// it can and the rest at four times the bitrate.
const PUSH_SECONDS: u64 = 15;
const UNPACED_SECONDS: u64 = 5;
/// While somebody else begins, only so many seconds as fast as it can.
const SHORT_SECONDS: u64 = 2;
/// Holders that the server names.
const NAMED: usize = 10;

/// How a listener is connected. Without an uplink it serves nobody.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) delay_ms: u64,
}

/// The server, or a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Server,
    Node(usize),
}

#[derive(Debug, Clone)]
enum Message {
    /// To the server: a play.
    Play,
    /// From the server: who holds it, and what follows unasked.
    Playing(Vec<usize>, BlockRange),
    Ask(TransferId, BlockRange, Class),
    Cancel(TransferId),
    CancelPush,
    Refused(TransferId, Refused),
    FindPeers,
    Peers(Vec<usize>),
    Meet(usize),
    Want(Vec<(BlobId, Class)>),
    Have(BlobId, Vec<BlockRange>),
    Query(QueryId, BlobId, u32),
    Hit(QueryId, NodeId),
}

#[derive(Debug, Clone)]
enum Event {
    Start(usize),
    Linked(usize, usize),
    Arrived(Who, usize, Message),
    ToServer(usize, Message),
    Block { from: Who, to: usize, transfer: TransferId, block: u32 },
    SendNext(Who),
}

/// Blocks of one request that are still to be sent.
struct Job {
    to: usize,
    transfer: TransferId,
    blocks: VecDeque<u32>,
    /// Beyond this block no faster than the pace.
    paced_from: u32,
    /// Up to this block its listener has next to nothing yet.
    begins_until: u32,
    not_before: Timestamp,
}

/// One end of an access link, sending.
#[derive(Default)]
struct Uplink {
    rate: u64,
    jobs: VecDeque<Job>,
    busy: bool,
    sent: u64,
}

struct Node {
    listener: Listener,
    access: Access,
    held: BlockSet,
    uplink: Uplink,
    down_free: Timestamp,
    linked: BTreeSet<usize>,
    starts_at: Option<Timestamp>,
    sound_at: Option<Timestamp>,
    position: u64,
    is_stalled: bool,
    stalls: u32,
    received: BTreeMap<Who, u64>,
    serving: BTreeMap<usize, u32>,
    most_served: usize,
}

pub(super) struct Net {
    now: Timestamp,
    rendition: Rendition,
    server: Uplink,
    server_up: bool,
    announced: Vec<usize>,
    nodes: Vec<Node>,
    events: BTreeMap<(Timestamp, u64), Event>,
    event_count: u64,
    random: u64,
    classes: BTreeSet<Class>,
}

const ID: PlayId = PlayId(1);

fn key(n: usize) -> NodeId {
    // In an order that has nothing to do with who came first.
    let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut id = [0x55; 32];
    id[..8].copy_from_slice(&mixed.to_be_bytes());
    NodeId::new(id)
}

impl Net {
    pub(super) fn new(seconds: u64, server_rate: u64, seed: u64) -> Self {
        Self {
            now: Timestamp::from_millis(1_000),
            rendition: track(seconds),
            server: Uplink { rate: server_rate, ..Uplink::default() },
            server_up: true,
            announced: Vec::new(),
            nodes: Vec::new(),
            events: BTreeMap::new(),
            event_count: 0,
            random: seed,
            classes: BTreeSet::new(),
        }
    }

    /// A number below `most`.
    pub(super) fn draw(&mut self, most: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % most
    }

    pub(super) fn add(
        &mut self,
        access: Access,
        config: Config,
        starts_ms: Option<u64>,
        seed: u64,
    ) -> usize {
        let n = self.nodes.len();
        let mut listener = Listener::new(config, seed * 7919 + 1, self.now);
        listener.handle_server_up(self.now, ms(2 * access.delay_ms));
        let starts_at = starts_ms.map(|millis| self.now + ms(millis));
        self.nodes.push(Node {
            listener,
            access,
            held: BlockSet::empty(self.rendition.size()),
            uplink: Uplink { rate: access.up, ..Uplink::default() },
            down_free: Timestamp::ZERO,
            linked: BTreeSet::new(),
            starts_at,
            sound_at: None,
            position: 0,
            is_stalled: false,
            stalls: 0,
            received: BTreeMap::new(),
            serving: BTreeMap::new(),
            most_served: 0,
        });
        if let Some(at) = starts_at {
            self.at(at, Event::Start(n));
        }
        n
    }

    /// One who holds the track whole, and does not play it.
    pub(super) fn add_holder(&mut self, access: Access, config: Config, seed: u64) -> usize {
        let n = self.add(access, config, None, seed);
        self.nodes[n].held = BlockSet::full(self.rendition.size());
        self.announced.push(n);
        n
    }

    pub(super) fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.link(a, b);
            }
        }
    }

    pub(super) fn lose_server(&mut self) {
        self.server_up = false;
        for node in &mut self.nodes {
            node.listener.handle_server_down(self.now);
        }
    }

    /// Until everybody has heard it all and holds it all.
    pub(super) fn run(&mut self) {
        let end = self.now + Duration::from_secs(600);
        while !self.is_over() {
            assert!(self.now < end, "not over: {}", self.summary());
            self.step();
        }
    }

    fn is_over(&self) -> bool {
        self.nodes.iter().all(|node| {
            node.starts_at.is_none()
                || node.position == self.rendition.samples() && node.held.is_full()
        })
    }

    // What is told of it.

    pub(super) fn stalls(&self) -> u32 {
        self.nodes.iter().map(|node| node.stalls).sum()
    }

    pub(super) fn slowest_start_ms(&self) -> u64 {
        let starts = self.nodes.iter().filter_map(|node| {
            let (click, sound) = node.starts_at.zip(node.sound_at)?;
            Some(sound.saturating_since(click).as_millis() as u64)
        });
        starts.max().unwrap_or(0)
    }

    pub(super) fn copies_from_server(&self) -> f64 {
        self.server.sent as f64 / self.rendition.size().bytes() as f64
    }

    pub(super) fn is_whole(&self, n: usize) -> bool {
        self.nodes[n].held.is_full()
    }

    pub(super) fn most_served(&self) -> usize {
        self.nodes.iter().map(|node| node.most_served).max().unwrap_or(0)
    }

    pub(super) fn classes_served(&self) -> &BTreeSet<Class> {
        &self.classes
    }

    pub(super) fn summary(&self) -> String {
        let duplicates: u64 = self.nodes.iter().map(|node| node.listener.counts().duplicates).sum();
        format!(
            "{:.2} copies from the server, {} stalls, slowest start {} ms, {duplicates} duplicates, at {}",
            self.copies_from_server(),
            self.stalls(),
            self.slowest_start_ms(),
            self.now,
        )
    }

    /// What was received was sent, and what is held was received once.
    pub(super) fn check_accounts(&self) {
        let block = u64::from(BLOCK_BYTES);
        let from_server: u64 =
            self.nodes.iter().filter_map(|node| node.received.get(&Who::Server)).sum();
        assert!(from_server <= self.server.sent);
        for (n, node) in self.nodes.iter().enumerate() {
            let received: u64 =
                self.nodes.iter().filter_map(|other| other.received.get(&Who::Node(n))).sum();
            assert!(received <= node.uplink.sent, "listener {n} gave more than it sent");
            let got: u64 = node.received.values().sum();
            let duplicates = node.listener.counts().duplicates;
            if node.starts_at.is_some() {
                let held = u64::from(node.held.len());
                assert_eq!(got, (held + duplicates) * block, "listener {n}: a block too many");
            }
        }
    }

    /// When each clicked and how long it waited, for those who want to look closer.
    pub(super) fn starts(&self) -> Vec<(u64, u64)> {
        let starts = self.nodes.iter().filter_map(|node| {
            let (click, sound) = node.starts_at.zip(node.sound_at)?;
            Some((click.as_micros() / 1_000, sound.saturating_since(click).as_millis() as u64))
        });
        let mut starts: Vec<_> = starts.collect();
        starts.sort_unstable();
        starts
    }

    // The clock.

    fn step(&mut self) {
        let until = self.now + TICK;
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let timeouts = self.nodes.iter().filter_map(|node| node.listener.poll_timeout());
            let next = event.into_iter().chain(timeouts).min().unwrap_or(Timestamp::MAX);
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            for n in 0..self.nodes.len() {
                let now = self.now;
                let listener = &mut self.nodes[n].listener;
                if listener.poll_timeout().is_some_and(|at| at <= now) {
                    listener.handle_timeout(now);
                    self.drain(n);
                }
            }
            while let Some(entry) = self.events.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let event = entry.remove();
                self.happen(event);
            }
        }
        self.now = until;
        for n in 0..self.nodes.len() {
            self.play_on(n);
            self.drain(n);
        }
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.event_count += 1;
        self.events.insert((at, self.event_count), event);
    }

    fn play_on(&mut self, n: usize) {
        let (now, samples) = (self.now, self.rendition.samples());
        let ready = self.decodable(n);
        let node = &mut self.nodes[n];
        if node.listener.current_play().is_none() || node.position == samples {
            return;
        }
        if node.sound_at.is_none() {
            if ready > 0 && node.listener.may_start(now) {
                node.sound_at = Some(now);
                node.listener.handle_position(now, ID, 0, true);
            }
            return;
        }
        let step = TICK.as_micros() as u64 * u64::from(SAMPLE_RATE) / 1_000_000;
        let next = (node.position + step).min(samples);
        if next > ready {
            if !node.is_stalled {
                node.is_stalled = true;
                node.stalls += 1;
                node.listener.handle_stalled(now, ID);
            }
            return;
        }
        if std::mem::take(&mut node.is_stalled) {
            node.listener.handle_resumed(now, ID);
        }
        node.position = next;
        if now.as_micros() % 50_000 == 0 || next == samples {
            node.listener.handle_position(now, ID, next, true);
        }
    }

    /// The sample up to which the decoder has what it needs.
    fn decodable(&self, n: usize) -> u64 {
        let held = &self.nodes[n].held;
        match held.first_missing(0) {
            None => self.rendition.samples(),
            Some(end) => self.rendition.sample_at(u64::from(end) * u64::from(BLOCK_BYTES)),
        }
    }

    // What happens.

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(n) => {
                if self.server_up {
                    self.tell_server(n, Message::Play);
                } else {
                    self.begin(n, &[], None);
                }
            }
            Event::Linked(a, b) => self.link(a, b),
            Event::ToServer(n, message) if self.server_up => self.serve(n, message),
            Event::ToServer(..) => {}
            Event::Arrived(from, to, message) => {
                self.hear(from, to, message);
                self.drain(to);
            }
            Event::Block { from, to, transfer, block } => self.take(from, to, transfer, block),
            Event::SendNext(who) => {
                self.uplink(who).busy = false;
                self.send_next(who);
            }
        }
    }

    fn begin(&mut self, n: usize, holders: &[usize], pushed: Option<BlockRange>) {
        let play = Play {
            id: ID,
            rendition: self.rendition.clone(),
            held: self.nodes[n].held.clone(),
            from: 0,
            speed: 1.0,
            pushed,
            ladder: [].into(),
            user: UserPolicy::Auto,
        };
        let now = self.now;
        self.nodes[n].listener.play(now, play);
        self.name(n, holders);
        self.drain(n);
    }

    /// The server names holders to a listener, who connects to them.
    fn name(&mut self, n: usize, holders: &[usize]) {
        let keys: Vec<NodeId> = holders.iter().map(|holder| key(*holder)).collect();
        let now = self.now;
        self.nodes[n].listener.handle_holders(now, ID, &keys);
        for holder in holders {
            // Connecting, the handshake and the hello take some round trips.
            let delay = self.delay(n, *holder) * 6;
            self.at(now + delay, Event::Linked(n, *holder));
        }
    }

    fn link(&mut self, a: usize, b: usize) {
        if a == b || !self.nodes[a].linked.insert(b) {
            return;
        }
        self.nodes[b].linked.insert(a);
        let rtt = self.delay(a, b) * 2;
        for (one, other, dialled) in [(a, b, true), (b, a, false)] {
            let met = Met { rtt, network: None, dialled };
            let now = self.now;
            self.nodes[one].listener.handle_peer_up(now, key(other), met);
            self.drain(one);
        }
    }

    fn delay(&self, a: usize, b: usize) -> Duration {
        ms(self.nodes[a].access.delay_ms + self.nodes[b].access.delay_ms)
    }

    fn tell_server(&mut self, n: usize, message: Message) {
        let at = self.now + ms(self.nodes[n].access.delay_ms);
        self.at(at, Event::ToServer(n, message));
    }

    fn hear_from_server(&mut self, n: usize, message: Message) {
        let at = self.now + ms(self.nodes[n].access.delay_ms);
        self.at(at, Event::Arrived(Who::Server, n, message));
    }

    fn tell_peer(&mut self, from: usize, to: NodeId, message: Message) {
        let Some(to) = (0..self.nodes.len()).find(|n| key(*n) == to) else { return };
        if self.nodes[from].linked.contains(&to) {
            let at = self.now + self.delay(from, to);
            self.at(at, Event::Arrived(Who::Node(from), to, message));
        }
    }

    fn serve(&mut self, n: usize, message: Message) {
        match message {
            Message::Play => {
                let named = self.holders_for(n);
                let push = self.blocks_until(PUSH_SECONDS);
                self.hear_from_server(n, Message::Playing(named, push));
                let job = Job {
                    to: n,
                    transfer: TransferId::PUSH,
                    blocks: push.iter().collect(),
                    paced_from: self.blocks_until(UNPACED_SECONDS).end,
                    begins_until: self.blocks_until(SHORT_SECONDS).end,
                    not_before: Timestamp::ZERO,
                };
                self.server.jobs.push_back(job);
                self.send_next(Who::Server);
                if !self.announced.contains(&n) {
                    self.announced.push(n);
                }
            }
            Message::FindPeers => {
                let named = self.holders_for(n);
                self.hear_from_server(n, Message::Peers(named));
            }
            Message::Meet(other) => {
                let at = self.now + self.delay(n, other) * 4;
                self.at(at, Event::Linked(n, other));
            }
            message => self.obey(Who::Server, n, &message),
        }
    }

    /// Of the most recent holders, some.
    fn holders_for(&mut self, n: usize) -> Vec<usize> {
        let recent: Vec<usize> =
            self.announced.iter().rev().copied().filter(|other| *other != n).take(20).collect();
        let mut named = recent;
        while named.len() > NAMED {
            let nth = self.draw(named.len() as u64) as usize;
            named.swap_remove(nth);
        }
        named
    }

    fn blocks_until(&self, seconds: u64) -> BlockRange {
        let end = self.rendition.offset_at(seconds * u64::from(SAMPLE_RATE));
        BlockRange::new(0, end.div_ceil(u64::from(BLOCK_BYTES)) as u32)
    }

    fn hear(&mut self, from: Who, to: usize, message: Message) {
        let now = self.now;
        let listener = &mut self.nodes[to].listener;
        match (from, message) {
            (_, Message::Playing(named, push)) => self.begin(to, &named, Some(push)),
            (_, Message::Peers(named)) => self.name(to, &named),
            (_, Message::Refused(transfer, why)) => listener.handle_refused(now, transfer, why),
            (Who::Node(from), Message::Want(wants)) => {
                listener.handle_want(now, key(from), &wants);
            }
            (Who::Node(from), Message::Have(blob, ranges)) => {
                listener.handle_have(now, key(from), blob, ranges);
            }
            (Who::Node(from), Message::Query(id, blob, hops)) => {
                let held = !self.nodes[to].held.is_empty();
                self.nodes[to].listener.handle_query(now, key(from), id, blob, hops, held);
            }
            (Who::Node(from), Message::Hit(id, holder)) => {
                listener.handle_hit(now, key(from), id, holder);
            }
            (Who::Node(from), message) => self.obey(Who::Node(to), from, &message),
            (Who::Server, _) => {}
        }
    }

    /// A source gets a request, or hears that it is not wanted any more.
    fn obey(&mut self, source: Who, from: usize, message: &Message) {
        match *message {
            Message::Ask(transfer, blocks, class) => {
                self.ask(source, from, transfer, blocks, class);
            }
            Message::Cancel(transfer) => self.end_job(source, from, transfer),
            Message::CancelPush => self.end_job(source, from, TransferId::PUSH),
            _ => {}
        }
    }

    fn ask(
        &mut self,
        source: Who,
        from: usize,
        transfer: TransferId,
        blocks: BlockRange,
        class: Class,
    ) {
        if let Who::Node(n) = source {
            let now = self.now;
            let node = &mut self.nodes[n];
            let has = node.access.up > 0 && blocks.iter().all(|block| node.held.contains(block));
            let grant = match has {
                true => Ok(node.listener.request_upload(now, key(from), class)),
                false => Err(Refused::NotHeld),
            };
            let refused = match grant {
                Ok(Grant::Served) => None,
                Ok(Grant::Busy { retry_after }) => Some(Refused::Choked { retry_after }),
                Err(refused) => Some(refused),
            };
            if let Some(refused) = refused {
                self.tell_peer(n, key(from), Message::Refused(transfer, refused));
                return self.drain(n);
            }
            self.classes.insert(class);
            let node = &mut self.nodes[n];
            *node.serving.entry(from).or_default() += 1;
            node.most_served = node.most_served.max(node.serving.len());
        }
        let blocks: VecDeque<u32> = blocks.iter().collect();
        let job = Job {
            to: from,
            transfer,
            blocks,
            paced_from: u32::MAX,
            begins_until: 0,
            not_before: Timestamp::ZERO,
        };
        self.uplink(source).jobs.push_back(job);
        self.send_next(source);
    }

    fn end_job(&mut self, source: Who, to: usize, transfer: TransferId) {
        let uplink = self.uplink(source);
        let before = uplink.jobs.len();
        uplink.jobs.retain(|job| job.to != to || job.transfer != transfer);
        let ended = uplink.jobs.len() < before;
        match source {
            Who::Node(n) if ended => self.upload_ended(n, to),
            Who::Server if transfer == TransferId::PUSH => {
                let now = self.now;
                self.nodes[to].listener.handle_push_ended(now, ID);
                self.drain(to);
            }
            _ => {}
        }
    }

    fn upload_ended(&mut self, n: usize, to: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        if let Some(count) = node.serving.get_mut(&to) {
            *count -= 1;
            if *count == 0 {
                node.serving.remove(&to);
            }
        }
        node.listener.handle_upload_ended(now, key(to));
        self.drain(n);
    }

    fn uplink(&mut self, who: Who) -> &mut Uplink {
        match who {
            Who::Server => &mut self.server,
            Who::Node(n) => &mut self.nodes[n].uplink,
        }
    }

    /// Sends the next block: requests take turns.
    fn send_next(&mut self, who: Who) {
        let now = self.now;
        let block_ms = 1_000 * u64::from(BLOCK_BYTES) * 8 / 160_000;
        let uplink = self.uplink(who);
        if uplink.busy || uplink.rate == 0 {
            return;
        }
        let Some(nth) = uplink.jobs.iter().position(|job| job.not_before <= now) else {
            let next = uplink.jobs.iter().map(|job| job.not_before).min();
            if let Some(at) = next {
                uplink.busy = true;
                self.at(at, Event::SendNext(who));
            }
            return;
        };
        let Some(mut job) = uplink.jobs.remove(nth) else { return };
        let (to, transfer) = (job.to, job.transfer);
        let Some(block) = job.blocks.pop_front() else { return };
        let begins = |job: &Job| job.blocks.front().is_some_and(|next| *next < job.begins_until);
        let others = uplink.jobs.iter().any(begins);
        if others && transfer == TransferId::PUSH && block + 1 >= job.begins_until {
            job.not_before = now + ms(block_ms * 2 / 3);
        } else if block + 1 >= job.paced_from {
            job.not_before = now + ms(block_ms / 4);
        }
        let over = job.blocks.is_empty();
        if !over {
            uplink.jobs.push_back(job);
        }
        let takes = Duration::from_micros(u64::from(BLOCK_BYTES) * 1_000_000 / uplink.rate);
        uplink.busy = true;
        uplink.sent += u64::from(BLOCK_BYTES);
        let sent_at = now + takes;
        self.at(sent_at, Event::SendNext(who));
        let delay = match who {
            Who::Server => ms(self.nodes[to].access.delay_ms),
            Who::Node(n) => self.delay(n, to),
        };
        let receiver = &mut self.nodes[to];
        let takes =
            Duration::from_micros(u64::from(BLOCK_BYTES) * 1_000_000 / receiver.access.down);
        let arrives = (sent_at + delay).max(receiver.down_free + takes);
        receiver.down_free = arrives;
        self.at(arrives, Event::Block { from: who, to, transfer, block });
        if let (Who::Node(n), true) = (who, over) {
            self.upload_ended(n, to);
        }
    }

    fn take(&mut self, from: Who, to: usize, transfer: TransferId, block: u32) {
        let now = self.now;
        let node = &mut self.nodes[to];
        *node.received.entry(from).or_default() += u64::from(BLOCK_BYTES);
        node.held.insert(block);
        let source = match from {
            Who::Server => Source::Server,
            Who::Node(n) => Source::Peer(key(n)),
        };
        node.listener.handle_block(now, ID, source, transfer, block, BLOCK_BYTES);
        let last = transfer == TransferId::PUSH
            && !self.server.jobs.iter().any(|job| job.to == to && job.transfer == transfer);
        if last {
            self.nodes[to].listener.handle_push_ended(now, ID);
        }
        self.drain(to);
    }

    /// Does what a listener decided.
    fn drain(&mut self, n: usize) {
        while let Some(output) = self.nodes[n].listener.poll_output(self.now) {
            match output {
                Output::Fetch { transfer, source, blocks, class, .. } => {
                    self.tell_source(n, source, Message::Ask(transfer, blocks, class));
                }
                Output::Cancel { transfer, source } => {
                    self.tell_source(n, source, Message::Cancel(transfer));
                }
                Output::CancelPush { .. } => self.tell_server(n, Message::CancelPush),
                Output::FindPeers { .. } => self.tell_server(n, Message::FindPeers),
                Output::Meet { peer, .. } => {
                    if let Some(other) = (0..self.nodes.len()).find(|n| key(*n) == peer) {
                        self.tell_server(n, Message::Meet(other));
                    }
                }
                Output::Tell { peer, notice: Notice::Want } => {
                    let wanted = self.nodes[n].listener.mesh().wanted();
                    let wants = wanted.iter().map(|want| (want.blob, want.class)).collect();
                    self.tell_peer(n, peer, Message::Want(wants));
                }
                Output::Tell { peer, notice: Notice::Have { blob } } => {
                    let node = &self.nodes[n];
                    if node.access.up > 0 && !node.held.is_empty() {
                        let ranges = node.held.ranges().take(64).collect();
                        self.tell_peer(n, peer, Message::Have(blob, ranges));
                    }
                }
                Output::Tell { peer, notice: Notice::Query { id, blob, hops } } => {
                    self.tell_peer(n, peer, Message::Query(id, blob, hops));
                }
                Output::Tell { peer, notice: Notice::Hit { id, holder } } => {
                    self.tell_peer(n, peer, Message::Hit(id, holder.unwrap_or(key(n))));
                }
                Output::CutUpload { peer, .. } => {
                    if let Some(to) = (0..self.nodes.len()).find(|n| key(*n) == peer) {
                        self.nodes[n].uplink.jobs.retain(|job| job.to != to);
                        self.nodes[n].serving.remove(&to);
                    }
                }
                Output::DropPeer { peer, reason } => panic!("{peer:?} is dropped: {reason:?}"),
                Output::Switch { .. } | Output::Decided(_) => {}
            }
        }
    }

    fn tell_source(&mut self, n: usize, source: Source, message: Message) {
        match source {
            Source::Server => self.tell_server(n, message),
            Source::Peer(peer) => self.tell_peer(n, peer, message),
        }
    }
}
