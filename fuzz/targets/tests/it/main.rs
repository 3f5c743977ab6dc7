//! Replays `fuzz/corpus`: what was found once is tried on every run of the
//! tests, on any toolchain and without libFuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use antiphon_fuzz_targets::{TARGETS, Target};

/// What a corpus may hold, so that replaying stays a matter of seconds and the
/// repository small.
const MAX_FILES: usize = 200;
const MAX_BYTES: u64 = 160_000;

fn fuzz_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("targets lies in fuzz")
}

fn inputs(name: &str) -> Vec<PathBuf> {
    let folder = fuzz_folder().join("corpus").join(name);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("it is there").path()).collect();
    files.sort();
    files
}

fn replay(name: &str, target: Target) {
    let files = inputs(name);
    assert!(!files.is_empty(), "there is no corpus");
    for file in files {
        let input = fs::read(&file).expect("it is there");
        eprintln!("replaying {}", file.display());
        target(&input);
    }
}

macro_rules! replay {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), antiphon_fuzz_targets::$name);
        })*

        /// The names above, so that none of the table is left out.
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replay! {
    records frames messages protobuf mux_hostile mux_pair
    handshake transport identity names proofs folder tracker music stun presence
}

#[test]
fn every_target_is_replayed_and_has_its_program() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let programs = fs::read_dir(fuzz_folder().join("fuzz_targets")).expect("it is there");
    let programs: BTreeSet<String> = programs
        .map(|file| {
            file.expect("it is there")
                .path()
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(programs, names.iter().map(|name| (*name).to_owned()).collect());
}

#[test]
fn corpora_stay_small() {
    for (name, _) in TARGETS {
        let sizes: Vec<u64> = inputs(name)
            .iter()
            .map(|file| fs::metadata(file).expect("it is there").len())
            .collect();
        assert!(sizes.len() <= MAX_FILES, "{name}: {} files", sizes.len());
        assert!(sizes.iter().sum::<u64>() <= MAX_BYTES, "{name}: {sizes:?} bytes");
    }
}
