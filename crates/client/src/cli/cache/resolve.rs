//! Which track is meant, without asking anybody.

use std::fmt;
use std::rc::Rc;

use console::truncate_str;

use super::list::SHORT_ID;
use super::shelf::{Item, Shelf, Track};

/// Tracks that are told to choose from.
const MOST_CANDIDATES: usize = 10;
/// Columns of a candidate's name: with an id before it, a line fits a terminal.
const NAME_WIDTH: usize = 44;
/// Hexadecimal digits of an id of a track, and of a blob.
const WHOLE_IDS: [usize; 2] = [32, 64];

/// What an argument names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// A track, in any of its renditions.
    Track(Rc<Track>),
    /// This rendition.
    Rendition(Box<Item>),
}

/// Why nothing is named.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    #[error(
        "{0} was never heard here, nor is it in the cache; `antiphon cache list` shows what is"
    )]
    UnknownId(String),
    #[error("nothing heard here fits {0:?}; see `antiphon cache list`")]
    NothingFits(String),
    #[error("{0} is an id, {1:?} is not: give ids alone, or words of one track")]
    Mixed(String, String),
    #[error("several fit {what:?}: say more, or an id{candidates}")]
    Ambiguous { what: String, candidates: Candidates },
}

/// What could be meant: ids and names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidates(Vec<(String, String)>);

impl fmt::Display for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, name) in self.0.iter().take(MOST_CANDIDATES) {
            write!(f, "\n  {id}  {}", truncate_str(name, NAME_WIDTH, "…"))?;
        }
        match self.0.len().saturating_sub(MOST_CANDIDATES) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl From<&Named> for (String, String) {
    fn from(named: &Named) -> Self {
        match named {
            Named::Track(track) => (track.id.to_string(), track.name()),
            Named::Rendition(item) => (item.blob.to_string(), item.name()),
        }
    }
}

/// What the arguments name: ids, one each, or words of one track. If words fit
/// several tracks, those that are `likely` are meant.
pub(super) fn resolve(
    shelf: &Shelf,
    what: &[String],
    likely: impl Fn(&Rc<Track>) -> bool,
) -> Result<Vec<Named>, ResolveError> {
    let ids = what.iter().map(|text| by_id(shelf, text)).collect::<Result<Vec<_>, _>>()?;
    if ids.iter().all(Option::is_none) {
        return Ok(vec![by_words(shelf, &what.join(" "), likely)?]);
    }
    let of = |wanted: bool| ids.iter().zip(what).find(|(id, _)| id.is_some() == wanted);
    match (of(true), of(false)) {
        (Some((_, id)), Some((_, other))) => Err(ResolveError::Mixed(id.clone(), other.clone())),
        _ => Ok(ids.into_iter().flatten().collect()),
    }
}

/// What an id is of, or the beginning of one. None if the text is no id, or is
/// one by accident.
fn by_id(shelf: &Shelf, text: &str) -> Result<Option<Named>, ResolveError> {
    if text.len() < SHORT_ID || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let begin = text.to_ascii_lowercase();
    let tracks = shelf.tracks.iter().filter(|track| track.id.to_string().starts_with(&begin));
    let mut found: Vec<Named> = tracks.cloned().map(Named::Track).collect();
    let absent = shelf.tracks.iter().flat_map(|track| shelf.renditions(track));
    let absent = absent.filter(|item| shelf.item(item.blob).is_none());
    let items = shelf.items.iter().cloned().chain(absent);
    let items = items.filter(|item| item.blob.to_string().starts_with(&begin));
    found.extend(items.map(|item| Named::Rendition(Box::new(item))));
    match found.len() {
        0 if WHOLE_IDS.contains(&text.len()) => Err(ResolveError::UnknownId(text.to_owned())),
        0 | 1 => Ok(found.pop()),
        _ => Err(ambiguous(text, &found)),
    }
}

/// The track in whose title, artist or album each of the words begins a word, as
/// in a search; case makes no difference. A title that is these words goes before
/// those that have more.
fn by_words(
    shelf: &Shelf,
    text: &str,
    likely: impl Fn(&Rc<Track>) -> bool,
) -> Result<Named, ResolveError> {
    let words = words_of(text);
    let fits = |track: &&Rc<Track>| !words.is_empty() && fits(track, &words);
    let mut found: Vec<&Rc<Track>> = shelf.tracks.iter().filter(fits).collect();
    narrow(&mut found, |track| likely(track));
    narrow(&mut found, |track| is_all(track, &words));
    match found.as_slice() {
        [] => Err(ResolveError::NothingFits(text.to_owned())),
        [track] => Ok(Named::Track(Rc::clone(track))),
        _ => {
            let found: Vec<_> = found.into_iter().cloned().map(Named::Track).collect();
            Err(ambiguous(text, &found))
        }
    }
}

/// Keeps those that are so, if any is.
fn narrow(found: &mut Vec<&Rc<Track>>, is_so: impl Fn(&Rc<Track>) -> bool) {
    if found.iter().any(|track| is_so(track)) {
        found.retain(|track| is_so(track));
    }
}

fn fits(track: &Track, words: &[String]) -> bool {
    let texts = [&track.title, &track.artist, &track.album].map(|text| words_of(text));
    words.iter().all(|word| texts.iter().flatten().any(|there| there.starts_with(word.as_str())))
}

/// Whether the words are the title, or artist and title.
fn is_all(track: &Track, words: &[String]) -> bool {
    let title = words_of(&track.title);
    words == title || words == [words_of(&track.artist), title].concat()
}

fn words_of(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn ambiguous(what: &str, found: &[Named]) -> ResolveError {
    let candidates = Candidates(found.iter().map(Into::into).collect());
    ResolveError::Ambiguous { what: what.to_owned(), candidates }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_types::{Bitrate, BlobId, BlobSize, TrackId};

    fn track(seed: u8, artist: &str, title: &str) -> Track {
        Track {
            id: TrackId::new([seed; 16]),
            title: title.to_owned(),
            artist: artist.to_owned(),
            album: "Kind of Blue".to_owned(),
            renditions: vec![(
                Bitrate::Kbps160,
                BlobId::new([seed + 0x80; 32]),
                BlobSize::new(1).unwrap(),
            )],
        }
    }

    fn shelf() -> Shelf {
        let tracks = vec![
            track(1, "Miles Davis", "So What"),
            track(2, "Miles Davis", "So What (live)"),
            track(3, "Miles Davis", "Blue in Green"),
            track(4, "Björk", "Jóga"),
        ];
        Shelf::new(Vec::new(), vec![BlobId::new([0x82; 32])], tracks)
    }

    fn ask(text: &[&str]) -> Result<Vec<u8>, ResolveError> {
        let shelf = shelf();
        let text: Vec<String> = text.iter().map(|&text| text.to_owned()).collect();
        let named = resolve(&shelf, &text, |_| false)?;
        let first = |named| match named {
            Named::Track(track) => track.id.as_bytes()[0],
            Named::Rendition(item) => item.blob.as_bytes()[0],
        };
        Ok(named.into_iter().map(first).collect())
    }

    #[test]
    fn words_name_a_track_as_a_search_would() {
        assert_eq!(ask(&["green", "MILES"]), Ok(vec![3]));
        assert_eq!(ask(&["gre", "mil", "kind"]), Ok(vec![3]));
        assert_eq!(ask(&["jóga"]), Ok(vec![4]));
        for nothing in ["reen", "nowhere", "?!", ""] {
            assert_eq!(ask(&[nothing]), Err(ResolveError::NothingFits(nothing.to_owned())));
        }
    }

    #[test]
    fn a_whole_title_goes_before_longer_ones() {
        assert_eq!(ask(&["so", "what"]), Ok(vec![1]));
        assert_eq!(ask(&["miles davis so what"]), Ok(vec![1]));
        assert_eq!(ask(&["what", "live"]), Ok(vec![2]));
    }

    #[test]
    fn who_fits_several_is_told_which() {
        let error = ask(&["miles"]).unwrap_err().to_string();
        for seed in 1..=3 {
            assert!(error.contains(&TrackId::new([seed; 16]).to_string()), "{error}");
        }
        assert!(error.lines().all(|line| console::measure_text_width(line) < 80), "{error}");
        assert!(!error.contains("Björk"), "{error}");
    }

    #[test]
    fn what_is_likely_goes_first() {
        let named =
            resolve(&shelf(), &["so what".to_owned()], |track| track.title.contains("live"));
        assert!(
            matches!(named.as_deref(), Ok([Named::Track(track)]) if track.title.contains("live"))
        );
    }

    #[test]
    fn ids_may_be_cut_short_and_several() {
        assert_eq!(ask(&[&"01".repeat(16), "03030303"]), Ok(vec![1, 3]));
        assert_eq!(ask(&[&"82".repeat(32), &"83".repeat(32)]), Ok(vec![0x82, 0x83]));
        assert_eq!(ask(&["AAAAAAAA"]), Err(ResolveError::NothingFits("AAAAAAAA".to_owned())));
        for unknown in ["aa".repeat(16), "aa".repeat(32)] {
            assert_eq!(ask(&[&unknown]), Err(ResolveError::UnknownId(unknown)));
        }
        let mixed = ResolveError::Mixed("01010101".to_owned(), "blue".to_owned());
        assert_eq!(ask(&["01010101", "blue"]), Err(mixed));
    }
}
