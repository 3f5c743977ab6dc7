//! X25519 and ChaCha20-Poly1305 by AWS-LC, through `aws-lc-rs`.
//!
//! The hash functions stay those of RustCrypto: AWS-LC has no BLAKE2, and its
//! SHA-256 keeps each state on the heap, which makes it the slower one for the
//! short inputs of a handshake.
//!
//! Keys live on the library's heap, of which it wipes every piece that it frees.

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{Cipher, Primitives, Secret, Unauthentic, nonce_bytes};
use crate::{KEY_BYTES, TAG_BYTES};

/// `aws-lc-rs`, `blake2`, `sha2`.
pub(crate) struct AwsLc;

impl Primitives for AwsLc {
    type Secret = AwsLcSecret;
    type Cipher = AwsLcCipher;
    type Blake2s = blake2::Blake2s256;
    type Blake2b = blake2::Blake2b512;
    type Sha256 = sha2::Sha256;
}

/// A secret with its public key, which the library computes with it.
#[derive(Clone)]
pub(crate) struct AwsLcSecret(Arc<PrivateKey>);

impl Secret for AwsLcSecret {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let key = PrivateKey::from_private_key(&X25519, bytes)
            .expect("every 32 bytes are an X25519 secret");
        Self(Arc::new(key))
    }

    fn public_key(&self) -> [u8; KEY_BYTES] {
        let key = self.0.compute_public_key().expect("an X25519 secret has a public key");
        key.as_ref().try_into().expect("an X25519 public key has 32 bytes")
    }

    fn agree(&self, public: &[u8; KEY_BYTES]) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unauthentic> {
        // The library refuses a result of all zeros by itself.
        agree(&self.0, UnparsedPublicKey::new(&X25519, public), Unauthentic, |shared| {
            let mut copy = Zeroizing::new([0; KEY_BYTES]);
            copy.copy_from_slice(shared);
            Ok(copy)
        })
    }
}

/// ChaCha20-Poly1305 under one key.
pub(crate) struct AwsLcCipher(LessSafeKey);

impl ZeroizeOnDrop for AwsLcCipher {}

impl Cipher for AwsLcCipher {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key)
            .expect("every 32 bytes are a key of ChaCha20-Poly1305");
        Self(LessSafeKey::new(key))
    }

    fn encrypt(&self, nonce: u64, associated: &[u8], buffer: &mut [u8]) -> [u8; TAG_BYTES] {
        let nonce = Nonce::assume_unique_for_key(nonce_bytes(nonce));
        self.0
            .seal_in_place_separate_tag(nonce, Aad::from(associated), buffer)
            .expect("a message of 64 KiB is far below the 256 GiB that the cipher bears")
            .as_ref()
            .try_into()
            .expect("a tag of Poly1305 has 16 bytes")
    }

    fn decrypt(
        &self,
        nonce: u64,
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Unauthentic> {
        let nonce = Nonce::assume_unique_for_key(nonce_bytes(nonce));
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(associated), tag, buffer)
            .map(|_| ())
            .map_err(|_| Unauthentic)
    }
}
