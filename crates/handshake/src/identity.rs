//! Nodes and their keys: an Ed25519 key is the identity, and its X25519 form
//! the static key of handshakes.
//!
//! Both forms come from one secret; using one for signatures and for key
//! agreement together is sound (Thormarker, "On using the same key pair for
//! Ed25519 and an X25519 based KEM", eprint 2021/509). The way from Ed25519 to
//! X25519 loses the sign, so two node ids have one X25519 form: the id itself
//! must travel in the handshake's payload and be checked there with
//! [`matches()`].
//!
//! ```
//! use antiphon_handshake::identity::{self, NodeSecret};
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::seed_from_u64(1);
//!
//! let secret = NodeSecret::generate(&mut rng);
//! let node = secret.node_id();
//! assert!(identity::matches(&node, &secret.noise_secret().public_key()));
//!
//! let signature = secret.sign(b"greeting", b"hello");
//! identity::verify(&node, b"greeting", b"hello", &signature)?;
//! assert!(identity::verify(&node, b"farewell", b"hello", &signature).is_err());
//! # Ok::<(), identity::SignatureError>(())
//! ```

use std::fmt;

use antiphon_types::NodeId;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::KEY_BYTES;
use crate::keys::{StaticSecret, random_secret};

/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// What every signed text begins with, so that no signature of ours is one of
/// another protocol under the same key.
const SIGNATURE_PREFIX: &[u8] = b"antiphon signature\0";

/// Why a node id is not the key of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// It is no point of the curve, or not the one encoding of it that
    /// RFC 8032 section 5.1.3 allows.
    #[error("the node id is not a canonical Ed25519 key: refuse the node")]
    NotCanonical,
    /// It has low order: everybody knows its shared secrets.
    #[error("the node id is a weak Ed25519 key: refuse the node")]
    Weak,
}

/// Why a signature was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The node id cannot sign anything.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It is not the node's signature of this message in this context.
    #[error("the signature is not the node's: refuse the message")]
    Refused,
}

/// A node's secret: the 32-byte seed of an Ed25519 key (RFC 8032 section
/// 5.1.5). Wiped when dropped, never printed.
#[derive(Clone)]
pub struct NodeSecret(SigningKey);

impl NodeSecret {
    /// A new identity: the next 32 bytes of `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::from_bytes(&random_secret(rng))
    }

    /// The identity of a stored seed.
    pub fn from_bytes(seed: &[u8; KEY_BYTES]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, to be stored where nobody else reads.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The node's name: its Ed25519 public key.
    pub fn node_id(&self) -> NodeId {
        NodeId::new(self.0.verifying_key().to_bytes())
    }

    /// The X25519 form of the secret, for handshakes. Costs a hash and a field
    /// inversion: keep it rather than asking again for each handshake.
    pub fn noise_secret(&self) -> StaticSecret {
        let secret = Zeroizing::new(self.0.to_scalar_bytes());
        StaticSecret::with_public(&secret, self.0.verifying_key().to_montgomery().to_bytes())
    }

    /// Signs `message` for one purpose, which `context` names; a signature for
    /// one is none for another.
    ///
    /// It is the pure Ed25519 signature (RFC 8032 section 5.1.6) of the bytes
    /// `antiphon signature`, a zero byte, the context's length as a 64-bit
    /// little-endian number, the context, and the message.
    pub fn sign(&self, context: &[u8], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&signed_text(context, message)).to_bytes()
    }
}

impl fmt::Debug for NodeSecret {
    /// The node id alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeSecret").field(&self.node_id()).finish()
    }
}

/// Checks a signature of [`NodeSecret::sign`].
///
/// Strict: weak and non-canonical keys, signatures that are not in their one
/// canonical form, and such with a point of low order are refused, so that a
/// signature cannot be turned into another of the same message.
///
/// # Errors
///
/// [`SignatureError`], for a signature of any length other than 64 bytes too.
pub fn verify(
    node: &NodeId,
    context: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = verifying_key(node)?;
    let signature = Signature::from_slice(signature).map_err(|_| SignatureError::Refused)?;
    key.verify_strict(&signed_text(context, message), &signature)
        .map_err(|_| SignatureError::Refused)
}

/// The X25519 form of a node's key: the static key that its handshakes use
/// (RFC 7748 section 4.1, the birational map).
///
/// A key of mixed order is let pass: it is a name of its own, and nobody else's.
///
/// # Errors
///
/// [`IdentityError`] if the id is not a good Ed25519 key.
pub fn noise_public(node: &NodeId) -> Result<[u8; KEY_BYTES], IdentityError> {
    Ok(verifying_key(node)?.to_montgomery().to_bytes())
}

/// Whether `noise_static`, the static key that a handshake has proven, is that
/// of `node`. False for an id that is not a good key.
pub fn matches(node: &NodeId, noise_static: &[u8; KEY_BYTES]) -> bool {
    noise_public(node).is_ok_and(|public| public == *noise_static)
}

fn verifying_key(node: &NodeId) -> Result<VerifyingKey, IdentityError> {
    let key = VerifyingKey::from_bytes(node.as_bytes()).map_err(|_| IdentityError::NotCanonical)?;
    // The decoder follows ZIP 215 and takes several encodings of one point.
    if key.to_edwards().compress().as_bytes() != node.as_bytes() {
        return Err(IdentityError::NotCanonical);
    }
    if key.is_weak() {
        return Err(IdentityError::Weak);
    }
    Ok(key)
}

fn signed_text(context: &[u8], message: &[u8]) -> Vec<u8> {
    let context_bytes = (context.len() as u64).to_le_bytes();
    [SIGNATURE_PREFIX, &context_bytes, context, message].concat()
}
