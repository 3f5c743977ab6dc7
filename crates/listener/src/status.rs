//! What can be asked of a listener; nothing here changes it.

use std::time::Duration;

use antiphon_mesh::Mesh;
use antiphon_playback::{Buffered, Playout, State};
use antiphon_types::Timestamp;

use crate::Config;
use crate::event::{Counts, PlayId, Source, SourceStatus, TransferStatus, WaitingFor};
use crate::listener::Listener;

impl Listener {
    /// The play-out buffer of the current play.
    pub fn playout(&self) -> Option<&Playout> {
        self.play.as_ref().map(|play| &play.playout)
    }

    /// The current play.
    pub fn current_play(&self) -> Option<PlayId> {
        self.play.as_ref().map(|play| play.id)
    }

    /// What is buffered ahead of the position, what follows without a gap
    /// included.
    pub fn buffered(&self, now: Timestamp) -> Option<Buffered> {
        let mut sum = self.playout()?.buffered(now);
        for play in &self.ahead {
            if !sum.to_the_end {
                break;
            }
            let next = play.playout.buffered(now);
            sum.bytes += next.bytes;
            sum.media += next.media;
            sum.to_the_end = next.to_the_end;
        }
        Some(sum)
    }

    /// Media time from the position to the end of the current play.
    pub(crate) fn remaining(&self, now: Timestamp) -> Duration {
        self.playout().map_or(Duration::ZERO, |playout| playout.remaining(now))
    }

    /// Whether less is buffered than the emergency reserve, what follows
    /// included (B07).
    pub fn is_emergency(&self, now: Timestamp) -> bool {
        let ended = self.playout().is_none_or(|playout| playout.state() == State::Ended);
        let buffered = self.buffered(now);
        !ended
            && buffered.is_some_and(|buffered| {
                !buffered.to_the_end && buffered.media < self.config.policy.emergency_media
            })
    }

    /// How many blocks of the current play's rendition are not there.
    pub fn missing_blocks(&self) -> u32 {
        self.playout().map_or(0, |playout| playout.held().block_count() - playout.held().len())
    }

    /// How many blocks of the rendition of any play are not there.
    pub fn missing_blocks_of(&self, id: PlayId) -> Option<u32> {
        let playout = &self.plays().find(|play| play.id == id)?.playout;
        Some(playout.held().block_count() - playout.held().len())
    }

    /// What the current play waits for.
    pub fn waiting_for(&self, now: Timestamp) -> WaitingFor {
        let Some(play) = &self.play else { return WaitingFor::Nothing };
        let buffered = play.playout.buffered(now);
        let waits = match play.playout.state() {
            State::Starting => !play.playout.ready_to_start(),
            State::Playing => buffered.media.is_zero(),
            State::Stalled => true,
            State::Ended => false,
        };
        if !waits || buffered.to_the_end {
            return WaitingFor::Nothing;
        }
        let needed = play.playout.needed_next();
        let flights = needed.and_then(|block| play.flights.get(&block));
        match flights.and_then(|flights| flights.last()).map(|flight| flight.source) {
            Some(Source::Server) => WaitingFor::Server,
            Some(Source::Peer(_)) => WaitingFor::Peers,
            None if self.server_up => WaitingFor::Server,
            None => WaitingFor::AnySource,
        }
    }

    /// The server and every neighbour, as sources of the current play.
    pub fn sources(&self, now: Timestamp) -> Vec<SourceStatus> {
        let now = now.max(self.now);
        let server = SourceStatus {
            source: Source::Server,
            rate: self.server.meter.rate(),
            rtt: self.server.rtt,
            outstanding: self.server.pipe.outstanding,
            bytes: self.play.as_ref().map_or(0, |play| play.server_bytes),
            usable: self.server_usable(now),
        };
        let peers = self.mesh.neighbours().map(|(peer, neighbour)| SourceStatus {
            source: Source::Peer(peer),
            rate: neighbour.rate(),
            rtt: neighbour.rtt(),
            outstanding: self.pipes.get(&peer).map_or(0, |pipe| pipe.outstanding),
            bytes: self
                .play
                .as_ref()
                .and_then(|play| play.holders.get(&peer))
                .map_or(0, |holder| holder.bytes),
            usable: self.peer_outlook(now, peer).is_some(),
        });
        std::iter::once(server).chain(peers).collect()
    }

    /// The requests under way, with the reason of each choice.
    pub fn transfers(&self) -> impl Iterator<Item = TransferStatus> + '_ {
        self.play.iter().flat_map(|play| &play.transfers).map(|(id, transfer)| TransferStatus {
            transfer: *id,
            source: transfer.source,
            blocks: transfer.blocks,
            missing: transfer.missing,
            asked_at: transfer.asked_at,
            reason: transfer.reason,
        })
    }

    /// Counters since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The neighbours.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The numbers it decides by.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
