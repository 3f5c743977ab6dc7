//! Which protocol is spoken: pattern and hash, and the name made of them.

use std::fmt;
use std::str::FromStr;

use crate::pattern::Pattern;

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
/// assert_eq!(params, Params { pattern: Pattern::IK, hash: Hash::Blake2s });
/// # Ok::<(), antiphon_handshake::ParseParamsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Params {
    /// Who authenticates whom.
    pub pattern: Pattern,
    /// The hash function.
    pub hash: Hash,
}

const PREFIX: &str = "Noise_";
const MIDDLE: &str = "_25519_ChaChaPoly_";

impl Params {
    /// The pieces that, one after the other, are the protocol's name.
    pub(crate) const fn name_parts(self) -> [&'static str; 4] {
        [PREFIX, self.pattern.name(), MIDDLE, self.hash.name()]
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
    #[error("no such handshake pattern, or a modifier that is not spoken here")]
    Pattern,
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
        Ok(Self { pattern: pattern.parse()?, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_are_printed_and_read_back() {
        for &pattern in Pattern::ALL {
            for &hash in Hash::ALL {
                let params = Params { pattern, hash };
                assert_eq!(params.to_string().parse(), Ok(params));
            }
        }
    }

    #[test]
    fn names_of_other_protocols_are_refused() {
        for (name, error) in [
            ("", ParseParamsError::Form),
            ("Noise_XX_448_ChaChaPoly_BLAKE2s", ParseParamsError::Form),
            ("Noise_XXpsk3_25519_ChaChaPoly_BLAKE2s", ParseParamsError::Pattern),
            ("Noise_XX_25519_ChaChaPoly_SHA512", ParseParamsError::Hash),
        ] {
            assert_eq!(name.parse::<Params>(), Err(error), "{name}");
        }
    }
}
