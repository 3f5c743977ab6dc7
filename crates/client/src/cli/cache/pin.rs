//! `antiphon cache pin` and `unpin`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use antiphon_store::Store;
use antiphon_types::{Bitrate, BlobId, BlobSize};
use clap::Args;

use super::super::Failure;
use super::bytes;
use super::resolve::{Named, resolve};
use super::shelf::{Item, Shelf, Track};
use crate::settings::DataDir;

/// Taken where nothing of a track is there: what is played where nothing is known
/// of the network (B10).
const USUAL: Bitrate = Bitrate::Kbps160;

#[derive(Args)]
pub(super) struct PinArgs {
    /// Words of the title, the artist or the album, or ids as `list` shows them, of
    /// tracks or of blobs; the first 8 digits will do
    #[arg(required = true, value_name = "WORDS|ID")]
    what: Vec<String>,
    /// 96, 160 or 320. If several are there, the best that is whole is pinned, or
    /// that of which most is there; all are unpinned
    #[arg(long, value_name = "KBPS")]
    bitrate: Option<Bitrate>,
}

/// Pins what is named.
pub(super) fn pin(
    store: &Store,
    data: &DataDir,
    args: &PinArgs,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let shelf = Shelf::read(store, data);
    let mut wanted = Vec::new();
    for named in resolve(&shelf, &args.what, |_| false)? {
        wanted.push(match named {
            Named::Rendition(item) => suits(*item, args.bitrate)?,
            Named::Track(track) => match args.bitrate {
                Some(bitrate) => of_bitrate(&shelf, &track, bitrate)?,
                None => best(shelf.renditions(&track))
                    .ok_or_else(|| format!("{} has no renditions", track.name()))?,
            },
        });
    }
    let pinned = shelf.items.iter().filter(|item| item.pinned).cloned();
    let mut pinned: BTreeMap<BlobId, Item> = pinned.map(|item| (item.blob, item)).collect();
    for mut item in wanted {
        item.pinned = true;
        store.pin(item.blob)?;
        let was_pinned = pinned.insert(item.blob, item.clone()).is_some();
        match json {
            true => writeln!(out, "{}", item.json())?,
            false => tell_pinned(&item, was_pinned, out)?,
        }
    }
    warn_of_budget(pinned.into_values(), store.status().budget);
    Ok(())
}

/// Unpins what is named.
pub(super) fn unpin(
    store: &Store,
    data: &DataDir,
    args: &PinArgs,
    json: bool,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let shelf = Shelf::read(store, data);
    let is_pinned = |track: &Rc<Track>| shelf.renditions(track).iter().any(|item| item.pinned);
    let mut wanted = Vec::new();
    for named in resolve(&shelf, &args.what, is_pinned)? {
        match (named, args.bitrate) {
            (Named::Rendition(item), bitrate) => wanted.push(suits(*item, bitrate)?),
            (Named::Track(track), Some(bitrate)) => {
                wanted.push(of_bitrate(&shelf, &track, bitrate)?);
            }
            (Named::Track(track), None) => {
                let mut renditions = shelf.renditions(&track);
                if is_pinned(&track) {
                    renditions.retain(|item| item.pinned);
                } else {
                    // One stands for all.
                    renditions = best(renditions).into_iter().collect();
                }
                wanted.extend(renditions);
            }
        }
    }
    for mut item in wanted {
        let was_pinned = std::mem::replace(&mut item.pinned, false);
        store.unpin(item.blob)?;
        match (json, was_pinned) {
            (true, _) => writeln!(out, "{}", item.json())?,
            (false, true) => writeln!(out, "unpinned: {}", item.name())?,
            (false, false) => writeln!(out, "was not pinned: {}", item.name())?,
        }
    }
    Ok(())
}

/// The best that is whole, or else that of which most is there.
fn best(renditions: Vec<Item>) -> Option<Item> {
    let is_usual = |item: &Item| item.known.as_ref().is_some_and(|(_, bitrate)| *bitrate == USUAL);
    // Of equals the last is taken, which is the highest.
    renditions.into_iter().max_by_key(|item| {
        let share = u64::from(item.blocks_held) * 1_000_000 / u64::from(item.blocks().max(1));
        (share, item.blocks_held == 0 && is_usual(item))
    })
}

fn of_bitrate(shelf: &Shelf, track: &Rc<Track>, bitrate: Bitrate) -> Result<Item, Failure> {
    let renditions = shelf.renditions(track).into_iter();
    let is_it = |item: &Item| item.known.as_ref().is_some_and(|(_, there)| *there == bitrate);
    renditions.into_iter().find(is_it).ok_or_else(|| {
        let there: Vec<_> = track.renditions.iter().map(|(kbps, ..)| kbps.to_string()).collect();
        format!("{} is there at {} kbit/s, not {bitrate}", track.name(), there.join(", ")).into()
    })
}

/// A blob has but one bitrate.
fn suits(item: Item, bitrate: Option<Bitrate>) -> Result<Item, Failure> {
    match (bitrate, &item.known) {
        (Some(asked), Some((_, there))) if asked != *there => {
            Err(format!("blob {} is of {there} kbit/s, not {asked}", item.blob).into())
        }
        _ => Ok(item),
    }
}

fn tell_pinned(item: &Item, was_pinned: bool, out: &mut dyn Write) -> io::Result<()> {
    let what = if was_pinned { "was pinned already" } else { "pinned" };
    writeln!(out, "{what}: {}", item.name())?;
    if item.complete() {
        return Ok(());
    }
    let here = match item.blocks_held {
        0 => "nothing of it is here; it".to_owned(),
        _ => format!("{} % is here; the rest", item.percent()),
    };
    writeln!(out, "  {here} is fetched when it is played")?;
    if let Some((track, bitrate)) = &item.known {
        writeln!(out, "  antiphon play {} --bitrate {bitrate}", track.id)?;
    }
    Ok(())
}

/// What is pinned beyond the budget is pinned in vain.
fn warn_of_budget(pinned: impl Iterator<Item = Item>, budget: u64) {
    let wanted: u64 = pinned.filter_map(|item| item.size.map(BlobSize::bytes)).sum();
    if wanted > budget {
        eprintln!(
            "antiphon: all that is pinned is {}, and the cache may hold {}: unpin something, \
             or allow more with --cache-mb",
            bytes(wanted),
            bytes(budget),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_types::TrackId;

    const BLOCKS: u32 = 100;

    /// Renditions of a track of which so many blocks are there.
    fn renditions(held: [u32; 3]) -> Vec<Item> {
        let size = BlobSize::new(u64::from(BLOCKS) * 16_384).unwrap();
        let blobs = [1, 2, 3].map(|seed| BlobId::new([seed; 32]));
        let track = Rc::new(Track {
            id: TrackId::new([1; 16]),
            title: "T".to_owned(),
            artist: String::new(),
            album: String::new(),
            renditions: Bitrate::ALL.into_iter().zip(blobs).map(|(b, id)| (b, id, size)).collect(),
        });
        let item = |((&bitrate, blob), blocks_held)| Item {
            blob,
            size: Some(size),
            blocks_held,
            pinned: false,
            last_play: None,
            known: Some((Rc::clone(&track), bitrate)),
        };
        Bitrate::ALL.iter().zip(blobs).zip(held).map(item).collect()
    }

    #[test]
    fn the_best_that_is_whole_is_pinned_or_that_of_which_most_is_there() {
        let best_of = |held| best(renditions(held)).unwrap().known.unwrap().1.kbps();
        assert_eq!(best_of([BLOCKS, BLOCKS, BLOCKS - 1]), 160);
        assert_eq!(best_of([BLOCKS, BLOCKS, BLOCKS]), 320);
        assert_eq!(best_of([40, 10, 30]), 96);
        assert_eq!(best_of([0, 0, 1]), 320);
        assert_eq!(best_of([0, 0, 0]), 160, "what is played by default");
    }

    #[test]
    fn who_pins_what_is_not_whole_is_told_what_to_do() {
        let told = |held| {
            let mut out = Vec::new();
            tell_pinned(&renditions([held; 3])[2], false, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told(BLOCKS), "pinned: T, 320 kbit/s\n");
        assert!(told(37).contains("37 % is here; the rest is fetched when it is played"));
        let command = format!("antiphon play {} --bitrate 320", TrackId::new([1; 16]));
        assert!(told(37).contains(&command) && told(0).contains(&command));
        assert!(told(0).contains("nothing of it is here"));
    }
}
