//! What follows a handshake where messages get lost, doubled or overtaken
//! (Noise section 11.4, out-of-order transport messages).

use std::fmt;

use crate::TAG_BYTES;
use crate::cipher_state::CipherState;
use crate::transport::{TransportError, check_plaintext, split_room, split_tag};

/// Both directions of a session over datagrams, with the nonces in the
/// caller's hand. They share nothing: each can go to a task of its own.
///
/// Over a stream take [`Transport`](crate::Transport), which leaves nothing to
/// get wrong. Here the caller answers for two things that no type can check:
///
/// * **A sender never uses a nonce twice.** Whoever sees two messages under one
///   nonce learns the difference of their plaintexts and can forge more. Count
///   upwards from 0, in 64 bits, in one place.
/// * **A receiver takes a message once.** The nonce travels in the clear beside
///   the message; a replay decrypts again and again. Remember the nonces that
///   were taken, in a sliding window such as that of RFC 4303 appendix A2, and
///   note one only after its message was decrypted.
///
/// No key is replaced by itself, because the sides cannot know which messages
/// the other has seen.
#[derive(Debug)]
pub struct StatelessTransport {
    /// Encrypts what this side sends.
    pub sender: StatelessSender,
    /// Decrypts what the other side sends.
    pub receiver: StatelessReceiver,
}

/// Encrypts one direction of a session under nonces of the caller's.
pub struct StatelessSender(CipherState);

/// Decrypts one direction of a session, in any order.
pub struct StatelessReceiver(CipherState);

impl StatelessSender {
    pub(crate) fn new(cipher: CipherState) -> Self {
        Self(cipher)
    }

    /// Encrypts message number `nonce` where it stands: `buffer` is the
    /// plaintext and then 16 bytes of room for the tag, and is the message
    /// afterwards. `nonce` is 0 to 2^64 - 2, and never the same twice.
    ///
    /// # Errors
    ///
    /// [`TransportError::Length`], or [`TransportError::Exhausted`] for the
    /// nonce 2^64 - 1, which is reserved; the buffer is untouched then.
    pub fn encrypt_in_place(&self, nonce: u64, buffer: &mut [u8]) -> Result<(), TransportError> {
        let (plaintext, room) = split_room(buffer)?;
        *room = self.encrypt_in_place_detached(nonce, plaintext)?;
        Ok(())
    }

    /// Encrypts message number `nonce` where it stands and returns the tag,
    /// which is to follow it on the wire.
    ///
    /// # Errors
    ///
    /// Those of [`encrypt_in_place`](Self::encrypt_in_place).
    pub fn encrypt_in_place_detached(
        &self,
        nonce: u64,
        plaintext: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], TransportError> {
        check_plaintext(plaintext)?;
        Ok(self.0.encrypt_at(nonce, &[], plaintext)?)
    }

    /// Replaces the key (Noise section 11.3). The other side must decrypt what
    /// was sent before with the old key, and the rest with the new.
    pub fn rekey(&mut self) {
        self.0.rekey();
    }
}

impl StatelessReceiver {
    pub(crate) fn new(cipher: CipherState) -> Self {
        Self(cipher)
    }

    /// Decrypts message number `nonce` where it stands and returns the length
    /// of the plaintext, which is at the start of `message` then: 16 bytes
    /// less. On failure `message` holds nothing of use.
    ///
    /// # Errors
    ///
    /// [`TransportError::Refused`] for whatever is not that message, of any
    /// length: drop it. [`TransportError::Exhausted`] for the nonce 2^64 - 1,
    /// which is reserved.
    pub fn decrypt_in_place(
        &self,
        nonce: u64,
        message: &mut [u8],
    ) -> Result<usize, TransportError> {
        let (ciphertext, tag) = split_tag(message)?;
        self.0.decrypt_at(nonce, &[], ciphertext, tag)?;
        Ok(ciphertext.len())
    }

    /// Replaces the key (Noise section 11.3); see [`StatelessSender::rekey`].
    pub fn rekey(&mut self) {
        self.0.rekey();
    }
}

impl fmt::Debug for StatelessSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatelessSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for StatelessReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatelessReceiver").finish_non_exhaustive()
    }
}
