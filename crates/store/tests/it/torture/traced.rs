//! Real system calls that fail, or in which the process is killed: by `strace`
//! (C1, C4, C6).

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use super::child::{self, Listener, Role, Said};
use super::disk::Crash;
use super::model::Model;

/// The calls that change something, with the names that they have on some
/// machines alone.
const CHANGING: [&str; 5] =
    ["pwrite64", "fdatasync", "fsync", "?rename,?renameat,?renameat2", "?unlink,?unlinkat"];
/// More calls of a kind than the script makes.
const ENDLESS: usize = 200;

/// Whether there is an `strace` that may trace. Says so where there is none.
fn can_trace() -> bool {
    let mut probe = Command::new("strace");
    probe.args(["-qq", "-o", "/dev/null", "true"]).stdin(Stdio::null());
    let can = probe.output().is_ok_and(|output| output.status.success());
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(can || !is_ci, "CI needs strace, and the right to trace");
    if !can {
        eprintln!("skipped, for want of strace or the right to trace");
    }
    can
}

/// Runs the script with something done to some of its calls; what it said.
fn run(folder: &Path, calls: &str, what: &str) -> (ExitStatus, Vec<Said>) {
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:{what}");
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let mut child = child::command(&strace, folder, Role::Script, 0).spawn().unwrap();
    let said = Listener::new(child.stdout.take().unwrap()).collect();
    (child.wait().unwrap(), said)
}

/// Nothing is owed that is not there, and the rest can be filled in.
fn check(folder: &Path, said: &[Said]) {
    let mut model = Model::default();
    said.iter().for_each(|said| said.note(&mut model));
    model.crash(Crash::Kill);
    let store = child::check(folder, &mut model);
    child::heal(folder, store);
}

#[test]
fn c1_killed_in_every_system_call() {
    if !can_trace() {
        return;
    }
    for calls in CHANGING {
        let killed = (1..ENDLESS).take_while(|number| {
            let folder = tempfile::tempdir().unwrap();
            let (status, said) =
                run(folder.path(), calls, &format!("signal=SIGKILL:when={number}"));
            check(folder.path(), &said);
            !status.success()
        });
        let killed = killed.count();
        eprintln!("killed in each of {killed} calls of {calls}");
        assert!((1..ENDLESS - 1).contains(&killed), "{calls}: {killed}");
    }
}

#[test]
fn c4_no_room_from_any_write_on() {
    if !can_trace() {
        return;
    }
    for number in 1..ENDLESS {
        let folder = tempfile::tempdir().unwrap();
        let (status, said) =
            run(folder.path(), "pwrite64", &format!("error=ENOSPC:when={number}+"));
        assert!(status.success(), "it played on: {status}");
        let is_over = !said.contains(&Said::Failed);
        let kept = said.iter().filter(|said| matches!(said, Said::InMemory(..))).count();
        assert!(is_over || number > 1 || kept == 8, "all were kept in memory: {kept}");
        check(folder.path(), &said);
        if is_over {
            assert!(number > 5, "the script wrote only {number} times");
            return;
        }
    }
    panic!("it failed without end");
}

#[test]
fn c6_any_one_sync_fails() {
    if !can_trace() {
        return;
    }
    for number in 1..ENDLESS {
        let folder = tempfile::tempdir().unwrap();
        let (status, said) = run(folder.path(), "fdatasync", &format!("error=EIO:when={number}"));
        assert!(status.success(), "{status}");
        check(folder.path(), &said);
        if !said.contains(&Said::Failed) {
            assert!(number > 5, "the script synced only {number} times");
            return;
        }
    }
    panic!("it failed without end");
}
