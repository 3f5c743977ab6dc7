//! What a child says to its parent: frames of a kind, a length and a content.

use std::io::{self, Read, Write};

use antiphon_media::{Loudness, Rendered, Segment, Tags, clean_text};
use serde::{Deserialize, Serialize};

/// The longest content, in bytes: the report of a track of six hours has some
/// 200,000.
pub(super) const MAX_FRAME_BYTES: u32 = 1 << 20;
/// Bytes of a rendition that are sent at a time.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// One thing that a child says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// The next bytes of a rendition, by its place: 0 to 2.
    Rendition(usize, Vec<u8>),
    /// The share that is done. Comes every now and then, whether it has grown
    /// or not, for a child notices so that its parent is gone.
    Progress(f32),
    /// The cover.
    Cover(Vec<u8>),
    /// All that there is to know; the last frame.
    Done(Vec<u8>),
    /// Why nothing comes of the file; the last frame.
    Failed(Vec<u8>),
}

impl Frame {
    /// Writes the frame.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let progress;
        let (kind, content): (u8, &[u8]) = match self {
            Self::Rendition(place, bytes) => (u8::try_from(*place).unwrap_or(u8::MAX), bytes),
            Self::Progress(share) => {
                progress = share.to_le_bytes();
                (3, &progress)
            }
            Self::Cover(bytes) => (4, bytes),
            Self::Done(bytes) => (5, bytes),
            Self::Failed(bytes) => (6, bytes),
        };
        write_parts(out, kind, content)
    }

    /// Reads a frame; `None` at the end.
    pub(super) fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = Vec::with_capacity(1);
        if input.by_ref().take(1).read_to_end(&mut kind)? == 0 {
            return Ok(None);
        }
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_FRAME_BYTES {
            return Err(invalid("a frame is too long"));
        }
        let mut content = Vec::new();
        input.take(u64::from(length)).read_to_end(&mut content)?;
        if content.len() as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let frame = match kind[..] {
            [place @ 0..=2] => Self::Rendition(usize::from(place), content),
            [3] => {
                let share = content.try_into().map_err(|_| invalid("a share has four bytes"))?;
                let share = f32::from_le_bytes(share);
                Self::Progress(if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) })
            }
            [4] => Self::Cover(content),
            [5] => Self::Done(content),
            [6] => Self::Failed(content),
            _ => return Err(invalid("a frame of an unknown kind")),
        };
        Ok(Some(frame))
    }
}

fn write_parts(out: &mut impl Write, kind: u8, content: &[u8]) -> io::Result<()> {
    let length = u32::try_from(content.len())
        .ok()
        .filter(|length| *length <= MAX_FRAME_BYTES)
        .ok_or_else(|| invalid("a frame is too long"))?;
    let [a, b, c, d] = length.to_le_bytes();
    out.write_all(&[kind, a, b, c, d])?;
    out.write_all(content)?;
    out.flush()
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What a child knows of a track, besides cover and renditions' bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    title: String,
    artist: Option<String>,
    album: Option<String>,
    album_artist: Option<String>,
    track_number: Option<u32>,
    disc_number: Option<u32>,
    year: Option<u32>,
    genre: Option<String>,
    isrc: Option<String>,
    lufs: f64,
    true_peak_dbtp: f64,
    gain_db: f64,
    achieved_lufs: f64,
    renditions: [ReportedRendition; 3],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ReportedRendition {
    bytes: u64,
    header_bytes: u32,
    samples: u64,
    segments: Vec<(u64, u64)>,
}

impl Report {
    pub(super) fn new(tags: Tags, loudness: Loudness, renditions: &[Rendered; 3]) -> Self {
        Self {
            title: tags.title,
            artist: tags.artist,
            album: tags.album,
            album_artist: tags.album_artist,
            track_number: tags.track_number,
            disc_number: tags.disc_number,
            year: tags.year,
            genre: tags.genre,
            isrc: tags.isrc,
            lufs: loudness.lufs,
            true_peak_dbtp: loudness.true_peak_dbtp,
            gain_db: loudness.gain_db,
            achieved_lufs: loudness.achieved_lufs,
            renditions: renditions.each_ref().map(|rendered| ReportedRendition {
                bytes: rendered.bytes,
                header_bytes: rendered.header_bytes,
                samples: rendered.samples,
                segments: rendered.segments.iter().map(|at| (at.offset, at.sample)).collect(),
            }),
        }
    }

    /// The tags, cleaned again: what a child says is a stranger's word.
    pub(super) fn tags(&self) -> Tags {
        let text = |text: &Option<String>| text.as_deref().and_then(clean_text);
        let number = |number: Option<u32>| number.filter(|number| (1..=9999).contains(number));
        Tags {
            title: clean_text(&self.title).unwrap_or_else(|| "Untitled".to_owned()),
            artist: text(&self.artist),
            album: text(&self.album),
            album_artist: text(&self.album_artist),
            track_number: number(self.track_number),
            disc_number: number(self.disc_number),
            year: number(self.year),
            genre: text(&self.genre),
            isrc: text(&self.isrc).filter(|code| code.len() == 12),
        }
    }

    /// The loudness, if it is one that can be.
    pub(super) fn loudness(&self) -> Option<Loudness> {
        let all = [self.lufs, self.true_peak_dbtp, self.gain_db, self.achieved_lufs];
        all.iter().all(|decibels| decibels.is_finite() && decibels.abs() <= 300.0).then_some(
            Loudness {
                lufs: self.lufs,
                true_peak_dbtp: self.true_peak_dbtp,
                gain_db: self.gain_db,
                achieved_lufs: self.achieved_lufs,
            },
        )
    }

    /// The renditions, if they are of the lengths of which bytes came.
    pub(super) fn renditions(&self, came: [u64; 3]) -> Option<[Rendered; 3]> {
        let samples = self.renditions[0].samples;
        let fit = self.renditions.iter().zip(came).all(|(reported, came)| {
            reported.bytes == came && reported.samples == samples && samples > 0
        });
        let mut bitrates = antiphon_types::Bitrate::ALL.into_iter();
        fit.then(|| {
            self.renditions.each_ref().map(|reported| Rendered {
                bitrate: bitrates.next().expect("three bitrates"),
                bytes: reported.bytes,
                header_bytes: reported.header_bytes,
                samples: reported.samples,
                segments: reported
                    .segments
                    .iter()
                    .map(|(offset, sample)| Segment { offset: *offset, sample: *sample })
                    .collect(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            (0..3_usize, bytes()).prop_map(|(place, bytes)| Frame::Rendition(place, bytes)),
            (0.0..=1.0_f32).prop_map(Frame::Progress),
            bytes().prop_map(Frame::Cover),
            bytes().prop_map(Frame::Done),
            bytes().prop_map(Frame::Failed),
        ]
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(frames in prop::collection::vec(any_frame(), 0..8)) {
            let mut bytes = Vec::new();
            for frame in &frames {
                frame.write(&mut bytes).unwrap();
            }
            let mut input = bytes.as_slice();
            for frame in frames {
                prop_assert_eq!(Frame::read(&mut input).unwrap(), Some(frame));
            }
            prop_assert_eq!(Frame::read(&mut input).unwrap(), None);
        }

        #[test]
        fn nothing_that_is_said_panics(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut input = bytes.as_slice();
            while let Ok(Some(frame)) = Frame::read(&mut input) {
                if let Frame::Progress(share) = frame {
                    prop_assert!((0.0..=1.0).contains(&share));
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_neither_read_nor_written() {
        let mut input: &[u8] = &[4, 1, 0, 16, 0];
        assert_eq!(Frame::read(&mut input).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let frame = Frame::Cover(vec![0; MAX_FRAME_BYTES as usize + 1]);
        assert!(frame.write(&mut Vec::new()).is_err());
    }

    fn report() -> Report {
        let tags =
            Tags { title: "a\u{202e}b\0c".to_owned(), year: Some(70_000), ..Tags::default() };
        let loudness =
            Loudness { lufs: -20.0, true_peak_dbtp: -3.0, gain_db: 2.0, achieved_lufs: -18.0 };
        let rendered = antiphon_types::Bitrate::ALL.map(|bitrate| Rendered {
            bitrate,
            bytes: 900,
            header_bytes: 40,
            samples: 5,
            segments: vec![Segment { offset: 40, sample: 0 }],
        });
        Report::new(tags, loudness, &rendered)
    }

    #[test]
    fn a_report_is_checked_before_it_is_believed() {
        let honest = report();
        assert!(honest.loudness().is_some() && honest.renditions([900; 3]).is_some());
        assert!(honest.renditions([900, 900, 901]).is_none(), "other bytes came");
        let tags = honest.tags();
        assert_eq!((tags.title.as_str(), tags.year), ("ab c", None));
        let endless = Report { gain_db: f64::INFINITY, ..report() };
        assert!(endless.loudness().is_none());
        let mut uneven = report();
        uneven.renditions[1].samples = 6;
        assert!(uneven.renditions([900; 3]).is_none());
    }
}
