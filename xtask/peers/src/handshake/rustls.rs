//! rustls: TLS 1.3, both sides with an Ed25519 certificate that the other has
//! pinned, which is cheaper than a chain.

use std::hint::black_box;
use std::sync::Arc;

use rustls::{ClientConnection, ServerConnection};

use crate::{Result, tls};

/// One handshake at each call.
pub(super) fn handshakes() -> Result<impl FnMut() -> Result<()>> {
    let client_config = Arc::new(tls::client_config()?);
    let server_config = Arc::new(tls::server_config()?);
    let name = tls::server_name()?;
    let mut wire = Vec::with_capacity(8 * 1024);
    Ok(move || {
        let mut client = ClientConnection::new(Arc::clone(&client_config), name.clone())?;
        let mut server = ServerConnection::new(Arc::clone(&server_config))?;
        while client.wants_write() || server.wants_write() {
            carry(&mut client, &mut server, &mut wire)?;
            carry(&mut server, &mut client, &mut wire)?;
        }
        if client.is_handshaking() || server.is_handshaking() {
            return Err("TLS went silent before the handshake was done".into());
        }
        black_box((client, server));
        Ok(())
    })
}

/// Takes what one side has to say to the other.
fn carry<From, To>(
    from: &mut rustls::ConnectionCommon<From>,
    to: &mut rustls::ConnectionCommon<To>,
    wire: &mut Vec<u8>,
) -> Result<()>
where
    From: rustls::SideData,
    To: rustls::SideData,
{
    wire.clear();
    while from.wants_write() {
        from.write_tls(wire)?;
    }
    let mut left = wire.as_slice();
    while !left.is_empty() {
        to.read_tls(&mut left)?;
        to.process_new_packets()?;
    }
    Ok(())
}
