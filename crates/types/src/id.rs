//! Names of things: nodes, blobs, tracks.

use std::fmt;
use std::str::FromStr;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hexadecimal digits, got {got:?}")]
pub struct ParseIdError {
    /// How many hexadecimal digits an id of this kind has.
    pub expected: usize,
    /// What was given instead, cut to 80 characters.
    pub got: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;

            /// Takes the raw bytes.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Takes a slice of exactly [`Self::BYTES`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            /// All of it, in lower-case hexadecimal.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            /// The first four bytes: enough to tell ids apart in a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError {
                    expected: 2 * $bytes,
                    got: text.chars().take(80).collect(),
                })?;
                Ok(Self(bytes))
            }
        }
    };
}

id! {
    /// A node: its Ed25519 public key. Whether the key is a good one is for
    /// `handshake` to say; here it is a name.
    NodeId, 32
}
id! {
    /// A blob: the BLAKE3 hash of its bytes, which are always ciphertext.
    BlobId, 32
}
id! {
    /// A track of one service. Opaque to all but the server that made it.
    TrackId, 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_being_printed_and_read() {
        let id = TrackId::new([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 2 * TrackId::BYTES);
    }

    #[test]
    fn a_wrong_length_or_digit_is_refused_and_named() {
        for text in ["", "ab", &"zz".repeat(16), &"ab".repeat(17)] {
            let error = text.parse::<TrackId>().unwrap_err();
            assert_eq!(error.expected, 32);
            assert!(text.starts_with(&error.got));
        }
    }
}
