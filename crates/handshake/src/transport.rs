//! What follows a handshake: one cipher for each direction (Noise section 5,
//! `Split`, and 11.3, rekey).

use std::fmt;
use std::num::NonZeroU64;

use crate::cipher_state::{CipherState, DecryptError, Exhausted};
use crate::{MAX_MESSAGE_BYTES, TAG_BYTES};

/// After this many messages in one direction its key is replaced, on both
/// sides by themselves: 2^16.
///
/// The cipher would bear far more (RFC 9001 section 6.6: 2^36 forgeries, no
/// bound on encryption below 2^62 messages). The bound is there for the past: a
/// key that leaks from memory opens no more than this much of what went before
/// it, 1 GiB in records of 16 KiB, while a rekey costs two ChaCha20 blocks.
pub const REKEY_INTERVAL_MESSAGES: NonZeroU64 = NonZeroU64::new(1 << 16).expect("is not zero");

/// Why a transport message was not encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// What came is not the next message of the other side: it was altered,
    /// cut, replayed, left out, or made by somebody else. The nonce has not
    /// advanced, so that the true message can still be read; on a transport
    /// that keeps order, such as TCP, close the connection.
    #[error("not the other side's next message: close the connection")]
    Refused,
    /// A message has 16 to [`MAX_MESSAGE_BYTES`] bytes, the tag included.
    #[error("a message has {TAG_BYTES} to {MAX_MESSAGE_BYTES} bytes with its tag, not {bytes}")]
    Length {
        /// How many bytes it would have.
        bytes: usize,
    },
    /// All 2^64 - 1 messages of this direction are used up.
    #[error("the session has used up its messages: start a new one")]
    Exhausted,
}

impl From<Exhausted> for TransportError {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

impl From<DecryptError> for TransportError {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::Unauthentic => Self::Refused,
            DecryptError::Exhausted => Self::Exhausted,
        }
    }
}

/// Whether a plaintext of that length fits into a message.
pub(crate) fn check_plaintext(plaintext: &[u8]) -> Result<(), TransportError> {
    let bytes = plaintext.len().saturating_add(TAG_BYTES);
    if bytes > MAX_MESSAGE_BYTES { Err(TransportError::Length { bytes }) } else { Ok(()) }
}

/// A buffer as the plaintext and the room for its tag.
pub(crate) fn split_room(
    buffer: &mut [u8],
) -> Result<(&mut [u8], &mut [u8; TAG_BYTES]), TransportError> {
    let bytes = buffer.len();
    buffer.split_last_chunk_mut().ok_or(TransportError::Length { bytes })
}

/// A message as ciphertext and tag, if it is as long as a message can be.
pub(crate) fn split_tag(
    message: &mut [u8],
) -> Result<(&mut [u8], &mut [u8; TAG_BYTES]), TransportError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(TransportError::Refused);
    }
    message.split_last_chunk_mut().ok_or(TransportError::Refused)
}

/// Both directions of a session. They share nothing: each can go to a task of
/// its own.
#[derive(Debug)]
pub struct Transport {
    /// Encrypts what this side sends.
    pub sender: Sender,
    /// Decrypts what the other side sends.
    pub receiver: Receiver,
}

impl Transport {
    /// Replaces the key of each direction after `interval` messages instead of
    /// [`REKEY_INTERVAL_MESSAGES`], or never. It is part of the protocol: both
    /// sides must do the same, before the first message.
    #[must_use]
    pub fn with_rekey_interval(mut self, interval: Option<NonZeroU64>) -> Self {
        self.sender.0.rekey_interval = interval;
        self.receiver.0.rekey_interval = interval;
        self
    }
}

/// Encrypts one direction of a session, message after message.
pub struct Sender(Direction);

/// Decrypts one direction of a session, message after message, in order.
pub struct Receiver(Direction);

/// One cipher and when it gets a new key.
struct Direction {
    cipher: CipherState,
    rekey_interval: Option<NonZeroU64>,
}

impl Direction {
    fn new(cipher: CipherState) -> Self {
        Self { cipher, rekey_interval: Some(REKEY_INTERVAL_MESSAGES) }
    }

    /// Called once after each message, when the nonce has advanced. A failed
    /// decryption comes not here, so both sides do it at the same message.
    fn rekey_if_due(&mut self) {
        if self.rekey_interval.is_some_and(|interval| self.cipher.nonce() % interval == 0) {
            self.cipher.rekey();
        }
    }
}

impl Sender {
    pub(crate) fn new(cipher: CipherState) -> Self {
        Self(Direction::new(cipher))
    }

    /// The number of the next message, from 0.
    pub fn nonce(&self) -> u64 {
        self.0.cipher.nonce()
    }

    /// Encrypts the next message where it stands: `buffer` is the plaintext and
    /// then 16 bytes of room for the tag, and is the message afterwards.
    ///
    /// # Errors
    ///
    /// [`TransportError::Length`] or [`TransportError::Exhausted`]; the buffer
    /// is untouched then.
    pub fn encrypt_in_place(&mut self, buffer: &mut [u8]) -> Result<(), TransportError> {
        let (plaintext, room) = split_room(buffer)?;
        *room = self.encrypt_in_place_detached(plaintext)?;
        Ok(())
    }

    /// Encrypts the next message where it stands and returns the tag, which is
    /// to follow it on the wire.
    ///
    /// # Errors
    ///
    /// [`TransportError::Length`] or [`TransportError::Exhausted`]; the
    /// plaintext is untouched then.
    pub fn encrypt_in_place_detached(
        &mut self,
        plaintext: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], TransportError> {
        check_plaintext(plaintext)?;
        let tag = self.0.cipher.encrypt(&[], plaintext)?;
        self.0.rekey_if_due();
        Ok(tag)
    }

    /// Replaces the key now (Noise section 11.3). The other side must do the
    /// same between the same two messages; automatic rekeys go on as before.
    pub fn rekey(&mut self) {
        self.0.cipher.rekey();
    }
}

impl Receiver {
    pub(crate) fn new(cipher: CipherState) -> Self {
        Self(Direction::new(cipher))
    }

    /// The number of the next message, from 0.
    pub fn nonce(&self) -> u64 {
        self.0.cipher.nonce()
    }

    /// Decrypts the next message where it stands and returns the length of the
    /// plaintext, which is at the start of `message` then: 16 bytes less. On
    /// failure `message` holds nothing of use, and the state is as before.
    ///
    /// # Errors
    ///
    /// [`TransportError::Refused`] for whatever is not the next message, of any
    /// length; [`TransportError::Exhausted`].
    pub fn decrypt_in_place(&mut self, message: &mut [u8]) -> Result<usize, TransportError> {
        let (ciphertext, tag) = split_tag(message)?;
        self.0.cipher.decrypt(&[], ciphertext, tag)?;
        self.0.rekey_if_due();
        Ok(ciphertext.len())
    }

    /// Replaces the key now (Noise section 11.3). The other side must do the
    /// same between the same two messages; automatic rekeys go on as before.
    pub fn rekey(&mut self) {
        self.0.cipher.rekey();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("nonce", &self.nonce()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("nonce", &self.nonce()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sender, Receiver) {
        (Sender::new(CipherState::new(&[7; 32])), Receiver::new(CipherState::new(&[7; 32])))
    }

    /// N7: the last nonce but one is the last message; none is used twice.
    #[test]
    fn the_nonce_ends_and_never_wraps() {
        let (mut sender, mut receiver) = pair();
        sender.0.cipher.set_nonce(u64::MAX - 1);
        receiver.0.cipher.set_nonce(u64::MAX - 1);
        let mut last = [0; 20];
        sender.encrypt_in_place(&mut last).unwrap();
        assert_eq!(receiver.decrypt_in_place(&mut last), Ok(4));

        let mut beyond = [9; 20];
        for _ in 0..3 {
            assert_eq!(sender.encrypt_in_place(&mut beyond), Err(TransportError::Exhausted));
            assert_eq!(receiver.decrypt_in_place(&mut beyond), Err(TransportError::Exhausted));
        }
        assert_eq!(beyond, [9; 20], "nothing was encrypted");
        assert_eq!((sender.nonce(), receiver.nonce()), (u64::MAX, u64::MAX));
    }

    /// N7: the default interval, crossed without a million messages.
    #[test]
    fn the_key_changes_by_itself_at_the_default_interval() {
        let (mut sender, mut receiver) = pair();
        let (mut plain, _) = pair();
        for cipher in [&mut sender.0.cipher, &mut receiver.0.cipher, &mut plain.0.cipher] {
            cipher.set_nonce(REKEY_INTERVAL_MESSAGES.get() - 1);
        }
        plain.0.rekey_interval = None;
        for message in 0..3 {
            let (mut record, mut without) = ([5; 24], [5; 24]);
            sender.encrypt_in_place(&mut record).unwrap();
            plain.encrypt_in_place(&mut without).unwrap();
            assert_eq!(record == without, message == 0, "message {message}");
            assert_eq!(receiver.decrypt_in_place(&mut record), Ok(8));
            assert_eq!(record[..8], [5; 8]);
        }
    }
}
