//! The state behind a handshake that has not failed: how one message is made
//! and taken apart, token by token.

use zeroize::Zeroizing;

use crate::keys::{Secret, StaticSecret};
use crate::pattern::{KeyKind, Role, Token};
use crate::primitives::{Secret as _, Unauthentic};
use crate::symmetric::SymmetricState;
use crate::{KEY_BYTES, TAG_BYTES};

/// `psk0` to `psk4`.
pub(super) const PSK_PLACES: usize = 5;

/// All that a handshake knows and holds.
pub(super) struct Live {
    pub(super) role: Role,
    pub(super) symmetric: SymmetricState,
    pub(super) local_static: Option<StaticSecret>,
    /// What the ephemeral secret will be made of: a responder that refuses the
    /// first message has not paid for it.
    pub(super) ephemeral_seed: Zeroizing<[u8; KEY_BYTES]>,
    /// Made when its public key is sent.
    pub(super) local_ephemeral: Option<Secret>,
    pub(super) remote_static: Option<[u8; KEY_BYTES]>,
    pub(super) remote_ephemeral: Option<[u8; KEY_BYTES]>,
    /// Whether the protocol has pre-shared keys, at whatever place.
    pub(super) has_psks: bool,
    /// Those that were given, by their place.
    pub(super) psks: [Option<Zeroizing<[u8; KEY_BYTES]>>; PSK_PLACES],
}

impl Live {
    /// What a message of `tokens` adds to its payload.
    pub(super) fn overhead_bytes(&self, tokens: impl Iterator<Item = Token>) -> usize {
        let mut has_key = self.symmetric.has_key();
        let mut bytes = 0;
        for token in tokens {
            match token {
                Token::E => {
                    bytes += KEY_BYTES;
                    has_key |= self.has_psks;
                }
                Token::S => bytes += KEY_BYTES + tag_bytes(has_key),
                Token::Dh(..) | Token::Psk(_) => has_key = true,
            }
        }
        bytes + tag_bytes(has_key)
    }

    /// `WriteMessage`. `out` has the length of the message.
    pub(super) fn write(
        &mut self,
        tokens: impl Iterator<Item = Token>,
        payload: &[u8],
        mut out: &mut [u8],
    ) -> Result<(), Unauthentic> {
        for token in tokens {
            match token {
                Token::E => {
                    let secret = Secret::new(&self.ephemeral_seed);
                    let public = secret.public_key();
                    self.local_ephemeral = Some(secret);
                    out.split_off_mut(..KEY_BYTES).ok_or(Unauthentic)?.copy_from_slice(&public);
                    self.mix_ephemeral(&public);
                }
                Token::S => {
                    let public = self.local_static.as_ref().ok_or(Unauthentic)?.public_key();
                    let field_bytes = KEY_BYTES + tag_bytes(self.symmetric.has_key());
                    let field = out.split_off_mut(..field_bytes).ok_or(Unauthentic)?;
                    field[..KEY_BYTES].copy_from_slice(&public);
                    self.symmetric.encrypt_and_hash(field)?;
                }
                Token::Dh(initiator, responder) => self.mix_dh(initiator, responder)?,
                Token::Psk(place) => self.mix_psk(place)?,
            }
        }
        out[..payload.len()].copy_from_slice(payload);
        self.symmetric.encrypt_and_hash(out)
    }

    /// `ReadMessage`. `payload_out` has the length of the payload.
    pub(super) fn read(
        &mut self,
        tokens: impl Iterator<Item = Token>,
        mut message: &[u8],
        payload_out: &mut [u8],
    ) -> Result<(), Unauthentic> {
        for token in tokens {
            match token {
                Token::E => {
                    let (public, rest) = message.split_first_chunk().ok_or(Unauthentic)?;
                    self.remote_ephemeral = Some(*public);
                    self.mix_ephemeral(public);
                    message = rest;
                }
                Token::S => {
                    let field_bytes = KEY_BYTES + tag_bytes(self.symmetric.has_key());
                    let field = message.split_off(..field_bytes).ok_or(Unauthentic)?;
                    let mut public = [0; KEY_BYTES];
                    self.symmetric.decrypt_and_hash(field, &mut public)?;
                    self.remote_static = Some(public);
                }
                Token::Dh(initiator, responder) => self.mix_dh(initiator, responder)?,
                Token::Psk(place) => self.mix_psk(place)?,
            }
        }
        self.symmetric.decrypt_and_hash(message, payload_out)
    }

    /// Mixes an ephemeral public key; where there is a pre-shared key it makes
    /// sure that what is encrypted under that alone is never so twice (Noise
    /// section 9.2).
    fn mix_ephemeral(&mut self, public: &[u8; KEY_BYTES]) {
        self.symmetric.mix_hash(public);
        if self.has_psks {
            self.symmetric.mix_key(public);
        }
    }

    /// Mixes the pre-shared key of a place.
    fn mix_psk(&mut self, place: usize) -> Result<(), Unauthentic> {
        let psk = self.psks.get(place).and_then(Option::as_ref).ok_or(Unauthentic)?;
        self.symmetric.mix_key_and_hash(&**psk);
        Ok(())
    }

    /// Mixes the Diffie-Hellman of one key of each side.
    fn mix_dh(&mut self, initiator: KeyKind, responder: KeyKind) -> Result<(), Unauthentic> {
        let (local, remote) = match self.role {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        let secret = match local {
            KeyKind::Ephemeral => self.local_ephemeral.as_ref(),
            KeyKind::Static => self.local_static.as_ref().map(StaticSecret::secret),
        };
        let public = match remote {
            KeyKind::Ephemeral => self.remote_ephemeral.as_ref(),
            KeyKind::Static => self.remote_static.as_ref(),
        };
        let shared = secret.ok_or(Unauthentic)?.agree(public.ok_or(Unauthentic)?)?;
        self.symmetric.mix_key(&*shared);
        Ok(())
    }
}

const fn tag_bytes(has_key: bool) -> usize {
    if has_key { TAG_BYTES } else { 0 }
}
