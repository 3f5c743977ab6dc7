//! What our QUIC connections allow, and how they are set up.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use antiphon_handshake::identity::NodeSecret;
use antiphon_types::NodeId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, EndpointConfig, ServerConfig, TransportConfig, VarInt};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::version::TLS13;
use sha2::{Digest as _, Sha256};

use super::courtesy::{Courteous, Urgent};
use super::identity::{AnyNode, ExpectNode, certified_key, provider};
use super::window::SEND_WINDOW_BYTES;

/// Name and major version of the protocol above QUIC.
const PROTOCOL: &str = "antiphon/1";

/// What is hashed before the service.
const SERVICE_CONTEXT: &[u8] = b"antiphon quic";

/// Bytes of that hash in the name of the protocol, which is sent in the clear.
const SERVICE_HASH_BYTES: usize = 8;

/// Streams that the other side may have open: as many as on TCP.
pub(super) const MAX_STREAMS: u32 = 128;

/// Unidirectional streams that the other side may open: its go-away.
const MAX_NOTICES: u32 = 1;

/// Received and not read, of one stream: 84 Mbit/s at 100 ms.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Received and not read, of all streams. Pieces that come with gaps between
/// them may cost twice that until quinn puts them together.
const CONNECTION_WINDOW_BYTES: u32 = 1280 * 1024;

/// Handshake bytes that may wait out of order: our messages have under 1 KiB.
const CRYPTO_BUFFER_BYTES: usize = 8 * 1024;

/// The deadlines of the multiplexer on TCP, see `antiphon_wire::Limits`.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const IDLE_TIMEOUT_MS: u32 = 45_000;

/// First packets of strangers that wait to be looked at, and their bytes in all.
const MAX_INCOMING: usize = 1024;
const INCOMING_BUFFER_BYTES: u64 = 16 * 1024;
const INCOMING_BUFFERS_BYTES: u64 = 4 * 1024 * 1024;

/// The round trip that is assumed until one was measured, when a hole is to be
/// punched: the first packet is likely to be lost, and is sent again after three
/// of these.
const HASTY_RTT: Duration = Duration::from_millis(70);

/// The limits of one connection; `urgent` is its own.
pub(super) fn transport(urgent: Urgent) -> Arc<TransportConfig> {
    Arc::new(limits(urgent))
}

/// The same for a connection whose first packets are likely to be lost.
pub(super) fn hasty_transport(urgent: Urgent) -> Arc<TransportConfig> {
    let mut config = limits(urgent);
    config.initial_rtt(HASTY_RTT);
    Arc::new(config)
}

fn limits(urgent: Urgent) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_NOTICES))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(Courteous { urgent }))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()));
    config
}

/// The name of the protocol among members of one service: another's fail in the
/// handshake.
fn alpn(service: &NodeId) -> Vec<u8> {
    let hash = Sha256::new().chain_update(SERVICE_CONTEXT).chain_update(service.as_bytes());
    let mut name = format!("{PROTOCOL}/");
    for byte in &hash.finalize()[..SERVICE_HASH_BYTES] {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.into_bytes()
}

/// For an endpoint that greets `node` as `secret`, both of `service`. Its limits
/// are to be set.
pub(super) fn client(
    secret: &NodeSecret,
    node: NodeId,
    service: &NodeId,
) -> io::Result<ClientConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ExpectNode { node, algorithms }))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
            certified_key(secret).map_err(io::Error::other)?,
        )));
    tls.alpn_protocols = vec![alpn(service)];
    // Whom we call is nobody else's business.
    tls.enable_sni = false;
    tls.resumption = rustls::client::Resumption::disabled();
    let tls = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
    Ok(ClientConfig::new(Arc::new(tls)))
}

/// For an endpoint that answers members of `service` as `secret`.
pub(crate) fn server(secret: &NodeSecret, service: &NodeId) -> io::Result<ServerConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(Arc::new(AnyNode { algorithms }))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
            certified_key(secret).map_err(io::Error::other)?,
        )));
    tls.alpn_protocols = vec![alpn(service)];
    // No session outlives its connection: nothing to steal, nothing to replay.
    tls.send_tls13_tickets = 0;
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(transport(Urgent::default()))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFERS_BYTES);
    Ok(config)
}

/// For an endpoint whose socket carries other packets too: the first bits of
/// QUIC's tell them apart (RFC 9443 section 2), so none may be hidden.
pub(crate) fn endpoint() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config.grease_quic_bit(false);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_protocol_tells_services_apart() {
        // SHA-256 of "antiphon quic" and 32 times 7, from another program.
        assert_eq!(alpn(&NodeId::new([7; 32])), b"antiphon/1/94872acd6507be35");
        assert_ne!(alpn(&NodeId::new([7; 32])), alpn(&NodeId::new([8; 32])));
    }
}
