//! What comes out of a sound server is the music: a real PulseAudio server with
//! a device that makes no noise, and a recorder at its monitor.

use crate::support::ear::Ear;
use crate::support::listener::ended;
use crate::support::{Listener, Process, Service, Track, music, wait_for};
use xtask::tools::Tool;

/// Where in the first track the tests begin, so that they are short.
const FROM: &str = "0:12";
const FROM_SAMPLE: usize = 12 * 44_100;

/// Frames.
const SECOND: u64 = 44_100;

/// A machine that is busy may keep the sound server waiting: the first of so
/// many attempts counts in which it did not.
const ATTEMPTS: u32 = 3;

#[test]
fn a_sound_server_plays_two_tracks_sample_for_sample_and_without_a_gap() {
    if !Tool::Pulseaudio.present_or_skip() {
        return;
    }
    let service = Service::start();
    let tracks = &music().short[..2];
    let file = service.folder().join("heard.pcm");
    let pcm = service.listener("file");
    let mut play = program(
        &service,
        &pcm,
        tracks,
        &["--speed", "50"],
        &format!("pcm:{}", file.display()),
        None,
    );
    ended(&pcm, &mut play);
    let expected = samples(&std::fs::read(&file).unwrap());
    let both = [music().pcm(&tracks[0]), music().pcm(&tracks[1])].concat();
    assert!(expected == both[2 * FROM_SAMPLE..], "the file is not what was asked for");

    let listener = service.listener("a");
    for attempt in 1.. {
        let ear = Ear::start(&service.folder().join(format!("ear-{attempt}")));
        let mut play = program(&service, &listener, tracks, &[], "sound", Some(&ear));
        ended(&listener, &mut play);
        ear.wait_for_frames(SECOND / 2);
        // Where the machine has no time for the server, that says so.
        if conditions(&listener).is_empty() || attempt == ATTEMPTS {
            assert_eq!(conditions(&listener), Vec::<String>::new());
            let heard = ear.heard();
            let begin = place(&heard, head(&expected)).expect("the beginning was heard");
            assert_same(&heard[begin..], &expected);
            break;
        }
        std::fs::remove_file(listener.data().join("events.jsonl")).unwrap();
    }
    for play in listener.plays() {
        assert_eq!(play.stalls(), 0, "{play:?}");
    }
}

#[test]
fn a_sound_server_that_is_killed_and_comes_back_is_survived() {
    if !Tool::Pulseaudio.present_or_skip() {
        return;
    }
    let service = Service::start();
    let tracks = &music().short[2..3];
    let expected = music().pcm(&tracks[0])[2 * FROM_SAMPLE..].to_vec();
    let mut ear = Ear::start(&service.folder().join("ear"));
    let listener = service.listener("a");
    let mut play = program(&service, &listener, tracks, &[], "sound", Some(&ear));
    wait_for("music", || ear.heard().iter().any(|sample| *sample != 0).then_some(()));
    ear.wait_for_frames(4 * SECOND);
    let before = ear.heard();
    let begin = place(&before, head(&expected)).unwrap();
    assert_same(&before[begin..], &expected[..before.len() - begin]);

    ear.kill_server();
    wait_for("the loss to be told", || {
        conditions(&listener).iter().any(|told| told.contains("gone")).then_some(())
    });
    ear.start_server_and_recorder();
    ended(&listener, &mut play);
    ear.wait_for_frames(SECOND / 2);
    let after = ear.heard();
    // It goes on at most as far behind as the server held, and skips nothing.
    let first = after.iter().position(|sample| *sample != 0).unwrap();
    let resumed = place(&expected, &after[first..first + 2_000]).expect("music goes on");
    assert!(resumed <= before.len() - begin + 2 * 44_100 / 2, "music was skipped");
    assert!(resumed + 2 * 44_100 > before.len() - begin, "music was repeated");
    assert_same(&after[first..], &expected[resumed..]);
    let told = conditions(&listener);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains("back"), "{told:?}");
}

#[test]
fn without_a_sound_server_the_error_says_what_to_do() {
    let service = Service::start();
    let listener = service.listener("a");
    let nowhere = service.folder().join("nowhere");
    let id = music().short[0].id.to_string();
    let mut command = listener.command(&["--json", "play", &id, "--sink", "sound"]);
    command.env("PULSE_SERVER", format!("unix:{}", nowhere.display()));
    command.env("PULSE_RUNTIME_PATH", &nowhere).env("XDG_RUNTIME_DIR", &nowhere);
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--sink null") && said.contains("PipeWire"), "{said}");
}

/// Plays tracks one after the other, the first from [`FROM`] on.
fn program(
    service: &Service,
    listener: &Listener,
    tracks: &[Track],
    more: &[&str],
    sink: &str,
    ear: Option<&Ear>,
) -> Process {
    let ids: Vec<String> = tracks.iter().map(|track| track.id.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let play = ["--json", "play", "--bitrate", "160", "--from", FROM, "--sink", sink];
    let mut command = listener.command(&[&play, more, &ids].concat());
    if let Some(ear) = ear {
        command.env("PULSE_SERVER", ear.server());
    }
    Process::start(service.folder(), "play", &mut command)
}

fn conditions(listener: &Listener) -> Vec<String> {
    let events = listener.events_of("sound");
    events.iter().map(|event| event["condition"].as_str().unwrap().to_owned()).collect()
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect()
}

fn head(music: &[i16]) -> &[i16] {
    &music[..2_000]
}

/// Where `what` is in `heard`.
fn place(heard: &[i16], what: &[i16]) -> Option<usize> {
    heard.windows(what.len()).position(|window| window == what)
}

/// What was heard begins with this music, sample for sample.
fn assert_same(heard: &[i16], music: &[i16]) {
    let length = heard.len().min(music.len());
    let differs = heard[..length].iter().zip(music).position(|(heard, played)| heard != played);
    assert_eq!(differs, None, "of {length} samples, the first that differs");
    assert_eq!(length, music.len(), "the end was not heard");
}
