//! The cryptography below the protocol, behind one trait.
//!
//! [`Primitives`] is all that the protocol asks of a cryptographic library;
//! [`Default`] is the one it is built with.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
mod rustcrypto;
#[cfg(all(test, feature = "aws-lc-rs"))]
mod tests;

use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{KEY_BYTES, TAG_BYTES};

/// The implementation in use.
#[cfg(not(feature = "aws-lc-rs"))]
pub(crate) type Default = rustcrypto::RustCrypto;
/// The implementation in use.
#[cfg(feature = "aws-lc-rs")]
pub(crate) type Default = aws_lc::AwsLc;

/// A tag that does not fit, or a Diffie-Hellman with a key of low order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unauthentic;

/// One library of cryptographic functions.
pub(crate) trait Primitives {
    /// An X25519 secret.
    type Secret: Secret;
    /// ChaCha20-Poly1305 under one key.
    type Cipher: Cipher;
    /// BLAKE2s-256.
    type Blake2s: HashFunction;
    /// BLAKE2b-512.
    type Blake2b: HashFunction;
    /// SHA-256.
    type Sha256: HashFunction;
}

/// An X25519 secret, made ready once for every use. Wiped when its last clone
/// is dropped.
pub(crate) trait Secret: Clone {
    /// The secret of these bytes, clamped where it is used (RFC 7748 section 5).
    fn new(bytes: &[u8; KEY_BYTES]) -> Self;

    /// Its public key (RFC 7748 section 6.1).
    fn public_key(&self) -> [u8; KEY_BYTES];

    /// X25519; refuses, in constant time, a result of all zeros (RFC 7748
    /// section 6.1), which is what every public key of low order gives.
    fn agree(&self, public: &[u8; KEY_BYTES]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unauthentic>;
}

/// ChaCha20-Poly1305 (RFC 8439) with the nonces of Noise section 12.3. Wipes
/// its key when dropped.
pub(crate) trait Cipher: ZeroizeOnDrop {
    /// The cipher under `key`.
    fn new(key: &[u8; KEY_BYTES]) -> Self;

    /// Encrypts at most 65535 bytes in place and returns the tag.
    fn encrypt(&self, nonce: u64, associated: &[u8], buffer: &mut [u8]) -> [u8; TAG_BYTES];

    /// Decrypts in place; on failure `buffer` holds nothing of use.
    fn decrypt(
        &self,
        nonce: u64,
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Unauthentic>;
}

/// 32 bits of zeros, then the number in little-endian order (Noise section 12.3).
fn nonce_bytes(nonce: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes
}

/// An incremental hash function. Wipes its state when dropped (not demanded as
/// `ZeroizeOnDrop`, because the types of `blake2` do it without saying so).
pub(crate) trait HashFunction: Clone {
    /// Length of the output in bytes, at most 64.
    const OUTPUT_BYTES: usize;
    /// Length of a block in bytes, at most 128; HMAC needs it.
    const BLOCK_BYTES: usize;

    /// The hash of nothing, so far.
    fn new() -> Self;

    /// Takes in more input.
    fn update(&mut self, input: &[u8]);

    /// Writes the hash to `output`, [`Self::OUTPUT_BYTES`] long.
    fn finish(self, output: &mut [u8]);
}
