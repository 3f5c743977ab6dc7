//! A link whose rate falls to 100 kbit/s for half a minute amid a track.

use std::process::Command;
use std::time::Duration;

use xtask::lab::link::{Link, Options, Side};
use xtask::lab::shape::Shape;
use xtask::lab::units::Rate;
use xtask::tools::Tool;

use crate::support::{Listener, Process, music, programs, wait_for};

fn shape(bits_per_second: u64) -> Shape {
    Shape {
        rate: Rate::bits_per_second(bits_per_second),
        delay: Duration::from_millis(20),
        ..Shape::default()
    }
}

#[test]
fn a_link_that_falls_to_100_kbit_for_30_s_is_not_heard_and_the_record_says_what_was_decided() {
    if !Tool::Link.present_or_skip() {
        return;
    }
    let songs = music();
    let (wide, narrow) = (shape(4_000_000), shape(100_000));
    let options = Options { a_to_b: wide, b_to_a: wide, ..Options::default() };
    let link = Link::new(&options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = |side: Side, name: &str, command: &mut Command| {
        Process::start_by(folder.path(), name, command, |command| {
            link.spawn(side, command).unwrap()
        })
    };
    let data = folder.path().join("server");
    songs.copy_to(&data);
    let mut run = Command::new(&programs().server);
    let listen = format!("{}:0", Side::A.address());
    run.arg("--data-dir").arg(&data).args(["run", "--open", "--listen", &listen]);
    let mut server = start(Side::A, "server", &mut run);
    let address = server.wait_for_line("the server's link");

    let listener = Listener::new(folder.path(), "listener");
    let mut login = listener.command(&["--peers", "off", "login", &address]);
    assert!(start(Side::B, "login", &mut login).wait().success());
    let track = songs.long.id.to_string();
    let play = ["--json", "play", &track, "--sink", "null", "-v"];
    let mut play = start(Side::B, "listener", &mut listener.command(&play));
    wait_for("sound", || play.stderr().contains("sound begins").then_some(()));
    std::thread::sleep(Duration::from_secs(20));
    link.reshape(Side::A, narrow).unwrap();
    std::thread::sleep(Duration::from_secs(30));
    link.reshape(Side::A, wide).unwrap();
    let status = loop {
        if let Some(status) = play.try_wait() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(status.success(), "{}", play.stderr());

    let heard = listener.plays().pop().unwrap();
    assert_eq!(heard.stalls(), 0, "{heard:?}\n{}", play.stderr());
    let decisions = listener.events_of("decision");
    let said =
        |words: &str| decisions.iter().any(|event| event["what"].as_str().unwrap().contains(words));
    assert!(said("begins with"), "the first rendition has no reason: {decisions:#?}");
    assert!(said("sound begins with"), "the start has no reason: {decisions:#?}");
    assert!(said("kbit/s"), "no rendition was decided on: {decisions:#?}");
    assert!(said("are asked of the server: no peer is usable"), "{decisions:#?}");
    for decision in &decisions {
        assert!(decision["what"].as_str().unwrap().contains(':'), "no reason: {decision}");
    }
    drop(server);
    link.close().unwrap();
}
