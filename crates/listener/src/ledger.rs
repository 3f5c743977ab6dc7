//! What is on its way: entering it, landing it, taking it back.

use std::time::Duration;

use antiphon_mesh::Output as MeshOutput;
use antiphon_types::{BLOCK_BYTES, BlockRange, Class, NodeId, SAMPLE_RATE, Timestamp};

use crate::event::{Output, Reason, Source, TransferId};
use crate::listener::Listener;
use crate::play::Transfer;

/// A peer that asks to be asked again at once is not.
const CHOKE_LEAST: Duration = Duration::from_millis(50);

/// The server pushes so much as fast as it can, in samples; what follows may come at
/// a pace that says nothing of the link, if others begin to play at the same time.
const UNPACED_SAMPLES: u64 = 2 * SAMPLE_RATE as u64;

impl Listener {
    /// Asks `source` for a run of blocks.
    pub(crate) fn ask(&mut self, source: Source, blocks: BlockRange, reason: Reason) {
        let Some(outlook) = self.outlook(source) else { return };
        let patient = source == Source::Server && self.is_far_ahead(blocks.start);
        let Some(play) = &mut self.play else { return };
        let (now, id) = (self.now, TransferId(self.next_transfer));
        self.next_transfer += 1;
        let missing = blocks.len();
        let transfer =
            Transfer { source, blocks, missing, asked_at: now, reason, patient, stopped_at: None };
        play.enter(id, transfer, |nth| outlook.arrival(now, nth));
        let play_id = play.id;
        let class = if patient { Class::Prefetch } else { play.class() };
        self.link.handle_asked(now, outlook.rtt);
        match source {
            Source::Server => {
                self.server.pipe.asked(now, missing);
                self.server.meter.handle_asked(now, self.server.rtt);
            }
            Source::Peer(peer) => {
                self.pipes.entry(peer).or_default().asked(now, missing);
                self.mesh.handle_asked(now, peer);
            }
        }
        self.outputs.push_back(Output::Fetch {
            transfer: id,
            play: play_id,
            source,
            blocks,
            class,
            reason,
        });
    }

    /// Whether a block is wanted so early that others, who share the server with us,
    /// may have theirs first.
    fn is_far_ahead(&self, block: u32) -> bool {
        let Some(play) = &self.play else { return false };
        play.playout.is_running()
            && self.mesh.is_wanted_by_others(play.blob())
            && play.playout.due(block) != Timestamp::MAX
            && play.playout.media_ahead(self.now, block) > self.config.server_patient_media
    }

    /// A new block is there: every copy of it that is on its way is settled.
    pub(crate) fn land(&mut self, block: u32, by: TransferId) {
        let Some(play) = &mut self.play else { return };
        for flight in play.flights.remove(&block).unwrap_or_default() {
            self.settle(flight.transfer, flight.source, flight.transfer != by);
        }
    }

    /// The peer or the server failed with one block of a transfer only.
    pub(crate) fn take_back_block(&mut self, block: u32, id: TransferId) {
        let Some(play) = &mut self.play else { return };
        let flights = play.flights.get(&block).into_iter().flatten();
        let Some(flight) = flights.into_iter().find(|flight| flight.transfer == id).copied() else {
            return;
        };
        play.ground(block, id);
        self.settle(id, flight.source, false);
    }

    /// One block less is missing of a transfer. If it was the last and another
    /// source brought it, the transfer is cancelled.
    fn settle(&mut self, id: TransferId, source: Source, overtaken: bool) {
        let Some(play) = &mut self.play else { return };
        let Some(transfer) = play.transfers.get_mut(&id) else { return };
        transfer.missing = transfer.missing.saturating_sub(1);
        let (over, stopped) = (transfer.missing == 0, transfer.stopped_at.is_some());
        if over {
            play.transfers.remove(&id);
        }
        if over && overtaken && !stopped {
            self.say_cancel(id, source);
        }
        self.release(source, 1);
    }

    /// Takes back what a transfer still owes. With `cancel` its source is told.
    pub(crate) fn take_back(
        &mut self,
        id: TransferId,
        cancel: bool,
    ) -> Option<(Transfer, Vec<u32>)> {
        let (transfer, owed) = self.play.as_mut()?.withdraw(id)?;
        if cancel && transfer.stopped_at.is_none() {
            self.say_cancel(id, transfer.source);
        }
        self.release(transfer.source, owed.len());
        Some((transfer, owed))
    }

    /// Takes back everything from `source`, which is gone. One that is only
    /// `silent` is told, and it is remembered that it did not bring it.
    pub(crate) fn take_back_all(&mut self, source: Source, silent: bool) {
        let plays = self.plays().map(|play| play.id).collect::<Vec<_>>();
        for id in plays {
            self.with_play(id, |listener| listener.take_back_from(source, silent));
        }
    }

    /// Takes back what `source` owes to the play in hand.
    fn take_back_from(&mut self, source: Source, silent: bool) {
        let ids = self.play.as_ref().map(|play| play.transfers_from(source)).unwrap_or_default();
        for id in ids {
            let taken = self.take_back(id, silent);
            if let Some((_, owed)) = taken.filter(|_| silent) {
                self.note_tried(source, &owed);
            }
        }
    }

    /// No more of the push is wanted, save the `keep` blocks of it that are
    /// on the wire anyway.
    pub(crate) fn stop_push(&mut self, keep: usize) {
        let now = self.now;
        let Some(play) = &mut self.play else { return };
        let Some(push) = play.transfers.get_mut(&TransferId::PUSH) else { return };
        push.stopped_at = Some(now);
        let range = push.blocks.start..push.blocks.end;
        let coming = play.flights.range(range).filter(|(_, flights)| {
            flights.iter().any(|flight| flight.transfer == TransferId::PUSH)
        });
        let freed = coming.map(|(block, _)| *block).skip(keep).collect::<Vec<_>>();
        self.say_cancel(TransferId::PUSH, Source::Server);
        for block in freed {
            self.take_back_block(block, TransferId::PUSH);
        }
    }

    /// A source delivered.
    pub(crate) fn credit(&mut self, source: Source, bytes: u32) {
        self.link.handle_delivered(self.now, bytes);
        self.note_pace_of_push();
        match source {
            Source::Server => {
                self.server.meter.handle_delivered(self.now, bytes);
                self.server.pipe.delivered(self.now);
            }
            Source::Peer(peer) => {
                self.mesh.handle_delivered(self.now, peer, bytes);
                if let Some(pipe) = self.pipes.get_mut(&peer) {
                    pipe.delivered(self.now);
                }
            }
        }
    }

    /// What the server pushes beyond the first seconds comes at a pace of its own
    /// choice, and says nothing of what the link bears.
    fn note_pace_of_push(&mut self) {
        let Some(play) = &self.play else { return };
        let Some(push) = play.transfers.get(&TransferId::PUSH) else { return };
        let only = self.pipes.values().all(|pipe| pipe.outstanding == 0)
            && self.server.pipe.outstanding <= push.missing;
        let playout = &play.playout;
        let unpaced = playout.rendition().offset_at(UNPACED_SAMPLES) / u64::from(BLOCK_BYTES);
        let next = playout.held().first_missing(push.blocks.start).unwrap_or(push.blocks.end);
        if only && u64::from(next) >= unpaced {
            self.link.handle_idle(self.now);
            self.server.meter.handle_idle();
        }
    }

    /// A source failed or fell silent: it is not asked for a while.
    pub(crate) fn fail(&mut self, source: Source) {
        let now = self.now;
        // Time in which nothing came lowers the measured rate.
        match source {
            Source::Server => {
                self.server.meter.handle_delivered(now, 0);
                self.server.pipe.failed(now, &self.config);
            }
            Source::Peer(peer) => {
                self.mesh.handle_delivered(now, peer, 0);
                if let Some(pipe) = self.pipes.get_mut(&peer) {
                    pipe.failed(now, &self.config);
                }
            }
        }
    }

    /// A source serves others for now.
    pub(crate) fn choke(&mut self, source: Source, retry_after: Duration) {
        let most = self.config.choke_most.max(CHOKE_LEAST);
        let pause = retry_after.clamp(CHOKE_LEAST, most);
        match source {
            Source::Server => self.server.pipe.pause(self.now, pause),
            Source::Peer(peer) => self.mesh.handle_choked(self.now, peer, pause),
        }
    }

    /// Remembers that a peer did not bring these blocks.
    pub(crate) fn note_tried(&mut self, source: Source, blocks: &[u32]) {
        let (Source::Peer(peer), Some(play)) = (source, &mut self.play) else { return };
        for block in blocks {
            play.note_tried(*block, peer, self.config.peers_per_block);
        }
    }

    /// A peer is gone for good or for now.
    pub(crate) fn forget_peer(&mut self, peer: NodeId) {
        self.take_back_all(Source::Peer(peer), false);
        self.pipes.remove(&peer);
    }

    /// Passes on what the mesh wants.
    pub(crate) fn drain_mesh(&mut self) {
        while let Some(output) = self.mesh.poll_output() {
            match output {
                MeshOutput::Drop { peer, reason } => {
                    self.forget_peer(peer);
                    self.dirty = true;
                    self.outputs.push_back(Output::DropPeer { peer, reason });
                }
                MeshOutput::CutUpload { peer, retry_after } => {
                    self.outputs.push_back(Output::CutUpload { peer, retry_after });
                }
                MeshOutput::Tell { peer, notice } => {
                    self.outputs.push_back(Output::Tell { peer, notice });
                }
                MeshOutput::Found { blob, holder } => self.found(blob, holder),
            }
        }
    }

    fn say_cancel(&mut self, transfer: TransferId, source: Source) {
        let Some(play) = &self.play else { return };
        self.outputs.push_back(match transfer {
            TransferId::PUSH => Output::CancelPush { play: play.id },
            _ => Output::Cancel { transfer, source },
        });
    }

    fn release(&mut self, source: Source, blocks: usize) {
        let pipe = match source {
            Source::Server => Some(&mut self.server.pipe),
            Source::Peer(peer) => self.pipes.get_mut(&peer),
        };
        let Some(pipe) = pipe else { return };
        pipe.released(blocks);
        if pipe.outstanding == 0 {
            self.handle_idle(source);
        }
    }

    fn handle_idle(&mut self, source: Source) {
        let busy = self.pipes.values().chain([&self.server.pipe]).any(|pipe| pipe.outstanding > 0);
        if !busy {
            self.link.handle_idle(self.now);
        }
        match source {
            Source::Server => self.server.meter.handle_idle(),
            Source::Peer(peer) => self.mesh.handle_idle(peer),
        }
    }
}
