//! The Noise protocol framework, revision 34, and the identities of nodes.
//!
//! Two parties that share nothing but a pattern agree on keys, prove who they
//! are and then exchange encrypted messages. Read [`Handshake`] first, then
//! [`Transport`], which it becomes; over datagrams that is
//! [`StatelessTransport`]. [`Turn`] is the same handshake with its order kept by
//! the compiler. [`identity`] says how a node's name is tied to the static key
//! of its handshakes, [`door`] bounds what strangers may cost, and
//! [`ReplayFilter`] knows recorded first messages.
//!
//! The crate speaks every fundamental and deferred pattern ([`Pattern`]) over
//! Curve25519 and ChaCha20-Poly1305, with BLAKE2s, BLAKE2b or SHA-256, with and
//! without pre-shared keys ([`Params`]). All buffers are the caller's: no
//! message allocates, and what a remote sends makes nothing grow. It is sans-IO:
//! it moves no bytes and reads no clock, so framing and sockets are left to the
//! caller.
//!
//! # Features
//!
//! * `aws-lc-rs`: X25519 and ChaCha20-Poly1305 by AWS-LC instead of
//!   `x25519-dalek` and `chacha20poly1305`; for the rest nothing changes.
//!   Handshakes and 16 KiB records take about half the time, short records a
//!   seventh. It needs a C compiler; keys lie on the heap of that library, which
//!   allocates for each Diffie-Hellman and each new cipher, and wipes behind it.
//!
//! ```
//! use antiphon_handshake::{Handshake, Params, StaticSecret, TAG_BYTES};
//! # use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//! # let mut rng = ChaCha20Rng::seed_from_u64(1);
//!
//! let params: Params = "Noise_IK_25519_ChaChaPoly_BLAKE2s".parse()?;
//! let (ours, theirs) = (StaticSecret::generate(&mut rng), StaticSecret::generate(&mut rng));
//! let server = Some(theirs.public_key());
//! let mut client = Handshake::initiator(params, b"v1", Some(&ours), server, &mut rng)?;
//! let mut server = Handshake::responder(params, b"v1", Some(&theirs), None, &mut rng)?;
//!
//! // One round trip; the first message carries a request already.
//! let (mut message, mut payload) = ([0; 200], [0; 200]);
//! let sent = client.write_message(b"play", &mut message)?;
//! let received = server.read_message(&message[..sent], &mut payload)?;
//! assert_eq!(&payload[..received], b"play");
//! assert_eq!(server.remote_static(), Some(ours.public_key()));
//! let sent = server.write_message(b"gladly", &mut message)?;
//! client.read_message(&message[..sent], &mut payload)?;
//! assert_eq!(client.handshake_hash(), server.handshake_hash());
//!
//! // Then each side encrypts and decrypts in place.
//! let (mut client, mut server) = (client.into_transport()?, server.into_transport()?);
//! let mut record = *b"here comes the song\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
//! server.sender.encrypt_in_place(&mut record)?;
//! let received = client.receiver.decrypt_in_place(&mut record)?;
//! assert_eq!(&record[..received], b"here comes the song");
//! assert_eq!(record.len(), received + TAG_BYTES);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cipher_state;
pub mod door;
mod handshake;
mod hashing;
pub mod identity;
mod keys;
mod params;
mod pattern;
mod primitives;
mod replay;
mod stateless;
mod symmetric;
mod transport;

pub use handshake::{Finished, Handshake, HandshakeError, ReadTurn, SetupError, Turn, WriteTurn};
pub use keys::StaticSecret;
pub use params::{Hash, Params, ParseParamsError};
pub use pattern::{Pattern, Role};
pub use replay::ReplayFilter;
pub use stateless::{StatelessReceiver, StatelessSender, StatelessTransport};
pub use transport::{REKEY_INTERVAL_MESSAGES, Receiver, Sender, Transport, TransportError};

/// Length of every key, public or secret, in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of the tag that ends what is encrypted, in bytes.
pub const TAG_BYTES: usize = 16;
/// Length of the longest message, handshake or transport, in bytes (Noise
/// section 3).
pub const MAX_MESSAGE_BYTES: usize = 65535;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
