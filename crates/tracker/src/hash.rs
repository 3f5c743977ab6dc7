//! Hashes of ids that strangers choose.

use antiphon_types::{BlobId, NodeId};

/// A secret that makes hashes unpredictable to whoever chooses what is hashed.
#[derive(Clone, Copy)]
pub(crate) struct HashKey {
    k0: u64,
    k1: u64,
}

impl HashKey {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let [low, high] = [&key[..8], &key[8..]].map(word);
        Self { k0: low, k1: high }
    }

    pub(crate) fn blob(self, blob: &BlobId) -> IdHash {
        IdHash(self.siphash::<1, 3>(blob.as_bytes()))
    }

    pub(crate) fn node(self, node: &NodeId) -> IdHash {
        IdHash(self.siphash::<1, 3>(node.as_bytes()))
    }

    /// SipHash-C-D (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
    /// section 2). 1-3 is what hash tables use: nobody sees a hash, so all it
    /// must be is hard to guess.
    fn siphash<const C: usize, const D: usize>(self, bytes: &[u8]) -> u64 {
        let mut state = Sip([
            self.k0 ^ 0x736f_6d65_7073_6575,
            self.k1 ^ 0x646f_7261_6e64_6f6d,
            self.k0 ^ 0x6c79_6765_6e65_7261,
            self.k1 ^ 0x7465_6462_7974_6573,
        ]);
        let (words, rest) = bytes.as_chunks::<8>();
        for bytes in words {
            state.compress::<C>(word(bytes));
        }
        // The last word ends with the length modulo 256.
        let length = (bytes.len() as u64) << 56;
        state.compress::<C>(length | word(rest));
        state.0[2] ^= 0xff;
        (0..D).for_each(|_| state.round());
        state.0.into_iter().fold(0, |sum, word| sum ^ word)
    }
}

/// Up to 8 bytes, the lowest first.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

struct Sip([u64; 4]);

impl Sip {
    #[inline]
    fn compress<const C: usize>(&mut self, word: u64) {
        self.0[3] ^= word;
        (0..C).for_each(|_| self.round());
        self.0[0] ^= word;
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

/// The hash of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdHash(u64);

impl IdHash {
    /// Which of 256 shards the id belongs to.
    pub(crate) fn shard(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// What a table within the shard goes by: other bits than the shard's.
    pub(crate) fn fragment(self) -> u32 {
        let [_, _, _, _, bytes @ ..] = self.0.to_be_bytes();
        u32::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting<const N: usize>() -> [u8; N] {
        std::array::from_fn(|index| u8::try_from(index).unwrap())
    }

    /// Appendix A of the paper.
    #[test]
    fn it_is_siphash() {
        let hash = HashKey::new(counting()).siphash::<2, 4>(&counting::<15>());
        assert_eq!(hash, 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_hash_depends_on_every_byte_and_on_the_key() {
        let hash = |key, id| HashKey::new(key).blob(&BlobId::new(id));
        let here = hash([7; 16], [1; 32]);
        assert_eq!(here, hash([7; 16], [1; 32]));
        for index in 0..32 {
            let mut id = [1; 32];
            id[index] = 2;
            assert_ne!(here, hash([7; 16], id), "byte {index} of the id");
        }
        for index in 0..16 {
            let mut key = [7; 16];
            key[index] = 8;
            assert_ne!(here, hash(key, [1; 32]), "byte {index} of the key");
        }
    }
}
