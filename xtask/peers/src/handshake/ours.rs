//! Ours.

use std::hint::black_box;

use antiphon_handshake::{Handshake, Params, StaticSecret};

use super::{MESSAGE_ROOM_BYTES, Pattern};
use crate::Result;

/// One handshake at each call.
pub(super) fn handshakes(pattern: Pattern) -> Result<impl FnMut() -> Result<()>> {
    let params: Params = pattern.protocol().parse()?;
    let mut rng = rand::rng();
    let (client, server) = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
    let known = (pattern == Pattern::Ik).then(|| server.public_key());
    Ok(move || {
        let mut writer = Handshake::initiator(params, b"", Some(&client), known, &mut rng)?;
        let mut reader = Handshake::responder(params, b"", Some(&server), None, &mut rng)?;
        let mut message = [0; MESSAGE_ROOM_BYTES];
        let mut payload = [0; MESSAGE_ROOM_BYTES];
        while !writer.is_finished() {
            let sent = writer.write_message(b"", &mut message)?;
            reader.read_message(&message[..sent], &mut payload)?;
            std::mem::swap(&mut writer, &mut reader);
        }
        black_box((writer.into_transport()?, reader.into_transport()?));
        Ok(())
    })
}
