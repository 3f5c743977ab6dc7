//! From the bytes of a stream to messages.

use std::time::Duration;

use antiphon_types::Timestamp;
use bytes::Bytes;

use super::chunks::Chunks;
use super::{
    BLOCK_HEADER_BYTES, ENVELOPE_HEADER_BYTES, Envelope, KIND_BLOCK, KIND_MESSAGE,
    MAX_BLOCK_DATA_BYTES, MAX_MESSAGE_BYTES, MAX_PROOF_BYTES,
};
use crate::patience::Patience;

/// Why the bytes of a stream are not messages. The stream is of no more use:
/// reset it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A kind that does not exist.
    #[error("there is no message of kind {0}")]
    Kind(u8),
    /// A message longer than this reader takes.
    #[error("a message of {length} bytes was announced; at most {max} are taken")]
    TooLong {
        /// The length announced.
        length: usize,
        /// The bound of this reader.
        max: usize,
    },
    /// A block whose length cannot be that of a block.
    #[error("an envelope of {0} bytes cannot hold a block")]
    BlockLength(usize),
    /// A proof that is too long, or leaves the data no room or too much.
    #[error("a proof of {proof} bytes cannot stand in a block's envelope of {length}")]
    ProofLength {
        /// The length of the proof announced.
        proof: usize,
        /// The length of the whole envelope.
        length: usize,
    },
    /// A message was begun and not completed in time (see [`Patience`]).
    #[error("a message was begun and not completed in time")]
    TooSlow,
    /// The stream ended within a message.
    #[error("the stream ended {0} bytes into a message")]
    Cut(usize),
}

/// Reads messages and blocks off one direction of one stream.
///
/// Push what [`Event::Data`](crate::Event::Data) brings, then take envelopes
/// until there is none. Lengths are checked before anything is kept for them,
/// so that a reader that is drained after each push holds less than one
/// message and what the push brought. What waits for its rest is copied, so that
/// it keeps no records; what comes whole is not.
#[derive(Debug)]
pub struct MessageReader {
    chunks: Chunks,
    max_message_bytes: usize,
    failed: Option<MessageError>,
    patience: Patience,
    /// Since when the application waits for the other side, if it does.
    waits_since: Option<Timestamp>,
    /// Time waited for the message that has begun, up to then.
    waited: Duration,
}

impl Default for MessageReader {
    /// A reader of messages up to [`MAX_MESSAGE_BYTES`].
    fn default() -> Self {
        Self::new(MAX_MESSAGE_BYTES)
    }
}

impl MessageReader {
    /// A reader of messages up to `max_message_bytes`. Blocks have bounds of
    /// their own.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            chunks: Chunks::default(),
            max_message_bytes,
            failed: None,
            patience: Patience::default(),
            waits_since: None,
            waited: Duration::ZERO,
        }
    }

    /// The same, with another bound on how slowly a message may come.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The application has taken all there is and waits for the other side.
    /// Only such time counts, from here to the next
    /// [`handle_data`](Self::handle_data): not the time in which the application
    /// does not read, and so gives no credit. Again while it waits, it begins
    /// anew.
    pub fn wait(&mut self, now: Timestamp) {
        self.waits_since = Some(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called; `None`
    /// while nobody waits, or no message has begun.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.failed.is_some() || self.chunks.len() == 0 {
            return None;
        }
        let announced = self.chunks.peek(1).map_or(0, u32::from_be_bytes);
        let bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        let left = self.patience.longest(bytes).saturating_sub(self.waited);
        self.waits_since.map(|since| since + left)
    }

    /// Looks whether the other side takes too long. May be called at any time.
    ///
    /// # Errors
    ///
    /// [`MessageError::TooSlow`] if the deadline of
    /// [`poll_timeout`](Self::poll_timeout) has passed; then the same from every
    /// call.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), MessageError> {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.fail(MessageError::TooSlow);
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Adds what came on the stream, and ends a [`wait`](Self::wait).
    pub fn handle_data(&mut self, now: Timestamp, data: Bytes) {
        if let Some(since) = self.waits_since.take()
            && self.chunks.len() > 0
        {
            self.waited += now.saturating_since(since);
        }
        self.push(data);
    }

    fn fail(&mut self, error: MessageError) -> MessageError {
        self.failed = Some(error);
        self.chunks.clear();
        error
    }

    /// Adds what came on the stream, at no time in particular.
    pub fn push(&mut self, data: Bytes) {
        if self.failed.is_none() {
            self.chunks.push(data);
        }
    }

    /// The next envelope; `None` until it is complete.
    ///
    /// # Errors
    ///
    /// As soon as the offending bytes have arrived; after one error, the same
    /// again. What was held is freed.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot say `not yet`")]
    pub fn next(&mut self) -> Result<Option<Envelope>, MessageError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.read() {
            Ok(None) => {
                self.chunks.gather();
                Ok(None)
            }
            Ok(whole) => {
                self.waited = Duration::ZERO;
                Ok(whole)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Memory held for a message that is not complete, in bytes: at most twice
    /// the largest message, in whatever pieces it comes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.chunks.memory_bytes()
    }

    /// Bytes that have come and were not taken.
    pub fn buffered(&self) -> usize {
        self.chunks.len()
    }

    /// Whether any byte of the data of the next block has arrived: when the
    /// first byte was there, rather than the last.
    pub fn block_bytes_begun(&self) -> bool {
        let block = matches!(self.header(), Ok(Some((KIND_BLOCK, _))));
        block
            && self.proof_length().is_some_and(|proof| {
                self.chunks.len() > ENVELOPE_HEADER_BYTES + BLOCK_HEADER_BYTES + proof
            })
    }

    /// To be called when the stream has finished and [`next`](Self::next) has
    /// nothing more.
    ///
    /// # Errors
    ///
    /// [`MessageError::Cut`] if it ended within a message, or the error that
    /// was met before.
    pub fn finish(&self) -> Result<(), MessageError> {
        match (self.failed, self.chunks.len()) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, begun) => Err(MessageError::Cut(begun)),
        }
    }

    fn read(&mut self) -> Result<Option<Envelope>, MessageError> {
        let Some((kind, length)) = self.header()? else { return Ok(None) };
        let proof = if kind == KIND_BLOCK {
            let Some(proof) = self.proof_length() else { return Ok(None) };
            check_block(length, proof)?;
            Some(proof)
        } else {
            None
        };
        if self.chunks.len() < ENVELOPE_HEADER_BYTES + length {
            return Ok(None);
        }
        self.chunks.take(ENVELOPE_HEADER_BYTES);
        let Some(proof_bytes) = proof else {
            return Ok(Some(Envelope::Message(self.chunks.take(length))));
        };
        let index = self.chunks.peek(0).map_or(0, u32::from_be_bytes);
        self.chunks.take(BLOCK_HEADER_BYTES);
        let proof = self.chunks.take(proof_bytes);
        let data = self.chunks.take(length - BLOCK_HEADER_BYTES - proof_bytes);
        Ok(Some(Envelope::Block { index, proof, data }))
    }

    /// Kind and length of the next envelope, checked as far as they can be.
    fn header(&self) -> Result<Option<(u8, usize)>, MessageError> {
        // An unknown kind is told by its first byte alone.
        let Some([kind]) = self.chunks.peek(0) else { return Ok(None) };
        if kind != KIND_MESSAGE && kind != KIND_BLOCK {
            return Err(MessageError::Kind(kind));
        }
        let Some(length) = self.chunks.peek(1).map(u32::from_be_bytes) else { return Ok(None) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if kind == KIND_MESSAGE && length > self.max_message_bytes {
            return Err(MessageError::TooLong { length, max: self.max_message_bytes });
        }
        let longest = BLOCK_HEADER_BYTES + MAX_PROOF_BYTES + MAX_BLOCK_DATA_BYTES;
        if kind == KIND_BLOCK && !(BLOCK_HEADER_BYTES + 1..=longest).contains(&length) {
            return Err(MessageError::BlockLength(length));
        }
        Ok(Some((kind, length)))
    }

    /// The length of the next block's proof, once it is there.
    fn proof_length(&self) -> Option<usize> {
        let bytes = self.chunks.peek(ENVELOPE_HEADER_BYTES + 4)?;
        Some(usize::from(u16::from_be_bytes(bytes)))
    }
}

/// Whether a proof leaves 1 to 16384 bytes of data; `length` is in range.
fn check_block(length: usize, proof: usize) -> Result<(), MessageError> {
    let data = (length - BLOCK_HEADER_BYTES).checked_sub(proof);
    match data {
        Some(1..=MAX_BLOCK_DATA_BYTES) if proof <= MAX_PROOF_BYTES => Ok(()),
        _ => Err(MessageError::ProofLength { proof, length }),
    }
}
