//! Processes killed while they fill a store (C1), and two at one store (C9).

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use antiphon_store::OpenError;

use crate::folder::patiently;

use super::child::{self, Listener, Role, Said};
use super::disk::Crash;
use super::draw::Draw;
use super::model::Model;

/// Kills in a run of the tests that is told nothing.
const KILLS: u64 = 200;
const SIGKILL: i32 = 9;

/// Runs a child until it has said so much, and kills it.
fn run_and_kill(folder: &Path, seed: u64, patience: usize, model: &mut Model) -> usize {
    let mut child = child::command(&[], folder, Role::Endless, seed).spawn().unwrap();
    let mut listener = Listener::new(child.stdout.take().unwrap());
    let mut heard = 0;
    for said in listener.by_ref().take(patience) {
        said.note(model);
        heard += 1;
    }
    child.kill().unwrap();
    // What it said before it was killed holds, though nobody had listened yet.
    for said in listener {
        said.note(model);
        heard += 1;
    }
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "it ended by itself: {status}");
    heard
}

/// Fills one folder through many lives, each killed.
fn kill_often(folder: &Path, seed: u64, kills: u64) {
    let mut draw = Draw::new(seed);
    let (mut model, mut heard, mut owed) = (Model::default(), 0, 0);
    for kill in 0..kills {
        let patience = 1 + draw.below(80);
        heard += run_and_kill(folder, draw.number(), patience, &mut model);
        model.crash(Crash::Kill);
        owed += model.owed().map(|(_, blocks)| blocks.len()).sum::<usize>();
        eprintln!("seed {seed}, kill {kill}: {heard} heard, {owed} owed");
        drop(child::check(folder, &mut model));
    }
    assert!(owed > 0, "nothing was ever owed");
    let store = child::check(folder, &mut model);
    child::heal(folder, store);
}

#[test]
fn c1_killed_at_any_instant_nothing_noted_is_lost() {
    let asked = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
    };
    let seed = asked("ANTIPHON_TORTURE_SEED").unwrap_or(1);
    let kills = asked("ANTIPHON_TORTURE_KILLS").unwrap_or(KILLS);
    // A kill leaves what is in memory, so most need no disk, whose syncs are slow.
    let memory = Path::new("/dev/shm");
    let in_memory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    kill_often(in_memory.unwrap().path(), seed, kills);
    kill_often(tempfile::tempdir().unwrap().path(), seed, kills / 20);
}

#[test]
fn c9_a_second_process_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = child::command(&[], folder.path(), Role::Open, 0).spawn().unwrap();
    let mut heard = Listener::new(first.stdout.take().unwrap());
    assert_eq!(heard.next(), Some(Said::Ready));
    assert!(matches!(child::open(folder.path()), Err(OpenError::InUse(_))));
    let mut second = child::command(&[], folder.path(), Role::Open, 0).spawn().unwrap();
    let told: Vec<Said> = Listener::new(second.stdout.take().unwrap()).collect();
    assert_eq!(told, [Said::InUse]);
    assert!(second.wait().unwrap().success());
    first.kill().unwrap();
    first.wait().unwrap();
    patiently(|| child::open(folder.path()));
}
