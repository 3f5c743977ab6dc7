//! `antiphon-server peers`: how far listeners are named to each other.

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use antiphon_catalog::{Catalog, Sharing};
use antiphon_types::TrackId;
use clap::Args;

use super::{Failure, open_locally};
use crate::online::NAMED_PEERS;

#[derive(Args)]
pub(super) struct PeersArgs {
    /// `on`, `off`, or the percentage of tracks whose listeners are named to
    /// each other
    #[arg(value_name = "on|off|PERCENT")]
    share: Option<Share>,
    /// How many others must hold a track before any of them is named: 0 to 10
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=NAMED_PEERS as i64))]
    min_swarm: Option<u8>,
    /// Tracks that listeners may not have from each other, by id
    #[arg(long, value_name = "TRACK", num_args = 1..)]
    deny: Vec<TrackId>,
    /// Tracks that they may have from each other again
    #[arg(long, value_name = "TRACK", num_args = 1..)]
    allow: Vec<TrackId>,
    /// Print a line of JSON
    #[arg(long)]
    json: bool,
}

/// A percentage.
#[derive(Clone, Copy)]
struct Share(u8);

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        match (text, digits.parse()) {
            ("on", _) => Ok(Self(100)),
            ("off", _) => Ok(Self(0)),
            (_, Ok(percent @ 0..=100)) => Ok(Self(percent)),
            _ => Err("say `on`, `off`, or a percentage from 0 to 100"),
        }
    }
}

/// Changes what is asked for, all of it or nothing, and says what holds now. A
/// server that runs follows within a second.
pub(super) fn peers(folder: &Path, args: &PeersArgs) -> Result<ExitCode, Failure> {
    let catalog = open_locally(folder)?.catalog;
    let named = [(&args.deny, false), (&args.allow, true)];
    for track in args.deny.iter().chain(&args.allow) {
        if catalog.track(*track)?.is_none() {
            return Err(format!("there is no track {track}; `list` shows them").into());
        }
    }
    for (tracks, allowed) in named {
        for track in tracks {
            catalog.set_track_sharing(*track, allowed)?;
        }
    }
    let mut sharing = catalog.sharing()?;
    if args.share.is_some() || args.min_swarm.is_some() {
        sharing.percent = args.share.map_or(sharing.percent, |share| share.0);
        sharing.smallest_swarm = args.min_swarm.unwrap_or(sharing.smallest_swarm);
        catalog.set_sharing(sharing)?;
    }
    say(&catalog, sharing, args.json)?;
    Ok(ExitCode::SUCCESS)
}

fn say(catalog: &Catalog, sharing: Sharing, json: bool) -> Result<(), Failure> {
    let Sharing { percent, smallest_swarm } = sharing;
    let (denied, tracks) = (catalog.unshared_tracks()?, catalog.count()?);
    if json {
        let line = serde_json::json!({
            "percent": percent, "min_swarm": smallest_swarm, "denied": denied, "tracks": tracks,
        });
        println!("{line}");
        return Ok(());
    }
    match percent {
        0 => println!("off: nobody is named to anybody"),
        100 => println!("on: listeners are named to each other"),
        _ => println!("on for {percent} % of the tracks"),
    }
    if smallest_swarm > 1 {
        println!("where at least {smallest_swarm} others hold the track");
    }
    if denied > 0 {
        println!("never for {denied} of {tracks} tracks");
    }
    Ok(())
}
