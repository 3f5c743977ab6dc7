//! Thousands of lives, each from a seed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::disk::{Op, Tally};
use super::world::World;

/// Seeds in a run of the tests that is told nothing.
const SEEDS: u64 = 2_000;
/// Failing seeds after which a run ends.
const ENOUGH: usize = 5;

/// What has to happen in a run of [`SEEDS`], or the run shows nothing.
const EVENTS: [&str; 30] = [
    "Create: Broken",
    "Create: Full",
    "List: Broken",
    "Lock: Broken",
    "Open: Broken",
    "Open: NoFiles",
    "Read: Broken",
    "Read: NoMemory",
    "Read: bad sector",
    "Remove: Broken",
    "Rename: Broken",
    "Sync: Broken",
    "SyncFolder: Broken",
    "Write: Broken",
    "Write: Full",
    "Write: Quota",
    "Write: ReadOnly",
    "Write: no room",
    "bit flipped",
    "blob let go",
    "crash while opening",
    "files left empty",
    "folders lost",
    "names lost",
    "owed after a kill",
    "owed after a power cut",
    "put: in memory",
    "writes lost",
    "writes torn",
    "written in part",
];

/// What the environment asks for.
struct Asked {
    first: u64,
    seeds: u64,
    until: Option<Instant>,
    /// One seed alone, told step by step.
    is_told: bool,
}

impl Asked {
    fn read() -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
        };
        let one = number("ANTIPHON_TORTURE_SEED");
        let seconds = number("ANTIPHON_TORTURE_SECONDS");
        let endless = if seconds.is_some() { u64::MAX } else { SEEDS };
        Self {
            first: one.or_else(|| number("ANTIPHON_TORTURE_FIRST")).unwrap_or(0),
            seeds: if one.is_some() {
                1
            } else {
                number("ANTIPHON_TORTURE_SEEDS").unwrap_or(endless)
            },
            until: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            is_told: one.is_some(),
        }
    }
}

/// Lives one life; what happened in it, and its trace.
fn live(seed: u64, is_told: bool) -> (Tally, u64) {
    let (mut world, steps) = World::drawn(seed, is_told);
    world.run(&steps);
    let mut tally = Tally::default();
    world.disk.tally(|counted| tally.merge(counted));
    (tally, world.disk.trace())
}

/// The commit that this was built from, as far as it can be told.
fn commit() -> String {
    let git = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let told = git.ok().filter(|output| output.status.success());
    told.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

#[test]
fn nothing_owed_is_lost_and_nothing_false_is_served() {
    let asked = Asked::read();
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let failing = Mutex::new(BTreeSet::new());
    let is_over = || {
        asked.until.is_some_and(|until| Instant::now() >= until)
            || failing.lock().unwrap().len() >= ENOUGH
    };
    let work = || {
        while !is_over() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= asked.seeds {
                break;
            }
            let seed = asked.first.wrapping_add(number);
            match catch_unwind(AssertUnwindSafe(|| live(seed, asked.is_told))) {
                Ok((counted, _)) => tally.lock().unwrap().merge(&counted),
                Err(_) => {
                    eprintln!(
                        "SEED={seed} COMMIT={}\n  replay: ANTIPHON_TORTURE_SEED={seed} \
                         cargo test -p antiphon-store --test it torture::random -- --nocapture",
                        commit()
                    );
                    failing.lock().unwrap().insert(seed);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(asked.seeds as usize);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));

    let tally = tally.into_inner().unwrap();
    let lives = next.into_inner().min(asked.seeds);
    tally.lines().for_each(|line| eprintln!("{line}"));
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("torture: {lives} seeds in {seconds:.1} s, {:.0} a second", lives as f64 / seconds);
    let failing = failing.into_inner().unwrap();
    assert!(failing.is_empty(), "seeds {failing:?} of {lives}");
    if lives >= SEEDS {
        let crashes = Op::MUTATING.map(|op| format!("crash in {op:?}"));
        let events = EVENTS.into_iter().chain(crashes.iter().map(String::as_str));
        let missing: Vec<&str> = events.filter(|event| tally.get(event) == 0).collect();
        assert!(missing.is_empty(), "in all {lives} lives there was no {missing:?}");
    }
}

#[test]
fn a_seed_always_gives_the_same_life() {
    for seed in 0..40 {
        assert_eq!(live(seed, false).1, live(seed, false).1, "seed {seed}");
    }
    let traces: BTreeSet<u64> = (0..40).map(|seed| live(seed, false).1).collect();
    assert_eq!(traces.len(), 40, "different seeds give different lives");
}
