//! Turns, buffers, keys and lengths: what a caller can do right and wrong.

use std::num::NonZeroU64;

use antiphon_handshake::{
    Finished, Handshake, HandshakeError, Hash, MAX_MESSAGE_BYTES, Params, Pattern, Role,
    SetupError, StaticSecret, TAG_BYTES, Transport, TransportError, Turn,
};
use proptest::prelude::*;

use crate::support::{IK, Keys, XX, all_params, psk_params, read, rng, run, with_room, write};

pub(crate) fn transports(params: Params, seed: u64) -> (Transport, Transport) {
    let mut rng = rng(seed);
    let (mut initiator, mut responder) = Keys::new(&mut rng).pair(params, &mut rng);
    run(&mut initiator, &mut responder, params.pattern.message_count());
    (initiator.into_transport().unwrap(), responder.into_transport().unwrap())
}

#[test]
fn keys_that_the_pattern_lacks_or_does_not_want_are_refused() {
    let mut rng = rng(1);
    let keys = Keys::new(&mut rng);
    let (local, remote) = (Some(&keys.initiator), Some(keys.responder.public_key()));
    for params in all_params() {
        let pattern = params.pattern;
        let mut begin = |role, local, remote| {
            match role {
                Role::Initiator => Handshake::initiator(params, b"", local, remote, &mut rng),
                Role::Responder => Handshake::responder(params, b"", local, remote, &mut rng),
            }
            .err()
        };
        for role in [Role::Initiator, Role::Responder] {
            let has_local = pattern.has_static(role);
            let (good, bad, error) = if has_local {
                (local, None, SetupError::MissingLocal)
            } else {
                (None, local, SetupError::UnusedLocal)
            };
            assert_eq!(begin(role, bad, None), Some(error), "{pattern} {role:?}");
            let (good_remote, bad_remote, error) = if pattern.static_known_beforehand(role.peer()) {
                (remote, None, SetupError::MissingRemote)
            } else {
                (None, remote, SetupError::UnusedRemote)
            };
            assert_eq!(begin(role, good, bad_remote), Some(error), "{pattern} {role:?}");
            assert_eq!(begin(role, good, good_remote), None, "{pattern} {role:?}");
        }
    }
}

#[test]
fn a_message_out_of_turn_is_an_error_and_changes_nothing() {
    let mut rng = rng(2);
    let (mut initiator, mut responder) = Keys::new(&mut rng).pair(XX, &mut rng);
    let mut buffer = [0; 256];
    let out_of_turn = Err(HandshakeError::OutOfTurn);
    for message in 0..3 {
        let (writer, reader) = if message % 2 == 0 {
            (&mut initiator, &mut responder)
        } else {
            (&mut responder, &mut initiator)
        };
        assert!(writer.is_my_turn() && !reader.is_my_turn());
        assert!(!writer.is_finished() && writer.handshake_hash().is_none());
        assert_eq!(reader.write_message(b"", &mut buffer), out_of_turn);
        assert_eq!(writer.read_message(&[0; 128], &mut buffer), out_of_turn);
        let sent = write(writer, b"x").unwrap();
        assert_eq!(writer.write_message(b"", &mut buffer), out_of_turn);
        assert_eq!(read(reader, &sent).unwrap(), b"x");
        if !reader.is_finished() {
            assert_eq!(reader.read_message(&sent, &mut buffer), out_of_turn);
        }
    }
    for side in [&mut initiator, &mut responder] {
        assert!(side.is_finished() && !side.is_my_turn());
        assert_eq!(side.next_overhead_bytes(), 0);
        assert_eq!(side.write_message(b"", &mut buffer), out_of_turn);
        assert_eq!(side.read_message(&[0; 128], &mut buffer), out_of_turn);
    }
    assert_eq!(initiator.handshake_hash(), responder.handshake_hash());
}

#[test]
fn a_transport_before_the_end_is_an_error() {
    let mut rng = rng(3);
    let keys = Keys::new(&mut rng);
    for messages in 0..3 {
        let (mut initiator, mut responder) = keys.pair(XX, &mut rng);
        run(&mut initiator, &mut responder, messages);
        for side in [initiator, responder] {
            assert_eq!(side.into_transport().unwrap_err(), HandshakeError::Unfinished);
        }
    }
}

#[test]
fn a_one_way_pattern_has_one_direction() {
    let mut rng = rng(4);
    let keys = Keys::new(&mut rng);
    for pattern in [Pattern::N, Pattern::K, Pattern::X] {
        let params = Params::new(pattern, Hash::Sha256);
        let finished = |rng: &mut _| {
            let (mut initiator, mut responder) = keys.pair(params, rng);
            run(&mut initiator, &mut responder, 1);
            (initiator, responder)
        };
        let (initiator, responder) = finished(&mut rng);
        assert_eq!(initiator.into_transport().unwrap_err(), HandshakeError::OneWay);
        assert_eq!(responder.into_sender().unwrap_err(), HandshakeError::OneWay);
        let (initiator, responder) = finished(&mut rng);
        assert_eq!(initiator.into_receiver().unwrap_err(), HandshakeError::OneWay);
        assert_eq!(responder.into_transport().unwrap_err(), HandshakeError::OneWay);
        let (initiator, responder) = finished(&mut rng);
        let mut record = with_room(b"to you alone");
        initiator.into_sender().unwrap().encrypt_in_place(&mut record).unwrap();
        assert_eq!(responder.into_receiver().unwrap().decrypt_in_place(&mut record), Ok(12));
    }
}

#[test]
fn a_buffer_that_is_too_small_says_what_it_needs_and_can_be_replaced() {
    let mut rng = rng(5);
    let (mut initiator, mut responder) = Keys::new(&mut rng).pair(IK, &mut rng);
    let needed = initiator.next_overhead_bytes() + 5;
    let mut message = vec![0; needed];
    let too_small = Err(HandshakeError::OutputTooSmall { needed });
    assert_eq!(initiator.write_message(b"hello", &mut message[1..]), too_small);
    assert_eq!(initiator.write_message(b"hello", &mut message), Ok(needed));
    let mut payload = [0; 5];
    let too_small = Err(HandshakeError::OutputTooSmall { needed: 5 });
    assert_eq!(responder.read_message(&message, &mut payload[1..]), too_small);
    assert_eq!(responder.read_message(&message, &mut payload), Ok(5));
    assert_eq!(&payload, b"hello");
}

#[test]
fn a_handshake_message_has_at_most_65535_bytes() {
    let mut rng = rng(6);
    let (mut initiator, mut responder) = Keys::new(&mut rng).pair(IK, &mut rng);
    let max = MAX_MESSAGE_BYTES - initiator.next_overhead_bytes();
    let mut out = vec![0; MAX_MESSAGE_BYTES + 1];
    let too_long = Err(HandshakeError::PayloadTooLong { max });
    assert_eq!(initiator.write_message(&vec![0; max + 1], &mut out), too_long);
    assert_eq!(initiator.write_message(&vec![0; max], &mut out), Ok(MAX_MESSAGE_BYTES));
    let mut payload = vec![0; max + 1];
    let longer = responder.read_message(&out, &mut payload);
    assert_eq!(longer, Err(HandshakeError::Refused), "too long from a remote is its fault");
}

#[test]
fn a_transport_message_has_16_to_65535_bytes() {
    let (mut ours, mut theirs) = transports(IK, 7);
    for bytes in [0, 1, TAG_BYTES - 1, MAX_MESSAGE_BYTES + 1] {
        let refused = Err(TransportError::Length { bytes });
        assert_eq!(ours.sender.encrypt_in_place(&mut vec![0; bytes]), refused);
        let refused = Err(TransportError::Refused);
        assert_eq!(theirs.receiver.decrypt_in_place(&mut vec![0; bytes]), refused);
    }
    let mut longest = vec![1; MAX_MESSAGE_BYTES];
    ours.sender.encrypt_in_place(&mut longest).unwrap();
    assert_eq!(theirs.receiver.decrypt_in_place(&mut longest), Ok(MAX_MESSAGE_BYTES - TAG_BYTES));
}

#[test]
fn a_detached_tag_is_the_same_message_in_two_pieces() {
    let (mut ours, mut theirs) = transports(XX, 8);
    let mut plaintext = *b"block data";
    let tag = ours.sender.encrypt_in_place_detached(&mut plaintext).unwrap();
    let mut message = [&plaintext[..], &tag].concat();
    assert_eq!(theirs.receiver.decrypt_in_place(&mut message), Ok(10));
    assert_eq!(&message[..10], b"block data");
}

#[test]
fn secrets_are_not_printed() {
    let mut rng = rng(9);
    let secret = StaticSecret::from_bytes(&[0x11; 32]);
    let handshake = Handshake::initiator(XX, b"", Some(&secret), None, &mut rng).unwrap();
    assert!(!format!("{secret:?}").contains("17, 17, 17"));
    let printed = format!("{handshake:?}");
    assert!(printed.contains("Noise_XX_25519_ChaChaPoly_BLAKE2s"), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
}

/// Runs a handshake turn by turn; what each side received, and its end.
fn take_turns(params: Params, seed: u64) -> [(Vec<Vec<u8>>, Finished); 2] {
    let mut rng = rng(seed);
    let (initiator, responder) = Keys::new(&mut rng).pair(params, &mut rng);
    let mut turns = [initiator.turn().unwrap(), responder.turn().unwrap()];
    let mut received = [Vec::new(), Vec::new()];
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    for number in 0_u8.. {
        let reader = usize::from((number + 1) % 2);
        turns = match turns {
            [Turn::Write(writer), Turn::Read(reading)] => {
                assert_eq!(
                    writer.handshake().next_overhead_bytes(),
                    reading.handshake().next_overhead_bytes()
                );
                let (written, sent) = writer.write(&[number], &mut message).unwrap();
                let (read, bytes) = reading.read(&message[..sent], &mut payload).unwrap();
                received[reader].push(payload[..bytes].to_vec());
                [read, written]
            }
            [Turn::Done(one), Turn::Done(other)] => {
                let mut ends = [one, other];
                if number % 2 == 1 {
                    ends.reverse();
                }
                let [first, second] = received;
                let [initiator, responder] = ends;
                return [(first, initiator), (second, responder)];
            }
            turns => panic!("both write, or both read: {turns:?}"),
        };
    }
    unreachable!("a handshake ends")
}

#[test]
fn turns_lead_through_every_protocol() {
    for params in all_params().chain(psk_params()) {
        let [(left, initiator), (right, responder)] = take_turns(params, 10);
        assert_eq!(left.len() + right.len(), params.pattern.message_count(), "{params}");
        assert_eq!(right[0], [0]);
        assert_eq!(initiator.handshake_hash(), responder.handshake_hash());
        assert_eq!(initiator.handshake().role(), Role::Initiator);
        let mut record = with_room(b"x");
        if params.pattern.is_one_way() {
            let mut sender = initiator.into_handshake().into_sender().unwrap();
            sender.encrypt_in_place(&mut record).unwrap();
            assert_eq!(responder.into_transport().unwrap_err(), HandshakeError::OneWay);
        } else {
            initiator.into_transport().unwrap().sender.encrypt_in_place(&mut record).unwrap();
            let mut transport = responder.into_transport().unwrap();
            assert_eq!(transport.receiver.decrypt_in_place(&mut record), Ok(1));
        }
    }
}

#[test]
fn a_refused_message_is_the_last_turn() {
    let mut rng = rng(11);
    let (_, responder) = Keys::new(&mut rng).pair(IK, &mut rng);
    let Turn::Read(step) = responder.turn().unwrap() else { panic!("the responder reads first") };
    assert_eq!(step.read(&[0; 96], &mut [0; 96]).unwrap_err(), HandshakeError::Refused);

    let (_, mut responder) = Keys::new(&mut rng).pair(IK, &mut rng);
    assert_eq!(responder.read_message(&[0; 96], &mut [0; 96]), Err(HandshakeError::Refused));
    assert_eq!(responder.turn().unwrap_err(), HandshakeError::Failed);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_payloads_arrive_as_they_were_sent(
        seed: u64,
        pattern in 0..Pattern::ALL.len(),
        hash in 0..Hash::ALL.len(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 4),
    ) {
        let params = Params::new(Pattern::ALL[pattern], Hash::ALL[hash]);
        let mut rng = rng(seed);
        let (mut writer, mut reader) = Keys::new(&mut rng).pair(params, &mut rng);
        for payload in payloads.iter().take(params.pattern.message_count()) {
            let sent = write(&mut writer, payload).unwrap();
            prop_assert_eq!(&read(&mut reader, &sent).unwrap(), payload);
            std::mem::swap(&mut writer, &mut reader);
        }
        prop_assert!(writer.is_finished() && reader.is_finished());
        prop_assert_eq!(writer.handshake_hash(), reader.handshake_hash());
    }

    #[test]
    fn both_directions_are_independent_and_rekey_by_themselves(
        seed: u64,
        interval in 1_u64..6,
        turns in prop::collection::vec(any::<bool>(), 1..60),
    ) {
        let (ours, theirs) = transports(IK, seed);
        let interval = NonZeroU64::new(interval);
        let mut ours = ours.with_rekey_interval(interval);
        let mut theirs = theirs.with_rekey_interval(interval);
        for (i, turn) in turns.into_iter().enumerate() {
            let (from, to) = if turn { (&mut ours, &mut theirs) } else { (&mut theirs, &mut ours) };
            let text = vec![i.to_le_bytes()[0]; i];
            let mut record = with_room(&text);
            from.sender.encrypt_in_place(&mut record).unwrap();
            prop_assert_eq!(to.receiver.decrypt_in_place(&mut record), Ok(i));
            prop_assert_eq!(&record[..i], &text);
        }
    }
}
