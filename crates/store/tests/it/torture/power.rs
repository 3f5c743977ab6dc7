//! The power cut of a real file system: an ext4 in a file, shut down without
//! its journal (C2); and one that is full (C4).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use antiphon_store::Put;

use crate::folder::patiently;

use super::child::{self, Listener, Role, Said};
use super::disk::{Crash, Unsynced};
use super::draw::Draw;
use super::model::Model;
use super::samples;

const IMAGE_BYTES: u64 = 64 << 20;
/// Power cuts in a run of the tests that is told nothing.
const CUTS: u64 = 10;
/// Shuts a file system down at once (EXT4_IOC_SHUTDOWN), its journal unwritten.
const SHUTDOWN: &str = r#"open(F, "<", $ARGV[0]) or die $!;
    my $how = pack("L", 2); ioctl(F, 0x8004587d, $how) or die $!;"#;

/// An ext4 in a file, mounted.
struct FileSystem {
    place: tempfile::TempDir,
}

impl FileSystem {
    /// None, and says so, where one may not mount.
    fn new() -> Option<Self> {
        let this = Self { place: tempfile::tempdir().unwrap() };
        fs::File::create(this.image()).unwrap().set_len(IMAGE_BYTES).unwrap();
        fs::create_dir(this.top()).unwrap();
        let mut make = Command::new("mkfs.ext4");
        if succeeds(make.args(["-q", "-F"]).arg(this.image())) && this.mount() {
            return Some(this);
        }
        eprintln!("skipped, for want of mkfs.ext4, loop devices, or the right to mount");
        None
    }

    fn image(&self) -> PathBuf {
        self.place.path().join("image")
    }

    fn top(&self) -> PathBuf {
        self.place.path().join("top")
    }

    fn folder(&self) -> PathBuf {
        self.top().join("cache")
    }

    fn mount(&self) -> bool {
        succeeds(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.top()))
    }

    fn unmount(&self) -> bool {
        succeeds(Command::new("umount").arg(self.top()))
    }

    fn cut_power(&self) -> bool {
        succeeds(Command::new("perl").args(["-e", SHUTDOWN]).arg(self.top()))
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a child until it has said so much, and cuts the power under it.
fn run_and_cut(system: &FileSystem, seed: u64, patience: usize, model: &mut Model) -> bool {
    let mut child = child::command(&[], &system.folder(), Role::Endless, seed).spawn().unwrap();
    let mut listener = Listener::new(child.stdout.take().unwrap());
    listener.by_ref().take(patience).for_each(|said| said.note(model));
    let is_cut = system.cut_power();
    // It lives on for a moment, with a disk that takes nothing. A sync that is
    // under way may return as if all were well, as none does when the power is
    // really cut: Linux does not tell it that what it wrote was not recorded. So
    // nothing is owed for what was said of syncs from now on.
    let mut note = |said: Said| match said {
        Said::Synced(..) => {}
        said => said.note(model),
    };
    listener.by_ref().take(20).for_each(&mut note);
    child.kill().unwrap();
    listener.for_each(note);
    child.wait().unwrap();
    assert!(system.unmount() && system.mount(), "it does not mount again");
    is_cut
}

#[test]
fn c2_the_power_cut_of_a_real_file_system() {
    let Some(system) = FileSystem::new() else { return };
    let cuts = std::env::var("ANTIPHON_TORTURE_CUTS").ok();
    let cuts = cuts.map_or(CUTS, |text| text.parse().expect("ANTIPHON_TORTURE_CUTS is a number"));
    let (mut draw, mut model, mut owed) = (Draw::new(7), Model::default(), 0);
    for cut in 0..cuts {
        let patience = 50 + draw.below(400);
        if !run_and_cut(&system, draw.number(), patience, &mut model) {
            return eprintln!("skipped, for want of perl, or a kernel that shuts ext4 down");
        }
        model.crash(Crash::PowerCut { names: Unsynced::Torn, bytes: Unsynced::Torn });
        owed += model.owed().map(|(_, blocks)| blocks.len()).sum::<usize>();
        eprintln!("cut {cut}: {owed} owed");
        drop(child::check(&system.folder(), &mut model));
    }
    assert!(owed > 0, "nothing was ever owed");
    let store = child::check(&system.folder(), &mut model);
    child::heal(&system.folder(), store);
}

#[test]
fn c4_a_real_file_system_is_full() {
    let Some(system) = FileSystem::new() else { return };
    let blob = samples::all().last().unwrap();
    let store = child::open(&system.folder()).unwrap();
    store.begin(blob.id(), blob.size()).unwrap();
    let filler = system.top().join("filler");
    fill(&filler);
    let put = |block| store.put(blob.id(), block, blob.proof(block), blob.block(block)).unwrap();
    let puts: Vec<Put> = (0..blob.blocks()).map(put).collect();
    assert!(puts.contains(&Put::InMemory), "{puts:?}");
    let trouble = store.status().trouble.unwrap();
    assert!(trouble.contains("free some space"), "{trouble}");
    assert!(store.flush().is_err());
    for block in 0..blob.blocks() {
        let read = store.read(blob.id(), block).unwrap();
        assert_eq!(read.as_deref(), Some(blob.block(block)));
    }
    fs::remove_file(&filler).unwrap();
    store.flush().unwrap();
    let status = store.status();
    assert_eq!((status.trouble, status.memory_bytes), (None, 0));
    drop(store);
    assert!(patiently(|| child::open(&system.folder())).is_complete(blob.id()));
}

/// Writes a file until there is no room, not for a byte.
fn fill(path: &Path) {
    use std::io::{ErrorKind, Write};
    let mut file = fs::File::create(path).unwrap();
    for piece in [vec![7; 1 << 20], vec![7; 512]] {
        loop {
            match file.write_all(&piece) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    file.sync_all().unwrap();
}
