//! Renditions are encrypted with ChaCha20 (RFC 8439 section 2.4), each under
//! a key of its own.
//!
//! The key is derived from the plaintext, so it is never used for two, and a
//! nonce of zeros is safe. There is no authenticator: the hash of the
//! ciphertext is the rendition's name, and every block is checked against it
//! before it is decrypted.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Domain of [`RenditionKey::derive`].
const CONTEXT: &str = "antiphon 2026 rendition key from service secret and plaintext hash v1";

/// The key of one rendition. Wiped from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RenditionKey([u8; 32]);

impl RenditionKey {
    /// A key that came over a session or from disk.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key for the rendition whose plaintext has that BLAKE3 hash, at the
    /// service with that secret: the same input always gives the same key
    /// (BLAKE3 in key derivation mode).
    pub fn derive(service_secret: &[u8; 32], plaintext_hash: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(service_secret).update(plaintext_hash);
        Self(*hasher.finalize().as_bytes())
    }

    /// The 32 bytes, to hand over or to seal.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The range is beyond what one key can encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("offset {0} is beyond the 256 GiB that one key can encrypt")]
pub struct KeystreamError(pub u64);

/// Encrypts or decrypts in place the bytes that stand at `offset` in the
/// rendition. Any range may be done alone, in any order.
pub fn apply_keystream(
    key: &RenditionKey,
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), KeystreamError> {
    let mut cipher = ChaCha20::new(&key.0.into(), &[0; 12].into());
    cipher.try_seek(offset).map_err(|_| KeystreamError(offset))?;
    cipher.try_apply_keystream(bytes).map_err(|_| KeystreamError(offset))
}
