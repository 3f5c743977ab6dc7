use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use antiphon_mesh::{DropReason, Grant, Mesh, Met, RateMeter};
use antiphon_playback::{Playout, Throughput};
use antiphon_types::{BlockRange, Class, NodeId, Timestamp};

use crate::Config;
use crate::decide::Decisions;
use crate::event::{Counts, Join, Output, Play, PlayId, Reason, Refused, Source, TransferId};
use crate::pipe::{Outlook, Pipe, Server};
use crate::play::{CurrentPlay, Holder, Transfer, Turn};
use crate::timers::Timers;

/// What one listener's node decides: which source gives which block, and whom
/// it serves itself.
///
/// Planning is lazy: `handle_*` and commands note what happened, and the next
/// [`Listener::poll_output`] makes one plan for all of it.
#[derive(Debug)]
pub struct Listener {
    pub(crate) config: Config,
    /// Breaks ties between equal peers, differently in each listener.
    pub(crate) salt: u64,
    pub(crate) now: Timestamp,
    pub(crate) server_up: bool,
    pub(crate) server: Server,
    pub(crate) mesh: Mesh,
    /// One for each neighbour.
    pub(crate) pipes: BTreeMap<NodeId, Pipe>,
    /// What sounds. While a plan is made for what follows it, that is here
    /// instead ([`Listener::with_play`]).
    pub(crate) play: Option<CurrentPlay>,
    /// What follows, in order: other renditions of the same track, then the next
    /// track. Empty if nothing sounds.
    pub(crate) ahead: Vec<CurrentPlay>,
    /// What all sources deliver together.
    pub(crate) link: Throughput,
    pub(crate) decisions: Decisions,
    pub(crate) next_transfer: u64,
    pub(crate) searches: u64,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) timers: Timers,
    /// Something happened since the last plan.
    pub(crate) dirty: bool,
    pub(crate) counts: Counts,
}

impl Listener {
    /// A listener without server, peers or play. Equal configurations, seeds
    /// and inputs give equal outputs.
    pub fn new(config: Config, seed: u64, now: Timestamp) -> Self {
        let server = Server {
            rtt: Duration::ZERO,
            meter: RateMeter::new(config.server_prior_rate),
            pipe: Pipe::default(),
        };
        Self {
            mesh: Mesh::new(config.mesh.clone()),
            link: Throughput::new(config.link_prior_rate, config.learned.clone()),
            decisions: Decisions::default(),
            config,
            salt: seed,
            now,
            server_up: false,
            server,
            pipes: BTreeMap::new(),
            play: None,
            ahead: Vec::new(),
            next_transfer: TransferId::PUSH.0 + 1,
            searches: 0,
            outputs: VecDeque::new(),
            timers: Timers::default(),
            dirty: false,
            counts: Counts::default(),
        }
    }

    // What is there.

    /// The session with the server stands, or its round-trip time changed.
    pub fn handle_server_up(&mut self, now: Timestamp, rtt: Duration) {
        self.wake(now);
        self.server.rtt = rtt;
        if !self.server_up {
            self.server_up = true;
            self.server.pipe = Pipe::default();
        }
    }

    /// The session is gone, and with it whatever was on its way.
    pub fn handle_server_down(&mut self, now: Timestamp) {
        self.wake(now);
        self.server_up = false;
        self.take_back_all(Source::Server, false);
    }

    /// A link to a peer stands, or its round-trip time changed.
    pub fn handle_peer_up(&mut self, now: Timestamp, peer: NodeId, met: impl Into<Met>) {
        self.wake(now);
        self.mesh.handle_peer_up(self.now, peer, met);
        if self.mesh.neighbour(peer).is_some() {
            self.pipes.entry(peer).or_default();
        }
        self.drain_mesh();
    }

    /// The link to a peer is gone, and with it whatever was on its way.
    pub fn handle_peer_down(&mut self, now: Timestamp, peer: NodeId) {
        self.wake(now);
        self.mesh.handle_peer_down(self.now, peer);
        self.forget_peer(peer);
    }

    // Plays.

    /// Plays a track; a play before it is stopped.
    ///
    /// Say it as soon as the rendition is known. If the server sends the first
    /// seconds unasked, `pushed` tells which blocks; they then count as on
    /// their way until they come or [`Listener::handle_push_ended`].
    pub fn play(&mut self, now: Timestamp, play: Play) {
        self.wake(now);
        let all = play.rendition.size().all();
        let pushed = play.pushed;
        let mut next = self.new_play(play, Turn::Now);
        // Peers are named with the answer that brought this play.
        next.find_peers_at = self.now + self.config.find_peers_interval;
        self.stop_all();
        self.play = Some(next);
        if !self.server_up {
            self.suspect_neighbours();
        }
        if let Some(pushed) = pushed.filter(|_| self.server_up) {
            self.expect_push(BlockRange::new(pushed.start, pushed.end.min(all.end)));
        }
    }

    /// What sounds next, after everything that was said so far: another
    /// rendition of the track that plays, or the next track. Without a current
    /// play it is that.
    pub fn follow(&mut self, now: Timestamp, play: Play, join: Join) {
        if self.play.is_none() {
            return self.play(now, play);
        }
        self.wake(now);
        let turn = match join {
            Join::Splice { .. } => Turn::Now,
            Join::Next => Turn::Next,
        };
        let next = self.new_play(play, turn);
        let Join::Splice { at } = join else {
            return self.ahead.push(next);
        };
        let nth = self.ahead.iter().take_while(|play| play.turn == Turn::Now).count();
        let now = self.now;
        let before = match nth.checked_sub(1) {
            Some(before) => self.ahead.get_mut(before),
            None => self.play.as_mut(),
        };
        if let Some(before) = before {
            before.playout.end_at(now, at);
            let id = before.id;
            self.with_play(id, Self::take_back_unneeded);
        }
        self.ahead.insert(nth, next);
    }

    /// Ends a play; what is on its way for it is cancelled. If it is what
    /// sounds, what follows takes its place.
    pub fn stop(&mut self, now: Timestamp, id: PlayId) {
        self.wake(now);
        if self.is_current(id) {
            self.stop_current();
            self.take_next();
        } else {
            self.with_play(id, Self::take_back_transfers);
            self.ahead.retain(|play| play.id != id);
        }
    }

    /// The sink reports that `sample` is the next it consumes, and whether it
    /// is consuming.
    pub fn handle_position(&mut self, now: Timestamp, id: PlayId, sample: u64, running: bool) {
        self.wake(now);
        let now = self.now;
        self.come_to(id);
        if let Some(play) = self.play.as_mut().filter(|play| play.id == id) {
            play.turn = Turn::Now;
            play.playout.handle_position(now, sample, running);
        }
    }

    /// The decoder cannot do without this block of a play.
    pub fn handle_needed(&mut self, now: Timestamp, id: PlayId, block: u32) {
        self.wake(now);
        let now = self.now;
        let Some(play) = self.current(id) else { return };
        play.playout.handle_asked(now, block);
        // Its turn is now, whatever else is on its way.
        let wanted = block < play.taken.block_count() && !play.taken.contains(block);
        if wanted && self.server_usable(now) {
            let blocks = BlockRange::new(block, block + 1);
            self.with_play(id, |listener| {
                listener.ask(Source::Server, blocks, Reason::DueTooSoon);
            });
        }
    }

    /// The sink has nothing to consume.
    pub fn handle_stalled(&mut self, now: Timestamp, id: PlayId) {
        self.wake(now);
        let now = self.now;
        if let Some(play) = self.current(id) {
            play.playout.handle_stalled(now);
        }
    }

    /// The sink consumes again.
    pub fn handle_resumed(&mut self, now: Timestamp, id: PlayId) {
        self.wake(now);
        let now = self.now;
        if let Some(play) = self.current(id) {
            play.playout.handle_resumed(now);
        }
    }

    /// These peers hold the whole blob of the play, in addition to those named
    /// before, says the tracker; what one says itself ([`Listener::handle_have`])
    /// counts for more. They need not be connected yet; one that
    /// refuses as [`Refused::NotHeld`] is left alone for a while.
    pub fn handle_holders(&mut self, now: Timestamp, id: PlayId, peers: &[NodeId]) {
        self.wake(now);
        let (most, until) = (self.config.holders, self.now + self.config.peers_expected);
        if let Some(play) = self.current(id) {
            for peer in peers {
                if play.holders.contains_key(peer) || play.holders.len() >= most {
                    continue;
                }
                play.holders.insert(*peer, Holder::default());
                play.peers_expected_until = until;
            }
        }
    }

    // Transfers.

    /// A block came, was verified and is stored.
    pub fn handle_block(
        &mut self,
        now: Timestamp,
        id: PlayId,
        source: Source,
        transfer: TransferId,
        block: u32,
        bytes: u32,
    ) {
        self.wake(now);
        // A second copy of a block is a delivery too: it was asked for when the
        // first was late. That nobody sends one unasked is the owner's to see.
        self.credit(source, bytes);
        let now = self.now;
        let Some(play) = self.current(id) else {
            self.counts.stale += 1;
            return;
        };
        if !play.playout.handle_block(now, block) {
            self.counts.duplicates += 1;
            return;
        }
        play.taken.insert(block);
        play.tried.remove(&block);
        let blob = play.blob();
        match source {
            Source::Server => play.server_bytes += u64::from(bytes),
            Source::Peer(peer) => {
                if let Some(holder) = play.holders.get_mut(&peer) {
                    holder.blocks = holder.blocks.saturating_add(1);
                    holder.bytes += u64::from(bytes);
                }
            }
        }
        self.with_play(id, |listener| listener.land(block, transfer));
        self.handle_gained(now, blob);
    }

    /// A block that was held turns out to be damaged or gone: it is wanted
    /// again.
    pub fn handle_lost(&mut self, now: Timestamp, id: PlayId, block: u32) {
        self.wake(now);
        let now = self.now;
        if let Some(play) = self.current(id)
            && play.playout.handle_lost(now, block)
            && !play.flights.contains_key(&block)
        {
            play.taken.remove(block);
        }
    }

    /// The source will not send what is still missing of a transfer.
    ///
    /// For the push say [`Listener::handle_push_ended`] instead.
    pub fn handle_refused(&mut self, now: Timestamp, transfer: TransferId, reason: Refused) {
        self.wake(now);
        if transfer == TransferId::PUSH {
            return;
        }
        let owner = self.plays().find(|play| play.transfers.contains_key(&transfer));
        if let Some(id) = owner.map(|play| play.id) {
            self.with_play(id, |listener| listener.refuse(transfer, reason));
        }
    }

    fn refuse(&mut self, transfer: TransferId, reason: Refused) {
        let Some((gone, owed)) = self.take_back(transfer, false) else { return };
        match reason {
            Refused::Choked { retry_after } => self.choke(gone.source, retry_after),
            Refused::NotHeld => self.not_held(gone.source),
            Refused::Failed => {
                self.note_tried(gone.source, &owed);
                self.fail(gone.source);
            }
            Refused::Unasked => {
                self.note_tried(gone.source, &owed);
                self.fail(gone.source);
                self.note_unasked(gone.source);
            }
        }
    }

    /// Once may be a mistake. A peer that goes on is banned and dropped.
    fn note_unasked(&mut self, source: Source) {
        let Source::Peer(peer) = source else { return };
        self.counts.unasked_from_peers += 1;
        let Some(pipe) = self.pipes.get_mut(&peer) else { return };
        pipe.unasked += 1;
        if pipe.unasked > self.config.unasked_most {
            self.mesh.ban(self.now, peer, DropReason::UnaskedBlocks);
            self.forget_peer(peer);
            self.drain_mesh();
        }
    }

    /// A block came that did not verify. A peer that sent it is banned and
    /// dropped; the server is asked for it again after a pause.
    pub fn handle_bad_block(
        &mut self,
        now: Timestamp,
        id: PlayId,
        source: Source,
        transfer: TransferId,
        block: u32,
    ) {
        self.wake(now);
        match source {
            Source::Peer(peer) => {
                self.counts.bad_from_peers += 1;
                self.mesh.ban(self.now, peer, DropReason::BadBlock);
                self.forget_peer(peer);
                self.drain_mesh();
            }
            Source::Server => {
                self.counts.bad_from_server += 1;
                self.fail(Source::Server);
                self.with_play(id, |listener| listener.take_back_block(block, transfer));
            }
        }
    }

    /// The server's push ended or was cut: what is missing of it is wanted.
    pub fn handle_push_ended(&mut self, now: Timestamp, id: PlayId) {
        self.wake(now);
        self.with_play(id, |listener| listener.take_back(TransferId::PUSH, false));
    }

    // Uploads.

    /// A peer asks for blocks, one request. Nobody is served while the own
    /// play is in an emergency (B07).
    pub fn request_upload(&mut self, now: Timestamp, peer: NodeId, class: Class) -> Grant {
        self.advance(now);
        let paused = self.uploads_paused(self.now);
        self.mesh.pause_uploads(paused);
        let grant = self.mesh.request_upload(self.now, peer, class);
        self.drain_mesh();
        grant
    }

    /// A request that was granted is answered, cancelled or broken off.
    pub fn handle_upload_ended(&mut self, now: Timestamp, peer: NodeId) {
        self.advance(now);
        self.mesh.handle_upload_ended(self.now, peer);
    }

    /// Whether uploads should hold still. Ask between two blocks.
    ///
    /// Only while something is on its way that they could delay, and only with
    /// a server: without one, two listeners that wait for each other's blocks
    /// would wait for ever.
    pub fn uploads_paused(&self, now: Timestamp) -> bool {
        let fetching = self.plays().any(|play| !play.flights.is_empty());
        self.server_up && fetching && self.is_emergency(now)
    }

    // Time and output.

    /// The time that [`Listener::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.wake(now);
        self.mesh.handle_timeout(self.now);
        self.drain_mesh();
    }

    /// What has to be done; `None` once all has been said.
    pub fn poll_output(&mut self, now: Timestamp) -> Option<Output> {
        self.advance(now);
        if self.dirty {
            self.dirty = false;
            self.plan();
        }
        self.outputs.pop_front()
    }

    /// When to call [`Listener::handle_timeout`] at the latest. Valid once
    /// [`Listener::poll_output`] has been drained.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [self.timers.next(), self.mesh.poll_timeout()].into_iter().flatten().min()
    }

    // Helpers of the above; the ledger, the plan and the rescue stand apart.

    pub(crate) fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    pub(crate) fn wake(&mut self, now: Timestamp) {
        self.advance(now);
        self.dirty = true;
    }

    fn is_current(&self, id: PlayId) -> bool {
        self.play.as_ref().is_some_and(|play| play.id == id)
    }

    pub(crate) fn current(&mut self, id: PlayId) -> Option<&mut CurrentPlay> {
        self.play.iter_mut().chain(&mut self.ahead).find(|play| play.id == id)
    }

    /// What sounds and what follows, in order.
    pub(crate) fn plays(&self) -> impl Iterator<Item = &CurrentPlay> {
        self.play.iter().chain(&self.ahead)
    }

    /// Does something with a play in the place of the current one, and puts both
    /// back.
    pub(crate) fn with_play<T>(
        &mut self,
        id: PlayId,
        act: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        if self.is_current(id) {
            return Some(act(self));
        }
        let nth = self.ahead.iter().position(|play| play.id == id)?;
        let exchange = |listener: &mut Self| {
            if let (Some(current), Some(ahead)) =
                (listener.play.as_mut(), listener.ahead.get_mut(nth))
            {
                std::mem::swap(current, ahead);
            }
        };
        exchange(self);
        let outcome = act(self);
        exchange(self);
        Some(outcome)
    }

    /// A play of what is given. Peers that hold the same blob are known already.
    fn new_play(&mut self, play: Play, turn: Turn) -> CurrentPlay {
        let policy = self.config.policy.clone();
        let mut playout = Playout::new(&play.rendition, play.held, play.speed, policy, self.now);
        if play.from > 0 {
            playout.seek(self.now, play.from);
        }
        let mut new = CurrentPlay::new(play.id, playout, turn, (play.ladder, play.user), self.now);
        if let Some(same) = self.plays().find(|same| same.blob() == play.rendition.blob()) {
            new.holders.clone_from(&same.holders);
        }
        new
    }

    /// The sound has come to this play: what was before it is over.
    fn come_to(&mut self, id: PlayId) {
        if !self.ahead.iter().any(|play| play.id == id) {
            return;
        }
        while !self.is_current(id) {
            self.stop_current();
            self.take_next();
        }
    }

    /// What followed is what sounds, or is to sound: nothing comes before it any more.
    fn take_next(&mut self) {
        if self.ahead.is_empty() {
            return;
        }
        let mut next = self.ahead.remove(0);
        next.turn = Turn::Now;
        next.playout.wait_for(self.now, Duration::ZERO);
        self.play = Some(next);
    }

    /// Cancels what is on its way for the play in hand.
    fn take_back_transfers(&mut self) {
        let Some(play) = &self.play else { return };
        for id in play.transfers.keys().copied().collect::<Vec<_>>() {
            self.take_back(id, true);
        }
    }

    /// Cancels what is on its way for the play in hand and lies beyond its end.
    fn take_back_unneeded(&mut self) {
        let Some(play) = &self.play else { return };
        let end = play.playout.end_block();
        let beyond = play.transfers.iter().filter(|(_, transfer)| transfer.blocks.start >= end);
        for id in beyond.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.take_back(id, true);
        }
    }

    fn stop_current(&mut self) {
        self.take_back_transfers();
        self.play = None;
        self.timers.clear();
    }

    fn stop_all(&mut self) {
        self.stop_current();
        while !self.ahead.is_empty() {
            self.take_next();
            self.stop_current();
        }
    }

    fn expect_push(&mut self, blocks: BlockRange) {
        let Some(play) = &mut self.play else { return };
        let held = play.playout.held();
        let missing = blocks.iter().filter(|block| !held.contains(*block)).count();
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        if missing == 0 {
            return;
        }
        let (now, source, reason) = (self.now, Source::Server, Reason::Pushed);
        let outlook = Outlook {
            rtt: self.server.rtt,
            rate: self.server.meter.rate(),
            outstanding: 0,
            window: 0,
        };
        let transfer = Transfer {
            source,
            blocks,
            missing,
            asked_at: now,
            reason,
            patient: false,
            stopped_at: None,
        };
        play.enter(TransferId::PUSH, transfer, |nth| outlook.arrival(now, nth));
        self.server.pipe.asked(now, missing);
        self.link.handle_asked(now, Duration::ZERO);
        // The answer is already on its way: no round trip goes by first.
        self.server.meter.handle_asked(now, Duration::ZERO);
    }

    fn not_held(&mut self, source: Source) {
        let until = self.now + self.config.not_held_pause;
        match (source, &mut self.play) {
            (Source::Peer(peer), Some(play)) => {
                let holder = play.holders.entry(peer).or_insert_with(Holder::default);
                holder.refused_until = until;
            }
            _ => self.fail(source),
        }
    }
}
