//! Records: what is encrypted at once.
//!
//! ```text
//! +--------+--------+----------------------------+
//! | length, u16 BE  | a Noise transport message  |
//! +--------+--------+----------------------------+
//! ```
//!
//! The length counts the message with its 16-byte tag (Noise revision 34,
//! section 3: messages have at most 65535 bytes; section 13 leaves the length
//! field to the application). Encryption stands elsewhere, in place on what
//! [`RecordDecoder::next_record`] hands out.

use antiphon_types::Timestamp;
use bytes::{Buf, BytesMut};

use crate::patience::Patience;

/// The largest message of a record.
pub const MAX_RECORD_BYTES: usize = 65_535;
/// The smallest message of a record: a tag alone.
pub const MIN_RECORD_BYTES: usize = TAG_BYTES;
/// What authentication adds to the plaintext.
pub const TAG_BYTES: usize = 16;
/// The largest plaintext of a record.
pub const MAX_PLAINTEXT_BYTES: usize = MAX_RECORD_BYTES - TAG_BYTES;
/// Length of the length field.
pub const RECORD_HEADER_BYTES: usize = 2;

/// The size of the read buffer: a largest record, so that a full one has an
/// allocation to itself and is never moved.
const READ_BYTES: usize = RECORD_HEADER_BYTES + MAX_RECORD_BYTES;

/// The least room that is worth a read.
const MIN_READ_BYTES: usize = 4 * 1024;

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A length that no encrypted message can have. The connection has lost
    /// its frame and must be closed.
    #[error("a record of {0} bytes was announced; it has {MIN_RECORD_BYTES} to {MAX_RECORD_BYTES}")]
    Length(usize),
    /// A record was begun and not completed in time (see [`Patience`]). The
    /// other side is gone or means harm: close the connection.
    #[error("a record was begun and not completed in time")]
    TooSlow,
}

/// The length field of a record with a message of `message_bytes` bytes.
///
/// # Errors
///
/// [`RecordError::Length`] outside 16 to 65535.
pub fn record_header(message_bytes: usize) -> Result<[u8; RECORD_HEADER_BYTES], RecordError> {
    match u16::try_from(message_bytes) {
        Ok(length) if message_bytes >= MIN_RECORD_BYTES => Ok(length.to_be_bytes()),
        _ => Err(RecordError::Length(message_bytes)),
    }
}

/// Cuts the bytes of a connection into records.
///
/// Read from the socket straight into [`buffer`](Self::buffer), say so with
/// [`handle_read`](Self::handle_read), then take records until there is none, and
/// [release](Self::release_if_empty) the buffer before you wait for more.
/// It holds at most the beginning of one record and what one read brought.
#[derive(Debug, Default)]
pub struct RecordDecoder {
    buffer: BytesMut,
    patience: Patience,
    last_read: Timestamp,
    /// When the first byte of the record came that is not complete.
    begun: Option<Timestamp>,
}

impl RecordDecoder {
    /// An empty decoder with the default [`Patience`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty decoder.
    pub fn with_patience(patience: Patience) -> Self {
        Self { patience, ..Self::default() }
    }

    /// Where a socket reads to: append to it, change nothing else.
    ///
    /// It has room for at least what the record that has begun still lacks,
    /// and for 64 KiB in all unless records were left in it.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let held = self.buffer.len();
        let wanted = self.missing().max(MIN_READ_BYTES);
        if self.buffer.capacity() - held < wanted {
            self.buffer.reserve(READ_BYTES.saturating_sub(held).max(wanted));
        }
        &mut self.buffer
    }

    /// Gives the buffer back if it holds nothing. To be called before a
    /// connection sleeps: it costs an allocation when it wakes, and saves 64 KiB
    /// for as long as it is idle.
    pub fn release_if_empty(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Memory held for what comes next, in bytes. (Records that were handed out
    /// may share it.)
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.buffer.capacity()
    }

    /// Appends bytes, for callers that have them already.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A read has appended bytes. Without this call no time is measured.
    pub fn handle_read(&mut self, now: Timestamp) {
        self.last_read = self.last_read.max(now);
        if !self.buffer.is_empty() {
            self.begun.get_or_insert(self.last_read);
        }
    }

    /// When the record that has begun must be complete at the latest, else
    /// [`handle_timeout`](Self::handle_timeout) must be called; `None` if none
    /// has begun, or if it is complete.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let announced = self.announced();
        let complete =
            announced.is_some_and(|length| self.buffer.len() >= RECORD_HEADER_BYTES + length);
        let begun = self.begun.filter(|_| !complete)?;
        Some(self.patience.deadline(begun, announced.unwrap_or(0)))
    }

    /// Looks whether the other side takes too long. May be called at any time.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooSlow`] if the deadline of
    /// [`poll_timeout`](Self::poll_timeout) has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), RecordError> {
        match self.poll_timeout() {
            Some(deadline) if deadline <= now => Err(RecordError::TooSlow),
            _ => Ok(()),
        }
    }

    /// The message of the next record, to be decrypted in place; `None` until
    /// it is complete.
    ///
    /// # Errors
    ///
    /// [`RecordError::Length`] for a length below 16, as soon as the length
    /// has arrived, and again on each later call.
    pub fn next_record(&mut self) -> Result<Option<BytesMut>, RecordError> {
        let Some(length) = self.announced() else { return Ok(None) };
        if length < MIN_RECORD_BYTES {
            return Err(RecordError::Length(length));
        }
        if self.buffer.len() < RECORD_HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(RECORD_HEADER_BYTES);
        let record = self.buffer.split_to(length);
        // What is left came with the last read, or a record would have been
        // complete before.
        self.begun = self.begun.and((!self.buffer.is_empty()).then_some(self.last_read));
        Ok(Some(record))
    }

    /// Bytes held, whole records that were not taken among them. Zero when the
    /// connection may end cleanly.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The length of the record that has begun, if that is known.
    fn announced(&self) -> Option<usize> {
        match *self.buffer.as_ref() {
            [high, low, ..] => Some(usize::from(u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }

    /// Bytes that the next record lacks; at least 1.
    fn missing(&self) -> usize {
        let whole = RECORD_HEADER_BYTES + self.announced().unwrap_or(0);
        whole.saturating_sub(self.buffer.len()).max(1)
    }
}
