//! Which protocol is spoken: pattern and hash, and the name made of them.

use std::fmt;
use std::str::FromStr;

use crate::pattern::{Pattern, Token};

/// The hash function of a protocol (Noise section 12.5 to 12.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hash {
    /// BLAKE2s with 32 bytes of output.
    Blake2s,
    /// BLAKE2b with 64 bytes of output.
    Blake2b,
    /// SHA-256.
    Sha256,
}

impl Hash {
    /// Every hash function.
    pub const ALL: &'static [Self] = &[Self::Blake2s, Self::Blake2b, Self::Sha256];

    /// Its name in a protocol name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake2s => "BLAKE2s",
            Self::Blake2b => "BLAKE2b",
            Self::Sha256 => "SHA256",
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Noise protocol over Curve25519 and ChaCha20-Poly1305.
///
/// It prints and parses as the name of Noise section 8:
///
/// ```
/// use antiphon_handshake::{Hash, Params, Pattern};
///
/// let params: Params = "Noise_IK_25519_ChaChaPoly_BLAKE2s".parse()?;
/// assert_eq!(params, Params::new(Pattern::IK, Hash::Blake2s));
///
/// let params: Params = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".parse()?;
/// assert!(params.has_psk(2));
/// # Ok::<(), antiphon_handshake::ParseParamsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Params {
    /// Who authenticates whom.
    pub pattern: Pattern,
    /// The hash function.
    pub hash: Hash,
    /// One bit for each place of a pre-shared key.
    psks: u8,
}

/// `psk0` to `psk4`: no pattern has more than four messages.
const MODIFIERS: [&str; 5] = ["psk0", "psk1", "psk2", "psk3", "psk4"];
const LATER_MODIFIERS: [&str; 5] = ["+psk0", "+psk1", "+psk2", "+psk3", "+psk4"];

const PREFIX: &str = "Noise_";
const MIDDLE: &str = "_25519_ChaChaPoly_";

impl Params {
    /// A protocol without pre-shared keys.
    pub const fn new(pattern: Pattern, hash: Hash) -> Self {
        Self { pattern, hash, psks: 0 }
    }

    /// The same with one pre-shared key more (Noise section 9): with `place` 0
    /// it is mixed in before the first message, else at the end of the message
    /// of that number, counted from 1. None if there is no such message.
    #[must_use]
    pub const fn with_psk(self, place: usize) -> Option<Self> {
        if place > self.pattern.message_count() {
            return None;
        }
        Some(Self { psks: self.psks | 1 << place, ..self })
    }

    /// Whether a pre-shared key is mixed in at that place.
    pub const fn has_psk(self, place: usize) -> bool {
        place < MODIFIERS.len() && self.psks & 1 << place != 0
    }

    /// Whether there is any: then ephemeral keys are mixed in too (section 9.2).
    pub(crate) const fn has_psks(self) -> bool {
        self.psks != 0
    }

    /// The tokens of the message of that number, counted from 0.
    pub(crate) fn message(self, message: usize) -> Option<impl Iterator<Item = Token> + Clone> {
        let tokens = self.pattern.message(message)?;
        let psk = |place| self.has_psk(place).then_some(Token::Psk(place));
        let before = if message == 0 { psk(0) } else { None };
        Some(before.into_iter().chain(tokens.iter().copied()).chain(psk(message + 1)))
    }

    /// The pieces that, one after the other, are the protocol's name.
    pub(crate) fn name_parts(self) -> [&'static str; 9] {
        // Only the first modifier stands without a plus.
        let mut names = MODIFIERS;
        let modifiers = std::array::from_fn(|place| {
            if !self.has_psk(place) {
                return "";
            }
            std::mem::replace(&mut names, LATER_MODIFIERS)[place]
        });
        let [m0, m1, m2, m3, m4]: [&str; 5] = modifiers;
        [PREFIX, self.pattern.name(), m0, m1, m2, m3, m4, MIDDLE, self.hash.name()]
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name_parts().iter().try_for_each(|part| f.write_str(part))
    }
}

/// Why a text does not name a protocol that this crate speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseParamsError {
    /// It has not the form `Noise_PATTERN_25519_ChaChaPoly_HASH`.
    #[error("a protocol name has the form Noise_PATTERN_25519_ChaChaPoly_HASH")]
    Form,
    /// The pattern is none of [`Pattern::ALL`].
    #[error("no such handshake pattern")]
    Pattern,
    /// The modifiers are not `psk0` to `psk4`, rising, joined by `+`, and each
    /// of a message that the pattern has.
    #[error("the modifiers are psk0 to psk4, rising and joined by +, up to the last message")]
    Modifier,
    /// The hash function is none of [`Hash::ALL`].
    #[error("the hash function is BLAKE2s, BLAKE2b or SHA256")]
    Hash,
}

impl FromStr for Params {
    type Err = ParseParamsError;

    fn from_str(text: &str) -> Result<Self, ParseParamsError> {
        let (pattern, hash) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once(MIDDLE))
            .ok_or(ParseParamsError::Form)?;
        let hash = Hash::ALL
            .iter()
            .copied()
            .find(|known| known.name() == hash)
            .ok_or(ParseParamsError::Hash)?;
        let (pattern, modifiers) = pattern.split_at(pattern.find("psk").unwrap_or(pattern.len()));
        let mut params = Self::new(pattern.parse()?, hash);
        for modifier in modifiers.split('+').filter(|_| !modifiers.is_empty()) {
            let place = MODIFIERS.iter().position(|known| *known == modifier);
            params = place
                .filter(|&place| params.psks >> place == 0)
                .and_then(|place| params.with_psk(place))
                .ok_or(ParseParamsError::Modifier)?;
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_are_printed_and_read_back() {
        for &pattern in Pattern::ALL {
            for &hash in Hash::ALL {
                let plain = Params::new(pattern, hash);
                assert_eq!(plain.to_string().parse(), Ok(plain));
                for place in 0..=pattern.message_count() {
                    let params = plain.with_psk(place).unwrap();
                    assert_eq!(params.to_string().parse(), Ok(params));
                }
                assert_eq!(plain.with_psk(pattern.message_count() + 1), None);
            }
        }
    }

    #[test]
    fn several_modifiers_are_joined() {
        let params = Params::new(Pattern::XX, Hash::Sha256).with_psk(3).unwrap();
        let params = params.with_psk(0).unwrap();
        let name = "Noise_XXpsk0+psk3_25519_ChaChaPoly_SHA256";
        assert_eq!((params.to_string().as_str(), name.parse()), (name, Ok(params)));
    }

    #[test]
    fn names_of_other_protocols_are_refused() {
        for (name, error) in [
            ("", ParseParamsError::Form),
            ("Noise_XX_448_ChaChaPoly_BLAKE2s", ParseParamsError::Form),
            ("Noise_XZ_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Pattern),
            ("Noise_XZpsk0_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Pattern),
            ("Noise_XX+psk0_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Pattern),
            ("Noise_XXpsk4_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Modifier),
            ("Noise_XXpsk0psk1_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Modifier),
            ("Noise_XXpsk1+psk0_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Modifier),
            ("Noise_XXpsk1+psk1_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Modifier),
            ("Noise_XXpsk1+_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Modifier),
            ("Noise_XX_25519_ChaChaPoly_SHA512", ParseParamsError::Hash),
        ] {
            assert_eq!(name.parse::<Params>(), Err(error), "{name}");
        }
    }
}
