//! X25519 static secrets.

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::KEY_BYTES;
use crate::primitives::{self, Primitives, Secret as _};

/// An X25519 secret of the library in use.
pub(crate) type Secret = <primitives::Default as Primitives>::Secret;

/// A party's long-term X25519 secret, with its public key beside it, so that
/// no handshake computes that anew. Wiped when dropped, never printed.
///
/// A node of ours derives it from its identity:
/// [`identity::NodeSecret::noise_secret`](crate::identity::NodeSecret::noise_secret).
#[derive(Clone)]
pub struct StaticSecret {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    secret: Secret,
    public: [u8; KEY_BYTES],
}

impl StaticSecret {
    /// A new secret: the next 32 bytes of `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_bytes(&random_secret(rng))
    }

    /// The secret of these bytes, which RFC 7748 clamps where it is used.
    pub fn from_bytes(secret: &[u8; KEY_BYTES]) -> Self {
        let ready = Secret::new(secret);
        let public = ready.public_key();
        Self { bytes: Zeroizing::new(*secret), secret: ready, public }
    }

    /// A secret whose public key is known already.
    pub(crate) fn with_public(secret: &[u8; KEY_BYTES], public: [u8; KEY_BYTES]) -> Self {
        Self { bytes: Zeroizing::new(*secret), secret: Secret::new(secret), public }
    }

    /// The bytes of the secret, to be stored where nobody else reads.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        self.bytes.clone()
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; KEY_BYTES] {
        self.public
    }

    /// The secret, made ready.
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl fmt::Debug for StaticSecret {
    /// The public key alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticSecret").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The next 32 bytes of `rng`.
pub(crate) fn random_secret(rng: &mut (impl CryptoRng + ?Sized)) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    rng.fill_bytes(&mut *secret);
    secret
}
