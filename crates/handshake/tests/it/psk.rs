//! Pre-shared keys: when they are given, and what a wrong one does.

use antiphon_handshake::{HandshakeError, Hash, Params, Pattern, SetupError};

use crate::support::{IK, Keys, PSKS, psk_params, read, rng, run, with_room, write};

const IK_PSK_2: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

#[test]
fn a_key_is_given_where_the_protocol_mixes_it_and_before_it_does() {
    let mut rng = rng(1);
    let keys = Keys::new(&mut rng);
    let (mut plain, _) = keys.pair(IK, &mut rng);
    for place in 0..7 {
        assert_eq!(plain.set_psk(place, &[0; 32]), Err(SetupError::UnusedPsk { place }));
    }
    let params: Params = IK_PSK_2.parse().unwrap();
    let (mut initiator, mut responder) = keys.pair(params, &mut rng);
    assert_eq!(initiator.set_psk(1, &[0; 32]), Err(SetupError::UnusedPsk { place: 1 }));
    run(&mut initiator, &mut responder, 1);
    // The responder knows by now who it is, and which key is theirs.
    for side in [&mut initiator, &mut responder] {
        side.set_psk(2, &[9; 32]).unwrap();
    }
    let answer = write(&mut responder, b"payload").unwrap();
    assert_eq!(read(&mut initiator, &answer).unwrap(), b"payload");
    for side in [&mut initiator, &mut responder] {
        assert!(side.is_finished());
        assert_eq!(side.set_psk(2, &[9; 32]), Err(SetupError::UnusedPsk { place: 2 }));
    }
}

#[test]
fn a_missing_key_is_asked_for_before_anything_is_changed() {
    let mut rng = rng(2);
    let keys = Keys::new(&mut rng);
    let local = (&keys.initiator, &keys.responder);
    let params = Params::new(Pattern::XX, Hash::Sha256).with_psk(1).unwrap();
    let mut begin = |secret, initiator| {
        let begin = if initiator {
            antiphon_handshake::Handshake::initiator
        } else {
            antiphon_handshake::Handshake::responder
        };
        begin(params, b"", Some(secret), None, &mut rng).unwrap()
    };
    let (mut initiator, mut responder) = (begin(local.0, true), begin(local.1, false));
    let missing = HandshakeError::MissingPsk { place: 1 };
    assert!(initiator.is_my_turn() && !responder.is_my_turn());
    assert_eq!(write(&mut initiator, b""), Err(missing));
    assert_eq!(read(&mut responder, &[0; 100]), Err(missing));
    for side in [&mut initiator, &mut responder] {
        side.set_psk(1, &PSKS[1]).unwrap();
    }
    run(&mut initiator, &mut responder, 3);
    assert_eq!(initiator.handshake_hash(), responder.handshake_hash());
}

/// Each key counts, at each place of every pattern.
#[test]
fn another_key_fails_at_the_message_that_mixes_it() {
    let mut rng = rng(3);
    let keys = Keys::new(&mut rng);
    for params in psk_params() {
        for place in (0..PSKS.len()).filter(|&place| params.has_psk(place)) {
            let (mut writer, mut reader) = keys.pair(params, &mut rng);
            writer.set_psk(place, &[0xee; 32]).unwrap();
            let messages = place.saturating_sub(1);
            run(&mut writer, &mut reader, messages);
            if messages % 2 == 1 {
                std::mem::swap(&mut writer, &mut reader);
            }
            let message = write(&mut writer, b"payload").unwrap();
            let refused = read(&mut reader, &message);
            assert_eq!(refused, Err(HandshakeError::Refused), "{params} {place}");
        }
    }
}

/// NN with a key at the start: nobody else reads even the first message.
#[test]
fn a_key_encrypts_from_its_place_on() {
    let mut rng = rng(4);
    let keys = Keys::new(&mut rng);
    let params = Params::new(Pattern::NN, Hash::Blake2b).with_psk(0).unwrap();
    let (mut initiator, mut responder) = keys.pair(params, &mut rng);
    assert_eq!(initiator.next_overhead_bytes(), 32 + 16);
    let message = write(&mut initiator, b"secret").unwrap();
    assert!(!message.windows(6).any(|window| window == b"secret"));
    assert_eq!(read(&mut responder, &message).unwrap(), b"secret");
    let answer = write(&mut responder, b"").unwrap();
    read(&mut initiator, &answer).unwrap();
    let mut record = with_room(b"x");
    initiator.into_transport().unwrap().sender.encrypt_in_place(&mut record).unwrap();
    let mut transport = responder.into_transport().unwrap();
    assert_eq!(transport.receiver.decrypt_in_place(&mut record), Ok(1));
}
