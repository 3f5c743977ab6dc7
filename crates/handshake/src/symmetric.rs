//! What both sides have agreed on so far (Noise section 5.2).

use crate::TAG_BYTES;
use crate::cipher_state::CipherState;
use crate::hashing::Output;
use crate::params::{Hash, Params};
use crate::primitives::Unauthentic;

/// `SymmetricState` of the specification.
pub(crate) struct SymmetricState {
    hash: Hash,
    chaining_key: Output,
    transcript: Output,
    cipher: Option<CipherState>,
}

impl SymmetricState {
    /// `InitializeSymmetric`, and the prologue mixed in.
    pub(crate) fn new(params: Params, prologue: &[u8]) -> Self {
        let transcript = params.hash.digest_name(params.name_parts());
        let mut state =
            Self { hash: params.hash, chaining_key: transcript.clone(), transcript, cipher: None };
        state.mix_hash(prologue);
        state
    }

    /// `HasKey`: whether what is sent now is encrypted.
    pub(crate) fn has_key(&self) -> bool {
        self.cipher.is_some()
    }

    /// `GetHandshakeHash`: 32 or 64 bytes.
    pub(crate) fn transcript(&self) -> &[u8] {
        &self.transcript
    }

    /// `MixKey`.
    pub(crate) fn mix_key(&mut self, input: &[u8]) {
        let [chaining_key, key] = self.hash.hkdf(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.cipher = Some(CipherState::new(&key.key()));
    }

    /// `MixKeyAndHash`.
    pub(crate) fn mix_key_and_hash(&mut self, input: &[u8]) {
        let [chaining_key, data, key] = self.hash.hkdf(&self.chaining_key, input);
        self.chaining_key = chaining_key;
        self.mix_hash(&data);
        self.cipher = Some(CipherState::new(&key.key()));
    }

    /// `MixHash`.
    pub(crate) fn mix_hash(&mut self, data: &[u8]) {
        self.transcript = self.hash.digest(&[&self.transcript, data]);
    }

    /// `EncryptAndHash`, in place: `field` is the plaintext, and room for the
    /// tag if there is a key.
    pub(crate) fn encrypt_and_hash(&mut self, field: &mut [u8]) -> Result<(), Unauthentic> {
        if let Some(cipher) = &mut self.cipher {
            let (plaintext, room) = field.split_last_chunk_mut().ok_or(Unauthentic)?;
            *room = cipher.encrypt(&self.transcript, plaintext).map_err(|_| Unauthentic)?;
        }
        self.mix_hash(field);
        Ok(())
    }

    /// `DecryptAndHash`, from `field` into `plaintext`, which has its length
    /// less that of the tag if there is a key.
    pub(crate) fn decrypt_and_hash(
        &mut self,
        field: &[u8],
        plaintext: &mut [u8],
    ) -> Result<(), Unauthentic> {
        if let Some(cipher) = &mut self.cipher {
            let (ciphertext, tag) = field.split_last_chunk::<TAG_BYTES>().ok_or(Unauthentic)?;
            plaintext.copy_from_slice(ciphertext);
            cipher.decrypt(&self.transcript, plaintext, tag).map_err(|_| Unauthentic)?;
        } else {
            plaintext.copy_from_slice(field);
        }
        self.mix_hash(field);
        Ok(())
    }

    /// `Split`: the cipher of what the initiator sends, then the responder's.
    pub(crate) fn split(&self) -> [CipherState; 2] {
        self.hash
            .hkdf(&self.chaining_key, &[])
            .map(|output: Output| CipherState::new(&output.key()))
    }
}
