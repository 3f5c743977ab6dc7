//! Which source is asked for which block.
//!
//! One plan goes over the blocks that nobody has been asked for, in the order
//! in which they are needed, and stops where nobody can be asked for more. It
//! costs in proportion to what it asks for, times the number of peers.

use std::sync::Arc;
use std::time::Duration;

use antiphon_types::{BlockRange, BlockSet, NodeId, Timestamp};

use crate::event::{Output, Reason, Source};
use crate::listener::Listener;
use crate::mix::{STEP, mix};
use crate::pipe::{Outlook, window};
use crate::play::{CurrentPlay, Turn};
use crate::timers::Timer;

/// The sources that may be asked now, and what is expected of them; kept up
/// to date while a plan is being made.
pub(crate) struct Desk {
    pub(crate) server: Option<Outlook>,
    pub(crate) peers: Vec<Candidate>,
    /// Whether neighbours want the same, and would pass on what we fetched first.
    company: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) peer: NodeId,
    pub(crate) outlook: Outlook,
    /// The blocks it said it holds; without a word from it, all of them.
    pub(crate) held: Option<Arc<BlockSet>>,
    /// Orders equals; differs between listeners.
    pub(crate) tie: u64,
}

/// A block that is wanted, and when a peer must have brought it so that the server
/// could still be asked should it fail.
#[derive(Clone, Copy)]
struct Wish {
    block: u32,
    latest: Timestamp,
}

/// What is to be done about one wanted block.
enum Choice {
    /// Ask for it and the blocks after it.
    Ask { source: Source, run: u32, reason: Reason },
    /// Nobody now; look again at that time, or when something happens.
    Wait(Option<Timestamp>),
}

impl Desk {
    /// The first block from `from` on that a peer with room holds.
    fn next_offered(&self, from: u32) -> Option<u32> {
        let open = self.peers.iter().filter(|candidate| candidate.is_open());
        let offered = open.filter_map(|candidate| match &candidate.held {
            Some(held) => held.first_held(from),
            None => Some(from),
        });
        offered.min()
    }

    /// Whether nobody can be asked for anything more.
    fn is_closed(&self) -> bool {
        self.server.is_none_or(|server| server.spare() == 0)
            && !self.peers.iter().any(|candidate| candidate.is_open())
    }

    pub(crate) fn note(&mut self, source: Source, blocks: u32) {
        let outlook = match source {
            Source::Server => self.server.as_mut(),
            Source::Peer(peer) => {
                let found = self.peers.iter_mut().find(|candidate| candidate.peer == peer);
                found.map(|candidate| &mut candidate.outlook)
            }
        };
        if let Some(outlook) = outlook {
            outlook.outstanding = outlook.outstanding.saturating_add(blocks);
        }
    }
}

impl Candidate {
    pub(crate) fn holds(&self, block: u32) -> bool {
        self.held.as_ref().is_none_or(|held| held.contains(block))
    }

    /// Whether it is worth asking: a quarter of its window is free, so that
    /// requests come in runs.
    fn is_open(&self) -> bool {
        self.outlook.spare() >= (self.outlook.window / 4).max(1)
    }
}

impl Listener {
    /// Does whatever has become due, and asks for whatever can be asked: for
    /// what sounds, then for what follows.
    pub(crate) fn plan(&mut self) {
        self.timers.clear();
        self.say_what_is_wanted();
        self.decide_bitrate();
        self.note_emergency();
        self.plan_play();
        let mut lead = self.remaining(self.now);
        for nth in 0..self.ahead.len() {
            let Some(play) = self.ahead.get_mut(nth) else { break };
            let (id, until) = (play.id, play.playout.remaining(self.now));
            play.playout.wait_for(self.now, lead);
            if !self.may_plan_ahead(nth, lead) {
                break;
            }
            self.note_prefetch(id, lead);
            self.with_play(id, Self::plan_play);
            lead += until;
        }
    }

    /// Whether the play `nth` ahead has its turn: nothing is left to be asked for
    /// before it, and, for another track, the one that sounds is near its end
    /// (B05). Sets a timer for that.
    fn may_plan_ahead(&mut self, nth: usize, lead: Duration) -> bool {
        let before = nth.checked_sub(1).and_then(|before| self.ahead.get(before));
        let Some(before) = before.or(self.play.as_ref()) else { return false };
        if before.wants_more() {
            return false;
        }
        let Some(next) = self.ahead.get(nth) else { return false };
        let horizon = self.config.prefetch_peers_media;
        if next.turn == Turn::Now || lead <= horizon {
            return true;
        }
        if before.playout.is_running() || nth > 0 {
            let wait = next.playout.wall(lead - horizon);
            self.timers.set(Timer::Wanted, self.now + wait + Duration::from_millis(1));
        }
        false
    }

    fn plan_play(&mut self) {
        if self.play.as_ref().is_none_or(CurrentPlay::is_complete) {
            return;
        }
        self.give_up_on_silent();
        self.stop_push_if_covered();
        self.overtake_late();
        self.ask_for_wanted();
        self.watch_blocked();
        self.look_for_peers();
    }

    /// All sources that may be asked now.
    pub(crate) fn desk(&self) -> Desk {
        let now = self.now;
        let server = self.outlook(Source::Server).filter(|_| self.server_usable(now));
        let holders = self.play.iter().flat_map(|play| play.holders.keys());
        let peers = holders.filter_map(|peer| {
            let outlook = self.peer_outlook(now, *peer)?;
            let held = self.play.as_ref().and_then(|play| self.mesh.offer(*peer, play.blob()));
            Some(Candidate {
                peer: *peer,
                outlook,
                held: held.cloned(),
                tie: tie(self.salt, *peer),
            })
        });
        let blob = self.play.as_ref().map(CurrentPlay::blob);
        let company = blob.is_some_and(|blob| self.mesh.is_wanted_by_others(blob));
        Desk { server, peers: peers.collect(), company }
    }

    /// Whether any peer may be asked now.
    pub(crate) fn has_usable_peer(&self) -> bool {
        let mut holders = self.play.iter().flat_map(|play| play.holders.keys());
        holders.any(|peer| self.peer_outlook(self.now, *peer).is_some())
    }

    pub(crate) fn server_usable(&self, now: Timestamp) -> bool {
        self.server_up && self.server.pipe.blocked_until <= now
    }

    /// What is expected of a peer, if it holds the blob and may be asked now.
    pub(crate) fn peer_outlook(&self, now: Timestamp, peer: NodeId) -> Option<Outlook> {
        let holder = self.play.as_ref()?.holders.get(&peer)?;
        let pipe = self.pipes.get(&peer)?;
        let choked_until = self.mesh.neighbour(peer)?.choked_until();
        let open = [holder.refused_until, pipe.blocked_until, choked_until];
        if open.into_iter().any(|until| until > now) {
            return None;
        }
        self.outlook(Source::Peer(peer))
    }

    pub(crate) fn outlook(&self, source: Source) -> Option<Outlook> {
        let config = &self.config;
        let (rtt, rate, outstanding, bounds) = match source {
            Source::Server => {
                let bounds = (config.server_window_least, config.server_window_most);
                let server = &self.server;
                (server.rtt, server.meter.rate(), server.pipe.outstanding, bounds)
            }
            Source::Peer(peer) => {
                let bounds = (config.peer_window_least, config.peer_window_most);
                let neighbour = self.mesh.neighbour(peer)?;
                let outstanding = self.pipes.get(&peer)?.outstanding;
                (neighbour.rtt(), neighbour.rate(), outstanding, bounds)
            }
        };
        let window = window(rate, rtt, config.pipeline, bounds);
        Some(Outlook { rtt, rate, outstanding, window })
    }

    /// How long a block takes from the server if asked now, with some slack.
    pub(crate) fn server_fetch(&self, server: &Outlook) -> Duration {
        server.arrival(self.now, 1).saturating_since(self.now) + self.config.slack + server.rtt / 2
    }

    fn ask_for_wanted(&mut self) {
        let Some(play) = &self.play else { return };
        let (playout, end) = (&play.playout, play.playout.end_block());
        let (headers, needed) = (playout.header_blocks().min(end), playout.first_needed());
        let left_out = if play.at_leisure() { (headers, needed) } else { (0, 0) };
        let mut desk = self.desk();
        let mut steps = 0;
        // What cannot be decoded without, what comes next, what was left out. At the
        // beginning of a track the first two are one run, in one request.
        let parts = match needed <= headers {
            true => [(0, end), (0, 0), left_out],
            false => [(0, headers), (needed, end), left_out],
        };
        for (mut at, end) in parts {
            while let Some(block) = self.next_wanted(at, end) {
                if desk.is_closed() || steps > self.config.scan {
                    // Whoever delivers next makes room, and a new plan.
                    return;
                }
                at = block + 1;
                match self.choose(&desk, block, end) {
                    Choice::Ask { source, run, reason } => {
                        at = block + run;
                        self.ask(source, BlockRange::new(block, at), reason);
                        desk.note(source, run);
                    }
                    Choice::Wait(until) => {
                        steps += 1;
                        if let Some(until) = until.filter(|until| *until > self.now) {
                            self.timers.set(Timer::Wanted, until);
                        }
                        // The server has its turn later with this block and all that
                        // follow: only what peers offer is to be looked at.
                        if self.is_beyond_server(&desk, block) {
                            let Some(offered) = desk.next_offered(at) else { break };
                            at = offered;
                        }
                    }
                }
            }
        }
    }

    fn next_wanted(&self, from: u32, end: u32) -> Option<u32> {
        let play = self.play.as_ref()?;
        play.taken.first_missing(from).filter(|block| *block < end)
    }

    /// Whether the server is not to be asked for a block yet, nor for any after it.
    fn is_beyond_server(&self, desk: &Desk, block: u32) -> bool {
        let Some(play) = &self.play else { return true };
        let due = play.playout.due(block) != Timestamp::MAX;
        let ahead = play.playout.media_ahead(self.now, block);
        due && !play.at_leisure() && ahead > self.farthest(desk)
    }

    /// How far ahead of the position the server is asked at most.
    fn farthest(&self, desk: &Desk) -> Duration {
        match desk.peers.is_empty() {
            true if self.peers_expected_until().is_some() => {
                self.config.server_ahead_expecting_media
            }
            true => self.config.server_ahead_alone_media,
            false => self.config.server_ahead_with_peers_media,
        }
    }

    /// Until when peers that were named for the play in hand may come up, if they may.
    fn peers_expected_until(&self) -> Option<Timestamp> {
        let until = self.play.as_ref()?.peers_expected_until;
        (until > self.now).then_some(until)
    }

    /// How far ahead of the position the server is asked for a block.
    ///
    /// Listeners who hear the same at about the same time want the same block at
    /// about the same time. Each lets chance say who is first; the others find it
    /// with that one.
    fn server_horizon(&self, desk: &Desk, block: u32) -> Duration {
        let farthest = self.farthest(desk);
        if !desk.company || desk.peers.is_empty() {
            return farthest;
        }
        let run = u64::from(block / self.config.server_window_least.max(1));
        let drawn = mix(self.salt ^ run.wrapping_mul(STEP));
        let share = u32::try_from(drawn >> 48).unwrap_or(0);
        farthest.saturating_sub(self.config.server_spread_media / 65_536 * share)
    }

    fn wish(&self, desk: &Desk, play: &CurrentPlay, block: u32) -> Wish {
        let latest = desk.server.as_ref().map_or(Timestamp::MAX, |server| {
            let due = play.playout.due(block);
            due.saturating_sub(self.server_fetch(server) + self.config.slack)
        });
        Wish { block, latest }
    }

    fn choose(&self, desk: &Desk, block: u32, end: u32) -> Choice {
        let Some(play) = &self.play else { return Choice::Wait(None) };
        let most = end - block;
        let wish = self.wish(desk, play, block);
        if let Some(best) = self.best_peer(desk, play, wish) {
            let reason = match desk.server {
                _ if play.at_leisure() => Reason::Leisure,
                Some(_) => Reason::PeerInTime,
                None => Reason::PeerOnly,
            };
            let run = self.peer_run(desk, play, best, block, most);
            return Choice::Ask { source: Source::Peer(best.peer), run, reason };
        }
        // One that is in time but busy is waited for: it is free again sooner
        // than the block becomes urgent.
        if desk.peers.iter().any(|peer| self.may_bring(desk, play, peer, wish)) {
            let due = Some(play.playout.due(block)).filter(|due| *due != Timestamp::MAX);
            let urgent = due.zip(desk.server.as_ref());
            let urgent = urgent.map(|(due, server)| due.saturating_sub(self.server_fetch(server)));
            return Choice::Wait(urgent);
        }
        let choice = self.choose_server(desk, play, block, most);
        if let Choice::Ask { .. } = choice {
            return choice;
        }
        // The server has no room or may not be asked yet. A peer that would
        // just make it is asked; one that would not leaves it to the server.
        let due = play.playout.due(block);
        let whenever = Wish { block, latest: Timestamp::MAX };
        match self.best_peer(desk, play, whenever) {
            Some(best) if best.outlook.arrival(self.now, 1) + self.config.slack <= due => {
                let run = self.peer_run(desk, play, best, block, most);
                let source = Source::Peer(best.peer);
                Choice::Ask { source, run, reason: Reason::PeerOnly }
            }
            _ => choice,
        }
    }

    /// Of the peers with room that may bring a block, the one expected soonest.
    ///
    /// None of them, if one that is busy brings it sooner even when half a window of
    /// other blocks comes first: a slow peer would hold back what a fast one sends in
    /// passing.
    fn best_peer<'a>(
        &self,
        desk: &'a Desk,
        play: &CurrentPlay,
        wish: Wish,
    ) -> Option<&'a Candidate> {
        let (mut best, mut soonest_busy) = (None, Timestamp::MAX);
        for peer in desk.peers.iter().filter(|peer| self.may_bring(desk, play, peer, wish)) {
            let outlook = &peer.outlook;
            if peer.is_open() {
                let key = (outlook.arrival(self.now, 1), peer.tie);
                if best.is_none_or(|(best, _)| key < best) {
                    best = Some((key, peer));
                }
            } else {
                let passing = outlook.arrival(self.now, 1 + outlook.window / 2);
                soonest_busy = soonest_busy.min(passing);
            }
        }
        best.filter(|((arrival, _), _)| *arrival <= soonest_busy).map(|(_, peer)| peer)
    }

    /// Whether a peer may be asked for a block at all (B36). Without a server
    /// there is nobody else to turn to, and it may be tried again.
    fn may_ask(&self, desk: &Desk, play: &CurrentPlay, peer: &Candidate, block: u32) -> bool {
        peer.holds(block)
            && (desk.server.is_none()
                || !play.was_tried(block, peer.peer)
                    && !play.peers_exhausted(block, self.config.peers_per_block))
    }

    /// Whether a peer may be asked and is expected in time.
    fn may_bring(&self, desk: &Desk, play: &CurrentPlay, peer: &Candidate, wish: Wish) -> bool {
        self.may_ask(desk, play, peer, wish.block)
            && peer.outlook.arrival(self.now, 1) <= wish.latest
    }

    /// How many blocks in a row a peer is asked for: what it has room for, but
    /// no more than half its window, so that it always has two requests, and
    /// others share the run. Of what is heard soon, no more than it brings before
    /// another could.
    fn peer_run(
        &self,
        desk: &Desk,
        play: &CurrentPlay,
        best: &Candidate,
        block: u32,
        most: u32,
    ) -> u32 {
        let room = best.outlook.spare().min(best.outlook.window.div_ceil(2)).min(most);
        let wanted = play.wanted_run(block, room.max(1));
        let is_near =
            play.playout.media_ahead(self.now, block) < self.config.server_ahead_with_peers_media;
        let rivals = desk.peers.iter().filter(|peer| {
            is_near
                && peer.peer != best.peer
                && peer.is_open()
                && self.may_ask(desk, play, peer, block + 1)
        });
        let rival = rivals.map(|peer| peer.outlook.arrival(self.now, 1)).min();
        let good = (1..wanted).take_while(|ahead| {
            let wish = self.wish(desk, play, block + ahead);
            let arrival = best.outlook.arrival(self.now, ahead + 1);
            self.may_ask(desk, play, best, wish.block)
                && arrival <= wish.latest
                && rival.is_none_or(|rival| arrival <= rival)
        });
        1 + u32::try_from(good.count()).unwrap_or(0)
    }

    fn choose_server(&self, desk: &Desk, play: &CurrentPlay, block: u32, most: u32) -> Choice {
        let Some(server) = &desk.server else { return Choice::Wait(None) };
        let alone = desk.peers.is_empty();
        let reason = match alone {
            _ if play.at_leisure() => Reason::Leisure,
            true => Reason::NoPeer,
            false if play.peers_exhausted(block, self.config.peers_per_block) => Reason::PeersTried,
            false => Reason::DueTooSoon,
        };
        let source = Source::Server;
        if play.at_leisure() {
            // Nothing waits for it: one short run at a time.
            let run = play.wanted_run(block, self.config.leisure_run.min(most).max(1));
            return match server.outstanding {
                0 => Choice::Ask { source, run, reason },
                _ => Choice::Wait(None),
            };
        }
        let lead = play.playout.lead();
        if play.turn == Turn::Next && lead > self.config.prefetch_server_media {
            let wait = play.playout.wall(lead - self.config.prefetch_server_media);
            return Choice::Wait(Some(self.now + wait + Duration::from_millis(1)));
        }
        let within = |block: u32| {
            play.playout.due(block) != Timestamp::MAX
                && play.playout.media_ahead(self.now, block) <= self.server_horizon(desk, block)
        };
        if !within(block) {
            return Choice::Wait(self.enters(desk, play, block));
        }
        let wanted = play.wanted_run(block, server.spare().min(most));
        let run = (0..wanted).take_while(|ahead| {
            let block = block + ahead;
            within(block)
                && (alone || {
                    let wish = self.wish(desk, play, block);
                    !desk.peers.iter().any(|peer| self.may_bring(desk, play, peer, wish))
                })
        });
        let run = u32::try_from(run.count()).unwrap_or(0);
        // Far ahead, ask for several blocks at once rather than for each as it
        // comes near enough.
        let least = self.config.server_window_least.min(play.wanted_run(block, most.min(64)));
        let near = play.playout.media_ahead(self.now, block) <= self.farthest(desk) / 2;
        if run == 0 || (alone && !near && run < least) {
            return Choice::Wait(self.enters(desk, play, block + least.saturating_sub(1)));
        }
        Choice::Ask { source, run, reason }
    }

    /// When the server may be asked for a block; unknown while the sink does not
    /// consume, and for what lies behind it.
    fn enters(&self, desk: &Desk, play: &CurrentPlay, block: u32) -> Option<Timestamp> {
        if !play.playout.is_running() || play.playout.due(block) == Timestamp::MAX {
            return None;
        }
        let horizon = self.server_horizon(desk, block);
        let beyond = play.playout.media_ahead(self.now, block).saturating_sub(horizon);
        Some(self.now + play.playout.wall(beyond) + Duration::from_millis(1))
    }

    /// Sources that may not be asked now make a new plan when they may.
    fn watch_blocked(&mut self) {
        let Some(play) = &self.play else { return };
        let peers = play.holders.iter().filter_map(|(peer, holder)| {
            let pipe = self.pipes.get(peer)?;
            let choked_until = self.mesh.neighbour(*peer)?.choked_until();
            Some(holder.refused_until.max(pipe.blocked_until).max(choked_until))
        });
        let server = self.server_up.then_some(self.server.pipe.blocked_until);
        let expected = self.peers_expected_until();
        let next = peers.chain(server).chain(expected).filter(|until| *until > self.now).min();
        if let Some(next) = next {
            self.timers.set(Timer::Unblocked, next);
        }
    }

    /// Asks for more peers if none is usable: the tracker, which is the server's,
    /// and the neighbours. Whoever answers first is used.
    fn look_for_peers(&mut self) {
        let usable = self.has_usable_peer();
        let (now, interval) = (self.now, self.config.find_peers_interval);
        let Some(play) = &mut self.play else { return };
        let nobody = !self.server_up && self.mesh.neighbours().len() == 0;
        if usable || nobody {
            return;
        }
        if now >= play.find_peers_at {
            play.find_peers_at = now + interval;
            let (id, blob) = (play.id, play.blob());
            if self.server_up {
                self.outputs.push_back(Output::FindPeers { play: id });
            }
            self.search(blob);
        }
        let Some(play) = &self.play else { return };
        self.timers.set(Timer::FindPeers, play.find_peers_at);
    }
}

/// A number for each pair of listener and peer.
fn tie(salt: u64, peer: NodeId) -> u64 {
    let mut mixed = salt;
    for chunk in peer.as_bytes().chunks_exact(8) {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        mixed = mix(mixed ^ u64::from_le_bytes(word));
    }
    mixed
}
