//! Two libraries, one behaviour: what one of them makes, the other takes.

use proptest::prelude::*;

use super::aws_lc::AwsLc;
use super::rustcrypto::RustCrypto;
use super::{Cipher, Primitives, Secret, Unauthentic};

type Cipher1 = <RustCrypto as Primitives>::Cipher;
type Cipher2 = <AwsLc as Primitives>::Cipher;
type Secret1 = <RustCrypto as Primitives>::Secret;
type Secret2 = <AwsLc as Primitives>::Secret;

/// Encrypts with one, decrypts with the other; then with an altered tag.
fn crosses<A: Cipher, B: Cipher>(key: &[u8; 32], nonce: u64, associated: &[u8], text: &[u8]) {
    let mut buffer = text.to_vec();
    let mut tag = A::new(key).encrypt(nonce, associated, &mut buffer);
    let ciphertext = buffer.clone();
    let other = B::new(key);
    assert_eq!(other.decrypt(nonce, associated, &mut buffer, &tag), Ok(()));
    assert_eq!(buffer, text);
    assert_eq!(other.encrypt(nonce, associated, &mut buffer), tag);
    assert_eq!(buffer, ciphertext);
    tag[15] ^= 0x80;
    assert_eq!(other.decrypt(nonce, associated, &mut buffer, &tag), Err(Unauthentic));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn secrets_have_the_same_public_key_and_agree(ours: [u8; 32], theirs: [u8; 32]) {
        let (one, two) = (Secret1::new(&ours), Secret2::new(&ours));
        prop_assert_eq!(one.public_key(), two.public_key());
        let public = Secret1::new(&theirs).public_key();
        prop_assert_eq!(one.agree(&public), two.agree(&public));
        // Bytes that need not be a point of the curve: its twist, and values
        // beyond the field.
        prop_assert_eq!(one.agree(&theirs), two.agree(&theirs));
        let mut beyond = [0xff; 32];
        beyond[0] = theirs[0];
        prop_assert_eq!(one.agree(&beyond), two.agree(&beyond));
    }

    #[test]
    fn ciphers_make_the_same_messages(
        key: [u8; 32],
        nonce: u64,
        associated in prop::collection::vec(any::<u8>(), 0..70),
        text in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        crosses::<Cipher1, Cipher2>(&key, nonce, &associated, &text);
        crosses::<Cipher2, Cipher1>(&key, nonce, &associated, &text);
    }
}
