//! Nonces in the caller's hand: any order, and what that costs.

use antiphon_handshake::{
    HandshakeError, Hash, MAX_MESSAGE_BYTES, Params, Pattern, StatelessTransport, TransportError,
};
use proptest::prelude::*;

use crate::conversation::transports;
use crate::support::{IK, Keys, XX, rng, run, with_room};

fn stateless(params: Params, seed: u64) -> (StatelessTransport, StatelessTransport) {
    let mut rng = rng(seed);
    let (mut initiator, mut responder) = Keys::new(&mut rng).pair(params, &mut rng);
    run(&mut initiator, &mut responder, params.pattern.message_count());
    (initiator.into_stateless_transport().unwrap(), responder.into_stateless_transport().unwrap())
}

#[test]
fn it_makes_the_messages_of_the_ordered_transport() {
    for params in [IK, XX] {
        let ((ours, theirs), (mut ordered, _)) = (stateless(params, 1), transports(params, 1));
        for nonce in 0..5 {
            let (mut record, mut expected) = (with_room(b"text"), with_room(b"text"));
            ours.sender.encrypt_in_place(nonce, &mut record).unwrap();
            ordered.sender.encrypt_in_place(&mut expected).unwrap();
            assert_eq!(record, expected);
            assert_eq!(theirs.receiver.decrypt_in_place(nonce, &mut record), Ok(4));
        }
    }
}

#[test]
fn the_reserved_nonce_is_refused() {
    let (ours, theirs) = stateless(IK, 2);
    let mut record = [7; 40];
    let exhausted = TransportError::Exhausted;
    assert_eq!(ours.sender.encrypt_in_place(u64::MAX, &mut record), Err(exhausted));
    assert_eq!(theirs.receiver.decrypt_in_place(u64::MAX, &mut record), Err(exhausted));
    assert_eq!(record, [7; 40], "nothing was encrypted");
    ours.sender.encrypt_in_place(u64::MAX - 1, &mut record).unwrap();
    assert_eq!(theirs.receiver.decrypt_in_place(u64::MAX - 1, &mut record), Ok(24));
}

#[test]
fn lengths_are_those_of_the_ordered_transport() {
    let (ours, theirs) = stateless(IK, 3);
    for bytes in [0, 15, MAX_MESSAGE_BYTES + 1] {
        let refused = Err(TransportError::Length { bytes });
        assert_eq!(ours.sender.encrypt_in_place(0, &mut vec![0; bytes]), refused);
        let refused = Err(TransportError::Refused);
        assert_eq!(theirs.receiver.decrypt_in_place(0, &mut vec![0; bytes]), refused);
    }
}

#[test]
fn a_rekey_is_done_on_both_sides() {
    let (mut ours, mut theirs) = stateless(IK, 4);
    ours.sender.rekey();
    let mut record = with_room(b"text");
    ours.sender.encrypt_in_place(9, &mut record).unwrap();
    let refused = theirs.receiver.decrypt_in_place(9, &mut record.clone());
    assert_eq!(refused, Err(TransportError::Refused));
    theirs.receiver.rekey();
    assert_eq!(theirs.receiver.decrypt_in_place(9, &mut record), Ok(4));
}

#[test]
fn a_one_way_or_unfinished_handshake_gives_none() {
    let mut rng = rng(5);
    let keys = Keys::new(&mut rng);
    let (initiator, _) = keys.pair(XX, &mut rng);
    assert_eq!(initiator.into_stateless_transport().unwrap_err(), HandshakeError::Unfinished);
    let params = Params::new(Pattern::X, Hash::Sha256);
    let (mut initiator, mut responder) = keys.pair(params, &mut rng);
    run(&mut initiator, &mut responder, 1);
    assert_eq!(initiator.into_stateless_transport().unwrap_err(), HandshakeError::OneWay);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn messages_are_read_in_any_order_and_under_their_nonce_alone(
        seed: u64,
        nonces in prop::collection::btree_set(0..u64::MAX, 1..20),
        order: prop::sample::Index,
        other in 0..u64::MAX,
    ) {
        let (ours, theirs) = stateless(IK, seed);
        let mut records: Vec<(u64, Vec<u8>)> = nonces
            .iter()
            .map(|&nonce| {
                let mut record = with_room(&nonce.to_be_bytes());
                ours.sender.encrypt_in_place(nonce, &mut record).unwrap();
                (nonce, record)
            })
            .collect();
        let start = order.index(records.len());
        records.rotate_left(start);
        records[start / 2..].reverse();
        for (nonce, record) in &mut records {
            if other != *nonce {
                let refused = theirs.receiver.decrypt_in_place(other, &mut record.clone());
                prop_assert_eq!(refused, Err(TransportError::Refused));
            }
            prop_assert_eq!(theirs.receiver.decrypt_in_place(*nonce, record), Ok(8));
            prop_assert_eq!(&record[..8], nonce.to_be_bytes());
        }
    }
}
