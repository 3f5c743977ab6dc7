//! `antiphon play`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use antiphon_types::{Bitrate, TrackId};
use clap::Args;

use super::progress::Progress;
use super::{Common, Failure, found, plain, search_for, stopped};
use crate::engine::{BitrateChoice, Engine, PlayOptions};
use crate::player::SinkKind;
use crate::record::{Event, PlayRecord};
use crate::settings::DataDir;

#[derive(Args)]
pub(super) struct PlayArgs {
    /// Words to search for, a track id, or a file with a track id on each line
    #[arg(required = true, value_name = "WORDS|TRACK-ID|FILE")]
    what: Vec<String>,
    /// Where the music goes: null (nowhere), wav:FILE or pcm:FILE (16 bit,
    /// little-endian, stereo); all keep time as a sound device does. With
    /// several tracks the last one stays in the file
    #[arg(long, default_value = "null", value_name = "SINK")]
    sink: SinkKind,
    /// auto, 96, 160 or 320
    #[arg(long, default_value = "auto", value_parser = bitrate_choice, value_name = "KBPS")]
    bitrate: BitrateChoice,
    /// How many times faster than real time the sink consumes
    #[arg(long, default_value_t = 1.0, value_parser = speed, value_name = "X")]
    speed: f64,
    /// Stay online after the last track, until told to stop
    #[arg(long)]
    stay: bool,
}

fn bitrate_choice(text: &str) -> Result<BitrateChoice, String> {
    match text {
        "auto" => Ok(BitrateChoice::Auto),
        _ => text
            .parse::<Bitrate>()
            .map(BitrateChoice::Fixed)
            .map_err(|_| "expected auto, 96, 160 or 320".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (1.0..=1000.0).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 1 to 1000".to_owned()),
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
    let mut all_well = true;
    let mut progress = Progress::new(json);
    for track in tracks {
        match play_one(engine, &mut progress, json, args, track).await {
            Ok(record) => all_well &= record.finished,
            Err(error) => {
                all_well = false;
                if json {
                    let failure = serde_json::json!({
                        "event": "failed", "track": track.to_string(), "reason": error.to_string(),
                    });
                    println!("{failure}");
                }
                eprintln!("antiphon: {track}: {error}");
            }
        }
    }
    if args.stay {
        eprintln!("staying online; Ctrl-C ends");
        std::future::pending::<()>().await;
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play_one(
    engine: &Engine,
    progress: &mut Progress,
    json: bool,
    args: &PlayArgs,
    track: TrackId,
) -> Result<PlayRecord, Failure> {
    let options = PlayOptions { bitrate: args.bitrate, sink: args.sink.clone(), speed: args.speed };
    let mut playing = engine.play(track, options).await?;
    let mut status = playing.status.clone();
    let record = loop {
        tokio::select! {
            biased;
            record = playing.finished() => break record,
            Ok(()) = status.changed() => progress.show(&status.borrow_and_update()),
        }
    };
    // It may have changed at the very end.
    progress.show(&status.borrow_and_update());
    progress.clear();
    let record = record?;
    if json {
        println!("{}", serde_json::to_string(&Event::Play(record.clone()))?);
    } else {
        println!("{}", summary(&record));
    }
    Ok(record)
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
        "{}  {} kbit/s  first sound {:.0} ms  {}  cache {} %  peers {} %  server {} %",
        plain(&record.name),
        record.bitrate,
        record.first_sound_ms,
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
