//! The index that servers share in Redis goes away in the middle of a play, and
//! comes back empty.

use std::path::Path;
use std::process::Command;

use xtask::tools::Tool;

use crate::support::listener::ended;
use crate::support::{Process, Service, music, wait_for};

fn redis(folder: &Path) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--unixsocket", "redis.sock"]).current_dir(folder);
    let process = Process::start(folder, "redis", &mut command);
    wait_for("a Redis", || ask(folder, &["PING"]).contains("PONG").then_some(()));
    process
}

fn ask(folder: &Path, command: &[&str]) -> String {
    let mut ask = Command::new("redis-cli");
    let output = ask.args(["-s", "redis.sock"]).args(command).current_dir(folder).output();
    String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
}

#[test]
fn a_redis_that_is_killed_costs_no_play_and_is_filled_again() {
    if !Tool::Redis.present_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let index = redis(folder.path());
    let url = format!("redis+unix://{}", folder.path().join("redis.sock").display());
    let (service, track) = (Service::start_with(&["--open", "--tracker", &url]), &music().middle);
    let swarms = || ask(folder.path(), &["KEYS", "antiphon:*:s:*"]);
    let a = service.listener("a");
    let _holder = a.hold(track, &[]);
    wait_for("her holding in the index", || (!swarms().trim().is_empty()).then_some(()));

    let b = service.listener("b");
    let mut play = b.click(track, 8, &[]);
    b.wait_for_event("peer_up");
    index.kill();
    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    assert!(play.bytes("peers") > 0, "{play:?}");

    // Without it the server names its own.
    let c = service.listener("c");
    let play = ended(&c, &mut c.click(track, 8, &[]));
    play.assert_heard_without_a_stall(track);
    assert!(play.bytes("peers") > 0, "{play:?}");

    let _index = redis(folder.path());
    wait_for("her holding again", || (!swarms().trim().is_empty()).then_some(()));
    let d = service.listener("d");
    let play = ended(&d, &mut d.click(track, 8, &[]));
    play.assert_heard_without_a_stall(track);
    assert!(play.bytes("peers") > 0, "{play:?}");
}
