//! A link whose rate falls to 100 kbit/s for half a minute amid a track.

use std::time::Duration;

use xtask::lab::link::Side;
use xtask::tools::Tool;

use crate::support::far::{Far, shape};
use crate::support::{music, wait_for};

#[test]
fn a_link_that_falls_to_100_kbit_for_30_s_is_not_heard_and_the_record_says_what_was_decided() {
    if !Tool::Link.present_or_skip() {
        return;
    }
    let track = music().long.id.to_string();
    let (wide, narrow) = (shape(4_000_000, 20), shape(100_000, 20));
    let far = Far::start(wide);
    let listener = far.listener("listener");
    let play = ["--json", "play", &track, "--sink", "null", "-v"];
    let mut play = far.run(&listener, "listener", &play);
    wait_for("sound", || play.stderr().contains("sound begins").then_some(()));
    std::thread::sleep(Duration::from_secs(20));
    far.link.reshape(Side::A, narrow).unwrap();
    std::thread::sleep(Duration::from_secs(30));
    far.link.reshape(Side::A, wide).unwrap();
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
    far.close();
}
