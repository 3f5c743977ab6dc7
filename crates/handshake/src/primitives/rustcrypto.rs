//! The primitives by `x25519-dalek` and the crates of RustCrypto.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use sha2::digest::Digest;
use sha2::digest::common::BlockSizeUser;
use sha2::digest::typenum::Unsigned;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Cipher, HashFunction, Secret, Unauthentic, nonce_bytes};
use crate::{KEY_BYTES, TAG_BYTES};

/// `x25519-dalek`, `chacha20poly1305`, `blake2`, `sha2`.
#[cfg(any(test, not(feature = "aws-lc-rs")))]
pub(crate) struct RustCrypto;

#[cfg(any(test, not(feature = "aws-lc-rs")))]
impl super::Primitives for RustCrypto {
    type Secret = StaticSecret;
    type Cipher = ChaCha20Poly1305;
    type Blake2s = blake2::Blake2s256;
    type Blake2b = blake2::Blake2b512;
    type Sha256 = sha2::Sha256;
}

impl Secret for StaticSecret {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self::from(*bytes)
    }

    fn public_key(&self) -> [u8; KEY_BYTES] {
        PublicKey::from(self).to_bytes()
    }

    fn agree(&self, public: &[u8; KEY_BYTES]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unauthentic> {
        let shared = self.diffie_hellman(&PublicKey::from(*public));
        if !shared.was_contributory() {
            return Err(Unauthentic);
        }
        Ok(Zeroizing::new(shared.to_bytes()))
    }
}

impl Cipher for ChaCha20Poly1305 {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        KeyInit::new(key.into())
    }

    fn encrypt(&self, nonce: u64, associated: &[u8], buffer: &mut [u8]) -> [u8; TAG_BYTES] {
        self.encrypt_inout_detached(&nonce_bytes(nonce).into(), associated, buffer.into())
            .expect("a message of 64 KiB is far below the 256 GiB that the cipher bears")
            .into()
    }

    fn decrypt(
        &self,
        nonce: u64,
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Unauthentic> {
        self.decrypt_inout_detached(
            &nonce_bytes(nonce).into(),
            associated,
            buffer.into(),
            tag.into(),
        )
        .map_err(|_| Unauthentic)
    }
}

impl<D: Digest + BlockSizeUser + Clone> HashFunction for D {
    const OUTPUT_BYTES: usize = D::OutputSize::USIZE;
    const BLOCK_BYTES: usize = D::BlockSize::USIZE;

    fn new() -> Self {
        Digest::new()
    }

    fn update(&mut self, input: &[u8]) {
        Digest::update(self, input);
    }

    fn finish(self, output: &mut [u8]) {
        output.copy_from_slice(&self.finalize());
    }
}
