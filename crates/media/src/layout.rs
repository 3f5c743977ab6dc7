//! The pages of a rendition, laid out so that sound starts early and decoding
//! can begin at every 10 s.
//!
//! * The identification header stands on its own page, comment and setup
//!   header on the next (Vorbis I appendix A.2); then audio begins.
//! * The first pages of audio are tiny, so that a decoder has sound after a
//!   few hundred bytes; later ones hold a quarter of a second, at most about
//!   8 KiB.
//! * For each 10 s boundary a page begins with the last packet that ends at or
//!   before it. That packet primes a decoder started there, and everything
//!   after its end is exact.
//! * The last page states the exact length.

use std::io::Cursor;

use antiphon_types::{Bitrate, Rendition, SAMPLE_RATE, Segment};
use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};

use crate::encode::Encoded;
use crate::vorbis::{Identification, is_header};

/// A page is closed before its packets pass this many bytes.
const PAGE_BYTES: usize = 8 * 1024;
/// A page is closed when it holds this many samples.
const PAGE_SAMPLES: u64 = SAMPLE_RATE as u64 / 4;
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
}

/// One packet of audio, and the sample at which it ends.
struct AudioPacket {
    data: Vec<u8>,
    end: u64,
}

/// Lays out what libvorbis wrote for `samples` samples of one channel.
pub(crate) fn lay_out(
    encoded: &[u8],
    bitrate: Bitrate,
    samples: u64,
) -> Result<Encoded, LayoutError> {
    let mut reader = PacketReader::new(Cursor::new(encoded));
    let mut header = |kind: u8, name| {
        let packet = reader.read_packet().map_err(|_| LayoutError::Pages)?;
        packet
            .map(|packet| packet.data)
            .filter(|data| is_header(data, kind))
            .ok_or(LayoutError::Missing(name))
    };
    let identification = header(1, "identification header")?;
    header(3, "comment header")?;
    let setup = header(5, "setup header")?;
    let audio = audio_packets(&mut reader, &identification, samples)?;

    let mut pages = PageWriter::new(bitrate);
    pages.write(identification, 0, PacketWriteEndInfo::EndPage);
    pages.write(comment_header(), 0, PacketWriteEndInfo::NormalPacket);
    pages.write(setup, 0, PacketWriteEndInfo::EndPage);
    let header_bytes = u32::try_from(pages.len()).map_err(|_| LayoutError::TooLong)?;
    let segments = write_audio(&mut pages, audio, samples);
    Ok(Encoded { bitrate, bytes: pages.into_bytes(), header_bytes, samples, segments })
}

/// Reads the audio packets and works out where each ends.
///
/// libvorbis always sets up two modes, the short block first, so the bit after
/// the packet type tells the block size (Vorbis I section 4.3.1). The granule
/// positions that it wrote prove the sums.
fn audio_packets(
    reader: &mut PacketReader<Cursor<&[u8]>>,
    identification: &[u8],
    samples: u64,
) -> Result<Vec<AudioPacket>, LayoutError> {
    let blocks = Identification::parse(identification)
        .map_err(|_| LayoutError::Missing("identification header"))?
        .block_samples;
    let mut packets = Vec::new();
    let mut last_block = None;
    let mut end: u64 = 0;
    while let Some(packet) = reader.read_packet().map_err(|_| LayoutError::Pages)? {
        let last_in_page = packet.last_in_page().then(|| packet.absgp_page());
        let last_in_stream = packet.last_in_stream();
        let long = packet.data.first().is_some_and(|byte| byte & 2 != 0);
        let block = blocks[usize::from(long)];
        end += last_block.map_or(0, |last: u32| u64::from(last / 4 + block / 4));
        last_block = Some(block);
        if last_in_stream && end >= samples {
            packets.push(AudioPacket { data: packet.data, end: samples });
            break;
        }
        if let Some(stated) = last_in_page.filter(|stated| *stated != end) {
            return Err(LayoutError::Length { counted: end, stated });
        }
        packets.push(AudioPacket { data: packet.data, end });
    }
    match packets.last() {
        None => Err(LayoutError::Missing("audio")),
        Some(last) if last.end != samples => {
            Err(LayoutError::Length { counted: last.end, stated: samples })
        }
        Some(_) => Ok(packets),
    }
}

/// Writes all audio; returns the seek table.
fn write_audio(pages: &mut PageWriter, audio: Vec<AudioPacket>, samples: u64) -> Vec<Segment> {
    let starts = segment_starts(&audio, samples);
    let mut starts = starts.into_iter().peekable();
    let mut segments = Vec::new();
    let mut budget = FIRST_PAGE_SAMPLES;
    let mut page_start = 0;
    let (mut bytes, mut lacing) = (0, 0);
    let mut audio = audio.into_iter().enumerate().peekable();
    while let Some((i, packet)) = audio.next() {
        if starts.next_if_eq(&i).is_some() {
            segments.push(Segment { offset: pages.len(), sample: packet.end });
        }
        bytes += packet.data.len();
        lacing += packet.data.len() / 255 + 1;
        let (end, write_end) = match audio.peek() {
            None => (true, PacketWriteEndInfo::EndStream),
            Some((next, following)) => {
                let full = packet.end - page_start >= budget
                    || bytes + following.data.len() > PAGE_BYTES
                    || lacing + following.data.len() / 255 + 1 > PAGE_LACING;
                if full || starts.peek() == Some(next) {
                    (true, PacketWriteEndInfo::EndPage)
                } else {
                    (false, PacketWriteEndInfo::NormalPacket)
                }
            }
        };
        let granule = packet.end;
        pages.write(packet.data, granule, write_end);
        if end {
            (bytes, lacing, page_start) = (0, 0, granule);
            budget = (budget * 2).min(PAGE_SAMPLES);
        }
    }
    segments
}

/// For each 10 s boundary within the track, the last packet that ends at or
/// before it.
fn segment_starts(audio: &[AudioPacket], samples: u64) -> Vec<usize> {
    let boundaries = (0..).map(|i| i * Rendition::SEGMENT_SAMPLES);
    boundaries
        .take_while(|boundary| *boundary < samples)
        .map(|boundary| audio.partition_point(|packet| packet.end <= boundary).saturating_sub(1))
        .collect()
}

/// A comment header with a vendor and no comments (Vorbis I section 5.2).
fn comment_header() -> Vec<u8> {
    let mut packet = b"\x03vorbis".to_vec();
    packet.extend_from_slice(&u32::try_from(VENDOR.len()).unwrap_or(0).to_le_bytes());
    packet.extend_from_slice(VENDOR);
    packet.extend_from_slice(&[0, 0, 0, 0, 1]);
    packet
}

/// Writes Ogg pages to memory.
struct PageWriter {
    writer: PacketWriter<'static, Vec<u8>>,
    serial: u32,
}

impl PageWriter {
    fn new(bitrate: Bitrate) -> Self {
        // A serial need only differ within one file; a fixed one per bitrate
        // makes encoding repeatable.
        Self { writer: PacketWriter::new(Vec::new()), serial: 0x414e_0000 | bitrate.kbps() }
    }

    /// Bytes of the pages that are closed.
    fn len(&self) -> u64 {
        self.writer.inner().len() as u64
    }

    fn write(&mut self, packet: Vec<u8>, granule: u64, end: PacketWriteEndInfo) {
        let written = self.writer.write_packet(packet, self.serial, end, granule);
        written.expect("writing to memory cannot fail");
    }

    fn into_bytes(self) -> Vec<u8> {
        self.writer.into_inner()
    }
}
