//! What containers say about length and about samples to leave out, and
//! symphonia does not pass on.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Boxes looked at in one file, in all: real files have some tens before the
/// one we want.
const MAX_BOXES: u32 = 10_000;

/// Which part of an MP4 track is to be played (ISO/IEC 14496-12 section 8.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mp4Edit {
    /// Where it begins, in units of the media.
    media_time: u64,
    /// Units of the media in a second.
    media_scale: u32,
    /// How long it is, in units of the movie; 0 for "to the end".
    duration: u64,
    /// Units of the movie in a second.
    movie_scale: u32,
}

impl Mp4Edit {
    /// Samples to leave out at the start, and how many to keep after them.
    ///
    /// The length is given in units of the movie, often milliseconds. It is
    /// kept only where these are as fine as samples, for otherwise rounding
    /// would cut into the music.
    pub(crate) fn in_samples(self, rate: u32) -> (u64, Option<u64>) {
        let scaled = |value: u64, scale: u32| {
            u64::try_from(u128::from(value) * u128::from(rate) / u128::from(scale.max(1))).ok()
        };
        let start = scaled(self.media_time, self.media_scale).unwrap_or(0);
        let fine = self.movie_scale >= rate && self.duration > 0;
        (start, scaled(self.duration, self.movie_scale).filter(|_| fine))
    }
}

/// The edit of the first sound track, if the file is MP4 and has just one.
/// Leaves the file at its start.
pub(crate) fn mp4_edit(mut file: &File) -> Option<Mp4Edit> {
    let edit = find_edit(&mut file).ok().flatten();
    file.seek(SeekFrom::Start(0)).ok()?;
    edit
}

/// Whether an MP4's index is missing, which stands at the end of many files
/// and is the first thing lost when one is cut short.
pub(crate) fn mp4_lacks_index(mut file: &File) -> bool {
    let mut look = || -> io::Result<bool> {
        let end = file.seek(SeekFrom::End(0))?;
        let mut boxes = Boxes { file: &mut file, budget: MAX_BOXES };
        Ok(boxes.find(0, end, *b"moov")?.is_none())
    };
    look().unwrap_or(false)
}

fn find_edit<R: Read + Seek>(file: &mut R) -> io::Result<Option<Mp4Edit>> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut boxes = Boxes { file, budget: MAX_BOXES };
    if !matches!(boxes.at(0, end)?, Some(Mp4Box { kind: [b'f', b't', b'y', b'p'], .. })) {
        return Ok(None);
    }
    let Some(moov) = boxes.find(0, end, *b"moov")? else { return Ok(None) };
    let Some(mvhd) = boxes.find(moov.body, moov.end, *b"mvhd")? else { return Ok(None) };
    let movie_scale = boxes.time_scale(&mvhd)?;
    let mut at = moov.body;
    while let Some(trak) = boxes.find(at, moov.end, *b"trak")? {
        at = trak.end;
        let Some(mdia) = boxes.find(trak.body, trak.end, *b"mdia")? else { continue };
        let Some(hdlr) = boxes.find(mdia.body, mdia.end, *b"hdlr")? else { continue };
        if boxes.bytes::<4>(hdlr.body + 8)? != *b"soun" {
            continue;
        }
        let Some(mdhd) = boxes.find(mdia.body, mdia.end, *b"mdhd")? else { return Ok(None) };
        let Some(edts) = boxes.find(trak.body, trak.end, *b"edts")? else { return Ok(None) };
        let Some(elst) = boxes.find(edts.body, edts.end, *b"elst")? else { return Ok(None) };
        let media_scale = boxes.time_scale(&mdhd)?;
        let entry = boxes.single_edit(&elst)?;
        return Ok(entry.map(|(duration, media_time)| Mp4Edit {
            media_time,
            media_scale,
            duration,
            movie_scale,
        }));
    }
    Ok(None)
}

struct Mp4Box {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

struct Boxes<'a, R> {
    file: &'a mut R,
    budget: u32,
}

impl<R: Read + Seek> Boxes<'_, R> {
    fn bytes<const N: usize>(&mut self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The box that begins at `at` and ends by `end`.
    fn at(&mut self, at: u64, end: u64) -> io::Result<Option<Mp4Box>> {
        let Some(budget) = self.budget.checked_sub(1) else { return Ok(None) };
        self.budget = budget;
        if end.saturating_sub(at) < 8 {
            return Ok(None);
        }
        let [a, b, c, d, kind @ ..] = self.bytes::<8>(at)?;
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, end - at),
            1 => (16, u64::from_be_bytes(self.bytes(at + 8)?)),
            size => (8, u64::from(size)),
        };
        let box_end = at.checked_add(size).filter(|box_end| size >= header && *box_end <= end);
        Ok(box_end.map(|box_end| Mp4Box { kind, body: at + header, end: box_end }))
    }

    /// The first box of that kind between `at` and `end`.
    fn find(&mut self, mut at: u64, end: u64, kind: [u8; 4]) -> io::Result<Option<Mp4Box>> {
        while let Some(found) = self.at(at, end)? {
            if found.kind == kind {
                return Ok(Some(found));
            }
            at = found.end;
        }
        Ok(None)
    }

    /// The time scale in an `mvhd` or `mdhd` box.
    fn time_scale(&mut self, header: &Mp4Box) -> io::Result<u32> {
        let [version] = self.bytes(header.body)?;
        let at = if version == 1 { 20 } else { 12 };
        Ok(u32::from_be_bytes(self.bytes(header.body + at)?))
    }

    /// Duration and media time of an edit list with one entry.
    fn single_edit(&mut self, elst: &Mp4Box) -> io::Result<Option<(u64, u64)>> {
        let [version, _, _, _, count @ ..] = self.bytes::<8>(elst.body)?;
        if u32::from_be_bytes(count) != 1 {
            return Ok(None);
        }
        let (duration, media_time) = if version == 1 {
            let [duration, time] = [elst.body + 8, elst.body + 16].map(|at| self.bytes::<8>(at));
            (u64::from_be_bytes(duration?), i64::from_be_bytes(time?))
        } else {
            let [duration, time] = [elst.body + 8, elst.body + 12].map(|at| self.bytes::<4>(at));
            (u64::from(u32::from_be_bytes(duration?)), i64::from(i32::from_be_bytes(time?)))
        };
        // A negative time is a pause, which no music file needs.
        Ok(u64::try_from(media_time).ok().map(|media_time| (duration, media_time)))
    }
}

/// Whether an MP3 states its length in a Xing, Info or VBRI header, which
/// stands in the first frame after the ID3v2 tag. Leaves the file at its start.
pub(crate) fn mp3_states_length(mut file: &File) -> bool {
    let mut head = || -> io::Result<Vec<u8>> {
        let mut header = [0; 10];
        file.read_exact(&mut header)?;
        // The tag's size has 7 bits in each byte (ID3v2.4 section 6.2).
        let tag = if header.starts_with(b"ID3") {
            10 + header[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f))
        } else {
            0
        };
        file.seek(SeekFrom::Start(tag))?;
        let mut head = Vec::new();
        file.take(2048).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(head)
    };
    let marks: [&[u8]; 3] = [b"Xing", b"Info", b"VBRI"];
    head().is_ok_and(|head| head.windows(4).any(|window| marks.contains(&window)))
}
