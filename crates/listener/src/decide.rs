//! When sound begins, which rendition is fetched next, and what is said of it.

use std::time::Duration;

use antiphon_playback::{
    BitrateDecision, BitrateReason, Candidate, Chooser, Learned, Outlook, Situation, StartDecision,
    StartPolicy, StartReason, State, UserPolicy,
};
use antiphon_types::{BLOCK_BYTES, Bitrate, Rendition, SAMPLE_RATE, Timestamp};

use crate::event::{Decision, Output, PlayId, Rung};
use crate::listener::Listener;
use crate::play::Turn;
use crate::timers::Timer;

/// What was decided last, so that only changes are told.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    /// Draws are other ones for each decision.
    seed: u64,
    /// Of the play that it was decided for, whether it may start.
    started: Option<(PlayId, bool)>,
    bitrate: Option<(Bitrate, BitrateReason)>,
    bitrate_at: Timestamp,
    emergency: bool,
    prefetch: Option<PlayId>,
}

impl Listener {
    /// Whether sound may begin, or go on after a stall (B08). Ask it after each
    /// block, and now and then, until it may.
    pub fn may_start(&mut self, now: Timestamp) -> bool {
        self.advance(now);
        let Some(decision) = self.decide_start() else { return false };
        let Some(id) = self.current_play() else { return false };
        let told = self.decisions.started.replace((id, decision.start));
        if told != Some((id, decision.start)) {
            let buffered = self.buffered_media();
            let (starts, reason) = (decision.start, decision.reason);
            self.say(Decision::Start { starts, reason, buffered });
        }
        decision.start
    }

    fn decide_start(&mut self) -> Option<StartDecision> {
        self.link.handle_time(self.now);
        let play = self.play.as_ref()?;
        let bytes_per_second = self.consumption(play.playout.rendition());
        let ladder = play.ladder.iter().map(|rung| self.consumption(&rung.rendition));
        let adapts = play.user == UserPolicy::Auto;
        let (buffered, remaining) = self.buffered_of_track();
        let outlook = Outlook {
            bytes_per_second,
            lowest_bytes_per_second: ladder.filter(|_| adapts).fold(bytes_per_second, f64::min),
            buffered: if play.playout.ready_to_start() { buffered } else { Duration::ZERO },
            remaining,
            most_buffered: self.config.server_ahead_alone_media,
        };
        if self.is_safe_beside_peers(outlook.buffered) {
            let reason = StartReason::Enough;
            return Some(StartDecision { start: true, reason, predicted_stall_share: 0.0 });
        }
        self.decisions.seed = self.decisions.seed.wrapping_add(1);
        let seed = self.salt ^ self.decisions.seed;
        Some(self.config.start.decide(&self.link, &outlook, seed))
    }

    /// Whether the emergency reserve is there, and beside the server a peer for what
    /// follows. Then what was seen of the link says little: a server that many turn to
    /// holds back what it sends to those who have peers.
    fn is_safe_beside_peers(&self, buffered: Duration) -> bool {
        let simulates = matches!(self.config.start, StartPolicy::Markov { .. });
        simulates
            && self.server_up
            && buffered >= self.config.policy.emergency_media
            && self.has_usable_peer()
    }

    /// What is buffered and what remains of the track that plays.
    fn buffered_of_track(&self) -> (Duration, Duration) {
        let (mut buffered, mut remaining) = (Duration::ZERO, Duration::ZERO);
        let mut gapless = true;
        for play in self.plays().take_while(|play| play.turn == Turn::Now) {
            let found = play.playout.buffered(self.now);
            if gapless {
                buffered += found.media;
            }
            gapless &= found.to_the_end;
            remaining += play.playout.remaining(self.now);
        }
        (if gapless { remaining } else { buffered }, remaining)
    }

    fn buffered_media(&self) -> Duration {
        self.buffered(self.now).map_or(Duration::ZERO, |buffered| buffered.media)
    }

    /// Bytes that a second of media takes; as many times more as the sink is
    /// faster than music, since then a link carries as many times less in it.
    fn consumption(&self, rendition: &Rendition) -> f64 {
        let speed = self.playout().map_or(1.0, antiphon_playback::Playout::speed);
        mean_rate(rendition) * speed
    }

    /// Decides about once a second, for the first segment that nobody was asked
    /// for, which rendition it comes from (B09).
    pub(crate) fn decide_bitrate(&mut self) {
        let Some(current) = &self.play else { return };
        if !matches!(current.playout.state(), State::Playing | State::Stalled) {
            return;
        }
        if self.now < self.decisions.bitrate_at {
            return self.timers.set(Timer::Decide, self.decisions.bitrate_at);
        }
        let next = self.now + current.playout.wall(self.config.decide_interval);
        self.link.handle_time(self.now);
        self.decisions.seed = self.decisions.seed.wrapping_add(1);
        let Some(choice) = self.choose_rendition() else { return };
        self.decisions.bitrate_at = next;
        self.timers.set(Timer::Decide, next);
        let Choice { id, at, from, decision: BitrateDecision { bitrate: to, reason } } = choice;
        let told = self.decisions.bitrate.replace((to, reason));
        if to != from || told != Some((to, reason)) {
            let buffered = self.buffered_media();
            self.say(Decision::Bitrate { at, from, to, reason, buffered });
        }
        if to != from {
            self.outputs.push_back(Output::Switch { play: id, at, bitrate: to });
        }
    }

    fn choose_rendition(&self) -> Option<Choice> {
        let last = self.plays().take_while(|play| play.turn == Turn::Now).last()?;
        let at = last.switch_point(self.now)?;
        let speed = last.playout.speed();
        let rungs = last.ladder.iter();
        let candidates = rungs.map(|rung| candidate(rung, at, speed)).collect::<Vec<_>>();
        if candidates.is_empty() {
            return None;
        }
        let from = last.playout.rendition().bitrate();
        let (buffered, remaining) = self.buffered_of_track();
        let situation = Situation {
            link: &self.link,
            current: from,
            buffered,
            remaining,
            most_buffered: self.config.server_ahead_alone_media,
            candidates: &candidates,
            seed: self.salt ^ self.decisions.seed,
        };
        let decision = Chooser::new(last.user, self.config.bitrate).next(&situation);
        Some(Choice { id: last.id, at, from, decision })
    }

    /// With which rendition a play is to begin. `whole` are those that are in the
    /// cache to the end.
    pub fn first_bitrate(&self, user: UserPolicy, whole: &[Bitrate]) -> BitrateDecision {
        Chooser::new(user, self.config.bitrate).first(&self.link, whole)
    }

    /// What the next session may begin with.
    pub fn learned(&self) -> Option<Learned> {
        self.link.learned()
    }

    /// Tells where an emergency begins and where it is over (B07).
    pub(crate) fn note_emergency(&mut self) {
        let begins = self.is_emergency(self.now) && self.is_sounding();
        if std::mem::replace(&mut self.decisions.emergency, begins) != begins {
            let buffered = self.buffered_media();
            self.say(Decision::Emergency { begins, buffered });
        }
    }

    /// A play that has not begun is no emergency to speak of.
    fn is_sounding(&self) -> bool {
        self.playout().is_some_and(|playout| playout.state() != State::Starting)
    }

    /// Tells that the next track has its turn (B05).
    pub(crate) fn note_prefetch(&mut self, id: PlayId, left: Duration) {
        let is_next = self.ahead.iter().any(|play| play.id == id && play.turn == Turn::Next);
        if is_next && self.decisions.prefetch.replace(id) != Some(id) {
            self.say(Decision::Prefetch { play: id, left });
        }
    }

    fn say(&mut self, decision: Decision) {
        self.outputs.push_back(Output::Decided(decision));
    }
}

/// Which rendition goes on after a part, and from where.
struct Choice {
    id: PlayId,
    at: u64,
    from: Bitrate,
    decision: BitrateDecision,
}

fn candidate(rung: &Rung, at: u64, speed: f64) -> Candidate {
    let rendition = &rung.rendition;
    let block = |offset: u64| u32::try_from(offset / u64::from(BLOCK_BYTES)).unwrap_or(u32::MAX);
    let first = block(rendition.segment_for(at).offset);
    let end = at.saturating_add(Rendition::SEGMENT_SAMPLES);
    let last = block(rendition.splice_end(end).saturating_sub(1));
    let missing = rung.held.first_missing(first);
    Candidate {
        bitrate: rendition.bitrate(),
        bytes_per_second: mean_rate(rendition) * speed,
        cached: missing.is_none_or(|missing| missing > last),
    }
}

/// Bytes that a second of it takes, on average.
#[expect(clippy::cast_precision_loss, reason = "sizes and lengths are far below 2^52")]
fn mean_rate(rendition: &Rendition) -> f64 {
    let seconds = rendition.samples() as f64 / f64::from(SAMPLE_RATE);
    rendition.size().bytes() as f64 / seconds
}
