//! Ogg Vorbis, incrementally: bytes in, samples with their exact place out.
//!
//! Places come from the granule positions of the pages alone (Vorbis I
//! appendix A.2), never from a decoder's own trimming.

use std::ops::Range;

mod packet;
mod page;

pub(crate) use packet::{Identification, PacketDecoder, is_header};
use page::Page;
pub use page::PageError;
pub(crate) use page::PageReader;

/// The longest packet, in bytes. Real setup headers have some thousands and
/// audio packets fewer; only a hostile stream continues a packet over pages
/// without end.
pub(crate) const MAX_PACKET_BYTES: usize = 1 << 20;

/// Why a stream is not Ogg Vorbis that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VorbisError {
    /// The Ogg framing is broken.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The stream does not begin with a Vorbis header.
    #[error("the stream is not Vorbis")]
    NotVorbis,
    /// The audio is not of the one format that is wanted.
    #[error("the audio has {rate} Hz and {channels} channels, which is not what a rendition has")]
    Format {
        /// Samples per second.
        rate: u32,
        /// Number of channels.
        channels: u8,
    },
    /// A Vorbis header does not say what it must.
    #[error("the Vorbis {0} header is malformed")]
    Header(&'static str),
    /// Pages are missing, or in the wrong order.
    #[error("Ogg page {expected} is missing, page {found} follows instead")]
    Lost {
        /// Number of the page that should come.
        expected: u32,
        /// Number of the page that came.
        found: u32,
    },
    /// A packet goes on over pages without end, or its rest is missing.
    #[error("a Vorbis packet does not fit its pages")]
    Framing,
    /// A packet cannot be decoded.
    #[error("a Vorbis packet is damaged")]
    Packet,
}

/// Samples that belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodedChunk<'a> {
    /// Place of the first of them, in samples of one channel from the start
    /// of the track.
    pub first_sample: u64,
    /// The samples, interleaved.
    pub samples: &'a [f32],
}

/// Which of the last page's samples count, and where they belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Place of the first of them.
    pub first_sample: u64,
    /// Which they are, counted in samples of one channel; see
    /// [`VorbisStream::samples`].
    pub frames: Range<usize>,
}

enum State {
    Identification,
    Comment { identification: Vec<u8> },
    Setup { identification: Vec<u8> },
    Audio(Box<PacketDecoder>),
}

/// One logical Vorbis stream out of an Ogg byte stream; pages of others are
/// passed over.
pub(crate) struct VorbisStream {
    pages: PageReader,
    serial: Option<u32>,
    sequence: Option<u32>,
    /// The packet that goes on on the next page.
    partial: Vec<u8>,
    state: State,
    /// The only format to accept: samples per second, channels.
    wanted: Option<(u32, u8)>,
    /// Where the next decoded sample belongs; before the first page of audio
    /// nobody knows.
    position: Option<i64>,
    /// The audio began anywhere, not with a page whose place is known.
    searched: bool,
    ended: bool,
    chained: bool,
    /// What the last page decoded to.
    samples: Vec<f32>,
}

impl VorbisStream {
    /// A stream of any format, or only of `wanted`: samples per second and
    /// channels.
    pub(crate) fn new(wanted: Option<(u32, u8)>) -> Self {
        Self {
            pages: PageReader::default(),
            serial: None,
            sequence: None,
            partial: Vec::new(),
            state: State::Identification,
            wanted,
            position: None,
            searched: false,
            ended: false,
            chained: false,
            samples: Vec::new(),
        }
    }

    /// Appends bytes of the file.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pages.push(bytes);
    }

    /// The decoder, once all three headers have come.
    pub(crate) fn decoder(&self) -> Option<&PacketDecoder> {
        match &self.state {
            State::Audio(decoder) => Some(decoder),
            _ => None,
        }
    }

    /// Whether the page that ends the stream has come.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether another stream follows after the end of this one.
    pub(crate) fn chained(&self) -> bool {
        self.chained
    }

    /// Bytes that wait for the rest of their page.
    pub(crate) fn pending(&self) -> usize {
        self.pages.pending()
    }

    /// Where the next decoded sample belongs, if that is known.
    pub(crate) fn position(&self) -> Option<u64> {
        self.position.and_then(|position| u64::try_from(position).ok())
    }

    /// Says that the next byte begins a page, and that the first sample it
    /// yields is `sample`. The headers must have come.
    pub(crate) fn jump_to(&mut self, sample: u64) {
        self.forget_audio();
        self.pages.clear();
        self.position = i64::try_from(sample).ok();
    }

    /// Says that the next byte may be any byte of the audio. The first whole
    /// page tells the place; its first packet only primes. The headers must
    /// have come.
    pub(crate) fn search(&mut self) {
        self.forget_audio();
        self.pages.clear_and_search(self.serial.unwrap_or(0));
        self.searched = true;
    }

    fn forget_audio(&mut self) {
        self.sequence = None;
        self.position = None;
        self.searched = false;
        self.ended = false;
        self.partial.clear();
        self.samples.clear();
        if let State::Audio(decoder) = &mut self.state {
            decoder.reset();
        }
    }

    /// Decodes up to the next page that yields samples; `None` until more
    /// bytes are there.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<DecodedChunk<'_>>, VorbisError> {
        let Some(Placed { first_sample, frames }) = self.next_placed()? else { return Ok(None) };
        Ok(Some(DecodedChunk { first_sample, samples: self.samples(frames) }))
    }

    /// Like [`next_chunk`](Self::next_chunk); the samples stay here, until the
    /// next call.
    pub(crate) fn next_placed(&mut self) -> Result<Option<Placed>, VorbisError> {
        while let Some(page) = self.pages.next_page()? {
            if !self.belongs(&page) {
                continue;
            }
            let completed = self.take_packets(&page)?;
            if let Some(placed) = self.place(&page, completed) {
                return Ok(Some(placed));
            }
        }
        Ok(None)
    }

    /// Samples of the last page, interleaved.
    pub(crate) fn samples(&self, frames: Range<usize>) -> &[f32] {
        let channels = self.channel_count();
        &self.samples[frames.start * channels..frames.end * channels]
    }

    fn channel_count(&self) -> usize {
        self.decoder().map_or(1, |decoder| usize::from(decoder.identification().channels))
    }

    /// Whether a page is of our stream, which is the first Vorbis stream.
    fn belongs(&mut self, page: &Page) -> bool {
        let begins_vorbis = page.first
            && self.pages.parts(page).next().is_some_and(|(packet, _)| is_header(packet, 1));
        match self.serial {
            None if begins_vorbis => self.serial = Some(page.serial),
            None => {}
            Some(_) if self.ended => self.chained |= begins_vorbis,
            Some(_) => {}
        }
        self.serial == Some(page.serial) && !self.ended
    }

    /// Runs the page's packets through headers or decoder; says how many
    /// packets ended.
    fn take_packets(&mut self, page: &Page) -> Result<usize, VorbisError> {
        if let Some(expected) = self.sequence
            && expected != page.sequence
        {
            return Err(VorbisError::Lost { expected, found: page.sequence });
        }
        self.sequence = Some(page.sequence.wrapping_add(1));
        // After a search, the rest of a packet that began before is of no use.
        let begun = self.position.is_some() || !self.partial.is_empty();
        let mut skip = page.continued && self.searched && !begun;
        if !skip && page.continued == self.partial.is_empty() {
            return Err(VorbisError::Framing);
        }
        self.samples.clear();
        self.ended = page.last;
        let mut completed = 0;
        for (part, whole) in self.pages.parts(page) {
            if skip {
                skip = !whole;
                continue;
            }
            if self.partial.len() + part.len() > MAX_PACKET_BYTES {
                return Err(VorbisError::Framing);
            }
            if whole && self.partial.is_empty() {
                self.state.take_packet(part, self.wanted, &mut self.samples)?;
            } else {
                self.partial.extend_from_slice(part);
                if whole {
                    self.state.take_packet(&self.partial, self.wanted, &mut self.samples)?;
                    self.partial.clear();
                }
            }
            completed += usize::from(whole);
        }
        Ok(completed)
    }

    /// Where the page's samples belong, and which of them count: those before
    /// sample 0 and those after the stated end do not.
    fn place(&mut self, page: &Page, completed: usize) -> Option<Placed> {
        if completed == 0 || !matches!(self.state, State::Audio(_)) {
            return None;
        }
        let decoded = i64::try_from(self.samples.len() / self.channel_count()).ok()?;
        let granule = page.granule;
        if page.last && self.searched && self.position.is_none() {
            // The last page states where it is cut, not where it began.
            return None;
        }
        let start = self.position.unwrap_or_else(|| match granule {
            // A lone page both begins and ends the stream: it is cut at its end.
            Some(granule) if page.last => granule.saturating_sub(decoded).max(0),
            Some(granule) => granule.saturating_sub(decoded),
            None => 0,
        });
        let end = start.saturating_add(decoded);
        self.position = Some(granule.unwrap_or(end));
        let wanted_start = start.max(0);
        let wanted_end = if page.last { end.min(granule.unwrap_or(end)) } else { end };
        if wanted_end <= wanted_start {
            return None;
        }
        let from = usize::try_from(wanted_start - start).ok()?;
        let to = usize::try_from(wanted_end - start).ok()?;
        Some(Placed { first_sample: u64::try_from(wanted_start).ok()?, frames: from..to })
    }
}

impl State {
    fn take_packet(
        &mut self,
        packet: &[u8],
        wanted: Option<(u32, u8)>,
        samples: &mut Vec<f32>,
    ) -> Result<(), VorbisError> {
        let next = match self {
            Self::Audio(decoder) => {
                // An empty packet is a nominal one without audio.
                return if packet.is_empty() { Ok(()) } else { decoder.decode(packet, samples) };
            }
            Self::Identification if is_header(packet, 1) => {
                let Identification { rate, channels, .. } = Identification::parse(packet)?;
                if wanted.is_some_and(|wanted| wanted != (rate, channels)) {
                    return Err(VorbisError::Format { rate, channels });
                }
                Self::Comment { identification: packet.to_vec() }
            }
            Self::Identification => return Err(VorbisError::NotVorbis),
            Self::Comment { identification } if is_header(packet, 3) => {
                Self::Setup { identification: std::mem::take(identification) }
            }
            Self::Comment { .. } => return Err(VorbisError::Header("comment")),
            Self::Setup { identification } => {
                Self::Audio(Box::new(PacketDecoder::new(identification, packet)?))
            }
        };
        *self = next;
        Ok(())
    }
}
