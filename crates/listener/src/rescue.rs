//! What is done about sources that are late, silent or no longer needed.

use std::time::Duration;

use antiphon_types::{BLOCK_BYTES, BlockRange, NodeId, Timestamp};

use crate::event::{Reason, Source, TransferId};
use crate::listener::Listener;
use crate::pipe::transfer_time;
use crate::plan::Desk;
use crate::play::Flight;
use crate::timers::Timer;

impl Listener {
    /// Takes back what a source owes that has been silent for too long, if
    /// somebody else can be asked (B36).
    pub(crate) fn give_up_on_silent(&mut self) {
        self.give_up_on_stopped_push();
        let desk = self.desk();
        let busy = self.pipes.iter().filter(|(_, pipe)| pipe.outstanding > 0);
        let waited = busy.map(|(peer, pipe)| (Source::Peer(*peer), pipe.progress_at));
        let server = (self.server.pipe.outstanding > 0)
            .then_some((Source::Server, self.server.pipe.progress_at));
        for (source, progress_at) in waited.chain(server).collect::<Vec<_>>() {
            if !elsewhere(&desk, source) {
                continue;
            }
            let until = progress_at + self.config.patience;
            if until > self.now {
                self.timers.set(Timer::Patience, until);
                continue;
            }
            self.counts.timed_out += 1;
            self.fail(source);
            self.take_back_all(source, true);
        }
    }

    /// What was on the wire when the push was stopped has come by now, or was
    /// never sent.
    fn give_up_on_stopped_push(&mut self) {
        let Some(play) = &self.play else { return };
        let stopped_at = play.transfers.get(&TransferId::PUSH).and_then(|push| push.stopped_at);
        let Some(stopped_at) = stopped_at else { return };
        let until = stopped_at + self.server.rtt * 2 + self.config.slack * 2;
        if until > self.now {
            self.timers.set(Timer::Late, until);
        } else {
            self.take_back(TransferId::PUSH, false);
        }
    }

    /// Peers that have delivered and together outrun the sink make the rest of
    /// the push superfluous (B02), once the emergency reserve is there: what is under
    /// way when it is called off is lost, and must not be what is heard next.
    pub(crate) fn stop_push_if_covered(&mut self) {
        let Some(play) = &self.play else { return };
        let Some(push) = play.transfers.get(&TransferId::PUSH) else { return };
        if push.stopped_at.is_some() {
            return;
        }
        let keep = self.on_the_wire();
        if push.missing as usize <= keep {
            return;
        }
        let coming = play.flights.range(push.blocks.start..push.blocks.end);
        let next = coming.map(|(block, _)| *block).nth(keep);
        let desk = self.desk();
        let proven = desk.peers.iter().filter(|candidate| {
            play.holders.get(&candidate.peer).is_some_and(|holder| holder.blocks > 0)
        });
        let rate = proven.fold(0_u64, |rate, peer| rate.saturating_add(peer.outlook.rate));
        let wanted = u128::from(play.playout.consumption());
        let wanted = wanted * u128::from(self.config.push_cancel_percent);
        let Some(next) = next.filter(|_| u128::from(rate) * 100 >= wanted) else { return };
        let reserve = self.config.policy.emergency_media;
        if play.playout.buffered(self.now).media >= reserve
            && play.playout.media_ahead(self.now, next) >= reserve
        {
            self.stop_push(keep);
        }
    }

    /// Pushed blocks that are on the wire and cannot be called back.
    fn on_the_wire(&self) -> usize {
        let micros = u128::from(self.server.meter.rate()) * self.server.rtt.as_micros();
        let blocks = micros / 1_000_000 / u128::from(BLOCK_BYTES) + 1;
        usize::try_from(blocks).unwrap_or(usize::MAX)
    }

    /// Asks elsewhere for blocks that are late and near: expected before now,
    /// and due so soon that a fetch from elsewhere, or the emergency reserve,
    /// has begun to run out (B07, B36).
    pub(crate) fn overtake_late(&mut self) {
        self.lose_patience();
        let mut desk = self.desk();
        let lead = self.lead(&desk);
        let mut late = Vec::new();
        let Some(play) = &self.play else { return };
        let (headers, needed) = (play.playout.header_blocks(), play.playout.first_needed());
        let flights =
            play.flights.range(..headers).chain(play.flights.range(needed.max(headers)..));
        for (block, flights) in flights {
            let due = play.playout.due(*block);
            if due == Timestamp::MAX {
                break;
            }
            let near_at = due.saturating_sub(lead);
            if near_at > self.now {
                self.timers.set(Timer::Late, near_at);
                break;
            }
            let Some(flight) = flights.last().copied() else { continue };
            if flights.len() >= self.config.copies_per_block || !elsewhere(&desk, flight.source) {
                continue;
            }
            let late_at = self.late_at(&desk, &flight, due);
            if late_at > self.now {
                self.timers.set(Timer::Late, late_at);
            } else {
                late.push((*block, flight.source));
            }
        }
        self.overtake(&mut desk, &late);
    }

    /// Takes back what the server was asked for with patience and has become near: it
    /// is asked for again at once, with urgency.
    fn lose_patience(&mut self) {
        let Some(play) = &self.play else { return };
        let patient = play.transfers.iter().filter(|(_, transfer)| transfer.patient);
        let mut due = Vec::new();
        for (id, transfer) in patient {
            let next = play.flights.range(transfer.blocks.start..transfer.blocks.end);
            let mut next =
                next.filter(|(_, flights)| flights.iter().any(|flight| flight.transfer == *id));
            let Some((block, _)) = next.next() else { continue };
            let ahead = play.playout.media_ahead(self.now, *block);
            let beyond = ahead.saturating_sub(self.config.policy.emergency_media);
            if beyond.is_zero() {
                due.push(*id);
            } else {
                self.timers.set(Timer::Late, self.now + play.playout.wall(beyond));
            }
        }
        for id in due {
            self.take_back(id, true);
        }
    }

    /// How long before its instant a late block must be asked elsewhere.
    fn lead(&self, desk: &Desk) -> Duration {
        let fetch = match &desk.server {
            Some(server) => self.server_fetch(server),
            None => desk
                .peers
                .iter()
                .map(|peer| peer.outlook.arrival(self.now, 1).saturating_since(self.now))
                .min()
                .unwrap_or_default(),
        };
        let reserve = self
            .play
            .as_ref()
            .map_or(Duration::ZERO, |play| play.playout.wall(self.config.policy.emergency_media));
        fetch.max(reserve)
    }

    /// When a block on its way counts as late.
    ///
    /// That of a peer, when what was expected of it is missed, or, if it was expected
    /// before that, when the server could not help any more otherwise. That of the
    /// server, and of a peer that brings everything sooner than the server would, only
    /// when it also stopped delivering: peers share with the server what may be a
    /// narrow link, and a server that is slower is no help.
    fn late_at(&self, desk: &Desk, flight: &Flight, due: Timestamp) -> Timestamp {
        let expected = flight.expected + self.config.slack;
        match (flight.source, &desk.server) {
            (Source::Peer(_), None) => expected,
            (Source::Server, _) => expected.max(self.stops_at(flight.source)),
            (Source::Peer(_), Some(server)) => {
                let latest = due.saturating_sub(self.server_fetch(server));
                let late = if flight.expected <= latest { expected.min(latest) } else { expected };
                let own = self.outlook(flight.source);
                let is_quicker =
                    own.is_some_and(|own| own.arrival(self.now, 0) <= server.arrival(self.now, 1));
                if is_quicker { late.max(self.stops_at(flight.source)) } else { late }
            }
        }
    }

    /// When a source has stopped delivering, unless it delivers before.
    fn stops_at(&self, source: Source) -> Timestamp {
        let pipe = match source {
            Source::Server => Some(&self.server.pipe),
            Source::Peer(peer) => self.pipes.get(&peer),
        };
        let (Some(pipe), Some(outlook)) = (pipe, self.outlook(source)) else { return self.now };
        pipe.progress_at + outlook.rtt + transfer_time(1, outlook.rate) + self.config.slack
    }

    /// Asks for each late block at a source other than the one that is late.
    fn overtake(&mut self, desk: &mut Desk, late: &[(u32, Source)]) {
        let mut run: Option<(Source, BlockRange)> = None;
        for (block, from) in late {
            let Some(to) = self.substitute(desk, *block, *from) else { continue };
            desk.note(to, 1);
            self.counts.overtaken += 1;
            self.note_tried(*from, &[*block]);
            match &mut run {
                Some((source, blocks)) if *source == to && blocks.end == *block => {
                    blocks.end += 1;
                }
                _ => {
                    self.flush(run);
                    run = Some((to, BlockRange::new(*block, *block + 1)));
                }
            }
        }
        self.flush(run);
    }

    fn flush(&mut self, run: Option<(Source, BlockRange)>) {
        if let Some((source, blocks)) = run {
            self.ask(source, blocks, Reason::Overtakes);
        }
    }

    /// Whom to ask instead: the server rather than another peer; of peers the
    /// one expected soonest that was not tried.
    fn substitute(&self, desk: &Desk, block: u32, from: Source) -> Option<Source> {
        if from != Source::Server
            && desk.server.is_some_and(|server| server.outstanding < self.config.server_window_most)
        {
            return Some(Source::Server);
        }
        let play = self.play.as_ref()?;
        if desk.server.is_some() && play.peers_exhausted(block, self.config.peers_per_block) {
            return None;
        }
        let fresh = desk.peers.iter().filter(|candidate| {
            let fits = candidate.outlook.outstanding < self.config.peer_window_most;
            let other = Source::Peer(candidate.peer) != from;
            fits && other && candidate.holds(block) && !play.was_tried(block, candidate.peer)
        });
        let soonest =
            fresh.min_by_key(|candidate| (candidate.outlook.arrival(self.now, 1), candidate.tie));
        soonest.map(|candidate| Source::Peer(candidate.peer))
    }
}

/// Whether anybody but `source` can be asked.
fn elsewhere(desk: &Desk, source: Source) -> bool {
    let is_other = |peer: NodeId| source != Source::Peer(peer);
    (source != Source::Server && desk.server.is_some())
        || desk.peers.iter().any(|candidate| is_other(candidate.peer))
}
