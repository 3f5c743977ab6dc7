//! `antiphon cache list`.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, SystemTime};

use antiphon_types::BlobSize;
use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

use super::bytes;
use super::shelf::{Item, Shelf};

/// Letters of an id on a terminal: enough to name a track by.
pub(super) const SHORT_ID: usize = 8;
/// A title is not made narrower than that, however narrow the terminal.
const LEAST_TITLE: usize = 12;
/// Spaces between columns.
const GAP: &str = "  ";

/// Prints what is in the cache.
pub(super) fn list(shelf: &Shelf, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return shelf.items.iter().try_for_each(|item| writeln!(out, "{}", item.json()));
    }
    if shelf.items.is_empty() {
        return writeln!(out, "the cache is empty");
    }
    let width = match io::stdout().is_terminal() {
        true => Some(usize::from(Term::stdout().size().1)),
        false => None,
    };
    let lines = table(&shelf.items, SystemTime::now(), width);
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// A line for each item and one above them. Within a width, ids are short and
/// titles cut off; without one, all is there.
fn table(items: &[Item], now: SystemTime, width: Option<usize>) -> Vec<String> {
    let head = ["TRACK", "KBPS", "SIZE", "HERE", "PIN", "PLAYED"].map(str::to_owned);
    let mut rows = vec![(head, "TITLE".to_owned())];
    rows.extend(items.iter().map(|item| (columns(item, now, width.is_some()), title(item))));
    let mut widths = [0; 6];
    for (columns, _) in &rows {
        for (widest, column) in widths.iter_mut().zip(columns) {
            *widest = measure_text_width(column).max(*widest);
        }
    }
    let before_title: usize = widths.iter().map(|width| width + GAP.len()).sum();
    let for_title = width.map(|width| width.saturating_sub(before_title).max(LEAST_TITLE));
    rows.into_iter()
        .map(|(columns, title)| {
            let mut line = String::new();
            for (i, (column, &width)) in columns.iter().zip(&widths).enumerate() {
                let to = if matches!(i, 1..=3) { Alignment::Right } else { Alignment::Left };
                line.push_str(&pad_str(column, width, to, None));
                line.push_str(GAP);
            }
            match for_title {
                Some(width) => line.push_str(&truncate_str(&title, width, "…")),
                None => line.push_str(&title),
            }
            line
        })
        .collect()
}

fn columns(item: &Item, now: SystemTime, short: bool) -> [String; 6] {
    let track =
        item.known.as_ref().map_or_else(|| "-".to_owned(), |(track, _)| track.id.to_string());
    [
        if short { track.chars().take(SHORT_ID).collect() } else { track },
        item.known.as_ref().map_or_else(|| "-".to_owned(), |(_, bitrate)| bitrate.to_string()),
        item.size.map(BlobSize::bytes).map_or_else(|| "-".to_owned(), bytes),
        format!("{} %", item.percent()),
        if item.pinned { "yes" } else { "" }.to_owned(),
        item.last_play.map_or_else(|| "-".to_owned(), |at| ago(now, at)),
    ]
}

fn title(item: &Item) -> String {
    item.known.as_ref().map_or_else(|| item.name(), |(track, _)| track.name())
}

/// How long ago that was. What a clock that was set back calls the future is now.
fn ago(now: SystemTime, at: SystemTime) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    let seconds = now.duration_since(at).unwrap_or(Duration::ZERO).as_secs();
    match seconds {
        0..MINUTE => "just now".to_owned(),
        MINUTE..HOUR => format!("{} min ago", seconds / MINUTE),
        HOUR..DAY => format!("{} h ago", seconds / HOUR),
        DAY..YEAR => format!("{} d ago", seconds / DAY),
        _ => format!("{} y ago", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::cache::shelf::Track;
    use antiphon_types::{Bitrate, BlobId, TrackId};
    use std::rc::Rc;

    fn item(seed: u8, artist: &str, title: &str) -> Item {
        let blob = BlobId::new([seed; 32]);
        let size = BlobSize::new(2_000_000).unwrap();
        let track = Track {
            id: TrackId::new([seed; 16]),
            title: title.to_owned(),
            artist: artist.to_owned(),
            album: String::new(),
            renditions: vec![(Bitrate::Kbps160, blob, size)],
        };
        Item {
            blob,
            size: Some(size),
            blocks_held: 61,
            pinned: seed == 1,
            last_play: Some(SystemTime::UNIX_EPOCH),
            known: Some((Rc::new(track), Bitrate::Kbps160)),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_columns_stand_below_each_other() {
        let long = "Concerto grosso, performed on the instruments of another century ".repeat(4);
        let unknown = Item { known: None, ..item(3, "", "") };
        let items = [item(1, "A", "Short"), item(2, "夜の女王のアリア", &long), unknown];
        let lines = table(&items, at(7_200), Some(80));
        assert!(lines.iter().all(|line| measure_text_width(line) <= 80), "{lines:#?}");
        assert_eq!(lines[1], "01010101   160  2.0 MB  49 %  yes  2 h ago  A – Short");
        assert!(lines[2].starts_with("02020202   160  2.0 MB  49 %       2 h ago  夜の女王の"));
        assert!(lines[2].ends_with('…'), "{}", lines[2]);
        assert!(lines[3].starts_with("-            -  2.0 MB  49 %       2 h ago  blob 0303"));
    }

    #[test]
    fn off_a_terminal_nothing_is_cut_off() {
        let title = "Long ".repeat(30);
        let lines = table(&[item(1, "A", title.trim_end())], at(0), None);
        assert!(lines[1].starts_with(&TrackId::new([1; 16]).to_string()), "{}", lines[1]);
        assert!(lines[1].ends_with(title.trim_end()), "{}", lines[1]);
    }

    #[test]
    fn a_title_cannot_move_the_cursor() {
        let lines = table(&[item(1, "A\x1b[2J", "B\r\nC")], at(0), Some(80));
        assert!(!lines[1].contains(|c: char| c.is_control()), "{:?}", lines[1]);
    }

    #[test]
    fn times_are_told_as_people_do() {
        let told = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 31_535_999, 63_072_000];
        let told = told.map(|seconds| ago(at(seconds), at(0)));
        let wanted = [
            "just now",
            "just now",
            "1 min ago",
            "59 min ago",
            "1 h ago",
            "23 h ago",
            "1 d ago",
            "364 d ago",
            "2 y ago",
        ];
        assert_eq!(told, wanted);
        assert_eq!(ago(at(0), at(100)), "just now");
    }
}
