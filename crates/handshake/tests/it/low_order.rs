//! Case N3: public keys of low order, in every encoding.

use antiphon_handshake::{Handshake, HandshakeError, Hash, Params, Pattern, StaticSecret};

use crate::support::{IK, XX, assert_forgotten, read, reader_of, rng, write};

/// The field's modulus, 2^255 - 19, little-endian.
const P: [u8; 32] = {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    p
};

/// The sum of two numbers, if it is below 2^255.
fn sum(a: &[u8; 32], b: &[u8; 32]) -> Option<[u8; 32]> {
    let (mut sum, mut carry) = ([0; 32], 0);
    for (digit, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
        carry += u16::from(*a) + u16::from(*b);
        *digit = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    (carry == 0 && sum[31] < 0x80).then_some(sum)
}

fn small(number: u8) -> [u8; 32] {
    let mut key = [0; 32];
    key[0] = number;
    key
}

/// P less a number of at most 0xed.
fn below_p(number: u8) -> [u8; 32] {
    let mut key = P;
    key[0] -= number;
    key
}

/// Every encoding of these coordinates: as it is and with the modulus added
/// where that fits into 255 bits, and each with the unused bit set too.
fn encodings(coordinates: impl IntoIterator<Item = [u8; 32]>) -> Vec<[u8; 32]> {
    let mut keys = Vec::new();
    for coordinate in coordinates {
        for mut key in [Some(coordinate), sum(&coordinate, &P)].into_iter().flatten() {
            keys.push(key);
            key[31] |= 0x80;
            keys.push(key);
        }
    }
    keys
}

/// Every public key of low order: on the curve 0 (order 2), 1 (order 4) and the
/// two of order 8; on its twist 0 and -1. What Wycheproof has beyond these
/// fourteen are keys of an unmasked top bit, which RFC 7748 makes ordinary.
fn low_order_keys() -> Vec<[u8; 32]> {
    let order_8 = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ]
    .map(|text| hex::decode(text).unwrap().try_into().unwrap());
    let keys = encodings([small(0), small(1), below_p(1), order_8[0], order_8[1]]);
    assert_eq!(keys.len(), 14);
    keys
}

/// The neighbours of those, in every encoding: keys that nobody would choose,
/// but of large order on the curve or its twist.
#[test]
fn n3_keys_beside_those_of_low_order_are_accepted() {
    let mut rng = rng(1);
    let secret = StaticSecret::generate(&mut rng);
    let keys = encodings((2..=18).map(small).chain((2..=20).map(below_p)));
    assert_eq!(keys.len(), 2 * (2 * 17 + 19));
    for key in keys {
        let mut handshake =
            Handshake::initiator(IK, b"", Some(&secret), Some(key), &mut rng).unwrap();
        assert!(write(&mut handshake, b"request").is_ok(), "{}", hex::encode(key));
    }
}

#[test]
fn n3_a_low_order_key_known_beforehand_is_refused() {
    let mut rng = rng(1);
    let secret = StaticSecret::generate(&mut rng);
    for key in low_order_keys() {
        let mut handshake =
            Handshake::initiator(IK, b"", Some(&secret), Some(key), &mut rng).unwrap();
        assert_eq!(write(&mut handshake, b"request"), Err(HandshakeError::Refused));
        assert_forgotten(&mut handshake);
    }
}

#[test]
fn n3_a_low_order_ephemeral_key_is_refused() {
    for key in low_order_keys() {
        // IK and NK mix it at once, XX when the answer is written.
        for params in [IK, Params::new(Pattern::NK, Hash::Sha256)] {
            let (mut reader, _, mut message) = reader_of(params, 0);
            message[..32].copy_from_slice(&key);
            assert_eq!(read(&mut reader, &message), Err(HandshakeError::Refused));
            assert_forgotten(&mut reader);
        }
        let (mut reader, _, mut message) = reader_of(XX, 0);
        message[..32].copy_from_slice(&key);
        read(&mut reader, &message).unwrap();
        assert_eq!(write(&mut reader, b""), Err(HandshakeError::Refused));
        assert_forgotten(&mut reader);
        let (mut reader, _, mut message) = reader_of(XX, 1);
        message[..32].copy_from_slice(&key);
        assert_eq!(read(&mut reader, &message), Err(HandshakeError::Refused));
    }
}

#[test]
fn n3_a_low_order_static_key_that_was_sent_is_refused() {
    let params = Params::new(Pattern::IX, Hash::Blake2s);
    for key in low_order_keys() {
        // The one kind of message that carries a static key in the clear, so
        // that it can be exchanged without the secrets of the session.
        let (mut reader, _, mut message) = reader_of(params, 0);
        message[32..64].copy_from_slice(&key);
        read(&mut reader, &message).unwrap();
        assert_eq!(write(&mut reader, b""), Err(HandshakeError::Refused));
        assert_forgotten(&mut reader);
    }
}
