//! snow, with the resolver that it takes by default.

use std::hint::black_box;

use snow::Builder;
use snow::params::NoiseParams;

use super::{MESSAGE_ROOM_BYTES, Pattern};
use crate::Result;

/// One handshake at each call.
pub(super) fn handshakes(pattern: Pattern) -> Result<impl FnMut() -> Result<()>> {
    let params: NoiseParams = pattern.protocol().parse()?;
    let client = Builder::new(params.clone()).generate_keypair()?;
    let server = Builder::new(params.clone()).generate_keypair()?;
    Ok(move || {
        let mut builder = Builder::new(params.clone()).local_private_key(&client.private)?;
        if pattern == Pattern::Ik {
            builder = builder.remote_public_key(&server.public)?;
        }
        let mut writer = builder.build_initiator()?;
        let builder = Builder::new(params.clone()).local_private_key(&server.private)?;
        let mut reader = builder.build_responder()?;
        let mut message = [0; MESSAGE_ROOM_BYTES];
        let mut payload = [0; MESSAGE_ROOM_BYTES];
        while !writer.is_handshake_finished() {
            let sent = writer.write_message(b"", &mut message)?;
            reader.read_message(&message[..sent], &mut payload)?;
            std::mem::swap(&mut writer, &mut reader);
        }
        black_box((writer.into_transport_mode()?, reader.into_transport_mode()?));
        Ok(())
    })
}
