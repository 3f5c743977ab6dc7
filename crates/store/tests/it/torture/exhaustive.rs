//! One life, ended at every operation in turn (C1, C2), or with every operation
//! failing in turn (C4, C5, C6).

use super::disk::{Crash, Fault, Op, Order, Unsynced};
use super::samples;
use super::step::Step;
use super::world::World;

/// All kinds of operations, with blobs that make room for each other.
const SCRIPT: [Step; 26] = [
    Step::Begin(0),
    Step::Put { blob: 0, block: 0, count: 1 },
    Step::Begin(1),
    Step::Put { blob: 1, block: 3, count: 2 },
    Step::Sync(1),
    Step::Pin(1),
    Step::Put { blob: 1, block: 0, count: 2 },
    Step::Flush,
    Step::Put { blob: 1, block: 2, count: 1 },
    Step::Begin(2),
    Step::Put { blob: 2, block: 0, count: 2 },
    Step::Touch(0),
    Step::Flush,
    Step::Pin(0),
    Step::Unpin(1),
    Step::Begin(3),
    Step::Put { blob: 3, block: 9, count: 3 },
    Step::Flush,
    Step::Put { blob: 3, block: 4, count: 3 },
    Step::Reopen,
    Step::Flush,
    Step::Put { blob: 3, block: 7, count: 1 },
    Step::Remove(2),
    Step::Touch(3),
    Step::Flush,
    Step::Clear,
];

const CRASHES: [Crash; 6] = [
    Crash::Kill,
    cut(Unsynced::Lost, Unsynced::Lost),
    cut(Unsynced::Kept, Unsynced::Lost),
    cut(Unsynced::Lost, Unsynced::Kept),
    cut(Unsynced::Beginning, Unsynced::Torn),
    cut(Unsynced::Torn, Unsynced::Torn),
];

const fn cut(names: Unsynced, bytes: Unsynced) -> Crash {
    Crash::PowerCut { names, bytes }
}

/// A world for the script: its blobs do not all fit.
fn world(seed: u64, has_faults: bool) -> World {
    let all = samples::all();
    World::scripted(seed, vec![&all[1], &all[4], &all[3], &all[5]], 250_000, has_faults)
}

/// Says what was tried when a check fails.
struct Tried(String);

impl Drop for Tried {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Lives the script, ended so; false if it was over before.
fn live(draw: u64, ends: &[(u64, Crash)]) -> bool {
    let _tried = Tried(format!("draw {draw}, ended by {ends:?}"));
    let mut world = world(draw, false);
    world.end_by(ends);
    world.run(&SCRIPT);
    world.deaths > 0
}

fn end_everywhere(crash: Crash, draws: u64) {
    for draw in 0..draws {
        let operations = (1..).take_while(|last| live(draw, &[(*last, crash)])).count();
        assert!(operations > 80, "the script has only {operations} operations");
    }
}

#[test]
fn c1_killed_at_every_operation() {
    end_everywhere(Crash::Kill, 2);
}

#[test]
fn c2_the_power_cut_at_every_operation() {
    for crash in &CRASHES[1..] {
        end_everywhere(*crash, 2);
    }
}

#[test]
fn c2_the_power_cut_again_while_recovering() {
    for again in 1..8 {
        let ends = |last| [(last, CRASHES[5]), (again, CRASHES[(again % 6) as usize])];
        assert!((1..90).step_by(2).all(|last| live(again, &ends(last))));
    }
}

/// Lives the script with operations of one kind failing, from every one on in
/// turn: so many, or all until the end.
fn fail_everywhere(op: Op, fault: Fault, times: u64) {
    let has_failed = |after| {
        let _tried = Tried(format!("{op:?} fails {times} times by {fault:?} after {after}"));
        let mut world = world(after, true);
        world.disk.faults(|faults| faults.order(Order { op, fault, after, times }));
        world.run(&SCRIPT);
        world.disk.errors() > 0
    };
    let operations = (0..).take_while(|after| has_failed(*after)).count();
    assert!(operations > 0, "the script never comes to {op:?}");
}

#[test]
fn c4_no_room_at_any_operation() {
    for op in [Op::Create, Op::Write, Op::Rename, Op::MakeFolder] {
        for times in [1, 3, u64::MAX] {
            fail_everywhere(op, Fault::Full, times);
        }
    }
    fail_everywhere(Op::Write, Fault::Quota, u64::MAX);
}

#[test]
fn c5_any_operation_fails() {
    for op in Op::ALL.into_iter().filter(|op| *op != Op::FreeBytes) {
        for times in [1, 4] {
            fail_everywhere(op, Fault::Broken, times);
        }
    }
}

#[test]
fn c5_no_file_can_be_opened_for_a_while() {
    for op in [Op::Open, Op::Create, Op::List, Op::Lock] {
        fail_everywhere(op, Fault::NoFiles, 2);
    }
    fail_everywhere(Op::Read, Fault::NoMemory, 2);
}

#[test]
fn c6_any_sync_fails() {
    for times in [1, 2, u64::MAX] {
        fail_everywhere(Op::Sync, Fault::Broken, times);
        fail_everywhere(Op::SyncFolder, Fault::Broken, times);
    }
}
