//! Disks that are full or may not be written to: the music goes on, and the
//! listener is told once.
//!
//! They are real file systems, which only root may mount; elsewhere these tests
//! say so and do nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;
use serde_json::Value;

use crate::support::listener::{Play, ended};
use crate::support::{Process, Service, Track, music};

/// What a listener is told.
const TOLD: &str = "music goes on, but the disk does not keep it all";

/// A file system in memory, unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many KiB; none where that is not allowed.
    fn mount(folder: &Path, kib: u32) -> Option<Self> {
        if !Uid::effective().is_root() {
            eprintln!("not tried: only root may mount a small disk");
            return None;
        }
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={kib}k");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "antiphon-test"]).arg(folder));
        Some(Self(folder.to_owned()))
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.0));
    }

    /// Fills what is left of it.
    fn fill(&self) {
        let filler = self.0.join("filler");
        let mut piece = vec![1; 1 << 20];
        while !piece.is_empty() {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
            if std::io::Write::write_all(&mut file, &piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// The play was heard whole, and its listener told once that it is not kept.
fn heard_and_told_once(process: &mut Process, track: &Track) -> Play {
    let status = process.wait();
    assert!(status.success(), "{status}: {}", process.stderr());
    let last: Value = serde_json::from_str(process.lines().last().unwrap()).unwrap();
    let play = Play::from(last);
    play.assert_heard(track);
    let said = process.stderr();
    assert_eq!(said.matches(TOLD).count(), 1, "{said}");
    assert_eq!(said.lines().count(), 1, "and of nothing else: {said}");
    play
}

#[test]
fn c4_a_disk_that_fills_up_does_not_stop_the_music() {
    let (service, songs) = (Service::start(), music());
    let a = service.listener("a");
    let cache = a.data().join("cache");
    let Some(disk) = SmallDisk::mount(&cache, 1000) else { return };

    // 2 MB of music for 1 MB of disk.
    let mut process = a.click(&songs.long, 8, &[]);
    heard_and_told_once(&mut process, &songs.long);

    // What the disk took is there, and sound; the rest comes again.
    let verified = a.run(&["cache", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let mut process = a.click(&songs.long, 8, &[]);
    let play = heard_and_told_once(&mut process, &songs.long);
    assert!(play.bytes("cache") > 500_000 && play.bytes("server") > 500_000, "{play:?}");

    // What was loved less makes room for what is played.
    let mut process = a.click(&songs.short[0], 8, &[]);
    ended(&a, &mut process).assert_heard(&songs.short[0]);
    assert_eq!(process.stderr(), "", "there was room");
    let replay = ended(&a, &mut a.click(&songs.short[0], 8, &[]));
    assert_eq!(replay.bytes("server"), 0, "{replay:?}");

    // With more room all is kept again.
    disk.remount("size=8m");
    ended(&a, &mut a.click(&songs.long, 8, &[])).assert_heard(&songs.long);
    let replay = ended(&a, &mut a.click(&songs.long, 8, &[]));
    assert_eq!(replay.bytes("server"), 0, "{replay:?}");
}

#[test]
fn c4_with_every_file_on_a_full_disk_the_music_plays() {
    let (service, songs) = (Service::start(), music());
    let stranger = service.stranger("a");
    let Some(disk) = SmallDisk::mount(stranger.data(), 1000) else { return };
    let a = service.listener("a");
    ended(&a, &mut a.click(&songs.short[0], 40, &[])).assert_heard(&songs.short[0]);
    let events = fs::read(a.data().join("events.jsonl")).unwrap();
    disk.fill();

    let mut process = a.click(&songs.middle, 8, &[]);
    heard_and_told_once(&mut process, &songs.middle);
    let after = fs::read(a.data().join("events.jsonl")).unwrap();
    assert!(after.starts_with(&events) && after.ends_with(b"\n"), "records were damaged");

    fs::remove_file(a.data().join("filler")).unwrap();
    ended(&a, &mut a.click(&songs.short[1], 40, &[])).assert_heard(&songs.short[1]);
    assert!(a.run(&["cache", "verify"]).status.success());
}

#[test]
fn c10_a_cache_that_becomes_read_only_does_not_stop_the_music() {
    let (service, songs) = (Service::start(), music());
    let a = service.listener("a");
    let Some(disk) = SmallDisk::mount(&a.data().join("cache"), 8000) else { return };
    ended(&a, &mut a.click(&songs.short[0], 40, &[])).assert_heard(&songs.short[0]);

    disk.remount("ro");
    let replay = ended(&a, &mut a.click(&songs.short[0], 40, &[]));
    assert_eq!(replay.bytes("server"), 0, "what is there is still read: {replay:?}");
    let mut process = a.click(&songs.short[1], 8, &[]);
    heard_and_told_once(&mut process, &songs.short[1]);

    disk.remount("rw");
    ended(&a, &mut a.click(&songs.short[1], 8, &[])).assert_heard(&songs.short[1]);
}

#[test]
fn c10_a_cache_that_is_gone_does_not_stop_the_music() {
    let (service, songs) = (Service::start(), music());
    let a = service.listener("a");
    let ids = songs.short[..2].iter().map(|track| format!("{}\n", track.id));
    let list = service.folder().join("list");
    fs::write(&list, ids.collect::<String>()).unwrap();
    let mut process = a.start(&["--json", "play", "--speed", "8", list.to_str().unwrap()]);
    a.wait_for_event("server_up");
    fs::remove_dir_all(a.data().join("cache")).unwrap();
    let status = process.wait();
    assert!(status.success(), "{status}: {}", process.stderr());
    let heard = a.plays();
    heard[0].assert_heard(&songs.short[0]);
    heard[1].assert_heard(&songs.short[1]);
    assert!(process.stderr().matches(TOLD).count() <= 1, "{}", process.stderr());
}
