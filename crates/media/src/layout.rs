//! The pages of a rendition, laid out so that sound starts early and decoding
//! can begin at every 10 s.
//!
//! * The identification header stands on its own page, comment and setup
//!   header on the next (Vorbis I appendix A.2); then audio begins.
//! * The first pages of audio are tiny, so that a decoder has sound after a
//!   few hundred bytes; later ones hold an eighth of a second, at most about
//!   8 KiB.
//! * For each 10 s boundary a page begins with the last packet that ends at or
//!   before it. That packet primes a decoder started there, and everything
//!   after its end is exact.
//! * The last page states the exact length.

use std::collections::VecDeque;
use std::io::{self, Write};

use antiphon_types::{Bitrate, Rendition, SAMPLE_RATE, Segment};
use ogg::{PacketWriteEndInfo, PacketWriter};

use crate::encode::Rendered;
use crate::vorbis::{Identification, MAX_PACKET_BYTES, PageReader, is_header};

/// A page is closed before its packets pass this many bytes.
const PAGE_BYTES: usize = 8 * 1024;
/// A page is closed when it holds this many samples.
const PAGE_SAMPLES: u64 = SAMPLE_RATE as u64 / 8;
/// The first page of audio; each further one may hold twice as many samples.
const FIRST_PAGE_SAMPLES: u64 = 1024;
/// A page has room for 255 lacing values.
const PAGE_LACING: usize = 255;
/// Names the writer in the comment header, and nothing else.
const VENDOR: &[u8] = b"Antiphon";

/// Why an encoder's output cannot be laid out anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// It is not a readable Ogg stream.
    #[error("the encoder's Ogg pages cannot be read")]
    Pages,
    /// It lacks a header or audio.
    #[error("the encoder wrote no {0}")]
    Missing(&'static str),
    /// Its packets do not last as long as its pages say.
    #[error("packets last {counted} samples up to a page that says {stated}")]
    Length {
        /// Samples as the packets' block sizes tell.
        counted: u64,
        /// Samples as the page or the caller tells.
        stated: u64,
    },
    /// It is too long.
    #[error("the rendition is too long")]
    TooLong,
    /// What was laid out cannot be written.
    #[error("the rendition cannot be written: {0}")]
    Write(io::ErrorKind),
}

impl From<io::Error> for LayoutError {
    fn from(error: io::Error) -> Self {
        Self::Write(error.kind())
    }
}

/// Lays out what libvorbis writes, page by page as it comes, so that a long
/// track takes no more memory than a short one.
pub(crate) struct Layout<W: Write> {
    bitrate: Bitrate,
    samples: u64,
    reader: PageReader,
    /// What is there of a packet that goes on over pages.
    part: Vec<u8>,
    stage: Stage,
    audio: AudioWriter<W>,
    header_bytes: u32,
}

/// What comes next.
enum Stage {
    Identification,
    Comment([u32; 2]),
    Setup([u32; 2]),
    Audio(Placing),
    Ended,
}

/// Works out where each audio packet ends.
///
/// libvorbis always sets up two modes, the short block first, so the bit after
/// the packet type tells the block size (Vorbis I section 4.3.1). The granule
/// positions that it wrote prove the sums.
struct Placing {
    blocks: [u32; 2],
    last_block: Option<u32>,
    end: u64,
}

/// What the page of a packet says.
struct Place {
    /// The granule position of the page, if the packet is the last to end on it.
    stated: Option<u64>,
    last_in_stream: bool,
}

impl<W: Write> Layout<W> {
    /// For a rendition of `samples` samples of one channel, written to `out`.
    pub(crate) fn new(bitrate: Bitrate, samples: u64, out: W) -> Self {
        Self {
            bitrate,
            samples,
            reader: PageReader::default(),
            part: Vec::new(),
            stage: Stage::Identification,
            audio: AudioWriter::new(PageWriter::new(bitrate, out), samples),
            header_bytes: 0,
        }
    }

    /// Takes the next bytes of what libvorbis wrote.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), LayoutError> {
        self.reader.push(bytes);
        while let Some(page) = self.reader.next_page().map_err(|_| LayoutError::Pages)? {
            let granule = page.granule.and_then(|granule| u64::try_from(granule).ok());
            let parts: Vec<(Vec<u8>, bool)> =
                self.reader.parts(&page).map(|(part, ends)| (part.to_vec(), ends)).collect();
            let last = parts.iter().rposition(|(_, ends)| *ends);
            for (i, (part, ends)) in parts.into_iter().enumerate() {
                if self.part.len() + part.len() > MAX_PACKET_BYTES {
                    return Err(LayoutError::Pages);
                }
                if self.part.is_empty() {
                    self.part = part;
                } else {
                    self.part.extend_from_slice(&part);
                }
                if ends {
                    let last = last == Some(i);
                    let packet = std::mem::take(&mut self.part);
                    let stated = granule.filter(|_| last);
                    self.take(packet, &Place { stated, last_in_stream: last && page.last })?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, packet: Vec<u8>, place: &Place) -> Result<(), LayoutError> {
        let header = |kind, name| {
            if is_header(&packet, kind) { Ok(()) } else { Err(LayoutError::Missing(name)) }
        };
        match &mut self.stage {
            Stage::Identification => {
                header(1, "identification header")?;
                let blocks = Identification::parse(&packet)
                    .map_err(|_| LayoutError::Missing("identification header"))?
                    .block_samples;
                self.audio.pages.write(packet, 0, PacketWriteEndInfo::EndPage)?;
                self.stage = Stage::Comment(blocks);
            }
            Stage::Comment(blocks) => {
                header(3, "comment header")?;
                self.stage = Stage::Setup(*blocks);
            }
            Stage::Setup(blocks) => {
                header(5, "setup header")?;
                let placing = Placing { blocks: *blocks, last_block: None, end: 0 };
                self.audio.pages.write(comment_header(), 0, PacketWriteEndInfo::NormalPacket)?;
                self.audio.pages.write(packet, 0, PacketWriteEndInfo::EndPage)?;
                self.header_bytes =
                    u32::try_from(self.audio.pages.len()).map_err(|_| LayoutError::TooLong)?;
                self.stage = Stage::Audio(placing);
            }
            Stage::Audio(placing) => {
                let end = placing.end_of(&packet, place, self.samples)?;
                self.audio.push(AudioPacket { data: packet, end })?;
                if place.last_in_stream {
                    self.stage = Stage::Ended;
                }
            }
            Stage::Ended => {}
        }
        Ok(())
    }

    /// Writes what waits; what was written, and the seek table.
    pub(crate) fn finish(mut self) -> Result<(W, Rendered), LayoutError> {
        match self.stage {
            Stage::Identification => return Err(LayoutError::Missing("identification header")),
            Stage::Comment(_) => return Err(LayoutError::Missing("comment header")),
            Stage::Setup(_) => return Err(LayoutError::Missing("setup header")),
            Stage::Audio(_) | Stage::Ended => self.audio.end()?,
        }
        let counted = self.audio.page_start;
        if counted != self.samples {
            return Err(LayoutError::Length { counted, stated: self.samples });
        }
        let rendered = Rendered {
            bitrate: self.bitrate,
            bytes: self.audio.pages.len(),
            header_bytes: self.header_bytes,
            samples: self.samples,
            segments: self.audio.segments,
        };
        let mut out = self.audio.pages.into_inner();
        out.flush()?;
        Ok((out, rendered))
    }
}

impl Placing {
    /// The sample at which a packet ends.
    fn end_of(&mut self, packet: &[u8], place: &Place, samples: u64) -> Result<u64, LayoutError> {
        let long = packet.first().is_some_and(|byte| byte & 2 != 0);
        let block = self.blocks[usize::from(long)];
        self.end += self.last_block.map_or(0, |last| u64::from(last / 4 + block / 4));
        self.last_block = Some(block);
        if place.last_in_stream && self.end >= samples {
            return Ok(samples);
        }
        match place.stated {
            Some(stated) if stated != self.end => {
                Err(LayoutError::Length { counted: self.end, stated })
            }
            _ => Ok(self.end),
        }
    }
}

/// One packet of audio, and the sample at which it ends.
struct AudioPacket {
    data: Vec<u8>,
    end: u64,
}

/// Writes packets of audio to pages. Where a page ends depends on the two
/// packets that follow, so two wait.
struct AudioWriter<W: Write> {
    pages: PageWriter<W>,
    samples: u64,
    waiting: VecDeque<AudioPacket>,
    segments: Vec<Segment>,
    /// The next packet begins a segment, and with it a page.
    at_segment: bool,
    /// The first 10 s boundary that has no segment yet.
    boundary: u64,
    budget: u64,
    page_start: u64,
    bytes: usize,
    lacing: usize,
}

impl<W: Write> AudioWriter<W> {
    fn new(pages: PageWriter<W>, samples: u64) -> Self {
        Self {
            pages,
            samples,
            waiting: VecDeque::new(),
            segments: Vec::new(),
            at_segment: true,
            boundary: Rendition::SEGMENT_SAMPLES,
            budget: FIRST_PAGE_SAMPLES,
            page_start: 0,
            bytes: 0,
            lacing: 0,
        }
    }

    fn push(&mut self, packet: AudioPacket) -> Result<(), LayoutError> {
        self.waiting.push_back(packet);
        if self.waiting.len() > 2 { self.write_next() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), LayoutError> {
        if self.waiting.is_empty() {
            return Err(LayoutError::Missing("audio"));
        }
        while !self.waiting.is_empty() {
            self.write_next()?;
        }
        Ok(())
    }

    fn write_next(&mut self) -> Result<(), LayoutError> {
        let Some(AudioPacket { data, end }) = self.waiting.pop_front() else { return Ok(()) };
        if std::mem::take(&mut self.at_segment) {
            self.segments.push(Segment { offset: self.pages.len(), sample: end });
        }
        self.bytes += data.len();
        self.lacing += data.len() / 255 + 1;
        let info = match self.waiting.front() {
            None => PacketWriteEndInfo::EndStream,
            Some(next) => {
                let full = end - self.page_start >= self.budget
                    || self.bytes + next.data.len() > PAGE_BYTES
                    || self.lacing + next.data.len() / 255 + 1 > PAGE_LACING;
                let following = self.waiting.get(1).map(|following| following.end);
                self.at_segment = self.begins_segment(next.end, following);
                if full || self.at_segment {
                    PacketWriteEndInfo::EndPage
                } else {
                    PacketWriteEndInfo::NormalPacket
                }
            }
        };
        if !matches!(info, PacketWriteEndInfo::NormalPacket) {
            (self.bytes, self.lacing, self.page_start) = (0, 0, end);
            self.budget = (self.budget * 2).min(PAGE_SAMPLES);
        }
        self.pages.write(data, end, info)
    }

    /// Whether a packet is the last that ends at or before the next boundary
    /// within the track, `following` being the end of the one after it.
    fn begins_segment(&mut self, end: u64, following: Option<u64>) -> bool {
        let begins = self.boundary < self.samples
            && end <= self.boundary
            && following.is_some_and(|following| following > self.boundary);
        if begins {
            self.boundary += Rendition::SEGMENT_SAMPLES;
        }
        begins
    }
}

/// A comment header with a vendor and no comments (Vorbis I section 5.2).
fn comment_header() -> Vec<u8> {
    let mut packet = b"\x03vorbis".to_vec();
    packet.extend_from_slice(&u32::try_from(VENDOR.len()).unwrap_or(0).to_le_bytes());
    packet.extend_from_slice(VENDOR);
    packet.extend_from_slice(&[0, 0, 0, 0, 1]);
    packet
}

/// Writes Ogg pages, and counts their bytes.
struct PageWriter<W: Write> {
    writer: PacketWriter<'static, Counted<W>>,
    serial: u32,
}

struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> PageWriter<W> {
    fn new(bitrate: Bitrate, out: W) -> Self {
        // A serial need only differ within one file; a fixed one per bitrate
        // makes encoding repeatable.
        let writer = PacketWriter::new(Counted { out, bytes: 0 });
        Self { writer, serial: 0x414e_0000 | bitrate.kbps() }
    }

    /// Bytes of the pages that are closed.
    fn len(&self) -> u64 {
        self.writer.inner().bytes
    }

    fn write(
        &mut self,
        packet: Vec<u8>,
        granule: u64,
        end: PacketWriteEndInfo,
    ) -> Result<(), LayoutError> {
        Ok(self.writer.write_packet(packet, self.serial, end, granule)?)
    }

    fn into_inner(self) -> W {
        self.writer.into_inner().out
    }
}
