//! What follows what sounds: other renditions of the track, the next track,
//! other places of it.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon_listener::{
    Config, Join, Listener, Output, Play, PlayId, Reason, Source, State, TransferId, UserPolicy,
};
use antiphon_types::{
    BLOCK_BYTES, Bitrate, BlobId, BlobSize, BlockRange, BlockSet, Class, Rendition, SAMPLE_RATE,
    Segment, Timestamp,
};

use crate::world::{ms, peer, track};

const SECOND: u64 = SAMPLE_RATE as u64;

/// A rendition of another blob that is as long as `track(seconds)`.
fn other(seconds: u64, blob: u8, bytes_per_second: u64) -> Rendition {
    let segments = (0..seconds.div_ceil(10)).map(|i| Segment {
        offset: 5_000 + i * 10 * bytes_per_second,
        sample: i * Rendition::SEGMENT_SAMPLES,
    });
    let size = BlobSize::new(5_000 + seconds * bytes_per_second).unwrap();
    let blob = BlobId::new([blob; 32]);
    let samples = seconds * SECOND;
    Rendition::new(Bitrate::Kbps320, blob, size, 5_000, samples, segments.collect()).unwrap()
}

fn play(id: u64, rendition: &Rendition, from: u64) -> Play {
    let held = BlockSet::empty(rendition.size());
    Play {
        id: PlayId(id),
        rendition: rendition.clone(),
        held,
        from,
        speed: 1.0,
        pushed: None,
        ladder: [].into(),
        user: UserPolicy::Auto,
    }
}

/// A listener whose sources deliver at once, and what was asked of them.
struct Node {
    listener: Listener,
    now: Timestamp,
    asked: Vec<(PlayId, Source, BlockRange, Class, Reason)>,
    searched: Vec<PlayId>,
    under_way: BTreeMap<TransferId, (PlayId, Source, BlockRange)>,
    delivers: bool,
}

impl Node {
    fn new() -> Self {
        let now = Timestamp::from_millis(1_000);
        let mut listener = Listener::new(Config::default(), 1, now);
        listener.handle_server_up(now, ms(20));
        Self {
            listener,
            now,
            asked: Vec::new(),
            searched: Vec::new(),
            under_way: BTreeMap::new(),
            delivers: true,
        }
    }

    fn settle(&mut self) {
        loop {
            let mut fetched = Vec::new();
            while let Some(output) = self.listener.poll_output(self.now) {
                match output {
                    Output::Fetch { transfer, play, source, blocks, class, reason } => {
                        self.asked.push((play, source, blocks, class, reason));
                        self.under_way.insert(transfer, (play, source, blocks));
                        fetched.push((transfer, play, source, blocks));
                    }
                    Output::Cancel { transfer, .. } => {
                        self.under_way.remove(&transfer);
                    }
                    Output::FindPeers { play } => self.searched.push(play),
                    _ => {}
                }
            }
            if fetched.is_empty() || !self.delivers {
                return;
            }
            for (transfer, play, source, blocks) in fetched {
                for block in blocks.iter() {
                    self.now = self.now + ms(1);
                    let now = self.now;
                    self.listener.handle_block(now, play, source, transfer, block, BLOCK_BYTES);
                }
                self.under_way.remove(&transfer);
            }
        }
    }

    /// Plays on for a while, second by second.
    fn hear(&mut self, id: u64, from: u64, seconds: u64) {
        for second in from..from + seconds {
            self.listener.handle_position(self.now, PlayId(id), second * SECOND, true);
            self.settle();
            self.now = self.now + ms(1_000);
            self.listener.handle_timeout(self.now);
            self.settle();
        }
    }

    fn asked_for(&self, id: u64) -> Vec<(Source, BlockRange, Class, Reason)> {
        let of = self.asked.iter().filter(|(play, ..)| *play == PlayId(id));
        of.map(|(_, source, blocks, class, reason)| (*source, *blocks, *class, *reason)).collect()
    }
}

#[test]
fn b05_the_next_track_is_sought_30_s_before_the_end_and_asked_of_the_server_at_10_s() {
    let mut node = Node::new();
    node.listener.play(node.now, play(1, &track(60), 0));
    node.listener.follow(node.now, play(2, &other(60, 7, 20_000), 0), Join::Next);
    node.hear(1, 0, 29);
    assert!(!node.searched.contains(&PlayId(2)), "too early");
    assert_eq!(node.asked_for(2), []);
    node.hear(1, 29, 4);
    assert!(node.searched.contains(&PlayId(2)), "no peer was sought");
    node.hear(1, 33, 15);
    assert_eq!(node.asked_for(2), [], "the server was asked 12 s before the end");
    node.hear(1, 48, 5);
    let asked = node.asked_for(2);
    assert!(!asked.is_empty(), "nothing was prefetched 7 s before the end");
    assert!(asked.iter().all(|(source, ..)| *source == Source::Server));
    assert!(asked.iter().all(|(_, _, class, _)| *class == Class::Prefetch), "{asked:?}");
    let buffered = node.listener.buffered(node.now).unwrap();
    assert!(buffered.media > Duration::from_secs(10), "{buffered:?}");

    // The sound comes to it, and it is what plays.
    node.hear(1, 53, 7);
    node.listener.handle_position(node.now, PlayId(2), SECOND, true);
    assert_eq!(node.listener.current_play(), Some(PlayId(2)));
    node.settle();
    assert_eq!(node.listener.playout().unwrap().state(), State::Playing);
    node.asked.clear();
    node.hear(2, 1, 20);
    assert!(node.asked_for(2).iter().all(|(_, _, class, _)| *class == Class::Now));
}

#[test]
fn b05_a_peer_that_has_the_next_track_is_asked_before_the_server() {
    let mut node = Node::new();
    node.listener.play(node.now, play(1, &track(60), 0));
    node.hear(1, 0, 29);
    node.listener.follow(node.now, play(2, &other(60, 7, 20_000), 0), Join::Next);
    node.listener.handle_peer_up(node.now, peer(3), ms(20));
    node.listener.handle_holders(node.now, PlayId(2), &[peer(3)]);
    node.hear(1, 29, 12);
    let asked = node.asked_for(2);
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|(source, ..)| *source == Source::Peer(peer(3))), "{asked:?}");
}

#[test]
fn a_listener_who_goes_to_the_next_track_at_once_need_not_wait_for_its_turn() {
    let mut node = Node::new();
    node.listener.play(node.now, play(1, &track(60), 0));
    node.listener.follow(node.now, play(2, &other(60, 7, 20_000), 0), Join::Next);
    node.hear(1, 0, 35);
    assert_eq!(node.asked_for(2), [], "25 s are left: the server has its turn later");
    node.listener.stop(node.now, PlayId(1));
    node.settle();
    let asked = node.asked_for(2);
    assert!(!asked.is_empty(), "nobody is asked for what is to sound now");
    assert!(asked.iter().all(|(_, _, class, _)| *class == Class::Now), "{asked:?}");
    assert!(node.listener.may_start(node.now));
}

#[test]
fn what_is_not_fetched_yet_goes_before_the_next_track() {
    let mut node = Node::new();
    node.listener.play(node.now, play(1, &track(20), 0));
    node.listener.follow(node.now, play(2, &other(60, 7, 20_000), 0), Join::Next);
    node.delivers = false;
    node.settle();
    assert!(!node.asked_for(1).is_empty());
    assert_eq!(node.asked_for(2), [], "the current track is not even all asked for");
}

#[test]
fn a_splice_ends_the_one_rendition_and_goes_on_with_the_other() {
    let mut node = Node::new();
    let (low, high) = (track(60), other(60, 7, 40_000));
    node.listener.play(node.now, play(1, &low, 0));
    node.hear(1, 0, 1);
    let at = 4 * Rendition::SEGMENT_SAMPLES;
    node.listener.follow(node.now, play(2, &high, at), Join::Splice { at });
    node.hear(1, 1, 39);
    let last = node.asked_for(1).iter().map(|(_, blocks, ..)| blocks.end).max().unwrap();
    let end = low.splice_end(at).div_ceil(u64::from(BLOCK_BYTES)) as u32;
    assert_eq!(last, end, "as far as the splice needs, and no further");
    let asked = node.asked_for(2);
    let first_audio = (high.segment_for(at).offset / u64::from(BLOCK_BYTES)) as u32;
    assert!(
        asked.iter().all(|(_, blocks, ..)| blocks.start == 0 || blocks.start >= first_audio),
        "headers, and what is heard of it: {asked:?}"
    );
    assert!(asked.iter().all(|(_, _, class, _)| *class == Class::Now), "{asked:?}");
    let before = node.listener.buffered(node.now).unwrap();
    assert!(before.media > Duration::from_secs(15), "both count: {before:?}");
    node.listener.handle_position(node.now, PlayId(2), at + 10, true);
    assert_eq!(node.listener.current_play(), Some(PlayId(2)));
    node.hear(2, 41, 19);
    assert!(node.listener.buffered(node.now).unwrap().to_the_end);
    assert_eq!(node.listener.missing_blocks(), first_audio - 1, "what was heard in the other");
}

#[test]
fn a_splice_comes_before_the_next_track_and_cancels_what_lies_beyond() {
    let mut node = Node::new();
    let (low, high) = (track(60), other(60, 7, 40_000));
    node.listener.play(node.now, play(1, &low, 0));
    node.listener.follow(node.now, play(3, &other(30, 8, 20_000), 0), Join::Next);
    node.delivers = false;
    node.settle();
    let at = Rendition::SEGMENT_SAMPLES;
    let beyond = low.splice_end(at).div_ceil(u64::from(BLOCK_BYTES)) as u32;
    node.listener.follow(node.now, play(2, &high, at), Join::Splice { at });
    node.settle();
    let wanted = node.under_way.values().filter(|(play, ..)| *play == PlayId(1));
    assert!(wanted.clone().count() > 0);
    for (_, _, blocks) in wanted {
        assert!(blocks.start < beyond, "{blocks:?} is not heard any more");
    }
    node.delivers = true;
    let under_way = std::mem::take(&mut node.under_way);
    for (transfer, (play, source, blocks)) in under_way {
        for block in blocks.iter() {
            node.listener.handle_block(node.now, play, source, transfer, block, BLOCK_BYTES);
        }
    }
    node.hear(1, 0, 10);
    node.listener.handle_position(node.now, PlayId(2), at, true);
    node.hear(2, 10, 45);
    assert!(!node.asked_for(3).is_empty(), "the next track still has its turn");
}

#[test]
fn b04_a_seek_asks_first_for_the_blocks_at_its_target() {
    let mut node = Node::new();
    let rendition = track(120);
    node.listener.play(node.now, play(1, &rendition, 0));
    node.delivers = false;
    node.settle();
    let before = node.under_way.len();
    assert!(before > 0);
    let target = 83 * SECOND + 17;
    let mut seek = play(2, &rendition, target);
    // The headers are there by now.
    seek.held.insert(0);
    node.listener.play(node.now, seek);
    node.settle();
    assert!(node.under_way.values().all(|(play, ..)| *play == PlayId(2)), "old ones are cancelled");
    let first = node.asked_for(2).first().map(|(_, blocks, ..)| blocks.start);
    let expected = (rendition.seek_offset(target) / u64::from(BLOCK_BYTES)) as u32;
    assert_eq!(first, Some(expected));
    let at = rendition.offset_at(target) / u64::from(BLOCK_BYTES);
    assert!(u64::from(expected) + 1 >= at, "it begins near: {expected} for {at}");

    // The guess was wrong: the decoder wants the block before.
    node.listener.handle_needed(node.now, PlayId(2), expected - 1);
    node.settle();
    let asked = node.asked_for(2);
    assert!(asked.iter().any(|(_, blocks, ..)| blocks.start == expected - 1), "{asked:?}");
}

#[test]
fn stopping_what_sounds_brings_what_follows() {
    let mut node = Node::new();
    node.listener.play(node.now, play(1, &track(60), 0));
    node.listener.follow(node.now, play(2, &other(60, 7, 20_000), 0), Join::Next);
    node.settle();
    node.listener.stop(node.now, PlayId(1));
    node.settle();
    assert_eq!(node.listener.current_play(), Some(PlayId(2)));
    node.listener.handle_position(node.now, PlayId(2), 0, true);
    node.settle();
    assert!(!node.asked_for(2).is_empty());
    node.listener.stop(node.now, PlayId(2));
    assert_eq!(node.listener.current_play(), None);
}
