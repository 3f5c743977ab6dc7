//! `antiphon play`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use antiphon_listener::UserPolicy;
use antiphon_types::{Bitrate, TrackId};
use clap::Args;
use tokio::sync::mpsc;

use super::control::{self, Order};
use super::progress::Progress;
use super::time::parse_time;
use super::{Common, Failure, found, plain, search_for, stopped};
use crate::engine::{Engine, PlayOptions, Played, Playing};
use crate::queue::Repeat;
use crate::record::{Event, PlayRecord};
use crate::settings::DataDir;
use crate::sound::SinkKind;

/// The softest and the loudest that the volume can be, in decibels.
pub(super) const QUIETEST: f32 = -60.0;
pub(super) const LOUDEST: f32 = 12.0;

#[derive(Args)]
pub(super) struct PlayArgs {
    /// Words to search for, track ids, or a file with a track id on each line
    #[arg(required = true, value_name = "WORDS|TRACK-ID|FILE")]
    what: Vec<String>,
    /// Where the music goes: sound (the default device) or sound:DEVICE; null
    /// (nowhere), wav:FILE or pcm:FILE (16 bit, little-endian, stereo), which
    /// keep time as a sound device does. Several tracks go into one file,
    /// without a gap
    #[arg(long, default_value = "null", value_name = "SINK")]
    sink: SinkKind,
    /// auto (what the link bears), 96, 160, 320, saver (the fewest bytes) or
    /// metered (160 at most)
    #[arg(long, default_value = "auto", value_parser = bitrate_choice, value_name = "KBPS")]
    bitrate: UserPolicy,
    /// Tell every decision and its reason
    #[arg(long, short)]
    verbose: bool,
    /// How many times faster than real time the sink consumes
    #[arg(long, default_value_t = 1.0, value_parser = speed, value_name = "X")]
    speed: f64,
    /// Where in the first track to begin: SECONDS, M:SS or H:MM:SS
    #[arg(long, default_value = "0", value_parser = parse_time, value_name = "TIME")]
    from: Duration,
    /// What follows each track: off (the next one), one (the same), all (the
    /// first after the last)
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    repeat: Repeat,
    /// Play the tracks in an order of chance
    #[arg(long)]
    shuffle: bool,
    /// Volume in decibels, -60 to 12; 0 is the music as it is, at -14 LUFS
    #[arg(
        long,
        default_value_t = 0.0,
        value_parser = volume,
        allow_negative_numbers = true,
        value_name = "DB"
    )]
    volume: f32,
    /// For how long the end of each track and the beginning of the next are heard
    /// together, in seconds
    #[arg(long, default_value = "0", value_parser = crossfade, value_name = "SECONDS")]
    crossfade: Duration,
    /// Obey commands on standard input, one a line: pause, resume, next,
    /// previous, seek TIME, seek +SECONDS, repeat off|one|all, shuffle on|off,
    /// volume DB, play TRACK-ID, quit. On a terminal there are keys: space, n, p, arrows, r, s, q
    #[arg(long)]
    control: bool,
    /// Stay online after the last track, until told to stop
    #[arg(long)]
    stay: bool,
}

fn bitrate_choice(text: &str) -> Result<UserPolicy, String> {
    match text {
        "auto" => Ok(UserPolicy::Auto),
        "saver" => Ok(UserPolicy::DataSaver),
        "metered" => Ok(UserPolicy::Metered),
        _ => text
            .parse::<Bitrate>()
            .map(UserPolicy::Fixed)
            .map_err(|_| "expected auto, 96, 160, 320, saver or metered".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (1.0..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 1 to 1000".to_owned()),
    }
}

pub(super) fn volume(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(volume) if (QUIETEST..=LOUDEST).contains(&volume) => Ok(volume),
        _ => Err(format!("expected a number from {QUIETEST} to {LOUDEST}")),
    }
}

fn crossfade(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=30.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number from 0 to 30".to_owned()),
    }
}

impl PlayArgs {
    fn options(&self) -> PlayOptions {
        PlayOptions {
            bitrate: self.bitrate,
            sink: self.sink.clone(),
            speed: self.speed,
            from: self.from,
            repeat: self.repeat,
            shuffle: self.shuffle,
            volume: self.volume,
            crossfade: self.crossfade,
        }
    }
}

pub(super) async fn play(
    common: &Common,
    data: &DataDir,
    args: PlayArgs,
) -> Result<ExitCode, Failure> {
    let named = named_tracks(&args.what)?;
    let engine = common.engine(data).await?;
    let outcome = tokio::select! {
        outcome = play_all(&engine, common.json, &args, named) => outcome?,
        stopped = stopped() => {
            stopped?;
            if std::io::stderr().is_terminal() {
                // The live line stands; the shell's prompt goes below it.
                eprintln!();
            }
            engine.stop().await;
            ExitCode::SUCCESS
        }
    };
    if let Err(error) = engine.flush().await {
        eprintln!("antiphon: {error}");
    }
    Ok(outcome)
}

async fn play_all(
    engine: &Engine,
    json: bool,
    args: &PlayArgs,
    named: Option<Vec<TrackId>>,
) -> Result<ExitCode, Failure> {
    let tracks = match named {
        Some(tracks) => tracks,
        None => vec![best_match(engine, &args.what.join(" ")).await?],
    };
    let mut session = Session {
        engine,
        args,
        json,
        playing: Some(engine.play_all(tracks, args.options()).await?),
        progress: Progress::new(json),
        all_well: true,
    };
    let mut orders = Orders::take(args, json);
    while session.goes_on() {
        tokio::select! {
            biased;
            told = session.hear() => told?,
            Some(order) = orders.next() => session.obey(order).await?,
        }
    }
    session.progress.clear();
    Ok(if session.all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is played, and shown of it.
struct Session<'a> {
    engine: &'a Engine,
    args: &'a PlayArgs,
    json: bool,
    playing: Option<Playing>,
    progress: Progress,
    all_well: bool,
}

impl Session<'_> {
    fn goes_on(&self) -> bool {
        self.playing.is_some() || self.args.stay
    }

    /// Waits for the next thing to show, and shows it. Safe to be cancelled.
    async fn hear(&mut self) -> Result<(), Failure> {
        let Some(playing) = &mut self.playing else { return std::future::pending().await };
        let Playing { status, decisions, played } = playing;
        tokio::select! {
            biased;
            played = played.recv() => {
                // It may have changed at the very end.
                self.progress.show(&status.borrow_and_update());
                self.progress.clear();
                match played {
                    Some(played) => self.all_well &= tell(self.json, played)?,
                    None => {
                        self.playing = None;
                        if self.args.stay {
                            eprintln!("staying online; Ctrl-C ends");
                        }
                    }
                }
            }
            Some(decision) = decisions.recv() => {
                if self.args.verbose {
                    self.progress.clear();
                    eprintln!("{decision}");
                }
            }
            Ok(()) = status.changed() => {
                self.progress.show(&status.borrow_and_update());
            }
        }
        Ok(())
    }

    async fn obey(&mut self, order: Order) -> Result<(), Failure> {
        match order {
            Order::Control(control) => self.engine.control(control).await,
            Order::Quit => self.engine.stop().await,
            Order::Play(tracks) => {
                let next = self.engine.play_all(tracks, self.args.options()).await?;
                let before = self.playing.replace(next);
                // What was heard of what it replaces.
                if let Some(mut before) = before {
                    while let Some(played) = before.next().await {
                        self.all_well &= tell(self.json, played)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Says what became of a track; true if it was heard to its end, or left because
/// the listener wanted it.
fn tell(json: bool, played: Played) -> Result<bool, Failure> {
    match played {
        Ok(record) if json => println!("{}", serde_json::to_string(&Event::Play(record))?),
        Ok(record) => println!("{}", summary(&record)),
        Err((track, error)) => {
            if json {
                let failure = serde_json::json!({
                    "event": "failed", "track": track.to_string(), "reason": error.to_string(),
                });
                println!("{failure}");
            }
            eprintln!("antiphon: {track}: {error}");
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the listener does, from wherever she says it.
struct Orders {
    orders: Option<mpsc::UnboundedReceiver<Order>>,
    #[cfg(unix)]
    _mode: Option<control::terminal::KeyMode>,
}

impl Orders {
    fn take(args: &PlayArgs, json: bool) -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        if args.control {
            // It reads until its input ends; the program does not wait for it.
            std::thread::spawn(move || control::read_lines(&sender));
            return Self {
                orders: Some(orders),
                #[cfg(unix)]
                _mode: None,
            };
        }
        #[cfg(unix)]
        if !json
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal()
            && let Ok(mode) = control::terminal::KeyMode::enter()
        {
            let keys =
                control::Keys { repeat: args.repeat, shuffle: args.shuffle, volume: args.volume };
            std::thread::spawn(move || control::terminal::read_keys(keys, &sender));
            return Self { orders: Some(orders), _mode: Some(mode) };
        }
        Self {
            orders: None,
            #[cfg(unix)]
            _mode: None,
        }
    }

    /// The next one; never, once there are no more.
    async fn next(&mut self) -> Option<Order> {
        let order = match &mut self.orders {
            Some(orders) => orders.recv().await,
            None => None,
        };
        if order.is_none() {
            self.orders = None;
            std::future::pending::<()>().await;
        }
        order
    }
}

/// Tracks that were named by id; `None` if words are to be searched for.
fn named_tracks(what: &[String]) -> Result<Option<Vec<TrackId>>, Failure> {
    if let Ok(ids) = what.iter().map(|word| word.parse()).collect::<Result<Vec<TrackId>, _>>() {
        return Ok(Some(ids));
    }
    let [file] = what else { return Ok(None) };
    if !Path::new(file).is_file() {
        return Ok(None);
    }
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let lines = text.lines().map(str::trim);
    let ids = lines
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            line.parse().map_err(|error| format!("{file}, line {}: {error}", number + 1))
        })
        .collect::<Result<Vec<TrackId>, _>>()?;
    match ids.is_empty() {
        true => {
            Err(format!("{file} names no tracks; it should hold a track id on each line").into())
        }
        false => Ok(Some(ids)),
    }
}

async fn best_match(engine: &Engine, words: &str) -> Result<TrackId, Failure> {
    let found = found(engine.ask(search_for(words, 1)).await)?;
    let track = found.tracks.first().ok_or_else(|| format!("nothing fits {words:?}"))?;
    TrackId::from_slice(&track.track).ok_or_else(|| "the server's answer makes no sense".into())
}

fn summary(record: &PlayRecord) -> String {
    let total = record.bytes.total().max(1);
    let share = |bytes: u64| bytes * 100 / total;
    format!(
        "{}  {} kbit/s  {}  {}  cache {} %  peers {} %  server {} %",
        plain(&record.name),
        record.bitrate,
        match record.clicked {
            true => format!("first sound {:.0} ms", record.first_sound_ms),
            false => "no gap".to_owned(),
        },
        match record.stalls {
            0 => "no stall".to_owned(),
            1 => format!("1 stall of {:.0} ms", record.stalled_ms),
            stalls => format!("{stalls} stalls, {:.0} ms in all", record.stalled_ms),
        },
        share(record.bytes.cache),
        share(record.bytes.peers),
        share(record.bytes.server + record.bytes.edge),
    )
}
