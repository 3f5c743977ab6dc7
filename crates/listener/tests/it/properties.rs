//! Random events in random order: no panic, no copy too many, and in the end
//! every block is asked.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_listener::{
    Config, Listener, Output, Play, PlayId, Refused, Source, TransferId, UserPolicy,
};
use antiphon_types::{BlockRange, BlockSet, Class, NodeId, Timestamp};
use proptest::prelude::*;

use crate::world::{ms, peer, track};

#[derive(Debug, Clone)]
enum Step {
    ServerUp,
    ServerDown,
    PeerUp(u8),
    PeerDown(u8),
    Holders(Vec<u8>),
    Play {
        held: Vec<u32>,
        pushed: Option<(u32, u32)>,
        speed: f64,
    },
    Stop {
        stale: bool,
    },
    Position {
        second: u64,
        running: bool,
    },
    Stalled,
    Resumed,
    /// The n-th open transfer brings one of its blocks.
    Deliver(usize),
    /// A block that nobody asked for, of a transfer that may not exist.
    Stray {
        from: Option<u8>,
        transfer: u64,
        block: u32,
        stale: bool,
    },
    Bad(usize),
    Refuse(usize, Refused),
    PushEnded,
    Upload(u8, u8),
    UploadEnded(u8),
    Wait(u64),
    Timeout,
}

fn step() -> impl Strategy<Value = Step> {
    let refused = prop_oneof![
        (0_u64..20_000).prop_map(|millis| Refused::Choked { retry_after: ms(millis) }),
        Just(Refused::NotHeld),
        Just(Refused::Failed),
    ];
    let speed = prop_oneof![Just(1.0), Just(8.0), Just(1_000.0), Just(f64::NAN), Just(-1.0)];
    let held = prop::collection::vec(0_u32..60, 0..30);
    let pushed = prop::option::of((0_u32..80, 0_u32..80));
    prop_oneof![
        2 => Just(Step::ServerUp),
        1 => Just(Step::ServerDown),
        4 => (0_u8..6).prop_map(Step::PeerUp),
        1 => (0_u8..6).prop_map(Step::PeerDown),
        3 => prop::collection::vec(0_u8..6, 0..6).prop_map(Step::Holders),
        1 => (held, pushed, speed)
            .prop_map(|(held, pushed, speed)| Step::Play { held, pushed, speed }),
        1 => any::<bool>().prop_map(|stale| Step::Stop { stale }),
        4 => (0_u64..40, any::<bool>())
            .prop_map(|(second, running)| Step::Position { second, running }),
        1 => Just(Step::Stalled),
        1 => Just(Step::Resumed),
        12 => any::<usize>().prop_map(Step::Deliver),
        2 => (prop::option::of(0_u8..8), 0_u64..40, 0_u32..100, any::<bool>()).prop_map(
            |(from, transfer, block, stale)| Step::Stray { from, transfer, block, stale }
        ),
        1 => any::<usize>().prop_map(Step::Bad),
        3 => (any::<usize>(), refused).prop_map(|(nth, refused)| Step::Refuse(nth, refused)),
        1 => Just(Step::PushEnded),
        1 => (0_u8..8, 0_u8..4).prop_map(|(n, class)| Step::Upload(n, class)),
        1 => (0_u8..8).prop_map(Step::UploadEnded),
        6 => (0_u64..3_000).prop_map(Step::Wait),
        3 => Just(Step::Timeout),
    ]
}

/// A judge that believes only what the listener says and is told.
struct Judge {
    now: Timestamp,
    listener: Listener,
    play: PlayId,
    server_up: bool,
    peers: BTreeSet<NodeId>,
    held: BTreeSet<u32>,
    /// Blocks still to come of each open transfer.
    open: BTreeMap<TransferId, (Source, BTreeSet<u32>)>,
    seen: BTreeSet<TransferId>,
}

impl Judge {
    fn new() -> Self {
        let now = Timestamp::from_millis(5_000);
        Self {
            now,
            listener: Listener::new(Config::default(), 3, now),
            play: PlayId(0),
            server_up: false,
            peers: BTreeSet::new(),
            held: BTreeSet::new(),
            open: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    fn play(&mut self, held: &[u32], pushed: Option<(u32, u32)>, speed: f64) {
        self.play.0 += 1;
        let rendition = track(30);
        let count = rendition.size().block_count();
        let mut set = BlockSet::empty(rendition.size());
        for block in held {
            set.insert(*block);
        }
        self.held = set.ranges().flat_map(BlockRange::iter).collect();
        let pushed = pushed.map(|(start, end)| BlockRange::new(start, end));
        self.listener.play(
            self.now,
            Play {
                id: self.play,
                rendition,
                held: set,
                from: 0,
                speed,
                pushed,
                ladder: [].into(),
                user: UserPolicy::Auto,
            },
        );
        self.open.clear();
        if let Some(push) = pushed.filter(|_| self.server_up) {
            let coming = push.iter().filter(|block| *block < count && !self.held.contains(block));
            let coming = coming.collect::<BTreeSet<_>>();
            if !coming.is_empty() {
                self.open.insert(TransferId::PUSH, (Source::Server, coming));
            }
        }
    }

    fn gone(&mut self, source: Source) {
        self.open.retain(|_, (from, _)| *from != source);
    }

    /// The n-th open transfer and its first block that is still to come.
    fn nth(&self, nth: usize) -> Option<(TransferId, Source, u32)> {
        let (id, (source, blocks)) = self.open.iter().nth(nth % self.open.len().max(1))?;
        Some((*id, *source, *blocks.first()?))
    }

    fn landed(&mut self, block: u32) {
        self.held.insert(block);
        for (_, blocks) in self.open.values_mut() {
            blocks.remove(&block);
        }
        self.open.retain(|_, (_, blocks)| !blocks.is_empty());
    }

    fn take(&mut self, step: Step) {
        let (now, id) = (self.now, self.play);
        match step {
            Step::ServerUp => {
                self.server_up = true;
                self.listener.handle_server_up(now, ms(30));
            }
            Step::ServerDown => {
                self.server_up = false;
                self.gone(Source::Server);
                self.listener.handle_server_down(now);
            }
            Step::PeerUp(n) => {
                self.peers.insert(peer(n));
                self.listener.handle_peer_up(now, peer(n), ms(10 * u64::from(n)));
            }
            Step::PeerDown(n) => {
                self.peers.remove(&peer(n));
                self.gone(Source::Peer(peer(n)));
                self.listener.handle_peer_down(now, peer(n));
            }
            Step::Holders(peers) => {
                let peers = peers.into_iter().map(peer).collect::<Vec<_>>();
                self.listener.handle_holders(now, id, &peers);
            }
            Step::Play { held, pushed, speed } => self.play(&held, pushed, speed),
            Step::Stop { stale: true } => self.listener.stop(now, PlayId(9_999)),
            Step::Stop { stale: false } => self.listener.stop(now, id),
            Step::Position { second, running } => {
                self.listener.handle_position(now, id, second * 44_100, running);
            }
            Step::Stalled => self.listener.handle_stalled(now, id),
            Step::Resumed => self.listener.handle_resumed(now, id),
            Step::Deliver(nth) => {
                if let Some((transfer, source, block)) = self.nth(nth) {
                    self.landed(block);
                    self.listener.handle_block(now, id, source, transfer, block, 16_384);
                }
            }
            Step::Stray { from, transfer, block, stale } => {
                let source = from.map_or(Source::Server, |n| Source::Peer(peer(n)));
                let id = if stale { PlayId(9_999) } else { id };
                if !stale && block < track(30).size().block_count() {
                    self.landed(block);
                }
                let transfer = TransferId(transfer);
                self.listener.handle_block(now, id, source, transfer, block, 16_384);
            }
            Step::Bad(nth) => {
                if let Some((transfer, source, block)) = self.nth(nth) {
                    match source {
                        Source::Peer(peer) => {
                            self.peers.remove(&peer);
                            self.gone(source);
                        }
                        Source::Server => {
                            let (_, blocks) = self.open.get_mut(&transfer).unwrap();
                            blocks.remove(&block);
                            self.open.retain(|_, (_, blocks)| !blocks.is_empty());
                        }
                    }
                    self.listener.handle_bad_block(now, id, source, transfer, block);
                }
            }
            Step::Refuse(nth, reason) => {
                if let Some((transfer, ..)) = self.nth(nth) {
                    if transfer != TransferId::PUSH {
                        self.open.remove(&transfer);
                    }
                    self.listener.handle_refused(now, transfer, reason);
                }
            }
            Step::PushEnded => {
                self.open.remove(&TransferId::PUSH);
                self.listener.handle_push_ended(now, id);
            }
            Step::Upload(n, class) => {
                let class = Class::from_index(class).unwrap();
                self.listener.request_upload(now, peer(n), class);
            }
            Step::UploadEnded(n) => self.listener.handle_upload_ended(now, peer(n)),
            Step::Wait(millis) => self.now = now + ms(millis),
            Step::Timeout => {
                if let Some(at) = self.listener.poll_timeout() {
                    self.now = self.now.max(at);
                }
                self.listener.handle_timeout(self.now);
                self.drain();
                let at = self.listener.poll_timeout();
                assert!(at.is_none_or(|at| at > self.now), "a timer in the past");
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.listener.poll_output(self.now) {
            outputs += 1;
            assert!(outputs < 2_000, "it never stops talking");
            match output {
                Output::Fetch { transfer, play, source, blocks, .. } => {
                    assert!(self.seen.insert(transfer), "an id used twice");
                    if play != self.play {
                        continue;
                    }
                    self.check(source, blocks);
                    self.open.insert(transfer, (source, blocks.iter().collect()));
                }
                Output::Cancel { transfer, .. } => {
                    self.open.remove(&transfer);
                }
                Output::CancelPush { play } if play == self.play => {
                    self.open.remove(&TransferId::PUSH);
                }
                Output::DropPeer { peer, .. } => {
                    self.peers.remove(&peer);
                    self.gone(Source::Peer(peer));
                }
                _ => {}
            }
        }
    }

    fn check(&self, source: Source, blocks: BlockRange) {
        assert!(!blocks.is_empty());
        assert!(match source {
            Source::Server => self.server_up,
            Source::Peer(peer) => self.peers.contains(&peer),
        });
        for block in blocks.iter() {
            assert!(!self.held.contains(&block), "block {block} is held");
            let copies = self.open.values().filter(|(_, open)| open.contains(&block)).count();
            assert!(copies < 2, "block {block} has two copies on their way already");
        }
    }

    /// Nothing fails any more: the whole track must come.
    fn heal(&mut self) {
        if self.listener.current_play().is_none() {
            self.play(&[], None, 1.0);
        }
        self.take(Step::ServerUp);
        self.take(Step::Position { second: 30, running: false });
        for _ in 0..5_000 {
            if self.listener.missing_blocks() == 0 {
                return;
            }
            if self.nth(0).is_some() {
                self.take(Step::Deliver(0));
            } else {
                self.take(Step::Timeout);
            }
        }
        panic!("{} blocks never asked", self.listener.missing_blocks());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_every_block_is_asked_in_the_end(
        steps in prop::collection::vec(step(), 0..120)
    ) {
        let mut judge = Judge::new();
        judge.take(Step::ServerUp);
        judge.play(&[], Some((0, 20)), 1.0);
        judge.drain();
        for step in steps {
            judge.take(step);
        }
        judge.heal();
    }
}
