//! Eviction policies, without a disk.

use std::collections::BTreeMap;

use antiphon_store::{Policy, PolicyKind, Standing, hash};
use antiphon_types::BlobId;
use proptest::prelude::*;

const BLOBS: usize = 8;

fn id(number: usize) -> BlobId {
    hash(&number.to_le_bytes())
}

fn kind() -> impl Strategy<Value = PolicyKind> {
    prop::sample::select(PolicyKind::ALL.to_vec())
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Insert(usize, u64),
    Touch(usize),
    Remove(usize),
    Settle(usize),
    /// The blobs whose bits are set may go.
    Evict(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let blob = || 0..BLOBS;
    prop_oneof![
        6 => (blob(), 1..12_000_000_u64).prop_map(|(blob, bytes)| Step::Insert(blob, bytes)),
        8 => blob().prop_map(Step::Touch),
        1 => blob().prop_map(Step::Remove),
        1 => blob().prop_map(Step::Settle),
        4 => any::<u8>().prop_map(Step::Evict),
        1 => Just(Step::Reopen),
    ]
}

/// The policy of a store that was closed and opened again.
fn reopened(
    policy: &dyn Policy,
    sizes: &BTreeMap<BlobId, u64>,
    kind: PolicyKind,
) -> Box<dyn Policy> {
    let mut opened = kind.policy();
    for (blob, standing) in policy.standings() {
        opened.restore(blob, sizes[&blob], Standing::from_bits(standing.to_bits()));
    }
    policy.remembered().into_iter().for_each(|blob| opened.remember(blob));
    opened
}

fn drain(policy: &mut dyn Policy) -> Vec<BlobId> {
    std::iter::from_fn(|| policy.evict(&|_| true)).collect()
}

fn sorted(mut blobs: Vec<BlobId>) -> Vec<BlobId> {
    blobs.sort();
    blobs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Whatever the policy: nothing is lost, invented, taken twice or against
    /// the owner's word, and bytes are those of what is there.
    #[test]
    fn a_policy_knows_what_is_there(kind in kind(), steps in prop::collection::vec(step(), 0..120)) {
        let mut policy = kind.policy();
        let mut known = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(blob, bytes) => {
                    policy.insert(id(blob), bytes);
                    known.entry(id(blob)).or_insert(bytes);
                }
                Step::Touch(blob) => policy.touch(id(blob)),
                Step::Remove(blob) => {
                    policy.remove(id(blob));
                    known.remove(&id(blob));
                }
                Step::Settle(blob) => policy.settle(id(blob)),
                Step::Evict(bits) => {
                    let leave: Vec<BlobId> =
                        (0..BLOBS).filter(|blob| bits >> blob & 1 == 1).map(id).collect();
                    let before = policy.standings();
                    match policy.evict(&|blob| leave.contains(blob)) {
                        Some(victim) => {
                            prop_assert!(leave.contains(&victim));
                            prop_assert!(known.remove(&victim).is_some());
                        }
                        None => {
                            prop_assert!(known.keys().all(|blob| !leave.contains(blob)));
                            prop_assert_eq!(policy.standings(), before);
                        }
                    }
                }
                Step::Reopen => {
                    let before = (policy.standings(), policy.remembered());
                    policy = reopened(&*policy, &known, kind);
                    prop_assert_eq!((policy.standings(), policy.remembered()), before);
                }
            }
            let all: Vec<BlobId> = known.keys().copied().collect();
            prop_assert_eq!(policy.bytes(), known.values().sum::<u64>());
            prop_assert_eq!(
                sorted(policy.standings().into_iter().map(|(blob, _)| blob).collect()),
                all.clone()
            );
            let gone = policy.remembered();
            prop_assert!(gone.len() <= known.len());
            prop_assert!(gone.iter().all(|blob| !known.contains_key(blob)));
            // In the order in which they would go, here, after opening, and
            // under another policy.
            let order = drain(&mut *reopened(&*policy, &known, kind));
            prop_assert_eq!(sorted(order), all.clone());
            for other in PolicyKind::ALL {
                prop_assert_eq!(sorted(drain(&mut *reopened(&*policy, &known, other))), all.clone());
            }
        }
        let expected = drain(&mut *reopened(&*policy, &known, kind));
        prop_assert_eq!(drain(&mut *policy), expected, "as after opening");
        prop_assert_eq!((policy.bytes(), policy.remembered()), (0, vec![]));
    }

    /// LRU is a list to whose end each blob moves that comes or is played.
    #[test]
    fn lru_is_a_list(steps in prop::collection::vec(step(), 0..120)) {
        let mut policy = PolicyKind::Lru.policy();
        let mut list: Vec<BlobId> = Vec::new();
        let mut sizes = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(blob, bytes) => {
                    policy.insert(id(blob), bytes);
                    if !list.contains(&id(blob)) {
                        list.push(id(blob));
                        sizes.insert(id(blob), bytes);
                    }
                }
                Step::Touch(blob) => {
                    policy.touch(id(blob));
                    if list.contains(&id(blob)) {
                        list.retain(|other| *other != id(blob));
                        list.push(id(blob));
                    }
                }
                Step::Remove(blob) => {
                    policy.remove(id(blob));
                    list.retain(|other| *other != id(blob));
                }
                Step::Settle(blob) => policy.settle(id(blob)),
                Step::Evict(bits) => {
                    let leave: Vec<BlobId> =
                        (0..BLOBS).filter(|blob| bits >> blob & 1 == 1).map(id).collect();
                    let victim = list.iter().copied().find(|blob| leave.contains(blob));
                    prop_assert_eq!(policy.evict(&|blob| leave.contains(blob)), victim);
                    list.retain(|blob| Some(*blob) != victim);
                }
                Step::Reopen => policy = reopened(&*policy, &sizes, PolicyKind::Lru),
            }
            let order: Vec<BlobId> = policy.standings().iter().map(|(blob, _)| *blob).collect();
            prop_assert_eq!(&order, &list);
        }
    }

    /// What was played twice outlasts any number of prefetches, in any order
    /// with the plays, as long as it takes no more than 70 % of the budget.
    #[test]
    fn prefetches_do_not_drive_out_what_is_loved(
        kind in prop::sample::select(vec![PolicyKind::S3Fifo, PolicyKind::TinyLfu]),
        loved in prop::collection::vec(1_000_000..10_000_000_u64, 1..=7),
        between in 0..5_usize,
        scan in prop::collection::vec(1_000_000..12_000_000_u64, 1..400),
    ) {
        let mut cache = Cache::new(kind);
        for (number, bytes) in loved.iter().enumerate() {
            cache.bring(id(number), *bytes);
            (0..2).for_each(|_| cache.policy.touch(id(number)));
            (0..between).for_each(|other| cache.bring(id(1_000 + 10 * number + other), *bytes / 2));
        }
        for (number, bytes) in scan.iter().enumerate() {
            cache.bring(id(10_000 + number), *bytes);
        }
        prop_assert!((0..loved.len()).all(|number| cache.holds(id(number))));
    }
}

/// Something of 100 MB that asks a policy for victims.
struct Cache {
    policy: Box<dyn Policy>,
}

impl Cache {
    fn new(kind: PolicyKind) -> Self {
        Self { policy: kind.policy() }
    }

    fn bring(&mut self, blob: BlobId, bytes: u64) {
        while self.policy.bytes() + bytes > 100_000_000 {
            self.policy.evict(&|_| true).unwrap();
        }
        self.policy.insert(blob, bytes);
    }

    fn holds(&self, blob: BlobId) -> bool {
        self.policy.standings().iter().any(|(known, _)| *known == blob)
    }
}

#[test]
fn under_lru_prefetches_drive_out_what_is_loved() {
    let mut cache = Cache::new(PolicyKind::Lru);
    cache.bring(id(0), 5_000_000);
    (0..9).for_each(|_| cache.policy.touch(id(0)));
    (1..=20).for_each(|number| cache.bring(id(number), 5_000_000));
    assert!(!cache.holds(id(0)));
}

#[test]
fn s3_fifo_remembers_a_play_of_what_is_gone() {
    let mut cache = Cache::new(PolicyKind::S3Fifo);
    for number in 0..10 {
        cache.bring(id(number), 5_000_000);
        (0..2).for_each(|_| cache.policy.touch(id(number)));
    }
    let again = |cache: &mut Cache| {
        cache.bring(id(100), 5_000_000);
        cache.policy.touch(id(100));
        (200..230).for_each(|number| cache.bring(id(number), 5_000_000));
        cache.holds(id(100))
    };
    assert!(!again(&mut cache), "played once");
    assert_eq!(cache.policy.remembered(), [id(100)]);
    cache.policy.forget();
    assert!(!again(&mut cache), "as if for the first time");
    assert!(again(&mut cache), "and once more");
}

#[test]
fn w_tinylfu_keeps_the_more_played_of_two_and_of_equals_the_one_in_the_main_segment() {
    for (plays_in_main, plays_of_newcomer, goes) in [(1, 3, 0), (3, 1, 1), (2, 2, 1), (0, 0, 1)] {
        let mut policy = PolicyKind::TinyLfu.policy();
        for (number, plays) in [plays_in_main, plays_of_newcomer].into_iter().enumerate() {
            policy.insert(id(number), 5_000_000);
            (0..plays).for_each(|_| policy.touch(id(number)));
            if number == 0 {
                policy.settle(id(0));
            }
        }
        assert_eq!(policy.evict(&|_| true), Some(id(goes)));
    }
}

#[test]
fn what_is_pinned_leaves_room_for_what_is_new() {
    for kind in [PolicyKind::S3Fifo, PolicyKind::TinyLfu] {
        let (old, pinned, new) = (id(0), id(1), id(2));
        let mut policy = kind.policy();
        policy.insert(old, 5_000_000);
        policy.settle(old);
        policy.insert(pinned, 900_000_000);
        policy.settle(pinned);
        policy.insert(new, 5_000_000);
        assert_eq!(policy.evict(&|blob| *blob != pinned), Some(old), "{kind}");
    }
}

#[test]
fn kinds_are_named() {
    for kind in PolicyKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    let error = "fifo".parse::<PolicyKind>().unwrap_err();
    assert!(error.to_string().contains("`fifo`"));
}
