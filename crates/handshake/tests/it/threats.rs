//! Cases N2, N4 to N9 and H5: what an attacker does to messages, keys and records.

use std::num::NonZeroU64;

use antiphon_handshake::identity::{self, NodeSecret, SignatureError};
use antiphon_handshake::{HandshakeError, Hash, Params, Pattern, Role, TransportError};
use proptest::prelude::*;
use rand_chacha::rand_core::Rng;

use crate::conversation::transports;
use crate::support::{
    IK, Keys, XX, all_params, assert_forgotten, read, reader_of, rng, run, with_room, write,
};

/// The patterns of our own links, and those that vectors are given for.
const PATTERNS: [Pattern; 4] = [Pattern::IK, Pattern::XX, Pattern::NK, Pattern::KK];

/// N2. An altered first message of XX is only found out by the next one, since
/// nothing in it is authenticated yet.
fn refuses_altered(params: Params, messages: usize, alter: impl Fn(&mut Vec<u8>)) {
    let (mut reader, mut writer, mut message) = reader_of(params, messages);
    alter(&mut message);
    let context = format!("{params}, message {messages}, {} bytes", message.len());
    match read(&mut reader, &message) {
        Err(error) => assert_eq!(error, HandshakeError::Refused, "{context}"),
        Ok(_) => {
            assert!(messages == 0 && params.pattern == Pattern::XX, "{context}");
            match write(&mut reader, b"") {
                Err(error) => assert_eq!(error, HandshakeError::Refused, "{context}"),
                Ok(answer) => {
                    assert_eq!(
                        read(&mut writer, &answer),
                        Err(HandshakeError::Refused),
                        "{context}"
                    );
                    assert_forgotten(&mut writer);
                    return;
                }
            }
        }
    }
    assert_forgotten(&mut reader);
    assert_eq!(reader.into_transport().unwrap_err(), HandshakeError::Failed);
}

#[test]
fn n2_a_message_with_any_byte_flipped_is_refused() {
    for pattern in PATTERNS {
        let params = Params::new(pattern, Hash::Blake2s);
        for messages in 0..pattern.message_count() {
            let length = reader_of(params, messages).2.len();
            for position in 0..length {
                refuses_altered(params, messages, |message| message[position] ^= 0x40);
            }
        }
    }
}

#[test]
fn n2_a_message_cut_at_any_length_is_refused() {
    for pattern in PATTERNS {
        let params = Params::new(pattern, Hash::Blake2s);
        for messages in 0..pattern.message_count() {
            let length = reader_of(params, messages).2.len();
            for cut in 0..length {
                refuses_altered(params, messages, |message| message.truncate(cut));
            }
        }
    }
}

#[test]
fn n2_an_extended_message_is_refused() {
    for pattern in PATTERNS {
        for messages in 0..pattern.message_count() {
            for extra in [1, 16, 70_000] {
                let params = Params::new(pattern, Hash::Blake2s);
                refuses_altered(params, messages, |message| {
                    message.resize(message.len() + extra, 0);
                });
            }
        }
    }
}

#[test]
fn n4_a_garbage_record_is_refused_and_does_not_advance_the_nonce() {
    let (mut ours, mut theirs) = transports(IK, 4);
    // Also right before and right after keys change by themselves.
    ours = ours.with_rekey_interval(NonZeroU64::new(2));
    theirs = theirs.with_rekey_interval(NonZeroU64::new(2));
    for number in 0..7_u8 {
        let mut record = with_room(&[number; 40]);
        ours.sender.encrypt_in_place(&mut record).unwrap();
        for position in 0..record.len() {
            let mut garbage = record.clone();
            garbage[position] ^= 1;
            let refused = theirs.receiver.decrypt_in_place(&mut garbage);
            assert_eq!(refused, Err(TransportError::Refused));
        }
        for length in 0..record.len() {
            let refused = theirs.receiver.decrypt_in_place(&mut record.clone()[..length]);
            assert_eq!(refused, Err(TransportError::Refused));
        }
        assert_eq!(theirs.receiver.nonce(), u64::from(number));
        assert_eq!(theirs.receiver.decrypt_in_place(&mut record), Ok(40));
        assert_eq!(record[..40], [number; 40]);
    }
}

#[test]
fn n5_a_replayed_record_is_refused() {
    let (mut ours, mut theirs) = transports(IK, 5);
    let mut records: Vec<Vec<u8>> = (0..3).map(|_| with_room(b"pay 10")).collect();
    for record in &mut records {
        ours.sender.encrypt_in_place(record).unwrap();
    }
    let skipped = theirs.receiver.decrypt_in_place(&mut records[1].clone());
    assert_eq!(skipped, Err(TransportError::Refused), "one was left out");
    for index in 0..3 {
        assert_eq!(theirs.receiver.decrypt_in_place(&mut records[index].clone()), Ok(6));
        for replayed in &records[..=index] {
            let refused = theirs.receiver.decrypt_in_place(&mut replayed.clone());
            assert_eq!(refused, Err(TransportError::Refused));
        }
    }
    // Nor is it taken by who sent it.
    let reflected = ours.receiver.decrypt_in_place(&mut records[0]);
    assert_eq!(reflected, Err(TransportError::Refused));
}

/// The first message of IK can be replayed to a new handshake; that it is one
/// and carries nothing dangerous is for the caller. No session comes of it.
#[test]
fn n5_a_replayed_first_message_opens_no_session() {
    let mut rng = rng(6);
    let keys = Keys::new(&mut rng);
    let (mut initiator, mut responder) = keys.pair(IK, &mut rng);
    let first = write(&mut initiator, b"request").unwrap();
    read(&mut responder, &first).unwrap();
    let answer = write(&mut responder, b"").unwrap();
    read(&mut initiator, &answer).unwrap();
    let mut record = with_room(b"secret");
    initiator.into_transport().unwrap().sender.encrypt_in_place(&mut record).unwrap();

    let mut again = keys.begin(Role::Responder, IK, b"prologue", &mut rng);
    read(&mut again, &first).unwrap();
    let other_answer = write(&mut again, b"").unwrap();
    assert_ne!(answer, other_answer);
    let replayed = again.into_transport().unwrap().receiver.decrypt_in_place(&mut record);
    assert_eq!(replayed, Err(TransportError::Refused));
}

#[test]
fn n6_another_prologue_or_protocol_fails_at_the_first_authenticated_message() {
    let mut rng = rng(7);
    let keys = Keys::new(&mut rng);
    let other_hash = Params::new(Pattern::IK, Hash::Sha256);
    for (params, prologue) in [(IK, &b"another"[..]), (IK, b""), (other_hash, b"prologue")] {
        let mut initiator = keys.begin(Role::Initiator, IK, b"prologue", &mut rng);
        let mut responder = keys.begin(Role::Responder, params, prologue, &mut rng);
        let first = write(&mut initiator, b"request").unwrap();
        assert_eq!(read(&mut responder, &first), Err(HandshakeError::Refused));
        assert_forgotten(&mut responder);
    }
    let mut initiator = keys.begin(Role::Initiator, XX, b"prologue", &mut rng);
    let mut responder = keys.begin(Role::Responder, XX, b"another", &mut rng);
    let first = write(&mut initiator, b"").unwrap();
    read(&mut responder, &first).unwrap();
    let second = write(&mut responder, b"").unwrap();
    assert_eq!(read(&mut initiator, &second), Err(HandshakeError::Refused));
}

/// The key was named by somebody trusted (a link, a tracker), and no other is
/// taken, valid as it may be: not at first use, and not after a good session.
#[test]
fn n8_a_valid_key_that_is_not_the_pinned_one_is_refused() {
    let mut rng = rng(8);
    let (keys, other) = (Keys::new(&mut rng), Keys::new(&mut rng));
    for _ in 0..2 {
        let mut initiator = keys.begin(Role::Initiator, IK, b"prologue", &mut rng);
        let mut impostor = other.begin(Role::Responder, IK, b"prologue", &mut rng);
        let first = write(&mut initiator, b"request").unwrap();
        assert_eq!(read(&mut impostor, &first), Err(HandshakeError::Refused));
        // It answers all the same, by a handshake of its own.
        let mut misled = other.begin(Role::Initiator, IK, b"prologue", &mut rng);
        let mut impostor = other.begin(Role::Responder, IK, b"prologue", &mut rng);
        read(&mut impostor, &write(&mut misled, b"request").unwrap()).unwrap();
        let answer = write(&mut impostor, b"answer").unwrap();
        assert_eq!(read(&mut initiator, &answer), Err(HandshakeError::Refused));
        assert_forgotten(&mut initiator);

        let (mut initiator, mut responder) = keys.pair(IK, &mut rng);
        run(&mut initiator, &mut responder, 2);
    }
}

/// Where no key is known beforehand, the proven one is compared with the one
/// that was named.
#[test]
fn n8_in_xx_the_proven_key_is_told_so_that_it_can_be_compared() {
    let mut rng = rng(8);
    let named = NodeSecret::generate(&mut rng);
    let other = NodeSecret::generate(&mut rng);
    for (secret, is_named) in [(&named, true), (&other, false)] {
        let mut keys = Keys::new(&mut rng);
        keys.responder = secret.noise_secret();
        let (mut initiator, mut responder) = keys.pair(XX, &mut rng);
        run(&mut initiator, &mut responder, 2);
        let proven = initiator.remote_static().unwrap();
        assert_eq!(identity::matches(&named.node_id(), &proven), is_named);
    }
}

/// Every probe gets the same nothing: one error, whatever is wrong, and no
/// byte to send.
#[test]
fn n9_every_probe_is_answered_by_the_same_silence() {
    let mut rng = rng(9);
    let (keys, other) = (Keys::new(&mut rng), Keys::new(&mut rng));
    let first = |keys: &Keys, prologue: &[u8], rng: &mut _| {
        write(&mut keys.begin(Role::Initiator, IK, prologue, rng), b"request").unwrap()
    };
    let good = first(&keys, b"prologue", &mut rng);
    let mut probes = vec![
        first(&other, b"prologue", &mut rng),
        first(&keys, b"another", &mut rng),
        good[..good.len() - 1].to_vec(),
        vec![],
        vec![0; 32],
        vec![0xff; 70_000],
    ];
    for length in [1, 31, 48, 96, 103, 1_024] {
        let mut garbage = vec![0; length];
        rng.fill_bytes(&mut garbage);
        probes.push(garbage);
    }
    for probe in probes {
        let mut responder = keys.begin(Role::Responder, IK, b"prologue", &mut rng);
        assert_eq!(read(&mut responder, &probe), Err(HandshakeError::Refused));
        assert_forgotten(&mut responder);
        let mut answer = [0x55; 300];
        assert!(responder.write_message(b"banner", &mut answer).is_err());
        assert_eq!(answer, [0x55; 300], "not a byte");
    }
    let mut responder = keys.begin(Role::Responder, IK, b"prologue", &mut rng);
    assert_eq!(read(&mut responder, &good).unwrap(), b"request");
}

/// No length of what a stranger sends costs more than it does.
#[test]
fn h5_ten_megabytes_are_refused_by_their_length() {
    let mut rng = rng(10);
    let ten_megabytes = vec![0; 10_000_000];
    for params in [IK, XX] {
        let (_, mut responder) = Keys::new(&mut rng).pair(params, &mut rng);
        // Room for nothing: it is refused before anything is written.
        let refused = responder.read_message(&ten_megabytes, &mut []);
        assert_eq!(refused, Err(HandshakeError::Refused));
        assert_forgotten(&mut responder);
    }
    let node = NodeSecret::generate(&mut rng).node_id();
    let refused = identity::verify(&node, b"ticket", b"", &ten_megabytes);
    assert_eq!(refused, Err(SignatureError::Refused));
}

#[test]
fn n7_keys_change_at_the_interval_and_only_there() {
    let (ours, theirs) = transports(IK, 9);
    let (plain, _) = transports(IK, 9);
    let interval = NonZeroU64::new(3);
    let mut ours = ours.with_rekey_interval(interval);
    let mut theirs = theirs.with_rekey_interval(interval);
    let mut plain = plain.with_rekey_interval(None);
    for number in 0..10_u64 {
        let (mut record, mut by_hand) = (with_room(b"x"), with_room(b"x"));
        ours.sender.encrypt_in_place(&mut record).unwrap();
        if number > 0 && number % 3 == 0 {
            plain.sender.rekey();
        }
        plain.sender.encrypt_in_place(&mut by_hand).unwrap();
        assert_eq!(record, by_hand, "message {number}");
        assert_eq!(theirs.receiver.decrypt_in_place(&mut record), Ok(1));
    }
}

#[test]
fn n7_a_rekey_on_one_side_alone_is_noticed() {
    let (mut ours, mut theirs) = transports(IK, 10);
    ours.sender.rekey();
    let mut record = with_room(b"x");
    ours.sender.encrypt_in_place(&mut record).unwrap();
    let refused = theirs.receiver.decrypt_in_place(&mut record.clone());
    assert_eq!(refused, Err(TransportError::Refused));
    theirs.receiver.rekey();
    assert_eq!(theirs.receiver.decrypt_in_place(&mut record), Ok(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// N9: whatever strangers send, the answer is one error, and no panic.
    #[test]
    fn n9_random_bytes_never_finish_a_handshake(
        seed: u64,
        protocol in 0..3 * Pattern::ALL.len(),
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5),
    ) {
        let params = all_params().nth(protocol).unwrap();
        let mut rng = rng(seed);
        let mut responder = Keys::new(&mut rng).begin(Role::Responder, params, b"", &mut rng);
        for message in messages {
            match read(&mut responder, &message) {
                Ok(_) => prop_assert!(!responder.is_finished()),
                Err(error) => prop_assert!(matches!(
                    error,
                    HandshakeError::Refused | HandshakeError::Failed | HandshakeError::OutOfTurn
                )),
            }
            // Where the initiator is anonymous the responder may be done after
            // it has written, but never because of what it read.
            let _ = write(&mut responder, b"");
        }
    }
}
