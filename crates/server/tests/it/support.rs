//! Runs the program, and reads what it says of each file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_media::synth;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_antiphon-server");

/// A folder for music, and one for a server's data.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What became of each file, by its name: `added`, or why it was skipped.
pub(crate) type Outcomes = BTreeMap<String, String>;

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(bench.music()).unwrap();
        bench
    }

    pub(crate) fn music(&self) -> PathBuf {
        self.folder.path().join("music")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts a file among the music.
    pub(crate) fn put(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> PathBuf {
        let path = self.music().join(name.as_ref());
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Puts some seconds of music among the rest.
    pub(crate) fn put_music(&self, name: impl AsRef<OsStr>, seconds: u32) -> PathBuf {
        let path = self.music().join(name.as_ref());
        synth::write_wav(&path, 7, seconds).unwrap();
        path
    }

    /// Ingests all music.
    pub(crate) fn ingest(&self) -> Outcomes {
        self.ingest_these(&[&self.music()])
    }

    pub(crate) fn ingest_these(&self, paths: &[&Path]) -> Outcomes {
        let mut command = Command::new(PROGRAM);
        command.arg("--data-dir").arg(self.data()).args(["ingest", "--json", "--"]).args(paths);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let outcomes: Outcomes = text
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let field = |name: &str| line[name].as_str().map(str::to_owned);
                let path = PathBuf::from(field("path").unwrap());
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, field("reason").or(field("status")).unwrap())
            })
            .collect();
        let all_well = outcomes.values().all(|outcome| outcome == "added");
        assert_eq!(output.status.success(), all_well, "the exit status tells of skipped files");
        assert!(self.temporary().is_empty(), "nothing is left: {:?}", self.temporary());
        outcomes
    }

    /// What is in the folder of temporary files.
    pub(crate) fn temporary(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data().join("ingest")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The catalogue, a line for each track.
    pub(crate) fn list(&self) -> String {
        let mut command = Command::new(PROGRAM);
        let output = command.arg("--data-dir").arg(self.data()).args(["list", "--json"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}
