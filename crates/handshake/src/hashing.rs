//! Hash, HMAC and HKDF, for whichever hash function the protocol names (Noise
//! section 4.3).

use std::ops::Deref;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::params::Hash;
use crate::primitives::{self, HashFunction, Primitives};

/// Length of the longest output, that of BLAKE2b.
const MAX_OUTPUT_BYTES: usize = 64;
/// Length of the longest block, that of BLAKE2b.
const MAX_BLOCK_BYTES: usize = 128;

/// The output of a hash function: 32 or 64 bytes, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Output {
    bytes: [u8; MAX_OUTPUT_BYTES],
    len: usize,
}

impl Output {
    /// `output_bytes` zeros.
    fn zeros(output_bytes: usize) -> Self {
        Self { bytes: [0; MAX_OUTPUT_BYTES], len: output_bytes }
    }

    fn finish<H: HashFunction>(hasher: H) -> Self {
        let mut output = Self::zeros(H::OUTPUT_BYTES);
        hasher.finish(&mut output.bytes[..output.len]);
        output
    }

    /// The first 32 bytes, which every hash function gives: a cipher's key.
    pub(crate) fn key(&self) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&self.bytes[..32]);
        key
    }
}

impl Deref for Output {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Hash {
    /// The hash of `parts`, one after the other.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Output {
        type P = primitives::Default;
        match self {
            Self::Blake2s => digest::<<P as Primitives>::Blake2s>(parts),
            Self::Blake2b => digest::<<P as Primitives>::Blake2b>(parts),
            Self::Sha256 => digest::<<P as Primitives>::Sha256>(parts),
        }
    }

    /// `HKDF` with two or three outputs (Noise section 4.3).
    pub(crate) fn hkdf<const N: usize>(self, chaining_key: &[u8], input: &[u8]) -> [Output; N] {
        type P = primitives::Default;
        match self {
            Self::Blake2s => hkdf::<<P as Primitives>::Blake2s, N>(chaining_key, input),
            Self::Blake2b => hkdf::<<P as Primitives>::Blake2b, N>(chaining_key, input),
            Self::Sha256 => hkdf::<<P as Primitives>::Sha256, N>(chaining_key, input),
        }
    }

    /// The protocol's name, padded with zeros to a hash, or hashed if it is
    /// longer than one (Noise section 5.2, `InitializeSymmetric`).
    pub(crate) fn digest_name(self, parts: [&str; 9]) -> Output {
        let mut output = Self::digest(self, &parts.map(str::as_bytes));
        let name_bytes: usize = parts.iter().map(|part| part.len()).sum();
        if name_bytes <= output.len {
            output = Output::zeros(output.len);
            let mut start = 0;
            for part in parts {
                output.bytes[start..start + part.len()].copy_from_slice(part.as_bytes());
                start += part.len();
            }
        }
        output
    }
}

fn digest<H: HashFunction>(parts: &[&[u8]]) -> Output {
    let mut hasher = H::new();
    parts.iter().for_each(|part| hasher.update(part));
    Output::finish(hasher)
}

/// HMAC (RFC 2104) under one key, whose two blocks are hashed only once.
#[derive(Clone)]
struct Hmac<H> {
    inner: H,
    outer: H,
}

impl<H: HashFunction> Hmac<H> {
    /// HMAC under a key of at most a block: Noise keys it with hashes only.
    fn new(key: &[u8]) -> Self {
        let keyed = |pad: u8| {
            let mut block = Zeroizing::new([pad; MAX_BLOCK_BYTES]);
            block.iter_mut().zip(key).for_each(|(byte, key_byte)| *byte ^= key_byte);
            let mut hasher = H::new();
            hasher.update(&block[..H::BLOCK_BYTES]);
            hasher
        };
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    fn mac(mut self, parts: &[&[u8]]) -> Output {
        parts.iter().for_each(|part| self.inner.update(part));
        self.outer.update(&Output::finish(self.inner));
        Output::finish(self.outer)
    }
}

fn hkdf<H: HashFunction, const N: usize>(chaining_key: &[u8], input: &[u8]) -> [Output; N] {
    let temporary_key = Hmac::<H>::new(chaining_key).mac(&[input]);
    let expand = Hmac::<H>::new(&temporary_key);
    let (mut last, mut number) = (Output::zeros(0), 0);
    std::array::from_fn(|_| {
        number += 1;
        last = expand.clone().mac(&[&last, &[number]]);
        last.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use crate::pattern::Pattern;

    type Sha256 = <primitives::Default as Primitives>::Sha256;

    /// RFC 4231 test cases 1 and 2.
    #[test]
    fn hmac_gives_the_published_values() {
        let cases: [(&[u8], &[u8], &str); 2] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ];
        for (key, data, mac) in cases {
            assert_eq!(hex::encode(&*Hmac::<Sha256>::new(key).mac(&[data])), mac);
        }
    }

    /// RFC 5869 test case 3: empty salt and info, as Noise's HKDF has no info.
    #[test]
    fn hkdf_gives_the_published_value() {
        let [first, second] = hkdf::<Sha256, 2>(&[0; 32], &[0x0b; 22]);
        let output = [&*first, &*second].concat();
        assert_eq!(
            hex::encode(&output[..42]),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d\
             9d201395faa4b61a96c8"
        );
    }

    #[test]
    fn a_short_protocol_name_is_padded_and_a_long_one_hashed() {
        let name = |text: &str| text.to_owned();
        let short = Hash::Sha256.digest_name(Params::new(Pattern::XX, Hash::Sha256).name_parts());
        assert_eq!(*short, *name("Noise_XX_25519_ChaChaPoly_SHA256").as_bytes());
        let long = Hash::Blake2s.digest_name(Params::new(Pattern::XX, Hash::Blake2s).name_parts());
        assert_eq!(*long, *Hash::Blake2s.digest(&[b"Noise_XX_25519_ChaChaPoly_BLAKE2s"]));
    }
}
