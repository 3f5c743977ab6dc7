//! Proof that a node can be reached at an address.
//!
//! A server names listeners to each other. If it took their word for where they
//! are, one could send all the others to a victim. So it tells an address only
//! who receives packets there, with a code by a key that it alone has, and later
//! believes whoever shows it the code. It keeps nothing meanwhile.

use std::fmt;
use std::net::SocketAddr;

use antiphon_handshake::KEY_BYTES;
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// How long a proof is good for, in milliseconds.
pub const PROOF_LIFETIME_MS: u64 = 5 * 60 * 1_000;

/// How far the server's clock may have been set back since.
const MAX_SETBACK_MS: u64 = 10 * 1_000;

/// What is hashed before an address.
const CONTEXT: &[u8] = b"antiphon udp address v1";

/// Bytes of the code.
const CODE_BYTES: usize = 16;

/// The block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// The key of proofs, known to those who check them alone.
pub struct ProofKey(Zeroizing<[u8; KEY_BYTES]>);

/// Says that a node received a packet at an address, and when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof([u8; Self::BYTES]);

/// Why a proof is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It is older than [`PROOF_LIFETIME_MS`], or of a time that is to come.
    #[error("the proof of the address has expired: ask for the address again")]
    Expired,
    /// It is of another address, by another key, or made up.
    #[error("the proof is not of this address: refuse the address")]
    Wrong,
}

impl ProofKey {
    /// A key that was kept, or that several servers share.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// A new key. Proofs by an old one are refused, so that one drawn at each
    /// start will do.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The proof that a packet came from `address` at `now_ms`, in milliseconds
    /// since 1970.
    pub fn prove(&self, address: SocketAddr, now_ms: u64) -> Proof {
        let mut proof = [0; Proof::BYTES];
        proof[..8].copy_from_slice(&now_ms.to_be_bytes());
        proof[8..].copy_from_slice(&self.code(address, now_ms));
        Proof(proof)
    }

    /// Checks that `proof` is of `address` and not too old at `now_ms`.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn check(&self, address: SocketAddr, proof: &Proof, now_ms: u64) -> Result<(), ProofError> {
        let made_ms = proof.made_ms();
        let expected = self.code(address, made_ms);
        // All of it, so that the time taken does not tell where they differ.
        let differ = proof.0[8..].iter().zip(expected).fold(0, |differ, (a, b)| differ | (a ^ b));
        if differ != 0 {
            return Err(ProofError::Wrong);
        }
        let in_time = made_ms <= now_ms.saturating_add(MAX_SETBACK_MS)
            && now_ms <= made_ms.saturating_add(PROOF_LIFETIME_MS);
        if in_time { Ok(()) } else { Err(ProofError::Expired) }
    }

    fn code(&self, address: SocketAddr, made_ms: u64) -> [u8; CODE_BYTES] {
        let ip = match address.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            std::net::IpAddr::V6(ip) => ip,
        };
        let parts: [&[u8]; 4] =
            [CONTEXT, &ip.octets(), &address.port().to_be_bytes(), &made_ms.to_be_bytes()];
        let mut code = [0; CODE_BYTES];
        code.copy_from_slice(&hmac(&self.0, &parts)[..CODE_BYTES]);
        code
    }
}

impl Proof {
    /// Its length.
    pub const BYTES: usize = 8 + CODE_BYTES;

    /// A proof that somebody shows; `None` if it is of another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes, to be shown.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    fn made_ms(&self) -> u64 {
        self.0[..8].iter().fold(0, |made, &byte| made << 8 | u64::from(byte))
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has it may claim the address for some minutes.
        f.debug_struct("Proof").field("made_ms", &self.made_ms()).finish_non_exhaustive()
    }
}

/// HMAC-SHA256 (RFC 2104) with a key shorter than a block.
fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = Zeroizing::new([with; BLOCK_BYTES]);
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let mut inner = Sha256::new_with_prefix(*padded(0x36));
    parts.iter().for_each(|part| inner.update(part));
    let outer = Sha256::new_with_prefix(*padded(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 1; its key has 20 bytes, and zeros follow in any case.
    #[test]
    fn the_code_is_hmac_sha256() {
        let mut key = [0; KEY_BYTES];
        key[..20].fill(0x0b);
        let code = hmac(&key, &[b"Hi ", b"There"]);
        let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    }

    #[test]
    fn a_proof_is_of_one_address_and_one_key_and_of_some_minutes() {
        let key = ProofKey::from_bytes(&[7; 32]);
        let address: SocketAddr = "192.0.2.1:7700".parse().unwrap();
        let proof = key.prove(address, 1_000_000);
        let proof = Proof::from_slice(proof.as_bytes()).unwrap();
        assert_eq!(key.check(address, &proof, 1_000_000 + PROOF_LIFETIME_MS), Ok(()));
        let mapped = "[::ffff:192.0.2.1]:7700".parse().unwrap();
        assert_eq!(key.check(mapped, &proof, 995_000), Ok(()));
        for late in [1_000_001 + PROOF_LIFETIME_MS, 989_999, 0, u64::MAX] {
            assert_eq!(key.check(address, &proof, late), Err(ProofError::Expired));
        }
        for other in ["192.0.2.1:7701", "192.0.2.2:7700", "[2001:db8::1]:7700"] {
            let other = other.parse().unwrap();
            assert_eq!(key.check(other, &proof, 1_000_000), Err(ProofError::Wrong));
        }
        let other = ProofKey::from_bytes(&[8; 32]);
        assert_eq!(other.check(address, &proof, 1_000_000), Err(ProofError::Wrong));
        for index in 0..Proof::BYTES {
            let mut forged = *proof.as_bytes();
            forged[index] ^= 1;
            let forged = Proof::from_slice(&forged).unwrap();
            assert_eq!(key.check(address, &forged, 1_000_000), Err(ProofError::Wrong));
        }
        assert_eq!(Proof::from_slice(&proof.as_bytes()[1..]), None);
    }
}
