//! Two sides agree on keys by Noise IK; then one asks the other for a song, on
//! a stream of a multiplexer, in an encrypted record.

use antiphon_handshake::{Handshake, Params, StaticSecret, TAG_BYTES};
use antiphon_types::{Class, Timestamp};
use antiphon_wire::mux::{Event, Limits, Mux, Role};
use antiphon_wire::record::MAX_PLAINTEXT_BYTES;
use bytes::{Bytes, BytesMut};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut rng, now) = (rand::rng(), Timestamp::ZERO);
    let params: Params = "Noise_IK_25519_ChaChaPoly_BLAKE2s".parse()?;
    let (ours, theirs) = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
    let known = Some(theirs.public_key());
    let mut client = Handshake::initiator(params, b"outside", Some(&ours), known, &mut rng)?;
    let mut server = Handshake::responder(params, b"outside", Some(&theirs), None, &mut rng)?;
    let (mut message, mut payload) = ([0; 128], [0; 128]);
    let sent = client.write_message(b"", &mut message)?;
    server.read_message(&message[..sent], &mut payload)?;
    let sent = server.write_message(b"", &mut message)?;
    client.read_message(&message[..sent], &mut payload)?;
    let (mut client_keys, mut server_keys) = (client.into_transport()?, server.into_transport()?);

    let mut client = Mux::new(Role::Initiator, Limits::default(), now);
    let mut server = Mux::new(Role::Responder, Limits::default(), now);
    let stream = client.open(Class::Now)?;
    client.write(stream, Bytes::from_static(b"sing!"))?;
    let mut record = BytesMut::new();
    client.poll_record(now, &mut record, MAX_PLAINTEXT_BYTES);
    record.extend_from_slice(&[0; TAG_BYTES]);
    client_keys.sender.encrypt_in_place(&mut record)?;
    let plaintext = server_keys.receiver.decrypt_in_place(&mut record)?;
    server.handle_record(now, record.split_to(plaintext).freeze())?;

    let heard = std::iter::from_fn(|| server.poll_event())
        .find_map(|event| if let Event::Data { data, .. } = event { Some(data) } else { None });
    assert_eq!(heard.as_deref(), Some(&b"sing!"[..]));
    println!("outside: heard {:?} on an encrypted stream", heard.unwrap_or_default());
    Ok(())
}
