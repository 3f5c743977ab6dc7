//! What a listener does while music plays: keys on a terminal, lines from
//! another program.

use std::io::BufRead as _;
use std::time::Duration;

use antiphon_types::TrackId;
use tokio::sync::mpsc;

use super::time::parse_time;
use crate::engine::Control;
use crate::queue::Repeat;

/// How far the arrow keys go.
const STEP_SECONDS: i64 = 10;
/// The commands, for who got one wrong.
const COMMANDS: &str = "pause, resume, toggle, next, previous, seek TIME, seek +SECONDS, \
     seek -SECONDS, repeat off|one|all, shuffle on|off, volume DB, play TRACK-ID..., quit";

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    Control(Control),
    /// Plays these tracks instead.
    Play(Vec<TrackId>),
    Quit,
}

/// One line of commands.
pub(super) fn parse(line: &str) -> Result<Order, String> {
    let mut words = line.split_whitespace();
    let wrong = || format!("{line:?} is no command; the commands are: {COMMANDS}");
    if let Some(tracks) = line.strip_prefix("play ") {
        let tracks = tracks.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>();
        return tracks.map(Order::Play).map_err(|_| wrong());
    }
    let (verb, argument) = (words.next().unwrap_or_default(), words.next());
    let control = match (verb, argument) {
        ("quit", None) => return Ok(Order::Quit),
        ("pause", None) => Control::Pause(true),
        ("resume", None) => Control::Pause(false),
        ("toggle", None) => Control::TogglePause,
        ("next", None) => Control::Next,
        ("previous", None) => Control::Previous,
        ("seek", Some(to)) => seek(to).ok_or_else(wrong)?,
        ("repeat", Some("off")) => Control::Repeat(Repeat::Off),
        ("repeat", Some("one")) => Control::Repeat(Repeat::One),
        ("repeat", Some("all")) => Control::Repeat(Repeat::All),
        ("shuffle", Some("on")) => Control::Shuffle(true),
        ("shuffle", Some("off")) => Control::Shuffle(false),
        ("volume", Some(db)) => Control::Volume(super::play::volume(db).map_err(|_| wrong())?),
        _ => return Err(wrong()),
    };
    match words.next() {
        None => Ok(Order::Control(control)),
        Some(_) => Err(wrong()),
    }
}

fn seek(to: &str) -> Option<Control> {
    if to.starts_with(['+', '-']) {
        return to.parse().ok().map(|seconds| Control::SeekBy { seconds });
    }
    parse_time(to).ok().map(Control::Seek)
}

/// Reads lines until the input ends.
pub(super) fn read_lines(orders: &mpsc::UnboundedSender<Order>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if line.trim().is_empty() {
            continue;
        }
        match parse(line.trim()) {
            Ok(order) => {
                if orders.send(order).is_err() {
                    break;
                }
            }
            Err(wrong) => eprintln!("antiphon: {wrong}"),
        }
    }
}

/// What a key means, given what the keys before it have changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) repeat: Repeat,
    pub(super) shuffle: bool,
    pub(super) volume: f32,
}

impl Keys {
    /// The meaning of what a terminal sends for one key.
    pub(super) fn press(&mut self, key: &[u8]) -> Option<Order> {
        let control = match key {
            b"q" => return Some(Order::Quit),
            b" " => Control::TogglePause,
            b"n" => Control::Next,
            b"p" => Control::Previous,
            b"\x1b[C" | b"\x1bOC" => Control::SeekBy { seconds: STEP_SECONDS },
            b"\x1b[D" | b"\x1bOD" => Control::SeekBy { seconds: -STEP_SECONDS },
            b"0" => Control::Seek(Duration::ZERO),
            b"+" | b"\x1b[A" | b"\x1bOA" => self.change_volume(1.0),
            b"-" | b"\x1b[B" | b"\x1bOB" => self.change_volume(-1.0),
            b"r" => {
                self.repeat = match self.repeat {
                    Repeat::Off => Repeat::All,
                    Repeat::All => Repeat::One,
                    Repeat::One => Repeat::Off,
                };
                Control::Repeat(self.repeat)
            }
            b"s" => {
                self.shuffle = !self.shuffle;
                Control::Shuffle(self.shuffle)
            }
            _ => return None,
        };
        Some(Order::Control(control))
    }

    fn change_volume(&mut self, by: f32) -> Control {
        self.volume = (self.volume + by).clamp(super::play::QUIETEST, super::play::LOUDEST);
        Control::Volume(self.volume)
    }
}

/// Reads keys of the terminal that standard input is.
#[cfg(unix)]
pub(super) mod terminal {
    use std::io;
    use std::os::fd::AsFd as _;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    };
    use tokio::sync::mpsc;

    use super::{Keys, Order};

    /// How often is looked whether anybody still listens.
    const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

    /// A terminal that gives each key at once and does not show it; as it was
    /// once this is dropped. Ctrl-C and Ctrl-Z work as ever.
    pub(in crate::cli) struct KeyMode {
        before: Termios,
    }

    impl KeyMode {
        pub(in crate::cli) fn enter() -> io::Result<Self> {
            let before = tcgetattr(io::stdin())?;
            let mut keys = before.clone();
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            keys.special_codes[SpecialCodeIndex::VMIN] = 1;
            keys.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
            Ok(Self { before })
        }
    }

    impl Drop for KeyMode {
        fn drop(&mut self) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        }
    }

    /// Reads keys until nobody listens.
    pub(in crate::cli) fn read_keys(mut keys: Keys, orders: &mpsc::UnboundedSender<Order>) {
        let stdin = io::stdin();
        let mut bytes = [0; 16];
        while !orders.is_closed() {
            let mut polled = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
            match poll(&mut polled, Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => return,
            }
            // A key that is an escape sequence comes in one piece.
            let Ok(count @ 1..) = rustix::io::read(stdin.as_fd(), &mut bytes) else { return };
            if let Some(order) = keys.press(&bytes[..count])
                && orders.send(order).is_err()
            {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood_or_refused_with_the_list() {
        let control = |line| match parse(line) {
            Ok(Order::Control(control)) => control,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(control("pause"), Control::Pause(true));
        assert_eq!(control("seek 1:02.5"), Control::Seek(Duration::from_millis(62_500)));
        assert_eq!(control("seek -15"), Control::SeekBy { seconds: -15 });
        assert_eq!(control("repeat one"), Control::Repeat(Repeat::One));
        assert_eq!(control("volume -6"), Control::Volume(-6.0));
        assert_eq!(parse("quit"), Ok(Order::Quit));
        let track = TrackId::new([7; 16]);
        assert_eq!(parse(&format!("play {track} {track}")), Ok(Order::Play(vec![track; 2])));
        for wrong in ["", "seek", "seek soon", "pause now", "repeat twice", "play it", "rm -rf"] {
            let refused = parse(wrong).unwrap_err();
            assert!(refused.contains("previous"), "{refused}");
        }
    }

    #[test]
    fn keys_change_what_they_name() {
        let mut keys = Keys { repeat: Repeat::Off, shuffle: false, volume: 0.0 };
        assert_eq!(keys.press(b" "), Some(Order::Control(Control::TogglePause)));
        assert_eq!(keys.press(b"\x1b[D"), Some(Order::Control(Control::SeekBy { seconds: -10 })));
        assert_eq!(keys.press(b"r"), Some(Order::Control(Control::Repeat(Repeat::All))));
        assert_eq!(keys.press(b"r"), Some(Order::Control(Control::Repeat(Repeat::One))));
        assert_eq!(keys.press(b"-"), Some(Order::Control(Control::Volume(-1.0))));
        for _ in 0..200 {
            keys.press(b"-");
        }
        let quietest = Control::Volume(super::super::play::QUIETEST);
        assert_eq!(keys.press(b"-"), Some(Order::Control(quietest)));
        assert_eq!(keys.press(b"x"), None);
        assert_eq!(keys.press(b"q"), Some(Order::Quit));
    }
}
