//! A client in another language, written from `docs/protocol.md` and `proto/`:
//! the page is enough, and stays so.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use xtask::tools::{Tool, python};
use xtask::workspace;

use crate::support::music::{ARTIST, KBPS};
use crate::support::{Service, music};

const SECRET: &str = "open sesame";

#[test]
fn it_logs_in_plays_and_verifies() {
    let Some(stranger) = Stranger::new(&["--join-secret", SECRET]) else { return };
    // Longer than a window of credit, of a stream and of the connection.
    let (song, file) = (&music().middle, stranger.file("heard.ogg"));
    let play = ["--search", &song.title, "--play", "first", "--out", file.to_str().unwrap()];
    let played = said(&stranger.run(&[&["--secret", SECRET], &play[..]].concat()));
    assert!(played.contains(&format!("{} {ARTIST}: {}", song.id, song.title)), "{played}");
    assert_eq!(fs::read(file).unwrap(), music().export(song), "other music: {played}");
}

#[test]
fn it_is_known_after_the_first_login_and_goes_on_after_a_rekey() {
    let Some(stranger) = Stranger::new(&["--join-secret", SECRET]) else { return };
    said(&stranger.run(&["--secret", SECRET]));
    let found = said(&stranger.run(&["--rekey", "--search", "serenade xylophone"]));
    assert_eq!(found.lines().filter(|line| line.contains(ARTIST)).count(), 8, "{found}");
}

#[test]
fn it_notices_a_block_in_which_one_bit_is_wrong() {
    let Some(stranger) = Stranger::new(&["--open"]) else { return };
    let file = stranger.file("heard.ogg");
    let play = ["--play", "first", "--tamper", "--out", file.to_str().unwrap()];
    let complaint = refused(&stranger.run(&play));
    assert!(complaint.contains("block 0 does not verify"), "{complaint}");
    assert!(!file.exists(), "nothing of it is used");
}

#[test]
fn it_is_not_let_in_without_the_secret() {
    let Some(stranger) = Stranger::new(&["--join-secret", SECRET]) else { return };
    let complaint = refused(&stranger.run(&["--secret", "open barley", "--search", "xylophone"]));
    assert!(complaint.contains("WRONG_SECRET"), "{complaint}");
    let complaint = refused(&stranger.run(&["--search", "xylophone"]));
    assert!(complaint.contains("NOT_LOGGED_IN"), "{complaint}");
}

#[test]
fn the_pages_example_is_what_it_computes() {
    if !Tool::Python.present_or_skip() {
        return;
    }
    let page = fs::read_to_string(workspace::root().join("docs/protocol.md")).unwrap();
    let example = said(&script("worked_bytes.py").output().unwrap());
    let parts: Vec<&str> = example.trim().split("\n\n").collect();
    assert_eq!(parts.len(), 2, "{example}");
    for part in parts {
        assert!(page.contains(&format!("```text\n{part}\n```\n")), "the page lacks\n{part}");
    }
    said(&script("block_proof.py").output().unwrap());
}

/// The other client, before a server of its own.
struct Stranger {
    service: Service,
}

impl Stranger {
    /// Starts the server, unless the client cannot run here.
    fn new(options: &[&str]) -> Option<Self> {
        Tool::Python.present_or_skip().then(|| Self { service: Service::start_with(options) })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.service.folder().join(name)
    }

    /// Runs it to its end, as the same device each time.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = script("antiphon_client.py");
        command.arg(self.service.link()).args(["--kbps", KBPS]);
        command.arg("--key").arg(self.file("device.key")).args(arguments).output().unwrap()
    }
}

/// A program of `docs/python`. It writes nothing into the sources.
fn script(name: &str) -> Command {
    let mut command = Command::new(python());
    command.arg("-B").arg(workspace::root().join("docs/python").join(name));
    command
}

/// What it printed; it ended well.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it complained of; it did not end well.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(complaint.starts_with("antiphon_client.py: "), "{complaint}");
    complaint
}
