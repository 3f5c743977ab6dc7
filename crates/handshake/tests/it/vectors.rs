//! N1: published vectors, both roles, byte for byte.

use antiphon_handshake::{Handshake, Params, Receiver, Role, Sender, StaticSecret};
use serde::Deserialize;

use crate::support::{FixedRng, with_room};

const FILES: [&str; 3] = [
    include_str!("../vectors/noise-xx-ik-nk-kk-25519-chachapoly.cacophony.json"),
    include_str!("../vectors/noise-others-25519-chachapoly.cacophony.json"),
    include_str!("../vectors/noise-psk-25519-chachapoly.cacophony.json"),
];

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    protocol_name: String,
    init_prologue: String,
    #[serde(default)]
    init_psks: Vec<String>,
    init_ephemeral: Option<String>,
    init_static: Option<String>,
    init_remote_static: Option<String>,
    resp_prologue: String,
    #[serde(default)]
    resp_psks: Vec<String>,
    resp_ephemeral: Option<String>,
    resp_static: Option<String>,
    resp_remote_static: Option<String>,
    handshake_hash: String,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    payload: String,
    ciphertext: String,
}

impl Vector {
    /// One side of the vector, as the file describes it.
    fn begin(&self, role: Role) -> Handshake {
        let params: Params = self.protocol_name.parse().unwrap();
        let (prologue, psks, ephemeral, secret, remote) = match role {
            Role::Initiator => (
                &self.init_prologue,
                &self.init_psks,
                &self.init_ephemeral,
                &self.init_static,
                &self.init_remote_static,
            ),
            Role::Responder => (
                &self.resp_prologue,
                &self.resp_psks,
                &self.resp_ephemeral,
                &self.resp_static,
                &self.resp_remote_static,
            ),
        };
        let secret = secret.as_deref().map(|secret| StaticSecret::from_bytes(&key(secret)));
        let remote = remote.as_deref().map(key);
        // In a one-way pattern the responder has no ephemeral key.
        let mut rng = FixedRng(Some(ephemeral.as_deref().map_or([0; 32], key)));
        let prologue = hex::decode(prologue).unwrap();
        let mut handshake = match role {
            Role::Initiator => {
                Handshake::initiator(params, &prologue, secret.as_ref(), remote, &mut rng)
            }
            Role::Responder => {
                Handshake::responder(params, &prologue, secret.as_ref(), remote, &mut rng)
            }
        }
        .unwrap();
        for (place, psk) in (0..5).filter(|&place| params.has_psk(place)).zip(psks) {
            handshake.set_psk(place, &key(psk)).unwrap();
        }
        handshake
    }
}

fn key(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn n1_published_vectors_hold_in_both_roles() {
    let mut vectors = 0;
    for file in FILES {
        for vector in serde_json::from_str::<File>(file).unwrap().vectors {
            check(&vector);
            vectors += 1;
        }
    }
    assert_eq!(vectors, 12 + 102 + 63, "38 patterns and 21 with psk, with 3 hashes each");
}

fn check(vector: &Vector) {
    let name = &vector.protocol_name;
    let mut sides = [vector.begin(Role::Initiator), vector.begin(Role::Responder)];
    let handshake_messages = sides[0].params().pattern.message_count();
    let one_way = sides[0].params().pattern.is_one_way();
    let messages: Vec<(Vec<u8>, Vec<u8>)> = vector
        .messages
        .iter()
        .map(|m| (hex::decode(&m.payload).unwrap(), hex::decode(&m.ciphertext).unwrap()))
        .collect();

    for (i, (payload, ciphertext)) in messages[..handshake_messages].iter().enumerate() {
        let [writer, reader] = &mut sides;
        assert_eq!(writer.next_overhead_bytes() + payload.len(), ciphertext.len(), "{name} {i}");
        let mut out = vec![0; ciphertext.len()];
        assert_eq!(writer.write_message(payload, &mut out), Ok(ciphertext.len()), "{name} {i}");
        assert_eq!(&out, ciphertext, "{name} {i}");
        let mut out = vec![0; payload.len()];
        assert_eq!(reader.read_message(ciphertext, &mut out), Ok(payload.len()), "{name} {i}");
        assert_eq!(&out, payload, "{name} {i}");
        sides.reverse();
    }
    for side in &sides {
        assert_eq!(hex::encode(side.handshake_hash().unwrap()), vector.handshake_hash, "{name}");
    }
    if handshake_messages % 2 == 1 {
        sides.reverse();
    }
    let [initiator, responder] = sides;
    assert_eq!((initiator.role(), responder.role()), (Role::Initiator, Role::Responder));

    let records = messages[handshake_messages..].iter();
    if one_way {
        let (mut sender, mut receiver) =
            (initiator.into_sender().unwrap(), responder.into_receiver().unwrap());
        for (payload, ciphertext) in records {
            check_record(&mut sender, &mut receiver, payload, ciphertext);
        }
    } else {
        let mut initiator = initiator.into_transport().unwrap();
        let mut responder = responder.into_transport().unwrap();
        for (i, (payload, ciphertext)) in records.enumerate() {
            // Turns go on as they were in the handshake.
            let (from, to) = if (handshake_messages + i).is_multiple_of(2) {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            check_record(&mut from.sender, &mut to.receiver, payload, ciphertext);
        }
    }
}

fn check_record(sender: &mut Sender, receiver: &mut Receiver, payload: &[u8], ciphertext: &[u8]) {
    let mut record = with_room(payload);
    sender.encrypt_in_place(&mut record).unwrap();
    assert_eq!(record, ciphertext);
    assert_eq!(receiver.decrypt_in_place(&mut record), Ok(payload.len()));
    assert_eq!(&record[..payload.len()], payload);
}
