//! What a file says about itself. Files are only ever read.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use lofty::config::ParseOptions;
use lofty::file::{FileType, TaggedFile, TaggedFileExt};
use lofty::picture::PictureType;
use lofty::probe::Probe;
use lofty::tag::{Accessor, ItemKey, Tag};

/// The longest text that is kept, in bytes of UTF-8: longer than any real
/// title, short enough for every list.
pub const MAX_TEXT_BYTES: usize = 512;
/// The largest cover that is kept, in bytes; a larger one is dropped.
pub const MAX_COVER_BYTES: usize = 2 << 20;

/// What the tags say, bounded and cleaned: no control characters, no line
/// breaks, no characters that turn the direction of text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    /// Title, else the file's name without its ending; never empty.
    pub title: String,
    /// Who performs.
    pub artist: Option<String>,
    /// Name of the album.
    pub album: Option<String>,
    /// Who the album is by.
    pub album_artist: Option<String>,
    /// Number on the disc, from 1.
    pub track_number: Option<u32>,
    /// Number of the disc, from 1.
    pub disc_number: Option<u32>,
    /// Year of the recording or release, 1000 to 9999.
    pub year: Option<u32>,
    /// Genre.
    pub genre: Option<String>,
    /// International Standard Recording Code, 12 letters and digits.
    pub isrc: Option<String>,
}

/// A picture of the album.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The picture file, at most [`MAX_COVER_BYTES`].
    pub bytes: Vec<u8>,
    /// Its type as its bytes tell: JPEG, PNG, GIF or WebP.
    pub mime: &'static str,
}

/// Reads tags and cover. Whatever cannot be read is taken as absent: a file
/// without usable tags is still music.
pub fn read(path: &Path) -> (Tags, Option<Cover>) {
    match File::open(path) {
        Ok(file) => read_open(&file, path),
        Err(_) => (collect(&[], path), None),
    }
}

/// Reads tags and cover of an open file. Its name, of which nothing is opened,
/// stands in for a title, and its ending helps to tell formats.
pub(crate) fn read_open(file: &File, name: &Path) -> (Tags, Option<Cover>) {
    // A tag reader's panic is that file's fault and must not end the ingest.
    let file = catch_unwind(AssertUnwindSafe(|| parse(file, name))).ok().flatten();
    let tags = file.as_ref().map(ordered_tags).unwrap_or_default();
    (collect(&tags, name), tags.iter().find_map(|tag| cover(tag)))
}

fn parse(mut file: &File, name: &Path) -> Option<TaggedFile> {
    file.seek(SeekFrom::Start(0)).ok()?;
    let options = ParseOptions::new().read_properties(false);
    let mut probe = Probe::new(BufReader::new(file));
    if let Some(kind) = FileType::from_path(name) {
        probe = probe.set_file_type(kind);
    }
    probe.options(options).guess_file_type().ok()?.read().ok()
}

/// All tags of a file, the one that fits its format first.
fn ordered_tags(file: &TaggedFile) -> Vec<&Tag> {
    let primary = file.primary_tag();
    let others =
        file.tags().iter().filter(|tag| primary.is_none_or(|first| !std::ptr::eq(*tag, first)));
    primary.into_iter().chain(others).collect()
}

fn collect(tags: &[&Tag], path: &Path) -> Tags {
    let text = |key: ItemKey| tags.iter().find_map(|tag| tag.get_string(key).and_then(clean_text));
    let stem = path.file_stem().and_then(|stem| clean_text(&stem.to_string_lossy()));
    let number = |get: fn(&Tag) -> Option<u32>| {
        tags.iter().find_map(|tag| get(tag)).filter(|number| (1..=9999).contains(number))
    };
    Tags {
        title: text(ItemKey::TrackTitle).or(stem).unwrap_or_else(|| "Untitled".to_owned()),
        artist: text(ItemKey::TrackArtist),
        album: text(ItemKey::AlbumTitle),
        album_artist: text(ItemKey::AlbumArtist),
        track_number: number(|tag| tag.track()),
        disc_number: number(|tag| tag.disk()),
        year: [ItemKey::RecordingDate, ItemKey::Year, ItemKey::ReleaseDate]
            .into_iter()
            .find_map(|key| text(key).and_then(|date| year(&date))),
        genre: text(ItemKey::Genre),
        isrc: text(ItemKey::Isrc).and_then(|code| isrc(&code)),
    }
}

/// Text of strangers as one line of at most [`MAX_TEXT_BYTES`], without control
/// characters and those that turn its direction; `None` if nothing is left.
pub fn clean_text(text: &str) -> Option<String> {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word: String = word.chars().filter(|c| !turns_text(*c)).collect();
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
        if line.len() > MAX_TEXT_BYTES {
            line.truncate(line.floor_char_boundary(MAX_TEXT_BYTES));
            break;
        }
    }
    let line = line.trim_end().to_owned();
    (!line.is_empty()).then_some(line)
}

/// Characters that change the direction of what follows and could make one
/// name look like another, and marks of byte order.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The first four digits that stand together.
fn year(date: &str) -> Option<u32> {
    date.split(|c: char| !c.is_ascii_digit())
        .find(|digits| digits.len() == 4)
        .and_then(|digits| digits.parse().ok())
        .filter(|year| *year >= 1000)
}

/// The code without hyphens, if it is one (ISO 3901).
fn isrc(code: &str) -> Option<String> {
    let code: String =
        code.chars().filter(|c| !matches!(c, '-' | ' ')).collect::<String>().to_ascii_uppercase();
    let (country, rest) = (code.get(..5)?, code.get(5..)?);
    let valid = rest.len() == 7
        && country.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && rest.bytes().all(|byte| byte.is_ascii_digit());
    valid.then_some(code)
}

/// The front cover, else the first picture that can be used.
fn cover(tag: &Tag) -> Option<Cover> {
    let pictures = tag.pictures();
    let front = pictures.iter().filter(|picture| picture.pic_type() == PictureType::CoverFront);
    front.chain(pictures).find_map(|picture| Cover::of(picture.data()))
}

impl Cover {
    /// A picture as its bytes tell; `None` if it is too large, or of no type
    /// that is taken.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mime = picture_type(bytes).filter(|_| bytes.len() <= MAX_COVER_BYTES)?;
        Some(Self { bytes: bytes.to_vec(), mime })
    }
}

/// The type of a picture by its first bytes. What a tag claims is not
/// believed, and pictures that can carry scripts are not among these.
fn picture_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_bounded_line_without_tricks() {
        assert_eq!(clean_text("  a\r\n\tb\u{0} \u{202e}c  ").as_deref(), Some("a b c"));
        assert_eq!(clean_text("\u{7}\u{feff} \n"), None);
        let long = clean_text(&"é".repeat(2000)).unwrap();
        assert!(long.len() <= MAX_TEXT_BYTES && long.chars().all(|c| c == 'é'));
    }

    #[test]
    fn years_and_codes_are_read_or_refused() {
        assert_eq!(year("2019-05-03"), Some(2019));
        assert_eq!(year("03.05.1987"), Some(1987));
        assert_eq!(year("0000"), None);
        assert_eq!(isrc("us-rc1-76-07839").as_deref(), Some("USRC17607839"));
        assert_eq!(isrc("not a code at all"), None);
        assert_eq!(isrc("ÄÖÜÄÖÜÄÖÜ"), None);
    }

    #[test]
    fn pictures_are_known_by_their_bytes() {
        assert_eq!(picture_type(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
        assert_eq!(picture_type(b"<svg onload='x'>"), None);
    }
}
