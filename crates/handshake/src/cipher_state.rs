//! A key and the number of messages sent under it (Noise section 5.1).

use zeroize::Zeroizing;

use crate::primitives::{self, Cipher as _, Primitives, Unauthentic};
use crate::{KEY_BYTES, TAG_BYTES};

type Cipher = <primitives::Default as Primitives>::Cipher;

/// The nonce that is never used for a message: it is kept for `rekey`.
pub(crate) const RESERVED_NONCE: u64 = u64::MAX;

/// The key's messages are used up: 2^64 - 1 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// `CipherState` of the specification, with a key.
pub(crate) struct CipherState {
    cipher: Cipher,
    nonce: u64,
}

/// Why a message was not decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecryptError {
    Exhausted,
    Unauthentic,
}

impl CipherState {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: Cipher::new(key), nonce: 0 }
    }

    /// The nonce of the next message.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    #[cfg(test)]
    pub(crate) fn set_nonce(&mut self, nonce: u64) {
        self.nonce = nonce;
    }

    /// `EncryptWithAd`, in place; the nonce advances.
    pub(crate) fn encrypt(
        &mut self,
        associated: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], Exhausted> {
        let tag = self.encrypt_at(self.nonce, associated, buffer)?;
        self.nonce += 1;
        Ok(tag)
    }

    /// `DecryptWithAd`, in place; the nonce advances if the tag fits.
    pub(crate) fn decrypt(
        &mut self,
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), DecryptError> {
        self.decrypt_at(self.nonce, associated, buffer, tag)?;
        self.nonce += 1;
        Ok(())
    }

    /// Encrypts under a nonce of the caller's; the own one stays.
    pub(crate) fn encrypt_at(
        &self,
        nonce: u64,
        associated: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], Exhausted> {
        if nonce == RESERVED_NONCE {
            return Err(Exhausted);
        }
        Ok(self.cipher.encrypt(nonce, associated, buffer))
    }

    /// Decrypts under a nonce of the caller's; the own one stays.
    pub(crate) fn decrypt_at(
        &self,
        nonce: u64,
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), DecryptError> {
        if nonce == RESERVED_NONCE {
            return Err(DecryptError::Exhausted);
        }
        self.cipher
            .decrypt(nonce, associated, buffer, tag)
            .map_err(|Unauthentic| DecryptError::Unauthentic)
    }

    /// `Rekey` (section 4.2): a new key from the old, which cannot be computed
    /// back. The nonce goes on.
    pub(crate) fn rekey(&mut self) {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.cipher.encrypt(RESERVED_NONCE, &[], &mut *key);
        self.cipher = Cipher::new(&key);
    }
}
