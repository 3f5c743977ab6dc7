//! The primitives by `x25519-dalek` and the crates of RustCrypto.

use blake2::{Blake2b512, Blake2s256};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};
use sha2::digest::Digest;
use sha2::digest::common::BlockSizeUser;
use sha2::digest::typenum::Unsigned;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{Cipher, HashFunction, Primitives, Unauthentic};
use crate::{KEY_BYTES, TAG_BYTES};

/// `x25519-dalek`, `chacha20poly1305`, `blake2`, `sha2`.
pub(crate) struct RustCrypto;

impl Primitives for RustCrypto {
    type Cipher = ChaCha20Poly1305;
    type Blake2s = Blake2s256;
    type Blake2b = Blake2b512;
    type Sha256 = sha2::Sha256;

    fn public_key(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
        PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
    }

    fn diffie_hellman(
        secret: &[u8; KEY_BYTES],
        public: &[u8; KEY_BYTES],
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unauthentic> {
        let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public));
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
        self.encrypt_inout_detached(&nonce_bytes(nonce), associated, buffer.into())
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
        self.decrypt_inout_detached(&nonce_bytes(nonce), associated, buffer.into(), tag.into())
            .map_err(|_| Unauthentic)
    }
}

/// 32 bits of zeros, then the number in little-endian order (Noise section 12.3).
fn nonce_bytes(nonce: u64) -> Nonce {
    let mut bytes = Nonce::default();
    bytes[4..].copy_from_slice(&nonce.to_le_bytes());
    bytes
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
