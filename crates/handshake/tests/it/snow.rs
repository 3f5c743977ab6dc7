//! A live conversation with another implementation, in both roles, for every
//! protocol that both speak.

use antiphon_handshake::{Handshake, MAX_MESSAGE_BYTES, Params, Receiver, Role, Sender, TAG_BYTES};
use snow::{HandshakeState, TransportState};

use crate::support::{IK, Keys, PSKS, Rng, all_params, psk_params, read, rng, with_room, write};

/// The side of the conversation that `snow` plays.
fn theirs(role: Role, params: Params, keys: &Keys) -> HandshakeState {
    let local = keys.of(role).to_bytes();
    let remote = keys.of(role.peer()).public_key();
    let mut builder =
        snow::Builder::new(params.to_string().parse().unwrap()).prologue(b"prologue").unwrap();
    if params.pattern.has_static(role) {
        builder = builder.local_private_key(&*local).unwrap();
    }
    if params.pattern.static_known_beforehand(role.peer()) {
        builder = builder.remote_public_key(&remote).unwrap();
    }
    for place in (0..PSKS.len()).filter(|&place| params.has_psk(place)) {
        builder = builder.psk(u8::try_from(place).unwrap(), &PSKS[place]).unwrap();
    }
    match role {
        Role::Initiator => builder.build_initiator(),
        Role::Responder => builder.build_responder(),
    }
    .unwrap()
}

fn shake_hands(params: Params, role: Role, rng: &mut Rng) -> (Handshake, TransportState) {
    let (ours, snow) = finish(params, role, rng);
    (ours, snow.into_transport_mode().unwrap())
}

/// A handshake with a payload of its own length in each message.
fn finish(params: Params, role: Role, rng: &mut Rng) -> (Handshake, HandshakeState) {
    let keys = Keys::new(rng);
    let mut ours = keys.begin(role, params, b"prologue", rng);
    let mut snow = theirs(role.peer(), params, &keys);
    for length in (0..).step_by(37).take(params.pattern.message_count()) {
        let payload = vec![0xa5; length];
        let mut buffer = vec![0; MAX_MESSAGE_BYTES];
        if ours.is_my_turn() {
            let message = write(&mut ours, &payload).unwrap();
            let received = snow.read_message(&message, &mut buffer).unwrap();
            assert_eq!(buffer[..received], payload, "{params} as {role:?}");
        } else {
            let sent = snow.write_message(&payload, &mut buffer).unwrap();
            assert_eq!(read(&mut ours, &buffer[..sent]).unwrap(), payload, "{params} as {role:?}");
        }
    }
    assert_eq!(ours.handshake_hash(), Some(snow.get_handshake_hash()), "{params} as {role:?}");
    assert_eq!(
        ours.remote_static().is_some(),
        params.pattern.has_static(role.peer()),
        "{params} as {role:?}"
    );
    assert!(ours.remote_static().is_none_or(|key| key == keys.of(role.peer()).public_key()));
    (ours, snow)
}

fn send(sender: &mut Sender, snow: &mut TransportState, length: usize) {
    let plaintext = vec![0x5a; length];
    let mut record = with_room(&plaintext);
    sender.encrypt_in_place(&mut record).unwrap();
    let mut buffer = vec![0; record.len()];
    let received = snow.read_message(&record, &mut buffer).unwrap();
    assert_eq!(buffer[..received], plaintext);
}

fn receive(receiver: &mut Receiver, snow: &mut TransportState, length: usize) {
    let mut record = vec![0; length + TAG_BYTES];
    let sent = snow.write_message(&vec![0x5a; length], &mut record).unwrap();
    assert_eq!(receiver.decrypt_in_place(&mut record[..sent]), Ok(length));
    assert!(record[..length].iter().all(|&byte| byte == 0x5a));
}

#[test]
fn every_protocol_is_understood_by_snow_in_both_roles() {
    let mut rng = rng(1);
    for params in all_params().chain(psk_params()) {
        for role in [Role::Initiator, Role::Responder] {
            let (ours, mut snow) = shake_hands(params, role, &mut rng);
            match (params.pattern.is_one_way(), role) {
                (true, Role::Initiator) => {
                    send(&mut ours.into_sender().unwrap(), &mut snow, 100);
                }
                (true, Role::Responder) => {
                    receive(&mut ours.into_receiver().unwrap(), &mut snow, 100);
                }
                (false, _) => {
                    let mut ours = ours.into_transport().unwrap();
                    for length in [0, 1, 63, 64, 65, 16_384] {
                        send(&mut ours.sender, &mut snow, length);
                        receive(&mut ours.receiver, &mut snow, length);
                    }
                }
            }
        }
    }
}

#[test]
fn the_longest_record_is_understood_by_snow() {
    let (ours, mut snow) = shake_hands(IK, Role::Initiator, &mut rng(2));
    let mut ours = ours.into_transport().unwrap();
    send(&mut ours.sender, &mut snow, MAX_MESSAGE_BYTES - TAG_BYTES);
    receive(&mut ours.receiver, &mut snow, MAX_MESSAGE_BYTES - TAG_BYTES);
}

#[test]
fn a_manual_rekey_is_understood_by_snow() {
    let (ours, mut snow) = shake_hands(IK, Role::Responder, &mut rng(3));
    let mut ours = ours.into_transport().unwrap();
    for _ in 0..3 {
        send(&mut ours.sender, &mut snow, 10);
        receive(&mut ours.receiver, &mut snow, 10);
        ours.sender.rekey();
        snow.rekey_incoming();
        ours.receiver.rekey();
        snow.rekey_outgoing();
    }
}

#[test]
fn stateless_messages_are_understood_by_snow_in_both_roles() {
    let mut rng = rng(4);
    for role in [Role::Initiator, Role::Responder] {
        let (ours, snow) = finish(IK, role, &mut rng);
        let ours = ours.into_stateless_transport().unwrap();
        let snow = snow.into_stateless_transport_mode().unwrap();
        let mut buffer = [0; 64];
        for nonce in [7, 3, 1 << 40, 0] {
            let mut record = with_room(b"out");
            ours.sender.encrypt_in_place(nonce, &mut record).unwrap();
            let received = snow.read_message(nonce, &record, &mut buffer).unwrap();
            assert_eq!(&buffer[..received], b"out");
            let sent = snow.write_message(nonce, b"back", &mut buffer).unwrap();
            assert_eq!(ours.receiver.decrypt_in_place(nonce, &mut buffer[..sent]), Ok(4));
            assert_eq!(&buffer[..4], b"back");
        }
    }
}
