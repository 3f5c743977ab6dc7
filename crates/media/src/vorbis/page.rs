//! Ogg pages from bytes that arrive in pieces (RFC 3533 section 6).

use std::ops::Range;

/// Bytes before the lacing values.
const HEADER_BYTES: usize = 27;
const CAPTURE: &[u8] = b"OggS";
/// Where the number of the logical stream stands.
const SERIAL: Range<usize> = 14..18;
/// Beginnings of pages that a search may find and that are none. Chance makes
/// one in 2^64 bytes; without a bound, a hostile stream of nothing else would
/// have a checksum of 64 KiB computed every few bytes.
const MAX_FALSE_PAGES: u32 = 16;

/// Why bytes are not an Ogg page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A page should begin here and does not.
    #[error("no Ogg page where one should begin")]
    Capture,
    /// The page follows a version of Ogg that does not exist.
    #[error("unknown Ogg version {0}")]
    Version(u8),
    /// The page's checksum is not that of its bytes.
    #[error("an Ogg page is damaged: its checksum differs")]
    Checksum,
}

/// A page whose checksum is right. Its bytes stay in the reader.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its first packet began on the page before.
    pub continued: bool,
    /// It begins a logical stream.
    pub first: bool,
    /// It ends a logical stream.
    pub last: bool,
    /// Granule position of the last packet that ends here, if one does.
    pub granule: Option<i64>,
    /// The logical stream it belongs to.
    pub serial: u32,
    /// Its number in the logical stream.
    pub sequence: u32,
    lacing: Range<usize>,
    body: Range<usize>,
}

/// Cuts pages out of a byte stream that is pushed piece by piece.
#[derive(Debug, Default)]
pub(crate) struct PageReader {
    buffer: Vec<u8>,
    /// Where the next page begins in `buffer`.
    start: usize,
    /// The bytes may begin anywhere: the next page is the first one of this
    /// stream that is found whole.
    search: Option<u32>,
    /// What looked like one during this search and was not.
    false_pages: u32,
}

impl PageReader {
    /// Forgets all bytes. The next ones begin with a page.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.search = None;
    }

    /// Forgets all bytes. The next ones may begin in the middle of a page:
    /// what stands before the first page of the stream `serial` is passed over.
    pub(crate) fn clear_and_search(&mut self, serial: u32) {
        self.clear();
        self.search = Some(serial);
        self.false_pages = 0;
    }

    /// Appends bytes. Ranges of earlier pages are void afterwards.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that were pushed and are not part of a page yet.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next page, or `None` until more bytes are there. At most 65307
    /// bytes are ever needed.
    pub(crate) fn next_page(&mut self) -> Result<Option<Page>, PageError> {
        let Some(serial) = self.search else { return self.page_here() };
        while self.find_capture(serial) {
            // A capture pattern amid audio is not a page: its checksum differs.
            match self.page_here() {
                Ok(None) => return Ok(None),
                Ok(Some(page)) => {
                    self.search = None;
                    return Ok(Some(page));
                }
                Err(error) if self.false_pages == MAX_FALSE_PAGES => return Err(error),
                Err(_) => {
                    self.false_pages += 1;
                    self.start += 1;
                }
            }
        }
        Ok(None)
    }

    /// Moves on to where a page of the stream `serial` may begin, or to the
    /// last bytes, if they may be the beginning of one; says which it was.
    fn find_capture(&mut self, serial: u32) -> bool {
        while self.start < self.buffer.len() {
            let bytes = &self.buffer[self.start..];
            let capture = &bytes[..bytes.len().min(CAPTURE.len())];
            if CAPTURE.starts_with(capture) {
                match bytes.get(SERIAL) {
                    None => return false,
                    Some(found) if found == serial.to_le_bytes() => return true,
                    Some(_) => {}
                }
            }
            self.start += 1;
        }
        false
    }

    /// The page at the front.
    fn page_here(&mut self) -> Result<Option<Page>, PageError> {
        let bytes = &self.buffer[self.start..];
        let capture = &bytes[..bytes.len().min(CAPTURE.len())];
        if !CAPTURE.starts_with(capture) {
            return Err(PageError::Capture);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        if header[4] != 0 {
            return Err(PageError::Version(header[4]));
        }
        let lacing_count = usize::from(header[26]);
        let Some(lacing) = rest.get(..lacing_count) else { return Ok(None) };
        let body_bytes: usize = lacing.iter().map(|value| usize::from(*value)).sum();
        let Some(body) = rest.get(lacing_count..lacing_count + body_bytes) else {
            return Ok(None);
        };
        let checksum = u32::from_le_bytes(field(header, 22));
        let mut blank = *header;
        blank[22..26].fill(0);
        if checksum_of(&[&blank, lacing, body]) != checksum {
            return Err(PageError::Checksum);
        }
        let lacing_start = self.start + HEADER_BYTES;
        let body_start = lacing_start + lacing_count;
        let end = body_start + body_bytes;
        // All ones says that no packet ends here; other negative numbers are
        // no position at all and are treated alike.
        let granule = i64::from_le_bytes(field(header, 6));
        let page = Page {
            continued: header[5] & 1 != 0,
            first: header[5] & 2 != 0,
            last: header[5] & 4 != 0,
            granule: (granule >= 0).then_some(granule),
            serial: u32::from_le_bytes(field(header, SERIAL.start)),
            sequence: u32::from_le_bytes(field(header, 18)),
            lacing: lacing_start..body_start,
            body: body_start..end,
        };
        self.start = end;
        Ok(Some(page))
    }

    /// The parts of packets on a page: bytes, and whether the packet ends here.
    pub(crate) fn parts<'a>(&'a self, page: &Page) -> Parts<'a> {
        Parts { lacing: &self.buffer[page.lacing.clone()], body: &self.buffer[page.body.clone()] }
    }
}

/// Iterator over the parts of packets on one page.
pub(crate) struct Parts<'a> {
    lacing: &'a [u8],
    body: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = (&'a [u8], bool);

    fn next(&mut self) -> Option<Self::Item> {
        if self.lacing.is_empty() {
            return None;
        }
        let full = self.lacing.iter().take_while(|value| **value == 255).count();
        let last = self.lacing.get(full).copied();
        let bytes = full * 255 + last.map_or(0, usize::from);
        self.lacing = &self.lacing[full + usize::from(last.is_some())..];
        let (part, rest) = self.body.split_at(bytes);
        self.body = rest;
        Some((part, last.is_some()))
    }
}

/// `N` bytes of a page header.
fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

/// CRC-32 of Ogg: polynomial 0x04c11db7, not reflected, no inversion.
fn checksum_of(parts: &[&[u8]]) -> u32 {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0, |sum, byte| (sum << 8) ^ CRC[usize::from(sum.to_be_bytes()[0] ^ byte)])
}

static CRC: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut i = 0_u32;
    while i < 256 {
        let mut value = i << 24;
        let mut bit = 0;
        while bit < 8 {
            value = (value << 1) ^ if value & 0x8000_0000 == 0 { 0 } else { 0x04c1_1db7 };
            bit += 1;
        }
        table[i as usize] = value;
        i += 1;
    }
    table
}
