//! The process that decodes one file: what becomes of it, and of its parent.

use std::fs::File;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use antiphon_server::ingest::{
    ChildError, ChildLimits, Observer, Outcome, SkipReason, Worker, ingest_files,
};
use antiphon_server::{Join, Service};

use crate::support::{Bench, PROGRAM};

#[derive(Default)]
struct Seen(Mutex<Vec<Outcome>>);

impl Observer for Seen {
    fn progress(&self, _path: &Path, share: f32) {
        assert!((0.0..=1.0).contains(&share));
    }

    fn done(&self, _path: &Path, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Skipped(SkipReason::Child(error)) => {
                // Errors cannot be cloned: its text is what is looked at.
                Outcome::Skipped(SkipReason::Unreadable(std::io::Error::other(kind(error))))
            }
            Outcome::Added { track, name } => Outcome::Added { track: *track, name: name.clone() },
            other => panic!("{other:?}"),
        };
        self.0.lock().unwrap().push(outcome);
    }
}

fn kind(error: &ChildError) -> &'static str {
    match error {
        ChildError::Start(_) => "start",
        ChildError::Refused(_) => "refused",
        ChildError::Cpu(_) => "cpu",
        ChildError::Slow(_) => "slow",
        ChildError::Aborted(_) => "aborted",
        ChildError::FileSize(_) => "file size",
        ChildError::Died(_) => "died",
        ChildError::Nonsense(_) => "nonsense",
        _ => "other",
    }
}

/// Ingests a minute of music by that program within those limits.
fn outcome(program: &str, limits: fn(u64) -> ChildLimits) -> String {
    let bench = Bench::new();
    let path = bench.put_music("a.wav", 60);
    let join = Join::Secret(String::new());
    let service = Service::open(&bench.data(), String::new(), join).unwrap();
    let worker = Worker::new(PathBuf::from(program), &bench.data()).unwrap().with_limits(limits);
    let seen = Seen::default();
    ingest_files(&service, &worker, vec![path], 1, &seen);
    assert!(bench.temporary().is_empty());
    match seen.0.into_inner().unwrap().pop().unwrap() {
        Outcome::Skipped(reason) => reason.to_string(),
        _ => "added".to_owned(),
    }
}

#[track_caller]
fn assert_kind(found: &str, wanted: &[&str]) {
    assert!(wanted.iter().any(|kind| found.ends_with(kind)), "{found}, not one of {wanted:?}");
}

#[test]
fn a_file_within_its_limits_is_added() {
    assert_eq!(outcome(PROGRAM, ChildLimits::for_file), "added");
}

#[cfg(unix)]
#[test]
fn a_child_that_takes_too_much_of_anything_is_one_reported_file() {
    let found =
        outcome(PROGRAM, |bytes| ChildLimits { cpu_seconds: 1, ..ChildLimits::for_file(bytes) });
    assert_kind(&found, &["cpu"]);
    let found = outcome(PROGRAM, |bytes| ChildLimits {
        wall: Duration::ZERO,
        ..ChildLimits::for_file(bytes)
    });
    assert_kind(&found, &["slow"]);
    let found = outcome(PROGRAM, |bytes| ChildLimits {
        memory_bytes: 24 << 20,
        ..ChildLimits::for_file(bytes)
    });
    // Where there is no room for a thread, it is refused in words.
    assert_kind(&found, &["aborted", "died", "refused"]);
    let found = outcome(PROGRAM, |bytes| ChildLimits {
        file_bytes: 1 << 20,
        ..ChildLimits::for_file(bytes)
    });
    assert_kind(&found, &["file size", "refused"]);
}

#[cfg(unix)]
#[test]
fn a_child_that_has_been_taken_over_cannot_deceive_its_parent() {
    let limits = ChildLimits::for_file;
    assert_kind(&outcome("/nonexistent", limits), &["start"]);
    let folder = tempfile::tempdir().unwrap();
    for (number, (does, wanted)) in [
        ("exit 0", "died"),
        ("kill -SEGV $$", "died"),
        // Text for ever, which is no frame.
        ("exec yes", "nonsense"),
        // A frame of four gigabytes.
        (r"printf '\005\377\377\377\377'; exec yes", "nonsense"),
        // A report that is none, and one without the bytes that belong to it.
        (r"printf '\005\002\000\000\000{}'", "nonsense"),
        // A rendition for ever is ended by the clock, if not by its length.
        (r"while printf '\000\001\000\000\000x'; do :; done", "slow"),
        ("exec sleep 600", "slow"),
        (r"printf '\006\004\000\000\000\033[2J'", "refused"),
    ]
    .into_iter()
    .enumerate()
    {
        let program = folder.path().join(number.to_string());
        std::fs::write(&program, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = outcome(program.to_str().unwrap(), |bytes| ChildLimits {
            wall: Duration::from_secs(1),
            ..ChildLimits::for_file(bytes)
        });
        assert_kind(&found, &[wanted]);
    }
}

#[test]
fn a_child_ends_when_its_parent_is_gone() {
    let bench = Bench::new();
    let path = bench.put_music("a.wav", 120);
    let mut child = Command::new(PROGRAM)
        .args(["ingest-one", "--cpu-seconds", "500", "--memory-bytes", "1073741824"])
        .args(["--file-bytes", "1000000000", "--open-files", "32", "--", "a.wav"])
        .current_dir(bench.music())
        .stdin(File::open(path).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
}
