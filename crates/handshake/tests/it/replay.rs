//! Case N5: recorded first messages, and the filter that knows them.

use antiphon_handshake::{HandshakeError, ReplayFilter, Role};
use proptest::prelude::*;

use crate::support::{IK, Keys, read, rng, write};

/// A responder as it should be: nothing is remembered that was not authentic.
fn respond(
    filter: &mut ReplayFilter,
    keys: &Keys,
    message: &[u8],
    seed: u64,
) -> Result<bool, HandshakeError> {
    let mut responder = keys.begin(Role::Responder, IK, b"prologue", &mut rng(seed));
    read(&mut responder, message)?;
    Ok(filter.insert(message[..32].try_into().unwrap()))
}

#[test]
fn n5_a_recorded_first_message_is_known_however_it_is_disguised() {
    let mut rng = rng(1);
    let keys = Keys::new(&mut rng);
    let mut filter = ReplayFilter::new(1_000);
    let mut recorded = Vec::new();
    for seed in 0..10 {
        let (mut initiator, _) = keys.pair(IK, &mut rng);
        let message = write(&mut initiator, b"early data").unwrap();
        assert_eq!(respond(&mut filter, &keys, &message, seed), Ok(true));
        recorded.push(message);
    }
    for message in &mut recorded {
        assert_eq!(respond(&mut filter, &keys, message, 99), Ok(false));
        // X25519 ignores this bit, so the shared secrets are the same; the
        // transcript is not.
        message[31] ^= 0x80;
        let disguised = respond(&mut filter, &keys, message, 99);
        assert_eq!(disguised, Err(HandshakeError::Refused));
    }
    assert_eq!(filter.len(), 10, "nothing that was refused is remembered");
}

/// The bound, and what flushing the filter gains: one repetition.
#[test]
fn n5_a_flushed_filter_forgets_the_oldest_and_no_more() {
    let key = |number: u32| {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    };
    let mut filter = ReplayFilter::new(100);
    assert!(filter.is_empty());
    for number in 0..100 {
        assert!(filter.insert(key(number)));
    }
    assert!(!filter.insert(key(0)), "a replay does not make it younger or older");
    assert!(filter.insert(key(100)));
    assert!(!filter.insert(key(1)));
    assert!(filter.insert(key(0)));
    assert!(!filter.insert(key(0)));
    assert_eq!(filter.len(), 100);
    let mut none = ReplayFilter::new(0);
    assert!(none.insert(key(1)) && none.insert(key(1)) && none.is_empty());
}

proptest! {
    #[test]
    fn n5_the_last_keys_are_known_and_never_more(
        capacity in 0..20_usize,
        keys in prop::collection::vec(0..40_u8, 0..200),
    ) {
        let mut filter = ReplayFilter::new(capacity);
        let mut model: Vec<u8> = Vec::new();
        for key in keys {
            let known = model.contains(&key);
            prop_assert_eq!(filter.insert([key; 32]), !known);
            if !known {
                model.push(key);
                if model.len() > capacity {
                    model.remove(0);
                }
            }
            prop_assert_eq!(filter.len(), model.len());
        }
    }
}
