//! The playing side: plaintext bytes of a rendition in, samples out, as soon
//! as the first page is there.

use antiphon_types::{SAMPLE_RATE, Segment};

use crate::vorbis::{DecodedChunk, VorbisError, VorbisStream};

/// Samples per second and channels of every rendition.
pub(crate) const FORMAT: (u32, u8) = (SAMPLE_RATE, 2);

/// Why a rendition cannot be played on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The bytes are not the Ogg Vorbis that a rendition is made of.
    #[error("the rendition cannot be decoded: {0}")]
    Vorbis(#[from] VorbisError),
    /// The headers given to [`StreamDecoder::resume_at`] are not whole.
    #[error("the rendition's headers are not whole")]
    Headers,
    /// The bytes ended before the audio did.
    #[error("the rendition ends too soon, after {samples} samples")]
    Truncated {
        /// Samples of one channel up to there.
        samples: u64,
    },
    /// Samples are missing between two pages.
    #[error("the rendition goes on at sample {found}, where {expected} should follow")]
    Gap {
        /// The sample that should come.
        expected: u64,
        /// The sample that came.
        found: u64,
    },
}

/// Decodes a rendition from bytes that come in order, piece by piece.
///
/// It never seeks, never waits for bytes that it does not need, and holds no
/// more than the bytes pushed since the last whole page. Places are exact: the
/// first chunk begins at sample 0, the last one ends at the rendition's length.
///
/// Drain [`next_chunk`](Self::next_chunk) after each [`push`](Self::push).
/// After an error the decoder is of no more use.
pub struct StreamDecoder {
    stream: VorbisStream,
}

impl Default for StreamDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamDecoder {
    /// A decoder that expects the rendition from its first byte.
    pub fn new() -> Self {
        Self { stream: VorbisStream::new(Some(FORMAT)) }
    }

    /// A decoder that expects the rendition from `segment.offset` on.
    ///
    /// `headers` are the first `header_bytes` bytes of the same rendition. The
    /// first chunk begins at `segment.sample` exactly and equals what decoding
    /// from the start gives there.
    pub fn resume_at(headers: &[u8], segment: Segment) -> Result<Self, StreamError> {
        let mut decoder = Self::new();
        decoder.push(headers);
        let early = decoder.next_chunk()?.is_some();
        if early || decoder.stream.decoder().is_none() || decoder.stream.pending() > 0 {
            return Err(StreamError::Headers);
        }
        decoder.stream.jump_to(segment.sample);
        Ok(decoder)
    }

    /// Appends the next bytes of the rendition, in plain text.
    pub fn push(&mut self, bytes: &[u8]) {
        self.stream.push(bytes);
    }

    /// The next samples, interleaved stereo, or `None` until more is pushed.
    ///
    /// A chunk is one page: the first of a rendition has some milliseconds,
    /// later ones about an eighth of a second.
    pub fn next_chunk(&mut self) -> Result<Option<DecodedChunk<'_>>, StreamError> {
        Ok(self.stream.next_chunk()?)
    }

    /// Where the next sample belongs, if that is known already.
    pub fn position(&self) -> Option<u64> {
        self.stream.position()
    }

    /// Whether the rendition's last page has been decoded.
    pub fn is_finished(&self) -> bool {
        self.stream.ended()
    }

    /// Says that no more bytes will come.
    pub fn finish(self) -> Result<(), StreamError> {
        if self.stream.ended() {
            return Ok(());
        }
        Err(StreamError::Truncated { samples: self.stream.position().unwrap_or(0) })
    }
}
