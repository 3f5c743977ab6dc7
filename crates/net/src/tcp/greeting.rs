//! The Noise handshake over a TCP stream.
//!
//! The initiator sends one selector byte and the first message, which carries
//! its node id and the first record of the multiplexer as early data:
//!
//! ```text
//! initiator                                          responder
//! selector | length | e, es, s, ss, [node id, record]  ->
//!                                   <-  length | e, ee, se, [node id]
//! ```
//!
//! Whatever does not fit this is answered by silence.

use std::cmp::Ordering;

use antiphon_handshake::door::Refusal;
use antiphon_handshake::identity::{self, NodeSecret};
use antiphon_handshake::{
    Handshake, HandshakeError, Hash, Params, Pattern, SetupError, StaticSecret, Transport,
};
use antiphon_types::NodeId;
use antiphon_wire::proto::MAJOR_VERSION;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::Place;

/// Selects `Noise_IK_25519_ChaChaPoly_BLAKE2s` and this version of everything.
const SELECTOR_IK: u8 = 1;

/// Early data beyond this is refused before it is decrypted: it is the price
/// that a stranger can make us pay.
pub(crate) const MAX_EARLY_BYTES: usize = 4 * 1024;

/// Ephemeral key, static key with its tag, node id, tag.
const IK_FIRST_OVERHEAD_BYTES: usize = 32 + 48 + NodeId::BYTES + 16;

/// The longest first message.
const IK_FIRST_MAX_BYTES: usize = IK_FIRST_OVERHEAD_BYTES + MAX_EARLY_BYTES;

/// The whole second message: ephemeral key, node id, tag.
const IK_SECOND_BYTES: usize = 32 + NodeId::BYTES + 16;

/// What a handshake leaves behind.
pub(crate) struct Greeted {
    pub(crate) transport: Transport,
    pub(crate) remote: NodeId,
    /// The same on both sides, and of no other handshake.
    pub(crate) number: u64,
    /// The initiator's first record; empty on the initiator's side.
    pub(crate) early: Bytes,
}

/// Why no handshake came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetingError {
    #[error("the connection broke during the handshake: {0}")]
    Io(#[from] std::io::Error),
    #[error("the handshake failed; the other side has another key or speaks another protocol")]
    Noise(#[from] HandshakeError),
    #[error("the handshake cannot begin: {0}")]
    Setup(#[from] SetupError),
    #[error("the other side's key is not acceptable")]
    Identity,
    #[error("the other side speaks another protocol or version")]
    Protocol,
    #[error("strangers are too many: {0}")]
    Refused(#[from] Refusal),
    #[error("this first message was seen before")]
    Replayed,
    #[error("the handshake was not answered")]
    Silence,
    #[error("the other side dialled at the same moment, and its call goes first")]
    Met,
}

/// Which version, pattern and service the two sides must agree on.
fn prologue(selector: u8, service: &NodeId) -> Vec<u8> {
    let mut prologue = b"antiphon".to_vec();
    prologue.extend([MAJOR_VERSION, selector]);
    prologue.extend(service.as_bytes());
    prologue
}

fn params() -> Params {
    Params::new(Pattern::IK, Hash::Blake2s)
}

/// Greets `node` as a member of `service`.
///
/// If the other side greets as well, having dialled at the same moment, then who
/// has the smaller id goes on as if it had not; the other leaves the socket as
/// it is, with that greeting still to be read: [`GreetingError::Met`].
pub(crate) async fn initiate(
    stream: &mut TcpStream,
    secret: &NodeSecret,
    node: &NodeId,
    service: &NodeId,
    early: &[u8],
) -> Result<Greeted, GreetingError> {
    let remote = identity::noise_public(node).map_err(|_| GreetingError::Identity)?;
    let mut handshake = Handshake::initiator(
        params(),
        &prologue(SELECTOR_IK, service),
        Some(&secret.noise_secret()),
        Some(remote),
        &mut rand::rng(),
    )?;
    let payload = [secret.node_id().as_bytes().as_slice(), early].concat();
    let mut message = vec![0; payload.len() + IK_FIRST_OVERHEAD_BYTES];
    let length = handshake.write_message(&payload, &mut message)?;
    let mut out = vec![SELECTOR_IK];
    out.extend(frame(&message[..length])?);
    stream.write_all(&out).await?;

    // A second message is shorter than 256 bytes, so that its length begins with
    // 0, which is no selector.
    if first_byte(stream).await? == SELECTOR_IK {
        match secret.node_id().cmp(node) {
            Ordering::Less => skip_first_message(stream).await?,
            Ordering::Greater => return Err(GreetingError::Met),
            // That is ourselves.
            Ordering::Equal => return Err(GreetingError::Identity),
        }
    }
    let message = read_framed(stream, IK_SECOND_BYTES).await?;
    let mut payload = vec![0; message.len()];
    let length = handshake.read_message(&message, &mut payload)?;
    if payload.get(..length) != Some(node.as_bytes()) {
        return Err(GreetingError::Identity);
    }
    let number = number(&handshake);
    let (remote, early) = (*node, Bytes::new());
    Ok(Greeted { transport: handshake.into_transport()?, remote, number, early })
}

/// The first bytes of the hash over all that was said.
fn number(handshake: &Handshake) -> u64 {
    let hash = handshake.handshake_hash().and_then(|hash| hash.first_chunk());
    hash.map_or(0, |first| u64::from_be_bytes(*first))
}

/// The first byte of what comes, left where it is.
async fn first_byte(stream: &TcpStream) -> Result<u8, GreetingError> {
    let mut byte = [0];
    match stream.peek(&mut byte).await? {
        0 => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        _ => Ok(byte[0]),
    }
}

/// Passes over the first message of somebody who is to answer ours instead.
async fn skip_first_message(stream: &mut TcpStream) -> Result<(), GreetingError> {
    stream.read_u8().await?;
    read_framed(stream, IK_FIRST_MAX_BYTES).await.map(drop)
}

/// Who answers.
pub(crate) struct Host {
    node: NodeId,
    /// Computed once: it costs as much as a Diffie-Hellman.
    noise: StaticSecret,
    service: NodeId,
}

impl Host {
    pub(crate) fn new(secret: &NodeSecret, service: NodeId) -> Self {
        Self { node: secret.node_id(), noise: secret.noise_secret(), service }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }
}

/// Answers whoever knows our key and the service, if `place` allows it.
pub(crate) async fn respond(
    stream: &mut TcpStream,
    host: &Host,
    place: &Place,
) -> Result<Greeted, GreetingError> {
    let selector = stream.read_u8().await?;
    if selector != SELECTOR_IK {
        return Err(GreetingError::Protocol);
    }
    let message = read_framed(stream, IK_FIRST_MAX_BYTES).await?;
    let ephemeral =
        message.get(..32).and_then(|key| key.try_into().ok()).ok_or(GreetingError::Protocol)?;
    place.greeted()?;
    let mut handshake = Handshake::responder(
        params(),
        &prologue(selector, &host.service),
        Some(&host.noise),
        None,
        &mut rand::rng(),
    )?;
    let mut payload = BytesMut::zeroed(message.len());
    let length = handshake.read_message(&message, &mut payload)?;
    payload.truncate(length);
    if length < NodeId::BYTES {
        return Err(GreetingError::Protocol);
    }
    let early = payload.split_off(NodeId::BYTES).freeze();
    let remote = NodeId::from_slice(&payload).ok_or(GreetingError::Protocol)?;
    let expected = identity::noise_public(&remote).map_err(|_| GreetingError::Identity)?;
    if handshake.remote_static() != Some(expected) {
        return Err(GreetingError::Identity);
    }
    // Remembered only now: garbage must not push out what is real.
    if !place.is_new(ephemeral) {
        return Err(GreetingError::Replayed);
    }

    let mut message = [0; IK_SECOND_BYTES];
    let length = handshake.write_message(host.node.as_bytes(), &mut message)?;
    stream.write_all(&frame(&message[..length])?).await?;
    let number = number(&handshake);
    Ok(Greeted { transport: handshake.into_transport()?, remote, number, early })
}

fn frame(message: &[u8]) -> Result<Vec<u8>, GreetingError> {
    let length = u16::try_from(message.len()).map_err(|_| GreetingError::Protocol)?;
    Ok([length.to_be_bytes().as_slice(), message].concat())
}

async fn read_framed(stream: &mut TcpStream, max_bytes: usize) -> Result<Vec<u8>, GreetingError> {
    let length = usize::from(stream.read_u16().await?);
    if length > max_bytes {
        return Err(GreetingError::Protocol);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
