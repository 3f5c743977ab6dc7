use antiphon_media::{RenditionKey, apply_keystream};
use proptest::prelude::*;

#[test]
fn keys_follow_from_secret_and_plaintext() {
    let key = |secret: u8, hash: u8| *RenditionKey::derive(&[secret; 32], &[hash; 32]).as_bytes();
    assert_eq!(key(1, 2), key(1, 2));
    assert_ne!(key(1, 2), key(2, 1));
    assert_ne!(key(1, 2), key(1, 3));
}

#[test]
fn the_keystream_is_chacha20_of_rfc_8439() {
    // RFC 8439 appendix A.1, test vector 1: zero key, nonce and counter.
    let mut bytes = [0; 16];
    apply_keystream(&RenditionKey::new([0; 32]), 0, &mut bytes).unwrap();
    assert_eq!(bytes, *b"\x76\xb8\xe0\xad\xa0\xf1\x3d\x90\x40\x5d\x6a\xe5\x53\x86\xbd\x28");
}

#[test]
fn offsets_beyond_the_key_are_refused() {
    let key = RenditionKey::new([9; 32]);
    assert!(apply_keystream(&key, u64::MAX, &mut [0; 4]).is_err());
    assert!(apply_keystream(&key, 1 << 36, &mut [0; 4]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_range_decrypts_alone(offset in 0_usize..5000, length in 0_usize..3000) {
        let key = RenditionKey::new([5; 32]);
        let plain: Vec<u8> = (0..8000_u32).map(|i| (i * 7) as u8).collect();
        let mut whole = plain.clone();
        apply_keystream(&key, 0, &mut whole).unwrap();
        let mut part = whole[offset..offset + length].to_vec();
        apply_keystream(&key, offset as u64, &mut part).unwrap();
        prop_assert_eq!(&part, &plain[offset..offset + length]);
    }
}
