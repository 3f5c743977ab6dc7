//! What can be asked of a listener; nothing here changes it.

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

    /// What is buffered ahead of the position.
    pub fn buffered(&self, now: Timestamp) -> Option<Buffered> {
        self.playout().map(|playout| playout.buffered(now))
    }

    /// How many blocks of the current play are not there.
    pub fn missing_blocks(&self) -> u32 {
        self.playout().map_or(0, |playout| playout.held().block_count() - playout.held().len())
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
